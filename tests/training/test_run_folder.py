"""A run's folder tells what it began with, which a resumed run is held to, and becomes a checkpoint to pass on."""

import json
from dataclasses import asdict, replace

import pytest
import torch
from torch import nn

from worldsim.models import DiTConfig, WorldModel, WorldModelConfig
from worldsim.models.pretrained import read_config
from worldsim.training import TrainConfig, Trainer, begin_run, export, load_run, run_facts, start_from

MODEL = WorldModelConfig(dit=DiTConfig(width=48, depth=1, heads=2), context_lengths=(4,))
FACTS = {"data": "clips", "families": ["hoop"], "start": None}


class Pull(nn.Linear):
    def loss(self, batch, generator):
        return {"pull": self.weight.square().sum()}


def trainer(out):
    return Trainer(Pull(2, 2), lambda step: step, TrainConfig(str(out), steps=1, tensorboard=False))


def files(out):
    return {name: (out / name).read_bytes() for name in ("config.json", "run.json")}


def test_a_run_goes_on_with_what_it_began_with(tmp_path):
    new = trainer(tmp_path / "run")
    begin_run(new, MODEL, FACTS, resume=False)
    new.train()
    before = files(tmp_path / "run")
    assert json.loads(before["run.json"]) == FACTS
    # As a trainer that has not been told to resume finds it: a run is there, which it then refuses to overwrite.
    begin_run(trainer(tmp_path / "run"), replace(MODEL, hint=False), {}, resume=False)
    assert files(tmp_path / "run") == before
    begin_run(trainer(tmp_path / "run"), MODEL, FACTS, resume=True)
    for model, facts, said in (
        (replace(MODEL, hint=False), FACTS, r"hint: must be True as in .*config\.json, got False"),
        (MODEL, {**FACTS, "families": ["box"]}, r"families: must be \['hoop'\] as in .*run\.json, got \['box'\]"),
        (MODEL, {**FACTS, "start": "other"}, r"start: must be None as in .*run\.json, got 'other'"),
    ):
        with pytest.raises(ValueError, match=said):
            begin_run(trainer(tmp_path / "run"), model, facts, resume=True)
    assert files(tmp_path / "run") == before


def test_a_run_without_facts_is_held_to_its_model(tmp_path):
    new = trainer(tmp_path)
    begin_run(new, MODEL, FACTS, resume=False)
    new.train()
    (tmp_path / "run.json").unlink()
    begin_run(trainer(tmp_path), MODEL, {"data": "others"}, resume=True)
    with pytest.raises(ValueError, match="consistency: must be"):
        begin_run(trainer(tmp_path), replace(MODEL, consistency=0.5), FACTS, resume=True)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json: must be readable JSON"):
        begin_run(trainer(tmp_path), MODEL, FACTS, resume=True)
    (tmp_path / "config.json").unlink()
    with pytest.raises(ValueError, match=r"resume: must find config\.json in"):
        begin_run(trainer(tmp_path), MODEL, FACTS, resume=True)


class Quick(WorldModel):
    """Trains without a clip: the loss pulls the weights to a number that the batch gives."""

    def loss(self, clip, generator):
        return {"pull": sum((p - clip).square().mean() for p in self.denoiser.parameters())}


def test_a_run_is_exported_with_its_averaged_weights_and_the_checkpoint_stands_for_it(tmp_path):
    run = tmp_path / "run"
    trainer = Trainer(Quick(MODEL), lambda step: 0.1 * step, TrainConfig(str(run), steps=6, tensorboard=False))
    trainer.train()
    (run / "config.json").write_text(json.dumps(asdict(MODEL)))
    out = export(run, tmp_path / "out", {"data": "nothing", "metrics": {"loss": 0.5}})
    model = WorldModel.from_pretrained(out)
    loaded = load_run(run).state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in trainer.average.weights.items())
    facts = run_facts(run)
    assert (facts["seed"], facts["steps"]) == (0, 6)
    for name, value in trainer.average.weights.items():
        torch.testing.assert_close(model.state_dict()[name], value, rtol=2**-11, atol=2**-24)
        if value.is_floating_point() and name.startswith("denoiser"):
            assert not torch.equal(value, trainer.model.state_dict()[name])
    assert run_facts(out) == facts
    again, started = load_run(out), WorldModel(MODEL)
    start_from(started, out)
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
        assert torch.equal(started.state_dict()[name], value)
    card = read_config(out)[1]
    assert (card.seed, card.steps, card.data) == (0, 6, "nothing")
    with pytest.raises(ValueError, match=r"must be the folder of a training run with checkpoints"):
        export(tmp_path / "nowhere", tmp_path / "x")
    with pytest.raises(ValueError, match=r"card\.colour: must be one of"):
        export(run, tmp_path / "x", {"colour": 3})


class Small(nn.Module):
    """Another denoiser than ours."""

    def __init__(self, width=3):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width, 1, 1, 1))

    def forward(self, z, t, condition):
        return self.scale * z


def test_a_run_of_another_denoiser_is_loaded_and_exported_with_it(tmp_path):
    run = tmp_path / "run"
    trainer = Trainer(Quick(MODEL, Small()), lambda step: 0.1, TrainConfig(str(run), steps=3, tensorboard=False))
    begin_run(trainer, MODEL, FACTS, resume=False)
    trainer.train()
    average = trainer.average.weights["denoiser.scale"]
    assert torch.equal(load_run(run, Small()).denoiser.scale, average)
    out = export(run, tmp_path / "out", denoiser=Small())
    again = WorldModel.from_pretrained(out, denoiser=Small())
    torch.testing.assert_close(again.denoiser.scale.detach(), average, rtol=2**-11, atol=2**-24)
    with pytest.raises(ValueError, match=r"denoiser\.scale: must be of shape \(4, 1, 1, 1\), as its config says, got"):
        load_run(run, Small(4))
    with pytest.raises(ValueError, match=r"must hold denoiser\."):
        load_run(run)


def test_minutes_of_a_run_are_those_of_all_its_pieces(tmp_path):
    run = tmp_path / "run"
    Trainer(Quick(MODEL), lambda step: 0.1, TrainConfig(str(run), steps=1, tensorboard=False)).train()
    told = json.loads((run / "log.jsonl").read_text())
    assert told["began"] > 1.7e9

    def minutes(*lines):
        (run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return run_facts(run)["minutes"]

    def line(step, seconds, **more):
        return {"step": step, "seconds": seconds, **more}

    # The second piece is slower: its first line has more seconds than the first's last.
    assert minutes(line(10, 60, began=1.0), line(12, 72, began=1.0), line(20, 90, began=2.0)) == 2.7
    # Lines that do not tell when their piece began.
    assert minutes(line(10, 60), line(20, 120), line(30, 60)) == 3.0
    assert minutes(line(10, 60), line(20, 120, began=2.0), line(30, 180, began=2.0)) == 4.0
