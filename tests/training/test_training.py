"""The trainer learns, refuses what nothing can be trained with, and names what went wrong."""

import math
import re

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from line_training import Line, batch_for, config, losses
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event

from worldsim.data import DataError, read_video
from worldsim.training import (
    TrainConfig,
    Trainer,
    checkpoints,
    step_generator,
)


def test_training_learns_and_rotates_checkpoints(tmp_path):
    model = Line()
    Trainer(model, batch_for, config(tmp_path, steps=300, learning_rate=0.05, checkpoint_every=50)).train()
    assert [p.name for p in checkpoints(tmp_path)] == ["step_00000250", "step_00000300"]
    torch.testing.assert_close(model.layer.weight.detach(), torch.ones(1, 4), atol=0.05, rtol=0)


@pytest.mark.parametrize(
    ("name", "values", "rule"),
    [
        ("steps", (0,), "1 or more"),
        ("learning_rate", (0.0, -1.0, math.inf, math.nan), "above 0 and finite"),
        ("clip", (0.0, -1.0, math.nan), "above 0"),
        ("warmup", (-1,), "0 or more and finite"),
        ("weight_decay", (-0.1, math.inf, math.nan), "0 or more and finite"),
        ("max_minutes", (-1.0, math.nan), "0 or more and finite"),
        ("betas", ((-0.1, 0.9), (0.9, 1.0), (0.9,), (0.9, math.nan)), "two numbers from 0 to below 1"),
        ("precision", ("float16", "half", None), "one of float32, bfloat16"),
        ("ema_length", (0.0, -0.1, 0.28, math.nan), r"between 0 and 0\.28"),
    ],
)
def test_what_nothing_can_be_trained_with_is_refused(name, values, rule):
    for value in values:
        with pytest.raises(ValueError, match=rf"train\.{name}: must be {rule}, got {re.escape(repr(value))}"):
            TrainConfig("run", **{name: value})
    assert TrainConfig("run", clip=math.inf, warmup=0, weight_decay=0.0, betas=(0.0, 0.0)).max_minutes == 0


def test_training_is_in_training_mode(tmp_path):
    modes = []

    class Told(Line):
        def loss(self, batch, generator):
            modes.append((self.training, self.layer.training))
            return super().loss(batch, generator)

    Trainer(Told().eval(), batch_for, config(tmp_path, steps=2)).train()
    assert modes == [(True, True)] * 2


def test_the_launcher_cannot_turn_on_half_precision(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    AcceleratorState._reset_state(reset_partial_state=True)
    try:
        trainer = Trainer(Line(), batch_for, config(tmp_path))
        assert trainer.accelerator.mixed_precision == "no"
        assert trainer.module(batch_for(0), step_generator(0, 0))["square"].dtype == torch.float32
        with trainer.accelerator.autocast():
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)


def test_what_is_asked_for_in_sixteen_bits_computes_in_them(tmp_path):
    model, types = Line(), []
    model.layer.register_forward_hook(lambda _, __, out: types.append(out.dtype))
    trainer = Trainer(model, batch_for, config(tmp_path, steps=300, learning_rate=0.05, precision="bfloat16"))
    trainer.train()
    assert set(types) == {torch.bfloat16}
    kept = [*model.parameters(), *trainer.average.weights.values()]
    kept += [value for state in trainer.optimizer.state.values() for value in state.values()]
    assert {value.dtype for value in kept} == {torch.float32}
    torch.testing.assert_close(model.layer.weight.detach(), torch.ones(1, 4), atol=0.1, rtol=0)


def test_a_run_that_is_soon_out_of_time_has_a_log(tmp_path):
    Trainer(Line(), batch_for, config(tmp_path, log_every=10, max_minutes=1e-9)).train()
    assert list(losses(tmp_path)) == [1]
    Trainer(Line(), batch_for, config(tmp_path, log_every=10)).train(resume=True)
    assert list(losses(tmp_path)) == [1, 10, 20, 30]


def test_what_a_batch_or_a_loss_raises_names_its_step(tmp_path):
    def broken(number):
        if number == 2:
            raise DataError("clip.video: must be finite")
        return batch_for(number)

    with pytest.raises(DataError, match=r"^clip\.video: must be finite; at step 2 of seed 0, batch 2$"):
        Trainer(Line(), broken, config(tmp_path / "batch")).train()

    class Picky(Line):
        def loss(self, batch, generator):
            raise KeyError("a", 3)

    with pytest.raises(KeyError) as raised:
        Trainer(Picky(), batch_for, config(tmp_path / "loss")).train()
    assert raised.value.args == ("a", 3)
    assert raised.value.__notes__ == ["at step 0 of seed 0, batch 0"]


def test_a_term_that_is_not_finite_is_named(tmp_path):
    class Broken(Line):
        def loss(self, batch, generator):
            return {**super().loss(batch, generator), "physics": self.layer.weight.sum() * float("nan")}

    with pytest.raises(FloatingPointError, match=r"loss.physics: must be finite, got nan at step 0 of seed 0, batch 0"):
        Trainer(Broken(), batch_for, config(tmp_path)).train()


def test_progress_is_told_and_sample_videos_reach_tensorboard(tmp_path):
    seen = []
    video = np.random.default_rng(0).integers(0, 255, (5, 16, 24, 3), np.uint8)
    trainer = Trainer(
        Line(),
        batch_for,
        config(tmp_path, steps=4, checkpoint_every=2, tensorboard=True),
        callback=lambda trainer, step: trainer.show("samples", video, 10.0),
        progress=lambda done, total: seen.append((done, total)),
    )
    trainer.train()
    assert seen == [(k, 4) for k in range(1, 5)]
    (events,) = (tmp_path / "tensorboard").glob("events*")
    found = [
        (event.step, value.tag, value.image.encoded_image_string)
        for event in map(Event.FromString, RawEventFileLoader(str(events)).Load())
        for value in event.summary.value
    ]
    shown = [(step, data) for step, tag, data in found if tag == "samples"]
    assert [step for step, _ in shown] == [2, 4]
    (tmp_path / "shown.gif").write_bytes(shown[-1][1])
    played, fps = read_video(tmp_path / "shown.gif")
    assert played.shape == video.shape
    assert fps == pytest.approx(10.0)
    assert any(tag == "loss/square" for _, tag, _ in found)
