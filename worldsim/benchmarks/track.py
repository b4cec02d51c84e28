"""Masks to tracks: where each object is seen, how large, whether whole, and which of its outline is its own.

Shares no code with vision, which reads states for hint, loss and guidance: the benchmark's figures must not be read by
what they judge.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from worldsim.benchmarks.footage import Footage

UInt8 = NDArray[np.uint8]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Ints = NDArray[np.int64]

_CHUNK = 64  # frames that are measured at a time, so that memory does not grow with the video


class Tracker(Protocol):
    """Finds objects in a video of unknown origin. Bring SAM 2 or another through this."""

    def __call__(self, frames: UInt8) -> UInt8:
        """(T, H, W) ids of (T, H, W, 3) RGB frames: 0 for the background, k for the same object in all frames."""
        ...


@runtime_checkable
class StreamTracker(Protocol):
    """A tracker that needs only a few frames at a time, so that videos of any length fit in memory."""

    def follow(self, footage: Footage) -> Iterator[UInt8]:
        """(n, H, W) ids of the footage's frames in order, at its working size."""
        ...


@dataclass(frozen=True)
class Outline:
    """The edges between pixels of different objects: one row for each side of each edge, by frame and object.

    Attributes:
        frame: (E,) index.
        own: (E,) id of the object that the edge bounds.
        other: (E,) id on the far side.
        point: (E, 2) u, v of the middle of the edge between the two pixels.
    """

    frame: Ints
    own: UInt8
    other: UInt8
    point: Floats


@dataclass(frozen=True)
class Tracks:
    """What masks tell of N objects over T frames. Pixel i covers [i, i + 1).

    Attributes:
        ids: (T, H, W).
        area: (T, N) pixels.
        centroid: (T, N, 2) u, v; NaN where the object is not seen.
        covariance: (T, N, 2, 2) square pixels; a pixel counts as a square, so that a line has width 1/12.
        border: (T, N) whether the mask touches the edge of the picture.
        neighbour: (T, N, N + 1) number of edges that the mask shares with each id.
        solid: (T, N) whether the mask is plainly of one piece: one run of pixels in each of its rows, each touching the
            next, if only at a corner. Others may be of one piece as well.
        box: (T, N, 4) first u, first v, last u and last v, counted as ends of pixels; 0 where the object is not seen.
    """

    ids: UInt8
    area: Floats
    centroid: Floats
    covariance: Floats
    border: Flags
    neighbour: Ints
    solid: Flags
    box: Ints

    @property
    def num_frames(self) -> int:
        """How many frames."""
        return int(self.area.shape[0])

    @property
    def num_objects(self) -> int:
        """How many objects, seen or not."""
        return int(self.area.shape[1])

    @property
    def axes(self) -> Floats:
        """(T, N, 2) eigenvalues of the covariance, the larger first; NaN where the object is not seen."""
        c = self.covariance
        centre, half = (c[..., 0, 0] + c[..., 1, 1]) / 2, (c[..., 0, 0] - c[..., 1, 1]) / 2
        spread = np.hypot(half, c[..., 0, 1])
        return np.asarray(np.stack([centre + spread, centre - spread], -1), np.float64)


def outline(ids: UInt8) -> Outline:
    """All edges between pixels of different ids, from both sides; the edge of the picture is no outline."""
    parts = []
    for start in range(0, len(ids), _CHUNK):
        for axis in (2, 1):
            t, y, x, a, b = _steps(ids[start : start + _CHUNK], axis)
            t += start
            point = np.stack([x + 1.0, y + 0.5] if axis == 2 else [x + 0.5, y + 1.0], -1)
            for own, other in ((a, b), (b, a)):
                keep = own > 0
                parts.append((t[keep], own[keep], other[keep], point[keep]))
    if not parts:
        return Outline(np.zeros(0, int), np.zeros(0, np.uint8), np.zeros(0, np.uint8), np.zeros((0, 2)))
    frame, own, other, point = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return Outline(frame, own, other, point)


def _steps(ids: UInt8, axis: int) -> tuple[Ints, Ints, Ints, UInt8, UInt8]:
    """Where ids change along rows (axis 2) or columns (1): frame, row, column and id of the first pixel, next id."""
    _, height, width = ids.shape
    # One pass over the flat picture, several times as fast as one over three axes; what it finds between the end of a
    # row and the next one, or of a frame and the next one, is no edge.
    flat, by = np.ascontiguousarray(ids).ravel(), 1 if axis == 2 else width
    at = np.flatnonzero(flat[:-by] != flat[by:])
    row, x = np.divmod(at, width)
    t, y = np.divmod(row, height)
    keep = x < width - 1 if axis == 2 else y < height - 1
    at, t, y, x = at[keep], t[keep], y[keep], x[keep]
    return t, y, x, flat[at], flat[at + by]


def measure_tracks(ids: UInt8, num_objects: int, edges: Outline | None = None) -> Tracks:
    """Area, centre, spread, border and neighbours of every object in every frame.

    Moments are sums over the ends of rows of equal pixels, by Green's theorem, so that they cost what the outlines are
    long, not what the masks are large.

    Args:
        ids: (T, H, W).
        num_objects: N, the largest id that is asked for.
        edges: As outline(ids) gives them, where they are at hand.
    """
    frames = len(ids)
    count = num_objects + 1
    edges = outline(ids) if edges is None else edges
    sums = np.zeros((6, frames, count))
    solid, box = np.ones((frames, count), bool), np.zeros((frames, count, 4), np.int64)
    border = np.zeros((frames, 256), bool)
    for start in range(0, frames, _CHUNK):
        part = ids[start : start + _CHUNK]
        runs = _runs(part, count)
        own = slice(start, start + len(part))
        sums[:, own] = _moments(runs, len(part), count)
        solid[own], box[own] = _pieces(runs, len(part), count)
        rim = np.concatenate([part[:, 0], part[:, -1], part[:, :, 0], part[:, :, -1]], -1)
        border[start + np.arange(len(part))[:, None], rim] = True
    area = sums[0]
    with np.errstate(invalid="ignore", divide="ignore"):
        cu, cv, cuu, cuv, cvv = sums[1:] / area
    centroid = np.stack([cu, cv], -1)
    cuu, cuv, cvv = cuu - cu * cu, cuv - cu * cv, cvv - cv * cv
    covariance = np.stack([np.stack([cuu, cuv], -1), np.stack([cuv, cvv], -1)], -2)
    known = (edges.own < count) & (edges.other < count)
    flat = (edges.frame * count + edges.own) * count + edges.other
    neighbour = np.bincount(flat[known], minlength=frames * count * count).reshape(frames, count, count)
    return Tracks(
        ids,
        area[:, 1:],
        centroid[:, 1:],
        covariance[:, 1:],
        border[:, 1:count],
        neighbour[:, 1:],
        solid[:, 1:],
        box[:, 1:],
    )


@dataclass(frozen=True)
class _Runs:
    """Rows of equal pixels of the objects asked for, by frame, row and place: (R,) each.

    Attributes:
        key: Frame times number of ids, plus id.
        row: v of the row's first edge.
        begin: u where it begins.
        end: u where it ends.
    """

    key: Ints
    row: Ints
    begin: Ints
    end: Ints


def _runs(ids: UInt8, count: int) -> _Runs:
    height, width = ids.shape[1:]
    flat = np.ascontiguousarray(ids).ravel()
    change = np.empty(len(flat) + 1, bool)
    np.not_equal(flat[1:], flat[:-1], out=change[1:-1])
    change[::width] = True  # rows begin anew, and the last one ends
    at = np.flatnonzero(change)
    own = flat[at[:-1]]
    asked = np.flatnonzero((own > 0) & (own < count))
    begin, length = at[asked], at[asked + 1] - at[asked]
    line, u = np.divmod(begin, width)
    frame, row = np.divmod(line, height)
    key = np.asarray(frame * count + own[asked], np.int64)
    return _Runs(key, row, u, u + length)


def _moments(runs: _Runs, frames: int, count: int) -> Floats:
    """(6, T, count) integrals over each id's pixels of 1, u, v, u u, u v and v v."""
    begin, end, v = runs.begin.astype(np.float64), runs.end.astype(np.float64), runs.row + 0.5
    length = end - begin
    first = length * (end + begin) / 2
    second = length * (end * end + end * begin + begin * begin) / 3
    terms = (length, first, length * v, second, first * v, length * (v * v + 1 / 12))
    return np.stack([np.bincount(runs.key, term, frames * count).reshape(frames, count) for term in terms])


def _pieces(runs: _Runs, frames: int, count: int) -> tuple[Flags, Ints]:
    """(T, count) and (T, count, 4): see Tracks.solid and Tracks.box."""
    solid, box = np.ones(frames * count, bool), np.zeros((frames * count, 4), np.int64)
    if len(runs.key):
        order = np.argsort(runs.key, kind="stable")  # rows stay in order
        key, row, begin, end = runs.key[order], runs.row[order], runs.begin[order], runs.end[order]
        joined = (row[1:] == row[:-1] + 1) & (begin[1:] <= end[:-1]) & (end[1:] >= begin[:-1])
        same = key[1:] == key[:-1]
        solid[key[1:][same & ~joined]] = False
        first = np.flatnonzero(np.concatenate([[True], ~same]))
        last = np.concatenate([first[1:], [len(key)]]) - 1
        low, high = np.minimum.reduceat(begin, first), np.maximum.reduceat(end, first)
        box[key[first]] = np.stack([low, row[first], high, row[last] + 1], -1)
    return solid.reshape(frames, count), box.reshape(frames, count, 4)
