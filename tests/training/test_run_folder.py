"""A run's folder tells what it began with: nothing overwrites that, and a resumed run is held to it."""

import json
from dataclasses import replace

import pytest
from torch import nn

from worldsim.models import DiTConfig, WorldModelConfig
from worldsim.training import TrainConfig, Trainer, begin_run

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
