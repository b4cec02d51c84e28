"""Outlines of convex bodies: the hull of projected corners and the signed pixel distance to it.

Which corners make the outline is chosen without gradient; the outline is then rebuilt from those corners, so that the
distance has its exact derivative wherever it has one (Danskin).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

# Corners closer than this, relative to the size of the set, count as one.
_SAME = 1e-5
# Turning angle (radians) below which a corner counts as straight ahead.
_STRAIGHT = 1e-6


def clip_to_depth(start: Tensor, end: Tensor, depth: float) -> Tensor:
    """The end points of segments after cutting away what is nearer than a depth.

    Args:
        start: (..., E, 3) metres, camera axes.
        end: (..., E, 3) metres, camera axes.
        depth: Metres along the line of sight.

    Returns:
        (..., 2 E, 3) points at that depth or beyond. A segment that is wholly nearer gives the farthest point of the
        whole set twice, which changes no hull; where everything is nearer the result is put at the depth.
    """
    both = torch.cat([start, end], -2)
    other = torch.cat([end, start], -2)
    here, there = both[..., 2] - depth, other[..., 2] - depth
    crosses = (here < 0) & (there > 0)
    gap = torch.where(crosses, there - here, 1.0)
    share = torch.where(crosses, -here / gap, 0.0)
    clipped = both + share[..., None] * (other - both)
    farthest = both[..., 2].argmax(-1)[..., None, None].expand(*both.shape[:-2], 1, 3)
    spare = torch.gather(both, -2, farthest)
    lost = (here < 0) & (there <= 0)
    clipped = torch.where(lost[..., None], spare, clipped)
    return torch.cat([clipped[..., :2], clipped[..., 2:].clamp_min(depth)], -1)


@torch.no_grad()
def hull_order(points: Tensor, count: int) -> Tensor:
    """Corners of the convex hull in order, by gift wrapping with a fixed number of turns (Jarvis 1973).

    Args:
        points: (..., V, 2).
        count: How many corners to return, at least as many as the hull has; the walk goes round again after the last.

    Returns:
        (..., count) indices, turning from x towards y.
    """
    points = points.detach().double()
    size = (points.amax(-2) - points.amin(-2)).amax(-1)[..., None].clamp_min(1e-300)
    index = points[..., 1].argmin(-1)
    heading = torch.zeros_like(points[..., 0, 0])
    order = []
    for _ in range(count):
        order.append(index)
        here = torch.gather(points, -2, index[..., None, None].expand(*index.shape, 1, 2))
        offset = points - here
        length = torch.linalg.vector_norm(offset, dim=-1)
        bearing = torch.atan2(offset[..., 1], offset[..., 0])
        turn = torch.remainder(bearing - heading[..., None] + _STRAIGHT, 2 * math.pi) - _STRAIGHT
        # Of corners straight behind one another the farthest is taken.
        score = torch.where(length > _SAME * size, turn - _STRAIGHT * length / size, math.inf)
        index = score.argmin(-1)
        heading = torch.gather(bearing, -1, index[..., None]).squeeze(-1)
    return torch.stack(order, -1)


def arg_largest(values: Tensor) -> Tensor:
    """(M, n, P) index of the largest over axis 2 of (M, n, K, P); passes over memory in order, unlike argmax."""
    largest = values[:, :, 0].clone()
    index = torch.zeros_like(largest, dtype=torch.int64)
    for k in range(1, values.shape[2]):
        layer = values[:, :, k]
        index.masked_fill_(layer > largest, k)
        torch.maximum(largest, layer, out=largest)
    return index


def convex_distance(points: Tensor, count: int, at: Tensor) -> Tensor:
    """Signed Euclidean distance to the convex hull of points, negative inside.

    The edge whose line is farthest outwards touches the nearest point of the outline, inside and outside, so only one
    edge a pixel has to be measured.

    Args:
        points: (M, n, V, 2).
        count: The most corners the hull can have.
        at: (1 or M, 3, P) homogeneous coordinates (x, y, 1) of the places asked for, in the unit of `points`.

    Returns:
        (M, n, P) in the unit of `points`.
    """
    order = hull_order(points, count + 1)
    corners = torch.gather(points, -2, order[..., None].expand(*order.shape, 2))
    corner, edge = corners[..., :-1, :], corners[..., 1:, :] - corners[..., :-1, :]
    square = edge.square().sum(-1)
    whole = square > 1e-24
    length = torch.where(whole, square, 1.0).sqrt()
    tangent = edge / length[..., None]
    tx, ty = tangent.unbind(-1)
    # Turning from x towards y, the outside lies towards (ty, -tx).
    offset = ty * corner[..., 0] - tx * corner[..., 1]
    middle = tx * corner[..., 0] + ty * corner[..., 1] + length / 2
    with torch.no_grad():
        lines = torch.stack([ty, -tx, torch.where(whole, -offset, -math.inf)], -1).detach().flatten(1, 2)
        best = arg_largest(torch.matmul(lines, at).unflatten(1, corner.shape[1:3]))
    nearest = [torch.gather(value, -1, best) for value in (tx, ty, offset, middle, length)]
    tx, ty, offset, middle, length = nearest
    x, y = at[:, :1], at[:, 1:2]
    across = ty * x - tx * y - offset
    beyond = torch.relu((tx * x + ty * y - middle).abs() - length / 2)
    corner_region = (beyond > 0) & (across > 0)
    return torch.where(corner_region, torch.where(corner_region, across.square() + beyond.square(), 1.0).sqrt(), across)
