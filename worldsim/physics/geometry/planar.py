"""Convex outlines in the xz-plane: rectangles, segments, points and polygons, exact apart and overlapping.

Overlapping, the edge normal of largest separation gives the distance (separating axes); apart, the nearest pair of a
vertex of one and an edge of the other does. Which feature is taken carries no gradient; what follows from it does.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from worldsim.physics.geometry.round import plane_pair
from worldsim.physics.geometry.segments import on_segment
from worldsim.physics.geometry.types import PairDistance, Posed, choose
from worldsim.physics.geometry.vectors import direction, dot, length_along, pick, tiny


class Outline(NamedTuple):
    """A convex outline in world coordinates x, z.

    Attributes:
        points: (..., n, 2) corners, metres.
        starts: (..., m, 2) where edges begin, metres; None for a point.
        ends: (..., m, 2) where edges end, metres; None for a point.
        normals: (..., k, 2) outward unit normals; None for a point.
        bases: (..., k, 2) a point on the line across each normal, metres; None for a point.
        real: (..., k) False for the edges of no length that pad a polygon; None for a point.
    """

    points: Tensor
    starts: Tensor | None = None
    ends: Tensor | None = None
    normals: Tensor | None = None
    bases: Tensor | None = None
    real: Tensor | None = None


def _flat(v: Tensor) -> Tensor:
    return v[..., [0, 2]]


def _lift(v: Tensor) -> Tensor:
    return torch.stack([v[..., 0], torch.zeros_like(v[..., 0]), v[..., 1]], -1)


def _turned(v: Tensor) -> Tensor:
    """The right-hand side of a direction, outward for a counter-clockwise edge."""
    return torch.stack([v[..., 1], -v[..., 0]], -1)


def point_outline(shape: Posed) -> Outline:
    """The centre of a disc."""
    return Outline(_flat(shape.position)[..., None, :])


def segment_outline(shape: Posed) -> Outline:
    """A capsule's segment, as a rectangle of no width."""
    centre, along = _flat(shape.position), _flat(shape.axis(2))
    half = shape.size[..., 1:2] * along
    low, high = centre - half, centre + half
    across = _turned(along)
    low, high, along, across = torch.broadcast_tensors(low, high, along, across)
    normals = torch.stack([across, -across, along, -along], -2)
    return Outline(
        points=torch.stack([low, high], -2),
        starts=low[..., None, :],
        ends=high[..., None, :],
        normals=normals,
        bases=torch.stack([high, low, high, low], -2),
        real=torch.ones_like(normals[..., 0], dtype=torch.bool),
    )


def polygon_outline(shape: Posed, vertices: Tensor) -> Outline:
    """A polygon from (..., K, 2) counter-clockwise body vertices, the last one repeated as padding."""
    x, z = _flat(shape.axis(0)), _flat(shape.axis(2))
    points = (
        _flat(shape.position)[..., None, :]
        + vertices[..., 0:1] * x[..., None, :]
        + vertices[..., 1:2] * z[..., None, :]
    )
    # Lengths are taken in the body frame, so that a padding edge is recognised exactly.
    body_edge = vertices.roll(-1, -2) - vertices
    real = (dot(body_edge, body_edge) > 0).expand(points.shape[:-1])
    ends = points.roll(-1, -2)
    edge = torch.where(real[..., None], ends - points, 1.0)
    normals = _turned(edge / dot(edge, edge).sqrt()[..., None])
    return Outline(points, points, ends, normals, points, real)


def box_vertices(extents: Tensor) -> Tensor:
    """(..., 4, 2) corners of a rectangle of half extents (..., 3), counter-clockwise."""
    x, z = extents[..., 0], extents[..., 2]
    return torch.stack([torch.stack([i * x, j * z], -1) for i, j in ((-1, -1), (1, -1), (1, 1), (-1, 1))], -2)


def outline_distance(a: Outline, b: Outline) -> PairDistance:
    """Signed distance of two outlines, of which one has area, or both are segments."""
    leading = torch.broadcast_shapes(a.points.shape[:-2], b.points.shape[:-2])
    a, b = _spread(a, leading), _spread(b, leading)
    deep = _overlapping(a, b)
    apart = _apart(a, b, deep.normal.detach())
    core = choose((deep.distance > 0) & (apart.distance > tiny(deep.distance)), apart, deep)
    return PairDistance(core.distance, _lift(core.normal), _lift(core.witness_a), _lift(core.witness_b))


def _spread(outline: Outline, leading: torch.Size) -> Outline:
    """The outline with leading axes broadcast; `real` is the only field without an axis for x and z."""

    def expand(tensor: Tensor | None, kept: int = 2) -> Tensor | None:
        return None if tensor is None else tensor.expand(*leading, *tensor.shape[-kept:])

    return Outline(
        points=outline.points.expand(*leading, *outline.points.shape[-2:]),
        starts=expand(outline.starts),
        ends=expand(outline.ends),
        normals=expand(outline.normals),
        bases=expand(outline.bases),
        real=expand(outline.real, kept=1),
    )


def _overlapping(a: Outline, b: Outline) -> PairDistance:
    options = []
    for owner, other, sign in ((a, b, 1.0), (b, a, -1.0)):
        if owner.normals is None or owner.bases is None:
            continue
        with torch.no_grad():
            heights = dot(owner.normals[..., :, None, :], other.points[..., None, :, :] - owner.bases[..., :, None, :])
            assert owner.real is not None
            face = torch.where(owner.real, heights.amin(-1), -torch.inf).argmax(-1)
        normal, base = pick(owner.normals, face), pick(owner.bases, face)
        with torch.no_grad():
            vertex = dot(normal[..., None, :], other.points).argmin(-1)
        support = pick(other.points, vertex)
        depth = dot(normal, support - base)
        surface = support - depth[..., None] * normal
        points = (surface, support) if sign > 0 else (support, surface)
        options.append(PairDistance(depth, sign * normal, *points))
    if len(options) == 1:
        return options[0]
    return choose(options[0].distance >= options[1].distance, *options)


def _apart(a: Outline, b: Outline, fallback: Tensor) -> PairDistance:
    options = []
    for vertices, edges, swap in ((a, b, False), (b, a, True)):
        if edges.starts is None or edges.ends is None:
            continue
        centres, halves = (edges.starts + edges.ends) / 2, (edges.ends - edges.starts) / 2
        count = halves.shape[-2]
        with torch.no_grad():
            points = vertices.points[..., :, None, :]
            gaps = on_segment(points, centres[..., None, :, :], halves[..., None, :, :]) - points
            nearest = dot(gaps, gaps).flatten(-2).argmin(-1)
        point = pick(vertices.points, nearest // count)
        foot = on_segment(point, pick(centres, nearest % count), pick(halves, nearest % count))
        first, second = (foot, point) if swap else (point, foot)
        distance, normal = length_along(second - first, fallback)
        options.append(PairDistance(distance, normal, first, second))
    if len(options) == 1:
        return options[0]
    return choose(options[0].distance <= options[1].distance, *options)


def plane_polygon(plane: Posed, polygon: Posed, vertices: Tensor) -> PairDistance:
    """A half-space, its normal in the xz-plane, and a polygon."""
    outline = _lift(polygon_outline(polygon, vertices).points)
    normal = direction(plane.axis(2), plane.axis(2))
    with torch.no_grad():
        lowest = dot(normal[..., None, :], outline).argmin(-1)
    support = pick(outline, lowest)
    return plane_pair(plane, support, torch.zeros_like(support[..., 0]), normal)
