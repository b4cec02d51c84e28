"""Run-length masks against runs counted by hand, an encoder of their own, and input that is not right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldsim.benchmarks.masks_input import load_masks
from worldsim.benchmarks.rle import decode_rle


def runs(mask: np.ndarray) -> list[int]:
    """Lengths of runs down the columns, the first of pixels outside."""
    counts, inside = [0], False
    for pixel in mask.T.ravel().tolist():
        if pixel != inside:
            counts.append(0)
            inside = pixel
        counts[-1] += 1
    return counts


def text(counts: list[int]) -> str:
    """The compressed form, by two's complement cut into groups of five bits."""
    letters = ""
    for i, count in enumerate(counts):
        value = count - (counts[i - 2] if i > 2 else 0)
        groups = 1
        while not -(1 << (5 * groups - 1)) <= value < 1 << (5 * groups - 1):
            groups += 1
        for group in range(groups):
            bits = (value >> (5 * group)) & 31
            letters += chr(48 + bits + (32 if group < groups - 1 else 0))
    return letters


def test_runs_counted_by_hand() -> None:
    expected = np.array([[0, 1, 1], [0, 0, 1]], bool)
    for counts in ([2, 1, 1, 2], "2111", b"2111"):
        assert np.array_equal(decode_rle({"size": [2, 3], "counts": counts}, (2, 3)), expected)
    # 20 takes two groups, "d0"; the fourth run is written as 2 - 5 = -3, "M".
    found = decode_rle({"size": [5, 6], "counts": "d053M"}, (5, 6))
    assert np.array_equal(found, decode_rle({"size": [5, 6], "counts": [20, 5, 3, 2]}, (5, 6)))
    assert found.sum() == 7
    assert found[:, 4].all()
    assert found[3:, 5].all()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40), st.floats(0, 1))
def test_round_trip(seed: int, height: int, width: int, share: float) -> None:
    noise = np.random.default_rng(seed).random((height, width))
    mask = np.sort(noise, 0) < share if seed % 2 else noise < share
    for counts in (runs(mask), text(runs(mask))):
        assert np.array_equal(decode_rle({"size": [height, width], "counts": counts}, mask.shape), mask)


def test_both_forms_and_files_give_the_ids(tmp_path: Path) -> None:
    ids = np.random.default_rng(0).integers(0, 4, (5, 9, 8)).astype(np.uint8)
    ids[2][ids[2] == 3] = 0

    def mask(t: int, k: int) -> dict[str, Any] | None:
        if not (ids[t] == k).any():
            return None
        return {"size": [9, 8], "counts": text(runs(ids[t] == k))}

    by_object = {k: [mask(t, k) for t in range(5)] for k in (1, 2, 3)}
    by_frame = [{str(k): mask(t, k) for k in (1, 2, 3)} for t in range(5)]
    for number, form in enumerate((by_object, by_frame)):
        assert np.array_equal(load_masks(form, ids.shape, 3), ids)
        path = tmp_path / f"{number}.json"
        path.write_text(json.dumps(form))
        assert np.array_equal(load_masks(path, ids.shape, 3), ids)


FULL = {"size": [2, 2], "counts": [0, 4]}


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ({1: [FULL]}, r"masks\[1\]: must be a list of one mask or None a frame, 2, got 1"),
        ([{1: FULL}], "masks: must have one entry for each frame, 2, got 1"),
        ({0: [FULL, None]}, "masks: must be keyed by ids from 1 to 254, got 0"),
        ({"x": [FULL, None]}, "masks: must be keyed by ids"),
        ({3: [FULL, None]}, "between 0 and 2, got 3"),
        ({1: [FULL, None], "1": [FULL, None]}, "masks: must name each object once"),
        ({1: [FULL, None], 2: [FULL, None]}, "frame 0: must be disjoint"),
        ({1: [{"size": [2, 3], "counts": [0, 6]}, None]}, r"object 1.size: must be the video's \[2, 2\]"),
        ({1: [{"size": [2, 2], "counts": [0, 5]}, None]}, "must be 0 or above and fill 4 pixels, got 5"),
        ({1: [{"size": [2, 2], "counts": [-1, 5]}, None]}, "must be 0 or above and fill 4 pixels"),
        ({1: [{"size": [2, 2], "counts": [1.5, 2.5]}, None]}, "must be a list of whole numbers or text"),
        ({1: [{"size": [2, 2], "counts": "0 4"}, None]}, "must be written in groups of five bits, got ' '"),
        ({1: [{"size": [2, 2], "counts": "0d"}, None]}, "the text ends within a number"),
        ({1: [{"size": [2, 2]}, None]}, "must have size and counts"),
    ],
)
def test_what_is_not_right_is_named(masks: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_masks(masks, (2, 2, 2), 2)


def test_damaged_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "masks.json"
    path.write_text('{"1": [')
    with pytest.raises(ValueError, match=r"masks\.json: must be whole JSON"):
        load_masks(path, (2, 2, 2))
