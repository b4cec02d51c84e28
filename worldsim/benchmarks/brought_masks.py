"""Masks that other programs made, brought into the benchmark's form: SAM 2's masks of each object, CoTracker's points.

Nothing here imports those programs; it reads the files and arrays that they give.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from worldsim.data.video import IMAGE_SUFFIXES
from worldsim.scene.errors import DataError
from worldsim.scene.files import PathLike

UInt8 = NDArray[np.uint8]
_MAX_ID = 254
_MIN_POINTS = 3  # an affine motion of the plane has six unknowns


def load_object_masks(path: PathLike, ids: Mapping[str, int] | None = None, overlap: str = "refuse") -> UInt8:
    """Masks of one object at a time, as SAM 2's video predictor gives them, as one video of ids.

    Args:
        path: A folder with a folder of PNG for each object, a picture a frame, anything but 0 being the object; or an
            .npz with a (T, H, W) or (T, 1, H, W) array of flags for each object. Folder and array are named by the
            object, such as 001 or obj_2.
        ids: Name of each object to its id, k for bodies[k - 1]; left out, the number in the name is the id.
        overlap: "refuse", or "last", which gives pixels claimed twice to the object with the highest id.

    Returns:
        (T, H, W) ids.

    Raises:
        ValueError: Where names, ids, sizes or numbers of frames do not fit, or masks overlap.
        DataError: Where a file cannot be read.
    """
    if overlap not in ("refuse", "last"):
        raise ValueError(f"overlap: must be refuse or last, got {overlap!r}")
    source = Path(path)
    if not source.exists():
        raise FileNotFoundError(f"{source}: must be a folder with a folder for each object, or an .npz, is missing")
    flags = _from_folders(source) if source.is_dir() else _from_npz(source)
    places = {name: _number(name) for name in flags} if ids is None else dict(ids)
    for name in flags:
        if name not in places:
            raise ValueError(f"ids: must have an id for the object {name} of {source}, have {', '.join(places)}")
    chosen = [places[name] for name in flags]
    if len(set(chosen)) < len(chosen) or not all(1 <= k <= _MAX_ID for k in chosen):
        raise ValueError(f"ids: must be from 1 to {_MAX_ID}, one for each object, got {places}")
    shapes = sorted({mask.shape for mask in flags.values()})
    if len(shapes) > 1:
        raise ValueError(f"masks: must have one size and number of frames, got {', '.join(map(str, shapes))}")
    result = np.zeros(shapes[0], np.uint8)
    for name in sorted(flags, key=lambda name: places[name]):
        taken = flags[name] & (result > 0)
        if overlap == "refuse" and taken.any():
            frame = int(np.argmax(taken.any(axis=(1, 2))))
            raise ValueError(
                f"masks: must be disjoint, {name} claims pixels of another object first in frame {frame}; "
                "overlap='last' gives them to the object with the highest id"
            )
        result[flags[name]] = places[name]
    return result


def _number(name: str) -> int:
    digits = "".join(c if c.isdigit() else " " for c in name).split()
    if len(digits) != 1:
        raise ValueError(f"ids: must be given where an object's name holds no single number, as {name!r} does not")
    return int(digits[0])


def _from_folders(folder: Path) -> dict[str, NDArray[np.bool_]]:
    from PIL import Image

    result = {}
    for own in sorted(path for path in folder.iterdir() if path.is_dir()):
        pictures = []
        for file in sorted(path for path in own.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES):
            try:
                with Image.open(file) as picture:
                    flat = np.array(picture)
            except OSError as error:
                raise DataError(f"{file}: must be a picture, cannot be read: {error}") from None
            if flat.ndim != 2:
                raise DataError(f"{file}: must be a palette or grey picture, got {flat.shape}")
            pictures.append(flat > 0)
        sizes = sorted({picture.shape for picture in pictures})
        if len(sizes) != 1:
            raise DataError(f"{own}: must hold pictures of one size, got {', '.join(map(str, sizes)) or 'none'}")
        result[own.name] = np.stack(pictures)
    if not result:
        raise DataError(f"{folder}: must hold a folder of PNG for each object, holds none")
    return result


def _from_npz(file: Path) -> dict[str, NDArray[np.bool_]]:
    try:
        with np.load(file, allow_pickle=False) as loaded:
            arrays = {name: loaded[name] for name in loaded.files}
    except (ValueError, OSError, AttributeError) as error:
        raise DataError(f"{file}: must be an .npz without pickled objects, got: {error}") from None
    result = {}
    for name, array in arrays.items():
        flags = array[:, 0] if array.ndim == 4 and array.shape[1] == 1 else array
        if flags.ndim != 3 or flags.dtype.kind not in "bui":
            raise DataError(f"{file}: {name} must be (T, H, W) flags, got {array.dtype} {array.shape}")
        result[name] = flags > 0
    if not result:
        raise DataError(f"{file}: must hold an array for each object, holds none")
    return result


def masks_of_points(tracks: ArrayLike, visible: ArrayLike, first: ArrayLike, frame: int = 0) -> UInt8:
    """Masks carried along by tracked points, as CoTracker gives them.

    In every frame the mask that an object has in `frame` is moved by the affine motion that fits its visible points
    best, by least squares; affine rather than rigid, so that what deforms is still seen to. An object with less than 3
    visible points, or whose points lie in a line, is not drawn in that frame: to the benchmark it is not seen there.

    Args:
        tracks: (T, P, 2) x, y of P points in pixels, 0 at the middle of the first pixel, as CoTracker counts; a leading
            axis of 1 is taken off.
        visible: (T, P) flags, as are those of CoTracker; a leading axis of 1 is taken off.
        first: (H, W) ids in `frame`, from any segmentation; a point belongs to the object that it lies on there.
        frame: Of `first`.

    Returns:
        (T, H, W) ids; where two objects meet, the one with the highest id lies on top.

    Raises:
        ValueError: For other shapes, or where no point lies on an object.
    """
    points, seen = _without_batch(tracks, 3), _without_batch(visible, 2).astype(bool)
    ids = np.asarray(first)
    if points.ndim != 3 or points.shape[-1] != 2 or seen.shape != points.shape[:2]:
        raise ValueError(f"tracks: must be (T, P, 2) with visible (T, P), got {points.shape} and {seen.shape}")
    if ids.ndim != 2 or ids.dtype.kind not in "ui" or int(ids.max(initial=0)) > _MAX_ID:
        raise ValueError(f"first: must be (H, W) ids up to {_MAX_ID}, got {ids.dtype} {ids.shape}")
    if not 0 <= frame < len(points):
        raise ValueError(f"frame: must be from 0 to {len(points) - 1}, got {frame}")
    height, width = ids.shape
    column, row = np.rint(points[frame]).astype(int).T
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height) & seen[frame]
    owner = np.where(inside, ids[row.clip(0, height - 1), column.clip(0, width - 1)], 0)
    if not owner.any():
        raise ValueError(f"first: must have objects under the points of frame {frame}, has none")
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x.ravel(), y.ravel(), np.ones(x.size)], -1)
    result = np.zeros((len(points), height, width), np.uint8)
    for t in range(len(points)):
        for k in sorted(set(owner[owner > 0].tolist())):
            use = (owner == k) & seen[t] & seen[frame]
            back = _affine(points[t, use], points[frame, use])
            if back is None:
                continue
            u, v = np.rint(pixels @ back).astype(int).T
            there = (u >= 0) & (u < width) & (v >= 0) & (v < height)
            drawn = np.zeros(x.size, bool)
            drawn[there] = ids[v[there], u[there]] == k
            result[t][drawn.reshape(height, width)] = k
    return result


def _without_batch(array: ArrayLike, dimensions: int) -> NDArray[Any]:
    given: Any = array
    plain = np.asarray(given.detach().to("cpu").numpy() if hasattr(given, "detach") else given)
    return plain[0] if plain.ndim == dimensions + 1 and plain.shape[0] == 1 else plain


def _affine(source: NDArray[Any], target: NDArray[Any]) -> NDArray[np.float64] | None:
    """(3, 2) that takes rows (x, y, 1) of source to target, None where the points do not tell it."""
    if len(source) < _MIN_POINTS:
        return None
    rows = np.concatenate([source, np.ones((len(source), 1))], -1).astype(np.float64)
    if np.linalg.matrix_rank(rows - [*source.mean(0), 0.0], tol=1e-3) < _MIN_POINTS:
        return None
    return np.asarray(np.linalg.lstsq(rows, target.astype(np.float64), rcond=None)[0])
