"""RigidBench (ICLR 2026 workshop World Models; swarnim-j/RigidBench, eval/score): masks and points against a simulator.

With c the mean pixel of an object's mask and H rows of the picture, of each object that moves:

- l2: |c - c_true| / H, Euclidean, where PISA takes it element by element;
- chamfer: (mean distance of each true pixel from the nearest seen one + the reverse) / H;
- iou: of the two masks, 1 where both are empty;
  each the mean over objects in a frame, then over frames, of what is there;
- ate: mean over points and frames in which both are seen of |p - p_true| / H, where p are tracked points of the
  objects and p_true the same material points carried by the simulator's poses from the first frame;
- bgdrift: of tracked points of the background, the mean distance from where a similarity (RANSAC, 3 pixels, then least
  squares over its inliers) puts them, over H; frames weigh as many points as they show, below four none.

Where the original is biased: frames without the object drop out of l2 and chamfer, and points that the tracker loses
drop out of ate, so that what vanishes is free; a mean over objects that are there hides the one that is gone; a camera
that slides, turns or zooms is fitted away by bgdrift, though the scene's camera stands still. Here the published
definitions stand, and beside them l2_strict, chamfer_strict and ate_strict count an object or point that is gone, or
that should not be there, at the farthest corner of the picture, object by object; `missing` is the share of such
frames, `lost` that of such points, and bg_motion the drift with nothing fitted away. Its depth, perceptual and identity
scores rest on networks' weights and are left out; where depth is known, `ws.score(depth=...)` measures in metres.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from worldsim.benchmarks.protocols.cases import VideoCase, Videos, read_cases
from worldsim.benchmarks.protocols.outcome import ProtocolResult, Row, means
from worldsim.benchmarks.protocols.pisa import centroids, pisa_chamfer, pisa_iou
from worldsim.benchmarks.rays import lift
from worldsim.benchmarks.track import Flags, Floats, Ints
from worldsim.engines import Rollout
from worldsim.physics.rotation import rotate, rotate_inverse

_INLIER = 3.0  # pixels, within which a similarity explains a point
_DRAWS = 2000  # pairs of points that RANSAC tries at most
_MIN_POINTS = 4
_BEHIND = 0.01  # of its depth by which a point may lie behind the surface that is seen
_MASK_UNITS = {"l2": "H", "chamfer": "H", "iou": "", "l2_strict": "H", "chamfer_strict": "H", "missing": "share"}
_TRACK_UNITS = {"ate": "H", "ate_strict": "H", "lost": "share", "bgdrift": "H", "bg_motion": "H"}


def mask_row(seen: Sequence[Flags], true: Sequence[Flags]) -> Row:
    """Figures of one clip's masks.

    Args:
        seen: (T, H, W) of each object, where the video shows it.
        true: (T, H, W) of each, where it is.
    """
    l2, chamfer, iou, strict_l2, strict_chamfer, missing = [], [], [], [], [], []
    for one, ought in zip(seen, true, strict=True):
        if one.shape != ought.shape or one.ndim != 3:
            raise ValueError(f"masks: must have the true masks' shape {ought.shape}, got {one.shape}")
        height, width = one.shape[1:]
        l2.append(np.linalg.norm(centroids(one) - centroids(ought), axis=-1) / height)
        chamfer.append(math.sqrt(2) * pisa_chamfer(one, ought))
        iou.append(pisa_iou(one, ought))
        there, due = (np.asarray(masks.any((1, 2)), bool) for masks in (one, ought))
        place = np.where(due[:, None], centroids(ought), centroids(one))
        far = _to_corner(place, width, height) / height
        strict_l2.append(_mean(np.where(there != due, far, l2[-1])))
        strict_chamfer.append(_mean(np.where(there != due, 2 * far, chamfer[-1])))
        missing.append(float((~there)[due].mean()) if due.any() else math.nan)
    return {
        "l2": _mean(_over_objects(l2)),
        "chamfer": _mean(_over_objects(chamfer)),
        "iou": _mean(_over_objects(iou)),
        "l2_strict": _mean(np.array(strict_l2)),
        "chamfer_strict": _mean(np.array(strict_chamfer)),
        "missing": _mean(np.array(missing)),
    }


def point_row(tracks: Floats, true: Floats, seen: Flags, due: Flags, height: int, width: int) -> Row:
    """ATE of points of the objects.

    Args:
        tracks: (T, N, 2) pixels as tracked.
        true: (T, N, 2) where they are.
        seen: (T, N) whether the tracker sees them.
        due: (T, N) whether they can be seen.
        height: Of the picture.
        width: Of the picture.
    """
    error = np.linalg.norm(tracks - true, axis=-1) / height
    far = _to_corner(true, width, height) / height
    both = seen & due
    return {
        "ate": float(error[both].mean()) if both.any() else math.nan,
        "ate_strict": float(np.where(both, error, far)[due].mean()) if due.any() else math.nan,
        "lost": float((~seen)[due].mean()) if due.any() else math.nan,
    }


def background_row(tracks: Floats, seen: Flags, height: int) -> Row:
    """BGDrift of (T, N, 2) pixels of points of the background, (T, N) seen, and the same with nothing fitted away."""
    drifts, motions, weights = [], [], []
    for t in range(1, len(tracks)):
        both = seen[t] & seen[0]
        if both.sum() >= _MIN_POINTS:
            start, end = tracks[0, both], tracks[t, both]
            drifts.append(float(np.linalg.norm(end - similar(start, end), axis=-1).mean()))
            motions.append(float(np.linalg.norm(end - start, axis=-1).mean()))
            weights.append(int(both.sum()))
    if not weights:
        return {"bgdrift": math.nan, "bg_motion": math.nan}
    drift, motion = (float(np.average(values, weights=weights)) / height for values in (drifts, motions))
    return {"bgdrift": drift, "bg_motion": motion}


def similar(start: Floats, end: Floats) -> Floats:
    """(N, 2) places to which the similarity that most points agree with carries (N, 2) points.

    RANSAC (Fischler and Bolles 1981) over pairs of points, all of them where there are few, then least squares over the
    inliers. As complex numbers a similarity is z to a z + b.
    """
    source, target = start @ np.array([1, 1j]), end @ np.array([1, 1j])
    first, second = np.triu_indices(len(source), 1)
    if len(first) > _DRAWS:
        drawn = np.random.default_rng(0).choice(len(first), _DRAWS, replace=False)
        first, second = first[drawn], second[drawn]
    apart = np.abs(source[second] - source[first]) > 1e-9
    first, second = first[apart], second[apart]
    if not len(first):
        return start
    turn = (target[second] - target[first]) / (source[second] - source[first])
    error = np.abs(turn[:, None] * (source - source[first, None]) + target[first, None] - target)
    inlier = error < _INLIER
    # Among models with as many inliers the one that leaves least.
    best = np.lexsort((np.minimum(error, _INLIER).sum(1), -inlier.sum(1)))[0]
    own = inlier[best]
    middle, aim = source[own].mean(), target[own].mean()
    spread = (np.abs(source[own] - middle) ** 2).sum()
    factor = ((source[own] - middle).conj() * (target[own] - aim)).sum() / spread if spread > 0 else turn[best]
    carried = factor * (source - middle) + aim
    return np.stack([carried.real, carried.imag], -1)


def carried_points(rollout: Rollout, start: Floats) -> tuple[Floats, Flags, Ints]:
    """Where the simulator carries the material points that a first frame shows.

    Args:
        rollout: With its pictures.
        start: (N, 2) u, v in the first frame, pixel i from i to i + 1.

    Returns:
        (T, N, 2) u, v; (T, N) whether they can be seen; (N,) ids of their bodies, 0 for the background.
    """
    camera, motion = rollout.scene.camera, rollout.trajectory
    frames, height, width = rollout.ids.shape
    column, row = (np.clip(np.floor(start[:, i]).astype(int), 0, (width, height)[i] - 1) for i in (0, 1))
    owner = rollout.ids[0, row, column].astype(np.int64)
    world = torch.from_numpy(lift(camera, start, rollout.depth[0, row, column].astype(np.float64)))
    pixels = np.repeat(start[None], frames, 0)
    seen = np.ones((frames, len(start)), bool)
    moving = np.array([not body.static for body in rollout.scene.bodies])
    for k in np.unique(owner[owner > 0]) - 1:
        if not moving[k]:
            continue
        own = owner == k + 1
        place, turn = (part[:, k, None].double() for part in (motion.position, motion.orientation))
        local = rotate_inverse(turn[0], world[own] - place[0])
        carried = (rotate(turn, local.expand(frames, -1, 3)) + place).numpy()
        flat, depth = camera.project(carried)
        inside = ((flat >= 0) & (flat < [width, height])).all(-1)
        u, v = (np.clip(np.floor(flat[..., i]).astype(int), 0, (width, height)[i] - 1) for i in (0, 1))
        time = np.arange(frames)[:, None]
        shown = (rollout.ids[time, v, u] == k + 1) & (depth <= rollout.depth[time, v, u] * (1 + _BEHIND))
        pixels[:, own], seen[:, own] = flat, inside & shown
    owner[(owner > 0) & ~moving[owner - 1]] = 0
    return pixels, seen, owner


def _to_corner(place: Floats, width: int, height: int) -> Floats:
    """(...) pixels from (..., 2) places to the farthest corner of the picture."""
    size = np.array([width - 1, height - 1])
    return np.asarray(np.linalg.norm(np.maximum(place, size - place), axis=-1), np.float64)


def _over_objects(values: Sequence[Floats]) -> Floats:
    """(T,) mean over objects of what is known, NaN where nothing is."""
    table = np.stack(values)
    known = np.isfinite(table)
    return np.where(known.any(0), np.where(known, table, 0).sum(0) / np.maximum(known.sum(0), 1), math.nan)


def _mean(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else math.nan


def _row(case: VideoCase, floor: bool) -> Row:
    rollout, bodies = case.render(), case.known_scene.bodies
    movers = [k for k, body in enumerate(bodies) if not body.static]
    tracker = case.tracker() if case.masks is None else None
    ids = case.masks if tracker is None else tracker(case.frames)
    assert ids is not None
    true = [rollout.ids == k + 1 for k in movers]
    row: Row = {"clip": case.name, "objects": len(movers), "read by": "tracker" if tracker else "masks"}
    row |= mask_row([ids == k + 1 for k in movers], true)
    if floor and tracker is not None:
        own = tracker(rollout.video)
        row |= {f"floor {name}": value for name, value in mask_row([own == k + 1 for k in movers], true).items()}
    if case.tracks is None:
        return row
    frames, height, width = ids.shape
    if case.tracks.shape[0] != frames or case.tracks.shape[-1] != 2:
        raise ValueError(f"{case.name}: tracks must have shape ({frames}, N, 2), in pixels, got {case.tracks.shape}")
    visible = np.ones(case.tracks.shape[:2], bool) if case.visible is None else case.visible
    visible = visible & np.isfinite(case.tracks).all(-1)
    tracks = np.where(visible[..., None], case.tracks, 0.0)[:, visible[0]]
    visible = visible[:, visible[0]]
    carried, due, owner = carried_points(rollout, tracks[0])
    on = owner > 0
    row |= point_row(tracks[:, on], carried[:, on], visible[:, on], due[:, on], height, width)
    return row | background_row(tracks[:, ~on], visible[:, ~on], height)


def run_rigidbench(
    videos: Videos, reference: str | None = None, fps: float | None = None, floor: bool = True
) -> ProtocolResult:
    """RigidBench's mask and point figures on any scenes.

    Args:
        videos: Folder or cases; their masks where there are some, else the built-in tracker finds the bodies; their
            point tracks in pixels, of bodies and background alike, for ate and bgdrift.
        reference: Folder of scenes, NAME.json; the videos' own where left out.
        fps: Frames a second; the scene's where left out.
        floor: Whether the simulator's own pictures are read by the same tracker; given masks have no floor.
    """
    rows = [_row(case, floor) for case in read_cases(videos, reference, fps)]
    units = _MASK_UNITS | _TRACK_UNITS | {f"floor {name}": unit for name, unit in _MASK_UNITS.items()}
    found = {name: value for name, value in means(rows, units).items() if value.count}
    notes = () if "ate" in found else ("ate and bgdrift need point tracks in pixels, as NAME_tracks.npz.",)
    return ProtocolResult("rigidbench", found, tuple(rows), notes)
