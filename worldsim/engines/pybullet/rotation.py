"""Quaternions w x y z as numpy arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def multiply(first: Array, second: Array) -> Array:
    """The product that turns by `second`, then by `first`."""
    w1, x1, y1, z1 = first
    w2, x2, y2, z2 = second
    return np.array(
        [
            w1 * w2 - x1 * x2 - y1 * y2 - z1 * z2,
            w1 * x2 + x1 * w2 + y1 * z2 - z1 * y2,
            w1 * y2 - x1 * z2 + y1 * w2 + z1 * x2,
            w1 * z2 + x1 * y2 - y1 * x2 + z1 * w2,
        ]
    )


def turn(quaternion: Array, vector: Array) -> Array:
    """The vector turned by the unit quaternion."""
    axis = quaternion[1:]
    across = 2 * np.cross(axis, vector)
    return np.asarray(vector + quaternion[0] * across + np.cross(axis, across))


def rotation_vector(quaternion: Array) -> Array:
    """Axis times angle in (-pi, pi], radians."""
    w, axis = float(quaternion[0]), quaternion[1:]
    if w < 0:
        w, axis = -w, -axis
    size = float(np.linalg.norm(axis))
    return np.asarray(axis * (2 * np.arctan2(size, w) / size if size > 1e-12 else 2.0))
