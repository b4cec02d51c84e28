"""The studies' trainings neither overwrite what a run began with nor go on with other levers, data or parts."""

import dataclasses
import importlib
import json
import sys
from pathlib import Path

import pytest

from worldsim.vision.learned_readout import LearnedReadout, LearnedReadoutConfig

ROOT = Path(__file__).parents[2] / "experiments"


@pytest.fixture
def study(request, monkeypatch):
    """The modules data and train of a study, whose plain names are left free for other folders."""
    for name in ("data", "train"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(ROOT / request.param)
    yield importlib.import_module("data"), importlib.import_module("train")
    for name in ("data", "train"):
        del sys.modules[name]


def refuses(monkeypatch, train, out, words, said):
    """That training with those words ends before it began and leaves config.json alone."""
    before = (out / "config.json").read_bytes()
    monkeypatch.setattr(sys, "argv", ["train.py", *map(str, words)])
    with pytest.raises(ValueError, match=said):
        train.main()
    assert (out / "config.json").read_bytes() == before


def begun(out, config, **facts):
    """A run's folder with a checkpoint in it."""
    (out / "step_00000100").mkdir(parents=True)
    (out / "config.json").write_text(json.dumps(dataclasses.asdict(config)))
    (out / "run.json").write_text(json.dumps(facts))


@pytest.mark.parametrize("study", ["phyworld"], indirect=True)
def test_phyworld(study, monkeypatch, tmp_path):
    data, train = study
    monkeypatch.setattr(train, "HELD_OUT", 1)
    for family in data.FAMILIES:
        for role in ("train", "val"):
            data.make(tmp_path / "data", family, "id", role, 1)
    out = tmp_path / "run"
    begun(out, train.model_config(plain=False), data=str(tmp_path / "data"), start=None)
    words = [tmp_path / "data", out]
    refuses(monkeypatch, train, out, [*words, "--plain"], r"train\.out: must hold no run unless resuming")
    refuses(monkeypatch, train, out, [*words, "--plain", "--resume"], "clip_frames: must be 16 as in .*, got 6")
    begun(tmp_path / "other", train.model_config(plain=False), data="elsewhere", start=None)
    told = [tmp_path / "data", tmp_path / "other", "--resume"]
    refuses(monkeypatch, train, tmp_path / "other", told, "data: must be 'elsewhere' as in")


@pytest.mark.parametrize("study", ["violations"], indirect=True)
def test_violations(study, monkeypatch, tmp_path):
    data, train = study
    clip = data.draw(data.make_scene("balls3", "id", "train", 0), need_touch=False)
    for role, count in (("train", 1), ("val", 48)):
        data.save_clips(tmp_path / "data", "balls3", "id", role, [clip] * count)
    config = train.model_config(["hint"], free=False, sharp=False)
    LearnedReadout(LearnedReadoutConfig()).save(tmp_path / "readout", {})
    facts = {"data": str(tmp_path / "data"), "families": ["balls3"], "readout": str(tmp_path / "readout")}
    out, other = tmp_path / "run", tmp_path / "other"
    begun(out, config, **facts, start=None)
    begun(other, config, **(facts | {"readout": "elsewhere"}), start=None)
    words = ["--readout", tmp_path / "readout", "--families", "balls3"]
    fresh = [tmp_path / "data", out, *words, "--levers"]
    refuses(monkeypatch, train, out, [*fresh, "consistency"], r"train\.out: must hold no run unless resuming")
    refuses(monkeypatch, train, out, [*fresh, "hint", "consistency", "--resume"], "consistency: must be 0.0 as in")
    told = [tmp_path / "data", other, *words, "--levers", "hint", "--resume"]
    refuses(monkeypatch, train, other, told, "readout: must be 'elsewhere' as in")
