"""Checkpoints that are passed on come back bit for bit; whatever does not fit is refused by name."""

import json
import tomllib
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import worldsim as ws
from worldsim.models import DiTConfig, ModelCard, WorldModel, WorldModelConfig, shipped
from worldsim.models.pretrained import CARD, CONFIG, WEIGHTS, find, read_config

ROOT = Path(__file__).parent.parent.parent
SMALL = WorldModelConfig(dit=DiTConfig(width=48, depth=1, heads=4, patch=(2, 8, 8)), context_lengths=(2, 4))


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(3)
    model = WorldModel(SMALL)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.02)
    card = ModelCard(
        scenes={"collision": {"pixels": 32}},
        size=(32, 32),
        data="exact motion",
        seed=3,
        steps=7,
        minutes=1.5,
        metrics={"uniform": {"id": 0.0123456, "ood": [0.01, 0.02]}, "parameters": 1200},
    )
    model.save_pretrained(tmp_path / "mine", card)
    return model, card, tmp_path / "mine"


def test_a_saved_model_comes_back_bit_for_bit(saved):
    model, card, folder = saved
    assert sorted(path.name for path in folder.iterdir()) == sorted([WEIGHTS, CONFIG, CARD])
    again = ws.WorldModel.from_pretrained(folder)
    assert again.config == model.config
    assert not again.training
    assert read_config(folder) == (SMALL, card)
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    text = (folder / CARD).read_text()
    for word in ("# mine", "collision (pixels=32)", "exact motion", "3, 7", "1.5 minutes", "0.01235", "0.01, 0.02"):
        assert word in text, word


def test_unknown_names_list_what_is_shipped():
    with pytest.raises(ValueError, match=r"model: must be a folder made by save_pretrained, or .*; got 'no-such'") as e:
        WorldModel.from_pretrained("no-such")
    assert all(name in str(e.value) for name in shipped())


@pytest.mark.parametrize("name", sorted(shipped()))
def test_shipped_checkpoints_load_and_tell_where_they_come_from(name):
    _, card = read_config(name)
    assert find(name).name == name
    assert card.scenes
    assert card.size
    assert card.steps > 0
    assert card.metrics
    assert WorldModel.from_pretrained(name).config == read_config(name)[0]


def config_with(folder, **changes):
    document = json.loads((folder / CONFIG).read_text())
    for key, value in changes.items():
        place = document
        *path, last = key.split("__")
        for part in path:
            place = place[part]
        place[last] = value
    (folder / CONFIG).write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"schema": "somebody.else"}, r"config\.json\.schema: must be 'worldsim.world_model', got 'somebody.else'"),
        ({"version": 99}, r"config\.json\.version: must be a whole number from 1 to 1, got 99; a newer worldsim"),
        ({"config__hnt": True}, r"config\.json\.config\.hnt: must be one of"),
        ({"config__dit__wdth": 3}, r"config\.json\.config\.dit\.wdth: must be one of"),
        ({"config__fps": "fast"}, r"config\.json\.config\.fps: must be of type float, got 'fast'"),
        ({"config__dit__width": 96}, r"model\.safetensors.*: must be of shape .*96.*, as its config says, got"),
        ({"config__dit__depth": 2}, r"model\.safetensors: must hold denoiser\.blocks\.1"),
        ({"config__dit__setup_features": 0}, r"model\.safetensors: must not hold denoiser\.setup"),
        ({"card__speed": 3}, r"config\.json\.card\.speed: must be one of"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(saved, changes, words):
    config_with(saved[2], **changes)
    with pytest.raises(ValueError, match=words):
        WorldModel.from_pretrained(saved[2])


def test_damaged_files_are_refused(saved):
    folder = saved[2]
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(whole[:-40])
    with pytest.raises(ValueError, match=r"model\.safetensors: must be a whole safetensors file"):
        WorldModel.from_pretrained(folder)
    (folder / WEIGHTS).unlink()
    with pytest.raises(ValueError, match=r"model\.safetensors: must be a whole safetensors file, .*No such file"):
        WorldModel.from_pretrained(folder)
    (folder / WEIGHTS).write_bytes(whole)
    (folder / CONFIG).write_text((folder / CONFIG).read_text()[:50])
    with pytest.raises(ValueError, match=r"config\.json: must be readable JSON"):
        WorldModel.from_pretrained(folder)


def test_pickles_are_never_loaded(saved, monkeypatch):
    folder = saved[2]
    torch.save(load_file(folder / WEIGHTS), folder / "pytorch_model.bin")
    torch.save({"a": 1}, folder / WEIGHTS)
    with pytest.raises(ValueError, match="must be a whole safetensors file"):
        WorldModel.from_pretrained(folder)


def test_weights_that_are_not_finite_are_refused(saved):
    tensors = load_file(saved[2] / WEIGHTS)
    name = next(iter(tensors))
    tensors[name].view(-1)[0] = float("nan")
    save_file(tensors, saved[2] / WEIGHTS)
    with pytest.raises(ValueError, match=f"{name}: must be finite"):
        WorldModel.from_pretrained(saved[2])


def test_the_wheel_holds_checkpoints():
    # Hatchling takes every file below a listed package that version control does not ignore.
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert "worldsim" in wheel["packages"]
    assert not {"exclude", "only-include", "include"} & set(wheel)
    ignored = (ROOT / ".gitignore").read_text().split()
    assert not any("checkpoints" in line or "safetensors" in line for line in ignored)


def test_the_root_offers_the_model_lazily():
    assert ws.WorldModel is WorldModel
