"""Masks to tracks: where each object is seen, how large, whether whole, and which of its outline is its own.

Shares no code with vision, which reads states for hint, loss and guidance: the benchmark's figures must not be read by
what they judge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

UInt8 = NDArray[np.uint8]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Ints = NDArray[np.int64]


class Tracker(Protocol):
    """Finds objects in a video of unknown origin. Bring SAM 2 or another through this."""

    def __call__(self, frames: UInt8) -> UInt8:
        """(T, H, W) ids of (T, H, W, 3) RGB frames: 0 for the background, k for the same object in all frames."""
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
    own: Ints
    other: Ints
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
    """

    ids: UInt8
    area: Floats
    centroid: Floats
    covariance: Floats
    border: Flags
    neighbour: Ints

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

    @property
    def orientation(self) -> Floats:
        """(T, N) radians in (-pi/2, pi/2] from u towards v to the long axis; without meaning for round masks."""
        c = self.covariance
        return np.asarray(0.5 * np.arctan2(2 * c[..., 0, 1], c[..., 0, 0] - c[..., 1, 1]), np.float64)


def outline(ids: UInt8) -> Outline:
    """All edges between pixels of different ids, from both sides; the edge of the picture is no outline."""
    rows = []
    for axis in (2, 1):
        first = ids[:, :, :-1] if axis == 2 else ids[:, :-1]
        second = ids[:, :, 1:] if axis == 2 else ids[:, 1:]
        t, y, x = np.nonzero(first != second)
        a, b = first[t, y, x].astype(np.int64), second[t, y, x].astype(np.int64)
        point = np.stack([x + 1.0, y + 0.5] if axis == 2 else [x + 0.5, y + 1.0], -1)
        rows += [(t, a, b, point), (t, b, a, point)]
    frame, own, other = (np.concatenate([row[i] for row in rows]) for i in range(3))
    point = np.concatenate([row[3] for row in rows])
    keep = own > 0
    return Outline(frame[keep], own[keep], other[keep], point[keep])


def measure_tracks(ids: UInt8, num_objects: int, edges: Outline | None = None) -> Tracks:
    """Area, centre, spread, border and neighbours of every object in every frame.

    Args:
        ids: (T, H, W).
        num_objects: N, the largest id that is asked for.
        edges: As outline(ids) gives them, where they are at hand.
    """
    frames, height, width = ids.shape
    count = num_objects + 1
    edges = outline(ids) if edges is None else edges
    area = np.zeros((frames, count))
    sums = np.zeros((frames, count, 2))
    squares = np.zeros((frames, count, 3))
    border = np.zeros((frames, count), bool)
    u, v = np.arange(width) + 0.5, np.arange(height) + 0.5
    for t in range(frames):
        # Only pixels of objects count: most of a picture is background.
        y, x = np.nonzero(ids[t])
        k, pu, pv = ids[t][y, x], u[x], v[y]
        area[t] = np.bincount(k, minlength=count)[:count]
        for i, weight in enumerate((pu, pv)):
            sums[t, :, i] = np.bincount(k, weight, minlength=count)[:count]
        for i, weight in enumerate((pu * pu, pu * pv, pv * pv)):
            squares[t, :, i] = np.bincount(k, weight, minlength=count)[:count]
        rim = np.concatenate([ids[t, 0], ids[t, -1], ids[t, :, 0], ids[t, :, -1]])
        border[t, np.unique(rim)] = True
    with np.errstate(invalid="ignore", divide="ignore"):
        centroid = sums / area[..., None]
        second = squares / area[..., None]
    cu, cv = centroid[..., 0], centroid[..., 1]
    cuu, cuv, cvv = second[..., 0] - cu * cu + 1 / 12, second[..., 1] - cu * cv, second[..., 2] - cv * cv + 1 / 12
    covariance = np.stack([np.stack([cuu, cuv], -1), np.stack([cuv, cvv], -1)], -2)
    flat = (edges.frame * count + edges.own) * count + edges.other
    neighbour = np.bincount(flat, minlength=frames * count * count).reshape(frames, count, count)
    return Tracks(ids, area[:, 1:], centroid[:, 1:], covariance[:, 1:], border[:, 1:], neighbour[:, 1:])
