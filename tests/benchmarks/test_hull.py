"""Convex hulls against Qhull's, and where points lie on one line or on one place."""

import numpy as np
import pytest
from scipy.spatial import ConvexHull

from worldsim.benchmarks.hull import hull_corners


def test_corners_are_those_of_qhull_in_order():
    points = np.random.default_rng(0).normal(size=(200, 8, 2))
    found = hull_corners(points)
    for own, corners in zip(points, found, strict=True):
        wanted = ConvexHull(own).vertices
        wanted = np.roll(wanted, -int(np.flatnonzero(wanted == corners[0])[0]))
        np.testing.assert_array_equal(corners[: len(wanted)], wanted)
        assert (corners[len(wanted) :] == corners[0]).all()


@pytest.mark.parametrize(
    ("points", "corners"),
    [
        ([(0, 0), (2, 0), (2, 2), (0, 2)] * 2, [(0, 0), (2, 0), (2, 2), (0, 2)]),
        ([(0, 0), (1, 0), (2, 0), (2, 1), (2, 2), (1, 1)], [(0, 0), (2, 0), (2, 2)]),
        ([(1, 3), (0, 1), (3, 7), (2, 5)], [(0, 1), (3, 7)]),
        ([(1, 2), (1, 0), (1, 1)], [(1, 0), (1, 2)]),
        ([(1, 2), (1, 2), (1, 2)], [(1, 2)]),
        ([(1, 2)], [(1, 2)]),
    ],
    ids=["copies", "on a side", "on a line", "upright", "one place", "one point"],
)
def test_degenerate_points(points, corners):
    points = np.array(points, float)
    seen = [tuple(points[i]) for i in hull_corners(points[None])[0]]
    assert list(dict.fromkeys(seen)) == corners
