"""Convex hulls of a few points each, for many sets at once: the reader's own, which it shares with no drawing."""

from __future__ import annotations

import numpy as np

from worldsim.benchmarks.track import Floats, Ints


def hull_corners(points: Floats) -> Ints:
    """Corners of convex hulls in order, by two monotone chains (Andrew 1979, Inf. Process. Lett. 9, 216).

    Points within a side and copies of a corner are none. Points on one line leave its two ends, one place alone that
    place.

    Args:
        points: (S, V, 2), at least one a set.

    Returns:
        (S, K) indices, turning from x towards y, K that of the hull with the most corners; others repeat their first.
    """
    order = np.lexsort((points[..., 1], points[..., 0]), axis=-1)
    (there, out), (back, home) = _chain(points, order), _chain(points, order[:, ::-1])
    # The last point of each chain is the first of the other one.
    out, home = out - 1, home - 1
    k = np.arange(max(1, int((out + home).max(initial=1))))
    rows = np.arange(len(points))[:, None]
    last = points.shape[1] - 1
    found = np.where(
        k < out[:, None],
        there[rows, np.minimum(k, last)],
        back[rows, np.clip(k - out[:, None], 0, last)],
    )
    return np.asarray(np.where(k < (out + home)[:, None], found, there[:, :1]), np.int64)


def _chain(points: Floats, order: Ints) -> tuple[Ints, Ints]:
    """(S, V) indices of a chain that turns left along (S, V) sorted points, and (S,) how many of them it has."""
    rows, size = np.arange(len(points)), np.zeros(len(points), np.int64)
    chain = np.repeat(order[:, :1], order.shape[1], 1)
    for new in order.T:
        while True:
            before, last = (points[rows, chain[rows, np.maximum(size - back, 0)]] for back in (2, 1))
            side, way = last - before, points[rows, new] - before
            straight = (size >= 2) & (side[:, 0] * way[:, 1] - side[:, 1] * way[:, 0] <= 0)
            if not straight.any():
                break
            size -= straight
        chain[rows, size] = new
        size += 1
    return chain, size
