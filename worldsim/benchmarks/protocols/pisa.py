"""PISA's errors of a dropped object (arXiv 2503.09595, vision-x-nyu/pisa-experiments, utils/metrics.py) from its masks.

With c the mean pixel of the mask, H rows of the picture and means over frames:

- l2: mean of |dx| and |dy| of the centres over sqrt(2) H. The square root there is taken element by element, so that
  this is no Euclidean distance: a step along a diagonal counts 1 / sqrt 2 of what its name promises;
- chamfer: (mean distance of each true pixel from the nearest seen one + the reverse) over sqrt(2) H;
- iou: of the two masks, 1 where both are empty.

Where the original is biased: frames without the object drop out of l2, and a clip that loses it raises an error in the
search tree and drops out whole, so that vanishing is free. Here l2 and chamfer keep the published definition on frames
in which both masks are there, and beside them l2_strict and chamfer_strict count an object that is gone, or that should
not be there, at the farthest corner of the picture; `missing` is the share of such frames.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.spatial import cKDTree

from worldsim.benchmarks.protocols.cases import VideoCase, Videos, read_cases
from worldsim.benchmarks.protocols.outcome import ProtocolResult, Row, means
from worldsim.benchmarks.track import Flags, Floats

_UNITS = {
    "l2": "sqrt(2) H",
    "chamfer": "sqrt(2) H",
    "iou": "",
    "l2_strict": "sqrt(2) H",
    "chamfer_strict": "sqrt(2) H",
    "missing": "share",
}


def centroids(masks: Flags) -> Floats:
    """(T, 2) mean u, v of (T, H, W) flags, by pixel index; NaN where a mask is empty."""
    count = masks.sum((1, 2)).astype(np.float64)
    with np.errstate(invalid="ignore"):
        u = masks.sum(1) @ np.arange(masks.shape[2]) / count
        v = masks.sum(2) @ np.arange(masks.shape[1]) / count
    return np.stack([u, v], -1)


def pisa_l2(seen: Flags, true: Flags) -> Floats:
    """(T,) mean of |dx| and |dy| between the centres of (T, H, W) masks over sqrt(2) H; NaN where either is empty."""
    gap = np.abs(centroids(seen) - centroids(true)).mean(-1)
    return np.asarray(gap / (math.sqrt(2) * seen.shape[1]), np.float64)


def pisa_chamfer(seen: Flags, true: Flags) -> Floats:
    """(T,) sum of both mean nearest distances over sqrt(2) H; NaN where either mask is empty."""
    result = np.full(len(seen), math.nan)
    for t in range(len(seen)):
        a, b = np.argwhere(seen[t]).astype(np.float64), np.argwhere(true[t]).astype(np.float64)
        if len(a) and len(b):
            there, back = cKDTree(a).query(b)[0].mean(), cKDTree(b).query(a)[0].mean()
            result[t] = (there + back) / (math.sqrt(2) * seen.shape[1])
    return result


def pisa_iou(seen: Flags, true: Flags) -> Floats:
    """(T,) intersection over union of (T, H, W) masks, 1 where both are empty."""
    both, either = (seen & true).sum((1, 2)), (seen | true).sum((1, 2))
    return np.where(either > 0, both / np.maximum(either, 1), 1.0)


def pisa_row(seen: Flags, true: Flags) -> Row:
    """All figures of one clip.

    Args:
        seen: (T, H, W) where the video shows the object.
        true: (T, H, W) where it is.
    """
    if seen.shape != true.shape or seen.ndim != 3:
        raise ValueError(f"masks: must have the true masks' shape {true.shape}, got {seen.shape}")
    l2, chamfer = pisa_l2(seen, true), pisa_chamfer(seen, true)
    here, ought = (np.asarray(masks.any((1, 2)), bool) for masks in (seen, true))
    gone = here != ought
    scale = math.sqrt(2) * seen.shape[1]
    # The centre of whichever mask is there, and its way to the farthest corner.
    place = np.where(ought[:, None], centroids(true), centroids(seen))
    size = np.array([seen.shape[2] - 1, seen.shape[1] - 1])
    far = np.maximum(place, size - place)
    strict_l2 = np.where(gone, far.mean(-1) / scale, l2)
    strict_chamfer = np.where(gone, 2 * np.linalg.norm(far, axis=-1) / scale, chamfer)
    return {
        "l2": _mean(l2),
        "chamfer": _mean(chamfer),
        "iou": float(pisa_iou(seen, true).mean()),
        "l2_strict": _mean(strict_l2),
        "chamfer_strict": _mean(strict_chamfer),
        "missing": float(gone[ought].mean()) if ought.any() else math.nan,
    }


def _mean(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else math.nan


def dropped_body(case: VideoCase) -> int:
    """Place of the free body that stands highest at the start."""
    bodies = case.known_scene.bodies
    free = [(b.state.position[2], k) for k, b in enumerate(bodies) if b.state is not None and not b.static]
    if not free:
        raise ValueError(f"{case.name}: scene.bodies must hold one that moves, got none")
    return max(free)[1]


def _row(case: VideoCase, body: str | None, floor: bool) -> Row:
    scene = case.known_scene
    place = dropped_body(case) if body is None else scene.index(body)
    rollout = case.render()
    true = rollout.ids == place + 1
    tracker = case.tracker() if case.masks is None else None
    row: Row = {"clip": case.name, "body": scene.bodies[place].name, "read by": "tracker" if tracker else "masks"}
    ids = case.masks if tracker is None else tracker(case.frames)
    assert ids is not None
    row |= pisa_row(ids == place + 1, true)
    if floor and tracker is not None:
        own = pisa_row(tracker(rollout.video) == place + 1, true)
        row |= {f"floor {name}": value for name, value in own.items()}
    return row


def run_pisa(
    videos: Videos,
    reference: str | None = None,
    fps: float | None = None,
    body: str | None = None,
    floor: bool = True,
) -> ProtocolResult:
    """PISA on any scenes.

    Args:
        videos: Folder or cases; their masks where there are some, else the built-in tracker finds the body.
        reference: Folder of scenes, NAME.json; the videos' own where left out.
        fps: Frames a second; the scene's where left out.
        body: Name of the object that is judged; the free one that starts highest where left out.
        floor: Whether the simulator's own pictures are read by the same tracker; given masks have no floor.
    """
    rows = [_row(case, body, floor) for case in read_cases(videos, reference, fps)]
    found = means(rows, _UNITS | {f"floor {name}": unit for name, unit in _UNITS.items()})
    return ProtocolResult("pisa", {name: value for name, value in found.items() if value.count}, tuple(rows))
