"""Turns of rigid bodies: which look alike, and how to tell them apart from frame to frame."""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch
from torch import Tensor

from worldsim.benchmarks.track import Flags, Floats
from worldsim.physics.rotation import difference, exponential, from_matrix, multiply, rotate
from worldsim.scene import Box, Capsule, Ring, Shape

_SAME = 1e-6  # relative difference of sizes that count as equal


def symmetries(shape: Shape, planar: bool) -> Tensor:
    """(G, 4) turns in the body frame after which a shape covers the same space.

    Those about the axis of a capsule or ring are left out. Polygons count as having none, so that a regular one may
    seem to turn by an nth of the circle.
    """
    if isinstance(shape, Box):
        x, y, z = shape.half_extents
        if planar:
            fold = 4 if abs(x - z) <= _SAME * max(x, z) else 2
            return _about_y([2 * math.pi * i / fold for i in range(fold)])
        turns = []
        for order in itertools.permutations(range(3)):
            sizes = np.array([x, y, z])[list(order)]
            if not np.allclose(sizes, [x, y, z], rtol=_SAME, atol=0):
                continue
            for signs in itertools.product((1.0, -1.0), repeat=3):
                matrix = np.zeros((3, 3))
                matrix[range(3), list(order)] = signs
                if np.linalg.det(matrix) > 0:
                    turns.append(matrix)
        return from_matrix(torch.tensor(np.stack(turns)))
    if isinstance(shape, Capsule | Ring):
        return _about_y([0.0, math.pi])
    return _about_y([0.0])


def _about_y(angles: list[float]) -> Tensor:
    return exponential(torch.tensor([[0.0, angle, 0.0] for angle in angles], dtype=torch.float64))


def continuous(orientation: Floats, known: Flags, alike: Floats) -> Floats:
    """(T, 4) turns, each replaced by the one of those that look alike that is nearest to where the last two lead.

    Frames that are not known take the last known turn.

    Args:
        orientation: (T, 4).
        known: (T,) flags.
        alike: (G, 4), see symmetries.
    """
    frames = np.flatnonzero(known)
    if not len(frames):
        return orientation
    result = orientation.copy()
    step = np.array([1.0, 0.0, 0.0, 0.0])  # of the last interval, for one frame where that was one long
    for last, now in itertools.pairwise(frames):
        options = alike @ _times(orientation[now]).T
        bound = _times(step) @ result[last]
        near = options @ bound
        chosen = options[np.abs(near).argmax()]
        result[now] = chosen if chosen @ result[last] >= 0 else -chosen
        back = result[last] * np.array([1.0, -1.0, -1.0, -1.0])
        step = _times(result[now]) @ back if now - last == 1 else np.array([1.0, 0.0, 0.0, 0.0])
    place = np.maximum.accumulate(np.where(known, np.arange(len(known)), frames[0]))
    return np.asarray(result[place], np.float64)


def reversed_in_depth(orientation: Tensor, ahead: Tensor) -> Tensor:
    """(S, 4) turns half a circle about lines of sight (S, 3): as seen from far away, their outlines are the same.

    A body that looks alike from opposite sides, as box, capsule and ring do, has the outline of its own mirror image in
    depth (Necker 1832); only perspective tells the two apart.
    """
    return multiply(exponential(math.pi * ahead), orientation)


def turned(shape: Shape, first: Tensor, second: Tensor) -> Tensor:
    """(S, 3) least rotation vectors, world frame, from turns (S, 4) to others, of those that look alike.

    Turns about the axis of a capsule or ring, which nothing shows, are left out.
    """
    options = multiply(second[:, None], symmetries(shape, False).to(second))
    if isinstance(shape, Capsule | Ring):
        axis, axes = (rotate(q, torch.eye(3).to(q)[2].expand(*q.shape[:-1], 3)) for q in (first[:, None], options))
        cross = torch.linalg.cross(axis.expand_as(axes), axes)
        sine = cross.norm(dim=-1, keepdim=True)
        ways = cross / sine.clamp_min(1e-12) * torch.atan2(sine, (axis * axes).sum(-1, keepdim=True))
    else:
        ways = difference(first[:, None].expand_as(options), options)
    least: Tensor = ways[torch.arange(len(ways)), ways.norm(dim=-1).argmin(-1)]
    return least


def _times(q: Floats) -> Floats:
    """(4, 4) matrix of Hamilton's product with q from the left."""
    w, x, y, z = q
    return np.array([[w, -x, -y, -z], [x, w, -z, y], [y, z, w, -x], [z, -y, x, w]])
