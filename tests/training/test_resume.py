"""Runs resume bit for bit, from whole checkpoints of their own alone; other runs start from their averaged weights."""

import json
import math
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from line_training import Line, batch_for, config, losses
from safetensors.torch import load_file, save_file
from torch import nn

from worldsim.training import Trainer, averaged_weights, checkpoints, load_checkpoint, start_from


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
        ({"precision": "bfloat16"}, r"train\.precision: must be 'float32' as in .*, got 'bfloat16'"),
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
