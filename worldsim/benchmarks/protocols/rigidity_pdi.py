"""Rigidity as of PDI-Bench (arXiv 2605.15185, AnteaWu/PDI-Bench, volume_audit.py): do points of one thing stay apart.

Thirty pairs of points are chosen in the first frame: those with the largest product of their distance and the smaller
of their two distances from the object's edge, so that they lie well apart and well inside. With rho = d_t / d_0 of a
pair, rigidity = MAD(rho) / (median(rho) + 1e-6) over the pairs, mean over t >= 1; 0 for a rigid body, no unit.

Tracks in metres make that a law. Tracks in pixels (as here, unless three coordinates are given) change lawfully where a
body turns out of the picture's plane. Masks have no material points, and points that a fitted rigid motion carried
would keep their distances whatever the video shows; so points are carried by the least deforming affine map between the
moments of the mask and of the mask that a rigid body would show: the first frame's, or where a scene is given the
simulator's at its true pose, which allows for perspective and turning. What that map finds is a lower bound of the
deformation.

Where the original is biased: a median over pairs overlooks what bends less than half of them; growth by one factor is
rho too, and free; frames with fewer than three pairs repeat the score before them, and too few points score 1. Here
such frames count as not measured, their share is printed, and `growth`, the mean over t of |median(rho) - 1|, stands
beside.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from worldsim.benchmarks.protocols.cases import VideoCase, Videos, read_cases
from worldsim.benchmarks.protocols.outcome import ProtocolResult, Row, means
from worldsim.benchmarks.track import Flags, Floats, Tracks, measure_tracks

PAIRS = 30
MIN_PAIRS = 3
_MIN_AREA = 12.0  # pixels, below which moments say nothing
_UNITS = {"rigidity": "", "growth": "", "measurable": "share"}


def choose_pairs(points: Floats, inland: Floats, count: int = PAIRS) -> NDArray[np.int64]:
    """(P, 2) places of the pairs with the largest distance times smaller inland distance, at most `count`.

    Args:
        points: (N, 2) or (N, 3) at the first frame.
        inland: (N,) distance of each from the edge of the object.
        count: 30 as published.
    """
    first, second = np.triu_indices(len(points), 1)
    apart = np.linalg.norm(points[first] - points[second], axis=-1)
    merit = apart * np.minimum(inland[first], inland[second])
    best = np.argsort(-merit, kind="stable")[:count]
    best = best[apart[best] > 1e-3]
    return np.stack([first[best], second[best]], -1)


def rigidity_pdi(distances: Floats, rest: Floats, seen: Flags | None = None) -> tuple[Floats, Floats]:
    """Rigidity and the median of rho in each frame.

    Args:
        distances: (T, P) of the pairs.
        rest: (P,) or (T, P) distances that a rigid body would have.
        seen: (T, P) pairs that can be read; all where left out.

    Returns:
        (T,) MAD(rho) / (median(rho) + 1e-6), and (T,) median(rho); NaN below three pairs.
    """
    ratio = np.where(True if seen is None else seen, distances / rest, np.nan)
    score, middle = np.full(len(ratio), math.nan), np.full(len(ratio), math.nan)
    for t, row in enumerate(ratio):
        known = row[np.isfinite(row)]
        if len(known) >= MIN_PAIRS:
            middle[t] = np.median(known)
            score[t] = np.median(np.abs(known - middle[t])) / (middle[t] + 1e-6)
    return score, middle


def pdi_of_tracks(points: Floats, visible: Flags | None = None, mask: Flags | None = None) -> Row:
    """Figures of one object's tracked points.

    Args:
        points: (T, N, 2) pixels or (T, N, 3) metres.
        visible: (T, N); all where left out. Points that the first frame does not show are not used.
        mask: (H, W) of the object in the first frame, for how far inside it points in pixels lie; left out, or with
            points in metres, pairs are chosen by their distance alone.
    """
    if points.ndim != 3 or points.shape[-1] not in (2, 3) or len(points) < 2:
        raise ValueError(f"tracks: must have shape (T, N, 2 or 3) with T of 2 or more, got {points.shape}")
    visible = np.ones(points.shape[:2], bool) if visible is None else visible
    if visible.shape != points.shape[:2]:
        raise ValueError(f"visible: must have shape {points.shape[:2]}, got {visible.shape}")
    visible = visible & np.isfinite(points).all(-1)
    usable = np.flatnonzero(visible[0])
    start = points[0, usable]
    pairs = usable[choose_pairs(start, _inland(start, mask))] if len(usable) > 1 else np.zeros((0, 2), np.int64)
    if len(pairs) < MIN_PAIRS:
        return {"rigidity": math.nan, "growth": math.nan, "measurable": 0.0}
    gaps = np.linalg.norm(points[:, pairs[:, 0]] - points[:, pairs[:, 1]], axis=-1)
    return _row_of(*rigidity_pdi(gaps, gaps[0], np.asarray(visible[:, pairs].all(-1), bool)))


def _inland(points: Floats, mask: Flags | None) -> Floats:
    if mask is None or points.shape[-1] == 3:
        return np.ones(len(points))
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    column, row = (np.clip(np.floor(points[:, i]).astype(int), 0, mask.shape[1 - i] - 1) for i in (0, 1))
    return np.asarray(depth[row, column], np.float64)


def _row_of(score: Floats, middle: Floats) -> Row:
    known = np.isfinite(score[1:])
    if not known.any():
        return {"rigidity": math.nan, "growth": math.nan, "measurable": 0.0}
    return {
        "rigidity": float(score[1:][known].mean()),
        "growth": float(np.abs(middle[1:][known] - 1).mean()),
        "measurable": float(known.mean()),
    }


def least_deforming(start: Floats, end: Floats) -> Floats:
    """(2, 2) map A with A start A^T = end, both (2, 2) covariances, whose stretches are nearest to each other.

    It sends the long axis of one to the long axis of the other; any other turn before the map stretches more unevenly.
    """
    low, before = np.linalg.eigh(start)
    high, after = np.linalg.eigh(end)
    return np.asarray(after @ np.diag(np.sqrt(high / low)) @ before.T, np.float64)


def pdi_of_masks(masks: Flags, expected: Flags | None = None) -> Row:
    """Figures of one object's masks.

    Args:
        masks: (T, H, W) of the object; frames in which it is cut by the picture's edge, or all but gone, do not count.
        expected: (T, H, W) masks of a rigid body at the pose it should have; the first frame's where left out.
    """
    if masks.ndim != 3 or len(masks) < 2 or (expected is not None and expected.shape != masks.shape):
        raise ValueError(
            f"masks: must have shape (T, H, W) with T of 2 or more, like those expected, got {masks.shape}"
        )
    seen = measure_tracks(masks.astype(np.uint8), 1)
    true = seen if expected is None else measure_tracks(expected.astype(np.uint8), 1)
    whole = _whole(seen) & (_whole(true) if expected is not None else True)
    if not whole.any():
        return {"rigidity": math.nan, "growth": math.nan, "measurable": 0.0}
    first = int(np.argmax(whole))
    rows, columns = np.nonzero(masks[first])
    # A few hundred points are plenty for thirty pairs, and their number of pairs stays small.
    pick = np.unique(np.linspace(0, len(rows) - 1, 300).astype(int))
    points = np.stack([columns[pick], rows[pick]], -1) + 0.5
    pairs = choose_pairs(points, _inland(points, masks[first]))
    if len(pairs) < MIN_PAIRS:
        return {"rigidity": math.nan, "growth": math.nan, "measurable": 0.0}
    arrows = (points[pairs[:, 0]] - points[pairs[:, 1]]).T
    carried, rest = np.full((2, len(masks), len(pairs)), math.nan)
    for t in np.flatnonzero(whole):
        lawful = np.eye(2)
        if expected is not None:
            lawful = least_deforming(seen.covariance[first, 0], true.covariance[t, 0])
        carrier = true.covariance[t, 0] if expected is not None else seen.covariance[first, 0]
        rest[t] = np.linalg.norm(lawful @ arrows, axis=0)
        carried[t] = np.linalg.norm(least_deforming(carrier, seen.covariance[t, 0]) @ lawful @ arrows, axis=0)
    score, middle = rigidity_pdi(carried, rest)
    if expected is None:
        return _row_of(score[first:], middle[first:]) | {"measurable": float(whole[1:].mean())}
    return _row_of(score, middle)


def _whole(tracks: Tracks) -> Flags:
    return np.asarray((tracks.area[:, 0] >= _MIN_AREA) & ~tracks.border[:, 0], bool)


def _rows(case: VideoCase, floor: bool) -> list[Row]:
    if case.tracks is not None:
        mask = None if case.masks is None else case.masks[0] > 0
        return [{"clip": case.name, "object": "tracks"} | pdi_of_tracks(case.tracks, case.visible, mask)]
    if case.masks is None:
        raise ValueError(f"{case.name}: must have tracks, as {case.name}_tracks.npz, or masks, has neither")
    rows = []
    truth = None if case.scene is None else case.render().ids
    for k in range(int(case.masks.max())):
        if case.scene is not None and case.scene.bodies[k].static:
            continue
        expected = None if truth is None else truth == k + 1
        masks = case.masks == k + 1
        told = f"object {k + 1}" if case.scene is None else case.scene.bodies[k].name
        row = {"clip": case.name, "object": told} | pdi_of_masks(masks, expected)
        if floor and expected is not None and case.known_scene.planar and masks.any():
            row |= {f"floor {name}": value for name, value in pdi_of_masks(expected).items() if name == "rigidity"}
        rows.append(row)
    return rows


def run_rigidity_pdi(
    videos: Videos, reference: str | None = None, fps: float | None = None, floor: bool = True
) -> ProtocolResult:
    """PDI rigidity from point tracks where a clip has them, else from its masks; one row an object.

    Args:
        videos: Folder or cases, with tracks or masks.
        reference: Folder of scenes, NAME.json, whose simulated poses say how masks should look; none is needed.
        fps: Frames a second; the scene's or the file's where left out.
        floor: Whether in planar scenes, where no body turns out of the picture, the simulator's own masks are read too,
            against their first frame: what the rounding to pixels does.
    """
    rows = [row for case in read_cases(videos, reference, fps) for row in _rows(case, floor)]
    found = means(rows, _UNITS | {"floor rigidity": ""})
    return ProtocolResult("rigidity_pdi", {name: value for name, value in found.items() if value.count}, tuple(rows))
