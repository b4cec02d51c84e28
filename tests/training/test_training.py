"""The trainer resumes bit for bit, refuses to resume from nothing, and names what went wrong."""

import json
import math
import re
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file, save_file
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from torch import nn

from worldsim.data import DataError, read_video
from worldsim.training import (
    PowerAverage,
    TrainConfig,
    Trainer,
    Validation,
    averaged_weights,
    checkpoints,
    last_fall,
    load_checkpoint,
    start_from,
    step_generator,
)
from worldsim.training.ema import exponent_for


class Line(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(4, 1)

    def loss(self, batch, generator):
        noise = 0.1 * torch.randn(batch.shape[0], generator=generator)
        error = self.layer(batch)[:, 0] - batch.sum(-1) + noise
        return {"square": error.square().mean(), "decay": 1e-3 * self.layer.weight.square().sum()}


def batch_for(step):
    return torch.randn(16, 4, generator=torch.Generator().manual_seed(step))


def config(path, **changes):
    return TrainConfig(
        str(path), **{"steps": 30, "checkpoint_every": 5, "log_every": 1, "tensorboard": False, **changes}
    )


def losses(path):
    lines = [json.loads(line) for line in (path / "log.jsonl").read_text().splitlines()]
    return {line["step"]: line["square"] for line in lines}


def test_training_learns_and_rotates_checkpoints(tmp_path):
    model = Line()
    Trainer(model, batch_for, config(tmp_path, steps=300, learning_rate=0.05, checkpoint_every=50)).train()
    assert [p.name for p in checkpoints(tmp_path)] == ["step_00000250", "step_00000300"]
    torch.testing.assert_close(model.layer.weight.detach(), torch.ones(1, 4), atol=0.05, rtol=0)


def test_a_killed_run_resumes_bit_for_bit(tmp_path):
    Trainer(Line(), batch_for, config(tmp_path / "whole")).train()

    class Killed(Exception):
        pass

    def die_after(step):
        def batch(n):
            if n == step:
                raise Killed
            return batch_for(n)

        return batch

    with pytest.raises(Killed):
        Trainer(Line(), die_after(13), config(tmp_path / "broken")).train()
    Trainer(Line(), batch_for, config(tmp_path / "broken")).train(resume=True)
    assert losses(tmp_path / "broken") == losses(tmp_path / "whole")
    ends = [load_checkpoint(checkpoints(tmp_path / name)[-1])[0] for name in ("whole", "broken")]
    for file in ("model", "average", "optimizer"):
        assert ends[0][file].keys() == ends[1][file].keys()
        assert all(torch.equal(ends[0][file][k], ends[1][file][k]) for k in ends[0][file])


def test_a_resume_that_would_load_nothing_fails(tmp_path):
    with pytest.raises(ValueError, match="must hold a checkpoint to resume from"):
        Trainer(Line(), batch_for, config(tmp_path)).train(resume=True)


def test_a_run_is_not_overwritten(tmp_path):
    Trainer(Line(), batch_for, config(tmp_path, steps=5)).train()
    with pytest.raises(ValueError, match="must hold no run unless resuming"):
        Trainer(Line(), batch_for, config(tmp_path, steps=5)).train()


def test_a_changed_config_is_refused(tmp_path):
    Trainer(Line(), batch_for, config(tmp_path, steps=5)).train()
    with pytest.raises(ValueError, match=r"train.seed: must be 0 as in .*, got 1"):
        Trainer(Line(), batch_for, replace(config(tmp_path, steps=5), seed=1)).train(resume=True)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"weight_decay": 0.1}, r"train\.weight_decay: must be 0\.01 as in .*, got 0\.1"),
        ({"betas": (0.9, 0.99)}, r"train\.betas: must be \[0\.9, 0\.95\] as in .*, got \[0\.9, 0\.99\]"),
        ({"clip": 2.0}, r"train\.clip: must be 1\.0 as in .*, got 2\.0"),
        ({"ema_length": 0.2}, r"train\.ema_length: must be 0\.1 as in .*, got 0\.2"),
    ],
)
def test_all_that_steers_a_run_stays_when_it_goes_on(tmp_path, changes, said):
    Trainer(Line(), batch_for, config(tmp_path, steps=5)).train()
    with pytest.raises(ValueError, match=said):
        Trainer(Line(), batch_for, config(tmp_path, steps=5, **changes)).train(resume=True)


def test_a_run_of_another_number_of_processes_is_refused(tmp_path):
    Trainer(Line(), batch_for, config(tmp_path, steps=5)).train()
    meta = checkpoints(tmp_path)[-1] / "meta.json"
    told = json.loads(meta.read_text())
    assert told["processes"] == 1
    meta.write_text(json.dumps({**told, "processes": 2}))
    with pytest.raises(ValueError, match=r"processes: must be 2 as in .*, got 1"):
        Trainer(Line(), batch_for, config(tmp_path, steps=5)).train(resume=True)
    del told["processes"]
    meta.write_text(json.dumps(told))
    Trainer(Line(), batch_for, config(tmp_path, steps=5)).train(resume=True)


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


def test_a_run_that_is_soon_out_of_time_has_a_log(tmp_path):
    Trainer(Line(), batch_for, config(tmp_path, log_every=10, max_minutes=1e-9)).train()
    assert list(losses(tmp_path)) == [1]
    Trainer(Line(), batch_for, config(tmp_path, log_every=10)).train(resume=True)
    assert list(losses(tmp_path)) == [1, 10, 20, 30]


def test_truncated_checkpoints_are_named(tmp_path):
    Trainer(Line(), batch_for, config(tmp_path, steps=5)).train()
    file = checkpoints(tmp_path)[-1] / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"model.safetensors: must be a whole safetensors file"):
        Trainer(Line(), batch_for, config(tmp_path, steps=5)).train(resume=True)


@pytest.mark.parametrize("name", ["model", "average", "optimizer"])
def test_checkpoints_that_lack_a_file_are_named(tmp_path, name):
    Trainer(Line(), batch_for, config(tmp_path, steps=5)).train()
    (checkpoints(tmp_path)[-1] / f"{name}.safetensors").unlink()
    with pytest.raises(ValueError, match=rf"{name}\.safetensors: must be a whole safetensors file"):
        Trainer(Line(), batch_for, config(tmp_path, steps=5)).train(resume=True)
    with pytest.raises(ValueError, match=rf"{name}\.safetensors: must be a whole safetensors file"):
        load_checkpoint(checkpoints(tmp_path)[-1])
    # The averaged weights need no other file.
    with pytest.raises(ValueError, match="average") if name == "average" else nullcontext():
        averaged_weights(tmp_path)


@pytest.mark.parametrize("damaged", [b"[]", b"{", b"\xff"])
def test_a_checkpoint_whose_meta_is_damaged_is_named(tmp_path, damaged):
    Trainer(Line(), batch_for, config(tmp_path, steps=5)).train()
    (checkpoints(tmp_path)[-1] / "meta.json").write_bytes(damaged)
    with pytest.raises(ValueError, match=r"checkpoint .*step_00000005: must"):
        load_checkpoint(checkpoints(tmp_path)[-1])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"config": None}, r"meta\.json\.config: must be an object, as the trainer writes, got None"),
        ({"step": "5"}, r"meta\.json\.step: must be a whole number of 0 or more, got '5'"),
    ],
)
def test_a_meta_without_config_or_step_is_refused(tmp_path, changes, said):
    Trainer(Line(), batch_for, config(tmp_path, steps=5)).train()
    meta = checkpoints(tmp_path)[-1] / "meta.json"
    meta.write_text(json.dumps({**json.loads(meta.read_text()), **changes}))
    with pytest.raises(ValueError, match=said):
        Trainer(Line(), batch_for, config(tmp_path, steps=5)).train(resume=True)


class Partly(Line):
    """With a part that no loss reaches, of which the optimizer keeps nothing."""

    def __init__(self):
        super().__init__()
        self.unused = nn.Linear(2, 2)
        self.frozen = nn.Linear(2, 2).requires_grad_(False)


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        (
            "optimizer",
            lambda d: {},
            r"optimizer\.safetensors: must hold layer\.bias//exp_avg, as the optimizer keeps it; \d+ tensors in all",
        ),
        (
            "optimizer",
            lambda d: {k: v for k, v in d.items() if "bias" not in k},
            r"must hold layer\.bias//exp_avg, .*; 3 tensors",
        ),
        ("optimizer", lambda d: dict(sorted(d.items())[:4]), r"must hold layer\.weight//exp_avg_sq, .*; 2 tensors"),
        ("optimizer", lambda d: {**d, "x//step": torch.zeros(())}, r"optimizer\.safetensors: must not hold x//step"),
        (
            "optimizer",
            lambda d: {**d, "layer.weight//exp_avg": torch.zeros(2, 4)},
            r"layer\.weight//exp_avg: must be of shape \(1, 4\), as the optimizer keeps it, got \(2, 4\)",
        ),
        ("average", lambda d: {}, r"average\.safetensors: must hold frozen\.bias, as the model has it; 6 tensors"),
        ("model", lambda d: {k: v for k, v in d.items() if "bias" not in k}, r"model\.safetensors: must hold .*bias"),
        ("model", lambda d: {k: v * math.nan for k, v in d.items()}, r"model\.safetensors\..*: must be finite"),
    ],
)
@pytest.mark.parametrize("told", [True, False])
def test_a_checkpoint_that_lacks_a_part_is_not_gone_on_from(tmp_path, file, change, said, told):
    Trainer(Partly(), batch_for, config(tmp_path, steps=5)).train()
    newest = checkpoints(tmp_path)[-1]
    if not told:  # as one from before checkpoints told what no loss had reached
        meta = json.loads((newest / "meta.json").read_text())
        assert meta.pop("unmoved") == ["unused.weight", "unused.bias"]
        (newest / "meta.json").write_text(json.dumps(meta))
    whole = load_file(newest / f"{file}.safetensors")
    save_file(change(whole), newest / f"{file}.safetensors")
    with pytest.raises(ValueError, match=said):
        Trainer(Partly(), batch_for, config(tmp_path, steps=5)).train(resume=True)
    save_file(whole, newest / f"{file}.safetensors")
    Trainer(Partly(), batch_for, config(tmp_path, steps=5)).train(resume=True)


def test_another_network_is_not_gone_on_with(tmp_path):
    Trainer(Line(), batch_for, config(tmp_path, steps=5)).train()
    with pytest.raises(ValueError, match=r"model\.safetensors: must hold frozen\.bias, as the model has it; 4 tensors"):
        Trainer(Partly(), batch_for, config(tmp_path, steps=5)).train(resume=True)


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


@pytest.mark.parametrize("length", [0.05, 0.1, 0.2])
def test_the_average_has_the_stated_length(length):
    # The profile of eq. 121 is proportional to t^g: its standard deviation on [0, 1] is the relative length.
    gamma = exponent_for(length)
    t = np.linspace(0, 1, 200_001)
    weight = t**gamma / (t**gamma).sum()
    mean = (weight * t).sum()
    assert np.sqrt((weight * (t - mean) ** 2).sum()) == pytest.approx(length, rel=1e-3)


def test_the_average_follows_its_closed_form():
    model = nn.Linear(1, 1, bias=False)
    average = PowerAverage(model, 0.1)
    history = []
    for step in range(1, 201):
        with torch.no_grad():
            model.weight.fill_(float(step))
        history.append(float(step))
        average.update(model, step)
    t = np.arange(1, 201)
    gamma = average.exponent
    profile = t ** (gamma + 1) - (t - 1) ** (gamma + 1)
    assert float(average.weights["weight"]) == pytest.approx((profile * history).sum() / profile.sum(), rel=0.01)


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


def test_validation_is_the_averaged_weights_loss_and_leaves_training_alone(tmp_path):
    held_out = [batch_for(1000 + i) for i in range(3)]
    trainer = Trainer(Line(), batch_for, config(tmp_path / "a"), Validation(held_out, "square", seed=5))
    trainer.train()
    Trainer(Line(), batch_for, config(tmp_path / "b")).train()
    assert losses(tmp_path / "a") == losses(tmp_path / "b")
    lines = [json.loads(line) for line in (tmp_path / "a" / "validation.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [5, 10, 15, 20, 25, 30]
    average = Line()
    average.load_state_dict(load_checkpoint(checkpoints(tmp_path / "a")[-1])[0]["average"])
    expected = [float(average.loss(b, step_generator(5, i))["square"].detach()) for i, b in enumerate(held_out)]
    assert lines[-1]["square"] == pytest.approx(sum(expected) / 3, rel=1e-6)


def test_validation_goes_to_the_model_and_needs_the_whole_of_it(tmp_path):
    class Elsewhere:
        """On another device than the model, until it is moved."""

        def to(self, device):
            assert device == torch.device("cpu")
            return batch_for(0)

    Trainer(Line(), batch_for, config(tmp_path, steps=5), Validation([Elsewhere()], "square")).train()
    assert (tmp_path / "validation.jsonl").exists()
    with pytest.raises(ValueError, match=r"train\.shard: must be false with a callback that calls the model, as Valid"):
        Trainer(Line(), batch_for, config(tmp_path, shard=True), Validation([batch_for(0)]))


def test_the_last_fall_is_of_the_last_tenth_of_all_steps(tmp_path):
    told = ((50, 4.0), (80, 2.0), (90, 1.5), (80, 9.0), (90, 1.0), (100, 0.98))
    lines = [{"step": step, "diffusion": loss} for step, loss in told]
    (tmp_path / "validation.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert last_fall(tmp_path) == pytest.approx(0.02)
    (tmp_path / "validation.jsonl").write_text(json.dumps(lines[-1]) + "\n")
    assert math.isnan(last_fall(tmp_path))


def test_another_run_starts_from_the_averaged_weights_and_refuses_another_network(tmp_path):
    Trainer(Line(), batch_for, config(tmp_path)).train()
    average, model = averaged_weights(tmp_path), Line()
    start_from(model, tmp_path)
    assert all(torch.equal(value, average[name]) for name, value in model.state_dict().items())
    model.head = torch.nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"run: must be of the same network, .* differs in head\.bias"):
        start_from(model, tmp_path)
    kept = model.head.weight.clone()
    start_from(model, tmp_path, new=("head.",))
    assert torch.equal(model.head.weight, kept)
    with pytest.raises(ValueError, match="run: must be of the same network"):
        start_from(torch.nn.Linear(2, 2), tmp_path)
