"""PISA's figures against loops over pixels, and what a vanished object costs."""

import dataclasses
import math

import numpy as np
import pytest
from worlds import ball_case

from worldsim.benchmarks.protocols import run_protocol
from worldsim.benchmarks.protocols.pisa import dropped_body, pisa_chamfer, pisa_iou, pisa_l2, pisa_row


def blobs(seed, frames=4, height=14, width=18):
    rng = np.random.default_rng(seed)
    masks = np.zeros((frames, height, width), bool)
    for t in range(frames):
        row, column = rng.integers(2, height - 5), rng.integers(2, width - 6)
        masks[t, row : row + rng.integers(2, 5), column : column + rng.integers(2, 6)] = True
    return masks


def pixels(mask):
    return [(float(c), float(r)) for r in range(mask.shape[0]) for c in range(mask.shape[1]) if mask[r, c]]


def test_the_three_errors_are_those_of_their_definitions():
    seen, true = blobs(0), blobs(1)
    scale = math.sqrt(2) * 14
    for t in range(4):
        a, b = pixels(seen[t]), pixels(true[t])
        ca, cb = np.mean(a, axis=0), np.mean(b, axis=0)
        assert pisa_l2(seen, true)[t] == pytest.approx((abs(ca[0] - cb[0]) + abs(ca[1] - cb[1])) / 2 / scale)
        there = np.mean([min(math.dist(p, q) for q in a) for p in b])
        back = np.mean([min(math.dist(p, q) for q in b) for p in a])
        assert pisa_chamfer(seen, true)[t] == pytest.approx((there + back) / scale)
        both = len(set(a) & set(b))
        assert pisa_iou(seen, true)[t] == pytest.approx(both / (len(a) + len(b) - both))


def test_empty_masks_are_alike_and_cost_the_way_to_the_corner():
    seen, true = blobs(2), blobs(3)
    true[0] = seen[0] = False
    seen[2] = False
    row = pisa_row(seen, true)
    assert pisa_iou(seen, true)[0] == 1
    assert pisa_iou(seen, true)[2] == 0
    # The published mean leaves out the frame that has lost the object.
    assert row["l2"] == pytest.approx(np.mean(pisa_l2(seen, true)[[1, 3]]))
    assert row["missing"] == pytest.approx(1 / 3)
    u, v = np.mean(pixels(true[2]), axis=0)
    far = max(u, 17 - u), max(v, 13 - v)
    scale = math.sqrt(2) * 14
    strict = [*pisa_l2(seen, true)[[1, 3]], sum(far) / 2 / scale]
    assert row["l2_strict"] == pytest.approx(np.mean(strict))
    assert row["chamfer_strict"] == pytest.approx(
        np.mean([*pisa_chamfer(seen, true)[[1, 3]], 2 * math.hypot(*far) / scale])
    )
    # Losing the object in one frame more cannot help.
    seen[3] = False
    assert pisa_row(seen, true)["l2_strict"] > row["l2_strict"]


def test_all_gone_has_no_published_figure_and_a_strict_one():
    true = blobs(4)
    row = pisa_row(np.zeros_like(true), true)
    assert math.isnan(row["l2"])
    assert math.isnan(row["chamfer"])
    assert row["iou"] == 0
    assert row["missing"] == 1
    assert row["l2_strict"] > 0.1


def test_the_protocol_reads_masks_and_colours_and_prints_the_floor():
    case = ball_case("parabola", seed=2)
    truth = case.render()
    given = dataclasses.replace(case, frames=truth.video, masks=truth.ids)
    row = run_protocol("pisa", videos=[given]).rows[0]
    assert (row["l2"], row["chamfer"], row["iou"], row["missing"]) == (0, 0, 1, 0)
    read = run_protocol("pisa", videos=[dataclasses.replace(case, frames=truth.video)]).rows[0]
    assert read["read by"] == "tracker"
    assert read["iou"] == read["floor iou"] > 0.9
    assert dropped_body(case) == 0


def test_bad_masks_are_refused():
    with pytest.raises(ValueError, match="masks: must have the true masks' shape"):
        pisa_row(blobs(0), blobs(1, frames=5))
    case = ball_case()
    with pytest.raises(ValueError, match="body: must be one of"):
        run_protocol("pisa", videos=[case], body="cube")
