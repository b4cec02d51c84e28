"""What worldsim generate reads from files: setups, and actions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from worldsim.data import DataError
from worldsim.scene import Setup, loads_scene, loads_setup

SUFFIXES = (".npy", ".safetensors")


def read_setup(path: Path) -> Setup:
    """The Setup in a JSON file: a setup, a scene, or what worldsim generate wrote beside a video.

    Raises:
        ValueError: For anything else: names the file.
    """
    try:
        text = path.read_text(encoding="utf-8")
        document = json.loads(text)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{path}: must be JSON in UTF-8, {error}") from None
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema == "worldsim.setup":
        return loads_setup(text, where=str(path))
    if schema == "worldsim.scene":
        return loads_scene(text, where=str(path)).setup()
    if schema is None and isinstance(document, dict) and isinstance(document.get("setup"), dict):
        return loads_setup(json.dumps(document["setup"]), where=f"{path}.setup")
    raise DataError(
        f"{path}: must be a worldsim.scene document, a worldsim.setup document or what worldsim generate wrote beside "
        f"a video, got schema {schema!r}"
    )


def read_actions(path: Path) -> NDArray[np.float32]:
    """The (T, A) numbers of a .npy without pickle, or of the tensor "actions" of a .safetensors.

    Raises:
        ValueError: For another kind of file, shape or type, and for NaN and infinity: names rule and value.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f"actions: must end in {' or '.join(SUFFIXES)}, got {str(path)!r}")
    values = _npy(path) if path.suffix.lower() == ".npy" else _tensor(path)
    if values.ndim != 2 or values.dtype.kind not in "fiu":
        raise DataError(
            f"actions: must be numbers of shape (T, A), one row a frame, got {values.dtype} {values.shape} in {path}"
        )
    with np.errstate(over="ignore"):  # refused below
        rows = np.array(values, np.float32)
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        raise DataError(f"actions: must be finite in single precision, got {values[row].tolist()} in row {row}, {path}")
    return rows


def fit_actions(rows: NDArray[np.float32], width: int, context: int, new: int) -> NDArray[np.float32]:
    """(context + new, width) rows as generate takes them: where the first frame has none, it gets zeros as in training.

    Args:
        rows: (T, A) of all frames, or (T - 1, A) of the intervals between them.
        width: Numbers a frame that the model takes.
        context: Frames given.
        new: Frames to make.

    Raises:
        ValueError: For other shapes.
    """
    if rows.shape[1] != width:
        raise ValueError(f"actions: must have {width} numbers a frame, got {rows.shape[1]}")
    frames = context + new
    if len(rows) not in (frames, frames - 1):
        raise ValueError(
            f"actions: must have {frames} rows, one for each of {context} given and {new} new frames, "
            f"or {frames - 1}, one for each interval between them, got {len(rows)}"
        )
    return rows if len(rows) == frames else np.concatenate([np.zeros((1, width), np.float32), rows])


def _npy(path: Path) -> NDArray[np.generic]:
    try:
        # Mapped, so that a header that promises more than the file holds is refused and not allocated.
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except (ValueError, EOFError) as error:
        raise DataError(f"actions: must be a whole .npy file without pickled objects, {error} in {path}") from None


def _tensor(path: Path) -> NDArray[np.generic]:
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            if "actions" not in names:
                raise DataError(f"actions: must be a tensor of that name in {path}, it holds {', '.join(names)}")
            tensor = file.get_tensor("actions")
    except SafetensorError as error:
        raise DataError(f"actions: must be a whole safetensors file, {error} in {path}") from None
    if tensor.is_floating_point():
        tensor = tensor.double()  # numpy has no bfloat16
    return np.asarray(tensor.numpy())
