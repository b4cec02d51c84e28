"""Checkpoints: folders of safetensors and JSON, whole once renamed into place, rotated, never pickled."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from worldsim.models.pretrained import is_checkpoint, read_weights
from worldsim.scene.checks import require

SCHEMA_VERSION = 1
FILES = ("average", "model", "optimizer")
_NAME = re.compile(r"step_(\d{8})")


def save_checkpoint(
    folder: Path, step: int, tensors: dict[str, dict[str, Tensor]], meta: dict[str, Any], keep: int
) -> Path:
    """Write one checkpoint and drop the oldest beyond `keep`.

    Args:
        folder: Holds the checkpoints of a run.
        step: Steps done.
        tensors: Named tensors by file name without suffix, which are FILES.
        meta: Plain JSON values.
        keep: How many checkpoints stay.
    """
    target = folder / f"step_{step:08d}"
    temporary = folder / f".{target.name}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    for name, values in tensors.items():
        save_file(
            {k: v.detach().cpu().contiguous().clone() for k, v in values.items()}, temporary / f"{name}.safetensors"
        )
    text = json.dumps({"schema": "worldsim.checkpoint", "version": SCHEMA_VERSION, "step": step, **meta}, indent=1)
    (temporary / "meta.json").write_text(text, encoding="utf-8")
    for path in temporary.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    if target.exists():
        shutil.rmtree(target)
    os.replace(temporary, target)
    for old in checkpoints(folder)[:-keep]:
        shutil.rmtree(old)
    return target


def checkpoints(folder: Path) -> list[Path]:
    """Whole checkpoints of a run, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))


def newest_checkpoint(folder: Path) -> Path:
    """The last whole checkpoint of a run.

    Raises:
        ValueError: Where there is none.
    """
    found = checkpoints(folder)
    require("run", "the folder of a training run with checkpoints step_*", bool(found), str(folder))
    return found[-1]


def load_checkpoint(path: Path, files: tuple[str, ...] = FILES) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """Read one checkpoint: its tensors by file name, and its meta.

    Args:
        path: Of its folder.
        files: Names of the tensor files to read, some of FILES.

    Raises:
        ValueError: Where it is not whole, does not tell its config and step, or a newer worldsim wrote it.
    """
    try:
        meta = json.loads((path / "meta.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"checkpoint {path}: must hold a readable meta.json, {error}") from None
    schema, version = (meta.get("schema"), meta.get("version")) if isinstance(meta, dict) else (None, None)
    if schema != "worldsim.checkpoint" or not isinstance(version, int) or version > SCHEMA_VERSION:
        raise ValueError(
            f"checkpoint {path}: must be worldsim.checkpoint up to version {SCHEMA_VERSION}, got {version!r}"
        )
    config, step = meta.get("config"), meta.get("step")
    counted = isinstance(step, int) and not isinstance(step, bool) and step >= 0
    require(f"{path / 'meta.json'}.config", "an object, as the trainer writes", isinstance(config, dict), config)
    require(f"{path / 'meta.json'}.step", "a whole number of 0 or more", counted, step)
    tensors = {}
    for name in files:
        file = path / f"{name}.safetensors"
        try:
            tensors[name] = load_file(file)
        except (OSError, SafetensorError) as error:
            raise ValueError(
                f"checkpoint {file}: must be a whole safetensors file, {error}; use an older checkpoint"
            ) from None
    return tensors, meta


def averaged_weights(run: Path) -> dict[str, Tensor]:
    """Average of weights in the newest checkpoint of a run; weights of a checkpoint to pass on are one already.

    Args:
        run: Folder of the run, or a checkpoint as from_pretrained takes it.

    Raises:
        ValueError: Where there is none, or it is not whole.
    """
    if is_checkpoint(run):
        return read_weights(run)
    return load_checkpoint(newest_checkpoint(run), ("average",))[0]["average"]


def start_from(model: nn.Module, run: Path, new: tuple[str, ...] = ()) -> None:
    """Give a model the averaged weights of a run, so that another run goes on from them.

    Args:
        model: To start.
        run: Of the same network: its folder, or a checkpoint as from_pretrained takes it.
        new: First letters of the names that the run may lack: parts that the model has and the run had not.

    Raises:
        ValueError: Where the run has no whole checkpoint, or is of another network; names the first tensor.
    """
    weights, wanted = averaged_weights(run), model.state_dict()
    lacking = [name for name in wanted if name not in weights and not name.startswith(new)]
    misfits = [name for name, value in weights.items() if name not in wanted or wanted[name].shape != value.shape]
    if lacking or misfits:
        raise ValueError(f"run: must be of the same network, {run} differs in {sorted(lacking + misfits)[0]}")
    model.load_state_dict(weights, strict=False)
