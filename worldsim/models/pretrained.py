"""Checkpoints that people pass on: a folder with model.safetensors, config.json and README.md, shipped ones by name.

Nothing here unpickles. What does not fit is refused by name: files, schema, fields, tensors.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from worldsim.models.config import WorldModelConfig
from worldsim.models.world_model import WorldModel
from worldsim.scene import from_dict
from worldsim.scene.checks import require
from worldsim.scene.files import write_bytes

SCHEMA, SCHEMA_VERSION = "worldsim.world_model", 1
WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"


@dataclass(frozen=True)
class ModelCard:
    """Where a checkpoint comes from and what it is good for.

    Attributes:
        scenes: Families that it was trained on, with the parameters that they were made with.
        size: Height and width of its pictures.
        num_frames: Of its training clips, context included.
        preset: Of the pictures it was trained on: fast, standard or quality.
        oversampling: How many times finer the pictures were drawn before they were averaged down.
        data: What it was trained on, in words.
        command: That trained it.
        seed: Of the training.
        steps: Of the training.
        minutes: Wall-clock of the training.
        hardware: It was trained on.
        metrics: Figures by name; tables as nested mappings, row by row.
        notes: Limits and misses, in words.
    """

    scenes: dict[str, dict[str, Any]] = field(default_factory=dict)
    size: tuple[int, ...] = ()
    num_frames: int = 16
    preset: str = "fast"
    oversampling: int = 1
    data: str = ""
    command: str = ""
    seed: int = 0
    steps: int = 0
    minutes: float = 0.0
    hardware: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)
    notes: str = ""

    def __post_init__(self) -> None:
        for name in ("scenes", "metrics"):
            require(f"card.{name}", "a mapping", isinstance(getattr(self, name), dict), getattr(self, name))
        object.__setattr__(self, "size", tuple(self.size))
        require("card.size", "height and width, or left out", len(self.size) in (0, 2), self.size)
        require("card.num_frames", "1 or more", self.num_frames >= 1, self.num_frames)
        require("card.oversampling", "1 or more", self.oversampling >= 1, self.oversampling)


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


def read_config(name: str | os.PathLike[str]) -> tuple[WorldModelConfig, ModelCard]:
    """Config and card of a checkpoint, without its weights.

    Raises:
        ValueError: Where config.json is missing, of another schema or newer, or has unknown fields.
    """
    path = find(name) / CONFIG
    document = _read_json(path)
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


def from_pretrained(name: str | os.PathLike[str], denoiser: nn.Module | None = None) -> WorldModel:
    """The model of a shipped name or folder, in evaluation mode on the CPU.

    Args:
        name: Of a shipped checkpoint, or a folder.
        denoiser: In place of a VideoDiT, where the checkpoint holds another one's weights.

    Raises:
        ValueError: Where the folder is not whole or does not fit: names file, field, rule and value.
    """
    config, _ = read_config(name)
    path = find(name) / WEIGHTS
    tensors = _read_tensors(path)
    model = WorldModel(config, denoiser)
    check_tensors(tensors, model.state_dict(), str(path))
    model.load_state_dict(tensors, strict=True)
    return model.eval()


def check_tensors(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], where: str) -> None:
    """Refuse weights of another model: missing, unexpected, misshaped or not finite."""
    for kind, names in (("hold", expected.keys() - tensors.keys()), ("not hold", tensors.keys() - expected.keys())):
        if names:
            first = sorted(names)[0]
            raise ValueError(f"{where}: must {kind} {first}, as its config says; {len(names)} tensors in all differ")
    for name, tensor in sorted(tensors.items()):
        shape, wanted = tuple(tensor.shape), tuple(expected[name].shape)
        require(f"{where}.{name}", f"of shape {wanted}, as its config says", shape == wanted, shape)
        require(f"{where}.{name}", "finite", bool(torch.isfinite(tensor).all()), "NaN or infinity")


def save_pretrained(model: WorldModel, folder: str | os.PathLike[str], card: ModelCard | None = None) -> Path:
    """Write a checkpoint that from_pretrained reads; returns its folder. Each file appears whole or not at all."""
    return _write(Path(folder), model.config, model.state_dict(), card or ModelCard())


def export(
    run: str | os.PathLike[str], out: str | os.PathLike[str], card: ModelCard | Mapping[str, Any] | None = None
) -> Path:
    """Turn a training run into a checkpoint to pass on: its averaged weights at the last step, in half precision.

    Rounding halves the file; each weight keeps 11 significant bits.

    Args:
        run: Folder of the run: config.json with the WorldModelConfig, and step_* checkpoints of the trainer.
        out: Folder to write.
        card: Its card; seed, steps and minutes are the run's.

    Raises:
        ValueError: Where the run holds no config or no whole checkpoint.
    """
    config, tensors = _read_run(Path(run))
    if not isinstance(card, ModelCard):
        card = from_dict(ModelCard, dict(card or {}), "card")
    check_tensors(tensors, WorldModel(config).state_dict(), f"{run}")
    tensors = {name: value.half() if value.is_floating_point() else value for name, value in tensors.items()}
    return _write(Path(out), config, tensors, dataclasses.replace(card, **run_facts(run)))


def load_run(run: str | os.PathLike[str]) -> WorldModel:
    """The averaged weights of a training run at its last step, in evaluation mode.

    Raises:
        ValueError: Where the run holds no config or no whole checkpoint.
    """
    config, tensors = _read_run(Path(run))
    model = WorldModel(config)
    check_tensors(tensors, model.state_dict(), f"{run}")
    model.load_state_dict(tensors, strict=True)
    return model.eval()


def run_facts(run: str | os.PathLike[str]) -> dict[str, Any]:
    """Seed, steps and minutes of a training run, all its pieces together."""
    meta = _read_json(_newest(Path(run)) / "meta.json")
    minutes = _minutes(Path(run) / "log.jsonl")
    return {"seed": int(meta["config"]["seed"]), "steps": int(meta["step"]), "minutes": minutes}


def _newest(run: Path) -> Path:
    steps = sorted(path for path in run.glob("step_*") if re.fullmatch(r"step_\d+", path.name))
    require(f"{run}", "the folder of a training run with checkpoints step_*", bool(steps), "none in it")
    return steps[-1]


def _read_run(run: Path) -> tuple[WorldModelConfig, dict[str, Tensor]]:
    newest = _newest(run)
    config = from_dict(WorldModelConfig, _read_json(run / CONFIG), str(run / CONFIG))
    return config, _read_tensors(newest / "average.safetensors")


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: must be readable JSON, {error}") from None


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_tensors(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{path}: must be a whole safetensors file, {error}; copy or make it again") from None


def _minutes(log: Path) -> float:
    """Wall-clock of a run, over all its pieces: `seconds` starts anew with each, whose start `began` tells."""
    total, before, piece = 0.0, 0.0, None
    for line in log.read_text(encoding="utf-8").splitlines() if log.exists() else []:
        told = json.loads(line)
        seconds, began = float(told["seconds"]), told.get("began")
        # Lines that do not tell when their piece began show a new one by less time than before.
        same = began == piece and seconds >= before
        total += seconds - before if same else seconds
        before, piece = seconds, began
    return round(total / 60, 2)


def _write(folder: Path, config: WorldModelConfig, tensors: Mapping[str, Tensor], card: ModelCard) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    document = {
        "schema": SCHEMA,
        "version": SCHEMA_VERSION,
        "config": dataclasses.asdict(config),
        "card": dataclasses.asdict(card),
    }
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    text = json.dumps(document, indent=1, allow_nan=False) + "\n"
    numbers = sum(value.numel() for value in plain.values())
    write_bytes(folder / WEIGHTS, save_tensors(plain))
    write_bytes(folder / CARD, card_text(folder.name, card, numbers).encode("utf-8"))
    write_bytes(folder / CONFIG, text.encode("utf-8"))
    return folder


def card_text(name: str, card: ModelCard, numbers: int) -> str:
    """The model card as Markdown."""
    size = f"{card.size[0]} x {card.size[1]} pixels, " if card.size else ""
    scenes = [f"{family} {_told(given)}".strip() for family, given in card.scenes.items()]
    rows = [
        ("parameters", f"{numbers:,}"),
        ("clips", f"{size}{card.num_frames} frames"),
        ("scenes", "; ".join(scenes)),
        ("data", card.data),
        ("command", f"`{card.command}`" if card.command else ""),
        ("seed, steps", f"{card.seed}, {card.steps}"),
        ("wall-clock", f"{card.minutes:g} minutes" if card.minutes else ""),
        ("hardware", card.hardware),
    ]
    lines = [f"# {name}", "", f'    worldsim.WorldModel.from_pretrained("{name}")', "", "| | |", "|---|---|"]
    lines += [f"| {key} | {value} |" for key, value in rows if value]
    if card.metrics:
        lines += ["", "## Figures", "", *_table(card.metrics)]
    if card.notes:
        lines += ["", "## Limits", "", card.notes]
    return "\n".join([*lines, ""])


def _told(values: Mapping[str, Any]) -> str:
    return f"({', '.join(f'{key}={value}' for key, value in values.items())})" if values else ""


def _table(metrics: Mapping[str, Any]) -> list[str]:
    """Markdown of figures: nested mappings as rows and columns, the rest as name and value."""
    nested = {name: row for name, row in metrics.items() if isinstance(row, Mapping)}
    flat = {name: value for name, value in metrics.items() if name not in nested}
    lines = ["| | |", "|---|---|", *(f"| {name} | {_cell(value)} |" for name, value in flat.items())] if flat else []
    columns = list(dict.fromkeys(key for row in nested.values() for key in row))
    if nested:
        lines += [""] if lines else []
        lines += ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
        lines += [
            f"| {name} | " + " | ".join(_cell(row.get(key, "")) for key in columns) + " |"
            for name, row in nested.items()
        ]
    return lines


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(map(_cell, value)) if isinstance(value, list | tuple) else str(value)
