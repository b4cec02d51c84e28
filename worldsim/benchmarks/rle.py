"""Run-length masks as COCO, YouTube-VIS and SAM write them, decoded to ids frame by frame.

A mask is {"size": [H, W], "counts": runs}: how many pixels are outside, inside, outside and so on, column by column.
Runs are a list of whole numbers, or text in which each is written in groups of five bits, the lowest first, a character
for each group: 48 plus the group, plus 32 where another follows; the highest bit of the last one is the sign. From the
fourth run on, the text holds the difference to the run two before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

UInt8 = NDArray[np.uint8]
_MAX_ID = 254
_GROUPS = 7  # of five bits, enough for pictures of any size that is worked on


def is_rle(masks: Any) -> bool:
    """Whether masks have one of the forms of rle_frames."""
    if isinstance(masks, Mapping):
        return True
    return isinstance(masks, (list, tuple)) and len(masks) > 0 and all(isinstance(frame, Mapping) for frame in masks)


def rle_frames(masks: Any, expected: tuple[int, int, int], where: str) -> Iterator[UInt8]:
    """Ids of masks given as runs.

    Args:
        masks: For each object its masks in all frames, None where it is not seen: {1: [mask, None, ...], 2: [...]}; or
            for each frame the masks of its objects: [{1: mask, 2: mask}, {...}, ...]. Keys are ids, numbers or their
            text.
        expected: (T, H, W).
        where: What errors name.

    Returns:
        T frames (H, W), 0 for the background.

    Raises:
        ValueError: For another number of frames, size, type or id, runs that do not fill the picture, or masks that
            overlap.
    """
    frames = _by_frame(masks, expected[0], where)
    if len(frames) != expected[0]:
        raise ValueError(f"{where}: must have one entry for each frame, {expected[0]}, got {len(frames)}")
    return (_drawn(frame, expected[1:], f"{where}, frame {t}") for t, frame in enumerate(frames))


def _by_frame(masks: Any, count: int, where: str) -> list[dict[int, Any]]:
    if not is_rle(masks):
        raise ValueError(f"{where}: must be masks by object or by frame, got {type(masks).__name__}")
    if not isinstance(masks, Mapping):
        return [{_id(key, where): mask for key, mask in frame.items()} for frame in masks]
    frames: list[dict[int, Any]] = [{} for _ in range(count)]
    for key, track in masks.items():
        number = _id(key, where)
        if not isinstance(track, (list, tuple)) or len(track) != count:
            got = len(track) if isinstance(track, (list, tuple)) else type(track).__name__
            raise ValueError(f"{where}[{key}]: must be a list of one mask or None a frame, {count}, got {got}")
        for frame, mask in zip(frames, track, strict=True):
            if number in frame:
                raise ValueError(f"{where}: must name each object once, got {key} twice")
            frame[number] = mask
    return frames


def _id(key: Any, where: str) -> int:
    text = str(key)
    if isinstance(key, bool) or not text.isascii() or not text.isdigit() or not 1 <= int(text) <= _MAX_ID:
        raise ValueError(f"{where}: must be keyed by ids from 1 to {_MAX_ID}, got {key!r}")
    return int(text)


def _drawn(frame: Mapping[int, Any], size: tuple[int, int], where: str) -> UInt8:
    """(H, W) ids of the masks of one frame."""
    ids = np.zeros(size, np.uint8)
    for number, mask in frame.items():
        if mask is None:
            continue
        inside = decode_rle(mask, size, f"{where}, object {number}")
        if ids[inside].any():
            raise ValueError(f"{where}: must be disjoint, got pixels of object {number} in another one's mask")
        ids[inside] = number
    return ids


def decode_rle(mask: Any, size: tuple[int, int], where: str = "mask") -> NDArray[np.bool_]:
    """(H, W) flags of one mask of runs; see rle_frames for errors."""
    if not isinstance(mask, Mapping) or not {"size", "counts"} <= set(mask):
        raise ValueError(f"{where}: must have size and counts, got {mask!r:.60}")
    if list(mask["size"]) != list(size):
        raise ValueError(f"{where}.size: must be the video's {list(size)}, got {mask['size']!r}")
    counts = mask["counts"]
    runs = _runs_of_text(counts, where) if isinstance(counts, (str, bytes)) else _runs_of_list(counts, where)
    if min(runs, default=0) < 0 or sum(runs) != size[0] * size[1]:
        raise ValueError(f"{where}.counts: must be 0 or above and fill {size[0] * size[1]} pixels, got {sum(runs)}")
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return np.asarray(flat.reshape(size[1], size[0]).T, bool)


def _runs_of_list(counts: Any, where: str) -> list[int]:
    if not isinstance(counts, Sequence) or not all(isinstance(n, int) and not isinstance(n, bool) for n in counts):
        raise ValueError(f"{where}.counts: must be a list of whole numbers or text, got {counts!r:.60}")
    return list(counts)


def _runs_of_text(text: str | bytes, where: str) -> list[int]:
    groups = [(ord(c) if isinstance(c, str) else c) - 48 for c in text]
    runs: list[int] = []
    value, bits = 0, 0
    for place, group in enumerate(groups):
        if not 0 <= group < 64 or bits >= 5 * _GROUPS:
            raise ValueError(f"{where}.counts: must be written in groups of five bits, got {text[place : place + 1]!r}")
        value |= (group & 31) << bits
        bits += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << bits
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value, bits = 0, 0
    if bits:
        raise ValueError(f"{where}.counts: must be whole, the text ends within a number")
    return runs
