"""Instance masks as evaluators hand them in, made into ids frame by frame; nothing pickled is ever opened."""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from worldsim.benchmarks.rle import is_rle, rle_frames
from worldsim.benchmarks.track import UInt8
from worldsim.data.video import picture_files
from worldsim.scene.errors import DataError

_MAX_ID = 254
Array = NDArray[Any]


def load_masks(
    masks: Any, shape: tuple[int, int, int], num_ids: int | None = None, size: tuple[int, int] | None = None
) -> UInt8:
    """Accept instance masks.

    Args:
        masks: (T, H, W) whole numbers, 0 for the background, k for object k, the same in all frames; or (T, K, H, W)
            flags of K disjoint masks; or a path: .npz or .npy (pickled objects are refused) or a folder of PNG whose
            pixel values (palette index or grey) are the ids, in the order of the numbers in their names. Or run-length
            masks as COCO writes them, by object or by frame, or the path of a .json that holds them; see rle_frames.
        shape: (T, H, W) of the result.
        num_ids: Largest id that may occur, the number of bodies of a scene.
        size: (H, W) of the masks, where it differs from the result's: the id in the middle of each pixel is taken.

    Returns:
        (T, H, W) ids.

    Raises:
        ValueError: For another size, type or id than allowed, or masks that overlap.
        FileNotFoundError: Where the path leads nowhere.
    """
    limit = _MAX_ID if num_ids is None else num_ids
    count, height, width = shape
    expected = (count, *(size or (height, width)))
    rows = ((np.arange(height) + 0.5) * expected[1] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * expected[2] / width).astype(int)
    if hasattr(masks, "detach"):
        masks = masks.detach().to("cpu").numpy()
    with ExitStack() as stack:
        if isinstance(masks, (str, os.PathLike)):
            where, frames = f"{masks}: masks", _from_path(Path(masks), expected, stack)
        elif is_rle(masks):
            where, frames = "masks", rle_frames(masks, expected, "masks")
        else:
            where, frames = "masks", _checked(np.asarray(masks), expected, "masks")
        if isinstance(masks, np.ndarray) and masks.dtype == np.uint8 and masks.shape == shape == expected:
            if masks.max(initial=0) > limit:
                for t, frame in enumerate(frames):
                    _within(frame, limit, t, where)
            return np.ascontiguousarray(masks)
        ids = np.empty(shape, np.uint8)
        for t, frame in enumerate(frames):
            flat = _flat(frame, t, where)
            _within(flat, limit, t, where)
            ids[t] = flat if expected == shape else flat[rows[:, None], columns]
    return ids


def _within(frame: Array, limit: int, number: int, where: str) -> None:
    low, high = int(frame.min()), int(frame.max())
    if low < 0 or high > limit:
        bad = low if low < 0 else high
        raise ValueError(f"{where}: must hold ids between 0 and {limit}, got {bad} first in frame {number}")


def _flat(frame: Array, number: int, where: str) -> Array:
    """(H, W) ids of (K, H, W) flags; ids as they are."""
    if frame.ndim == 2:
        return frame
    flags = frame.astype(bool)
    if (flags.sum(0) > 1).any():
        raise ValueError(f"{where}: must be disjoint, got pixels in two masks first in frame {number}")
    return np.asarray((flags * np.arange(1, len(flags) + 1)[:, None, None]).sum(0))


def _check_kind(shape: tuple[int, ...], dtype: np.dtype[Any], expected: tuple[int, int, int], where: str) -> None:
    if dtype.kind not in "uib":
        raise ValueError(f"{where}: must be whole numbers or flags, got {dtype}")
    found = (shape[0], *shape[2:]) if len(shape) == 4 else shape
    if found != expected:
        raise ValueError(f"{where}: must have the video's shape {expected}, got {shape}")


def _checked(masks: Array, expected: tuple[int, int, int], where: str) -> Iterable[Array]:
    _check_kind(masks.shape, masks.dtype, expected, where)
    return masks


def _from_path(path: Path, expected: tuple[int, int, int], stack: ExitStack) -> Iterable[Array]:
    if not path.exists():
        raise FileNotFoundError(f"{path}: must be masks as .npz, .npy, .json or a folder of PNG, there is no such file")
    if path.is_dir():
        return _from_folder(path, expected)
    if path.suffix.lower() == ".json":
        return _from_json(path, expected)
    if path.suffix.lower() not in (".npz", ".npy"):
        got = path.suffix or "no suffix"
        raise DataError(f"{path}: must be masks as .npz, .npy, .json or a folder of PNG, got {got}")
    try:
        if path.suffix.lower() == ".npy":
            return _from_array_file(stack.enter_context(open(path, "rb")), path, expected)
        archive = stack.enter_context(zipfile.ZipFile(path))
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        name = "ids" if "ids" in names else names[0] if len(names) == 1 else None
        if name is None:
            raise DataError(f"{path}: must hold one array or one named ids, holds {', '.join(names) or 'none'}")
        return _from_array_file(stack.enter_context(archive.open(f"{name}.npy")), path, expected)
    except (OSError, KeyError, zipfile.BadZipFile, RuntimeError) as error:
        raise DataError(f"{path}: must be whole masks as .npz or .npy, got: {error}") from None


def _from_json(path: Path, expected: tuple[int, int, int]) -> Iterator[Array]:
    try:
        masks = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: must be whole JSON, got: {error}") from None
    return rle_frames(masks, expected, f"{path}: masks")


def _from_array_file(file: IO[bytes], path: Path, expected: tuple[int, int, int]) -> Iterator[Array]:
    """Frames of an array in NumPy's format, read one by one once its head has been found to be right."""
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, columns_first, dtype = read(file)
    except (ValueError, OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: must be masks as .npz or .npy, got: {error}") from None
    if dtype.hasobject:
        raise DataError(f"{path}: must be masks as .npz or .npy without pickled objects, got {dtype}")
    _check_kind(shape, dtype, expected, f"{path}: masks")
    return _frames_of(file, path, shape, columns_first, dtype)


def _frames_of(
    file: IO[bytes], path: Path, shape: tuple[int, ...], columns_first: bool, dtype: np.dtype[Any]
) -> Iterator[Array]:
    def take(size: int) -> bytes:
        try:
            return file.read(size)
        except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
            raise DataError(f"{path}: must be whole, {error}; the file is truncated or damaged") from None

    def read(own: tuple[int, ...]) -> Array:
        size = int(np.prod(own)) * dtype.itemsize
        data = take(size)
        if len(data) < size:
            raise DataError(f"{path}: must be whole, the array ends after {len(data)} of {size} bytes")
        return np.frombuffer(data, dtype).reshape(own)

    if columns_first:  # a transposed array: its frames are strewn over the whole file
        yield from read(shape[::-1]).T
    else:
        for _ in range(shape[0]):
            yield read(shape[1:])
    if take(1):  # the checksum of a packed file is only looked at where it ends
        raise DataError(f"{path}: must end with the array, goes on after it; the file is damaged")


def _from_folder(folder: Path, expected: tuple[int, int, int]) -> Iterator[Array]:
    from PIL import Image

    files = picture_files(folder)
    if len(files) != expected[0]:
        raise DataError(f"{folder}: must hold one mask a frame, {expected[0]}, holds {len(files)}")

    def read(file: Path) -> Array:
        try:
            with Image.open(file) as picture:
                mode, pixels = picture.mode, np.array(picture)
        except (OSError, SyntaxError, ValueError, EOFError, zlib.error, Image.DecompressionBombError) as error:
            raise DataError(f"{file}: must be a whole picture, reading failed ({error})") from None
        if mode not in ("P", "L", "I;16", "I"):
            raise DataError(f"{file}: must be a palette or grey picture whose values are ids, got {mode}")
        if pixels.shape != expected[1:]:
            raise DataError(f"{file}: must have the video's size {expected[1:]}, got {pixels.shape}")
        return pixels

    return (read(file) for file in files)
