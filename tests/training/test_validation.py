"""Validation is the averaged weights' loss on held-out batches, and leaves training alone."""

import json
import math

import pytest
import torch
from line_training import Line, batch_for, config, losses

from worldsim.training import (
    Trainer,
    Validation,
    checkpoints,
    last_fall,
    load_checkpoint,
    step_generator,
)


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
