"""Checkpoints that people pass on: a folder with model.safetensors, config.json and README.md, shipped ones by name.

Nothing here unpickles. What does not fit is refused by name: files, schema, fields, tensors.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from worldsim.models.config import WorldModelConfig
from worldsim.models.model_card import ModelCard, card_text
from worldsim.models.text import TextEncoder
from worldsim.models.world_model import WorldModel
from worldsim.scene import from_dict
from worldsim.scene.checks import require
from worldsim.scene.files import read_json, write_bytes

SCHEMA, SCHEMA_VERSION = "worldsim.world_model", 1
WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"


def shipped() -> dict[str, Path]:
    """Checkpoints inside the package, by name."""
    root = Path(str(resources.files("worldsim"))) / "checkpoints"
    return {path.parent.name: path.parent for path in sorted(root.glob(f"*/{CONFIG}"))}


def find(name: str | os.PathLike[str]) -> Path:
    """The folder of a shipped name, or the folder itself.

    Raises:
        ValueError: Where it is neither; the message lists what is shipped.
    """
    known = shipped()
    if str(name) in known:
        return known[str(name)]
    if Path(name).is_dir():
        return Path(name)
    told = f"one of the shipped {', '.join(known)}" if known else "this installation ships none by name"
    raise ValueError(f"model: must be a folder made by save_pretrained, or {told}; got {str(name)!r}")


def is_checkpoint(name: str | os.PathLike[str]) -> bool:
    """Whether it is a shipped name, or a folder that holds a checkpoint's weights."""
    return str(name) in shipped() or (Path(name) / WEIGHTS).is_file()


def read_config(name: str | os.PathLike[str]) -> tuple[WorldModelConfig, ModelCard]:
    """Config and card of a checkpoint, without its weights.

    Raises:
        ValueError: Where config.json is missing, of another schema or newer, or has unknown fields.
    """
    path = find(name) / CONFIG
    document = read_json(path)
    schema = document.get("schema") if isinstance(document, dict) else None
    require(f"{path}.schema", repr(SCHEMA), schema == SCHEMA, schema)
    version = document.get("version")
    if not isinstance(version, int) or not 1 <= version <= SCHEMA_VERSION:
        raise ValueError(
            f"{path}.version: must be a whole number from 1 to {SCHEMA_VERSION}, got {version!r}; "
            "a newer worldsim wrote it, or it is none of ours"
        )
    config = from_dict(WorldModelConfig, document.get("config"), f"{path}.config")
    return config, from_dict(ModelCard, document.get("card", {}), f"{path}.card")


def read_weights(name: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Tensors of a checkpoint by name, unchecked against any model.

    Raises:
        ValueError: Where there is no checkpoint of that name, or its weights are not whole.
    """
    path = find(name) / WEIGHTS
    try:
        return load_tensors(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{path}: must be a whole safetensors file, {error}; copy or make it again") from None


def from_pretrained(
    name: str | os.PathLike[str], denoiser: nn.Module | None = None, text: TextEncoder | None = None
) -> WorldModel:
    """The model of a shipped name or folder, in evaluation mode on the CPU.

    Args:
        name: Of a shipped checkpoint, or a folder.
        denoiser: In place of a VideoDiT, where the checkpoint holds another one's weights.
        text: In place of a GrammarEncoder, alike.

    Raises:
        ValueError: Where the folder is not whole or does not fit: names file, field, rule and value.
    """
    config, _ = read_config(name)
    tensors = read_weights(name)
    model = WorldModel(config, denoiser, text=text)
    check_tensors(tensors, model.state_dict(), str(find(name) / WEIGHTS))
    model.load_state_dict(tensors, strict=True)
    return model.eval()


def check_tensors(
    tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], where: str, why: str = "as its config says"
) -> None:
    """Refuse weights of another model: missing, unexpected, misshaped or not finite.

    Raises:
        ValueError: Naming `where`, the first tensor that differs, and `why` it should not.
    """
    for kind, names in (("hold", expected.keys() - tensors.keys()), ("not hold", tensors.keys() - expected.keys())):
        if names:
            first = sorted(names)[0]
            raise ValueError(f"{where}: must {kind} {first}, {why}; {len(names)} tensors in all differ")
    for name, tensor in sorted(tensors.items()):
        shape, wanted = tuple(tensor.shape), tuple(expected[name].shape)
        require(f"{where}.{name}", f"of shape {wanted}, {why}", shape == wanted, shape)
        require(f"{where}.{name}", "finite", bool(torch.isfinite(tensor).all()), "NaN or infinity")


def save_pretrained(model: WorldModel, folder: str | os.PathLike[str], card: ModelCard | None = None) -> Path:
    """Write a checkpoint that from_pretrained reads; returns its folder. Each file appears whole or not at all."""
    folder, card = Path(folder), card or ModelCard()
    folder.mkdir(parents=True, exist_ok=True)
    document = {
        "schema": SCHEMA,
        "version": SCHEMA_VERSION,
        "config": dataclasses.asdict(model.config),
        "card": dataclasses.asdict(card),
    }
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in model.state_dict().items()}
    text = json.dumps(document, indent=1, allow_nan=False) + "\n"
    numbers = sum(value.numel() for value in plain.values())
    write_bytes(folder / WEIGHTS, save_tensors(plain))
    write_bytes(folder / CARD, card_text(folder.name, card, numbers).encode("utf-8"))
    write_bytes(folder / CONFIG, text.encode("utf-8"))
    return folder
