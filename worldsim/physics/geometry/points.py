"""Signed distance from points to one shape, for contact manifolds and rendering."""

from __future__ import annotations

import torch
from torch import Tensor

from worldsim.physics.geometry.segments import on_segment
from worldsim.physics.geometry.types import PointDistance
from worldsim.physics.geometry.vectors import direction, dot, length_along, pick, tiny, unit_axis


def point_distance(
    kind: str, size: Tensor, vertices: Tensor | None, points_body: Tensor, planar: bool = False
) -> PointDistance:
    """Signed distance from points to a shape, and its gradient, all in the body frame.

    No checks of values, so that it runs under torch.compile. Exact inside and out; on the skeleton of a shape, where
    several surface points are nearest, one of their normals is given.

    Args:
        kind: sphere, box, capsule, plane, polygon or ring.
        size: (..., 3) metres, as Bodies.size.
        vertices: (..., 12, 2) metres, as Bodies.vertices; needed for polygons only.
        points_body: (..., 3) metres; leading axes broadcast against those of size.
        planar: Whether a box is a rectangle in xz. Polygons always are prisms without end along y.

    Returns:
        Distance (...) in metres, negative inside, and the outward unit normal (..., 3).

    Raises:
        ValueError: Where the kind is unknown or a polygon has no vertices.
    """
    p = points_body
    if kind == "sphere":
        distance, normal = length_along(p, unit_axis(p, 2))
        return PointDistance(distance - size[..., 0], normal)
    if kind == "capsule":
        half = size[..., 1:2] * unit_axis(p, 2)
        distance, normal = length_along(p - on_segment(p, torch.zeros_like(p), half), unit_axis(p, 0))
        return PointDistance(distance - size[..., 0], normal)
    if kind == "plane":
        return PointDistance(p[..., 2] + 0 * size[..., 0], unit_axis(p, 2))
    if kind == "ring":
        return circle_distance(p, size[..., 0], size[..., 1])
    if kind == "box":
        return box_distance(p, size, planar)
    if kind == "polygon":
        if vertices is None:
            raise ValueError("vertices: must be given for a polygon, got None")
        flat, normal = polygon_distance(p[..., [0, 2]], vertices)
        return PointDistance(flat, torch.stack([normal[..., 0], torch.zeros_like(flat), normal[..., 1]], -1))
    raise ValueError(f"kind: must be sphere, box, capsule, plane, polygon or ring, got {kind!r}")


def circle_distance(p: Tensor, major: Tensor, minor: Tensor) -> PointDistance:
    """Distance to a torus about z; points on its axis go to x, points on its circle leave along z."""
    x = unit_axis(p, 0)
    flat = torch.stack([p[..., 0], p[..., 1], torch.zeros_like(p[..., 2])], -1)
    circle = major[..., None] * direction(flat, x)
    distance, normal = length_along(p - circle, unit_axis(p, 2))
    return PointDistance(distance - minor, normal)


def box_distance(p: Tensor, extents: Tensor, planar: bool) -> PointDistance:
    """Distance to a box about the origin."""
    if planar:
        keep = torch.tensor([True, False, True], device=p.device)
        p, extents = torch.where(keep, p, 0.0), torch.where(keep, extents, torch.inf)
    outside = p.abs() - extents
    sign = torch.where(p >= 0, 1.0, -1.0).to(p.dtype)
    face = torch.nn.functional.one_hot(outside.detach().argmax(-1), 3).to(p.dtype) * sign
    depth = torch.where(face != 0, outside, 0.0).sum(-1)
    distance, normal = length_along(outside.clamp_min(0) * sign, face)
    apart = outside.amax(-1) > 0
    return PointDistance(torch.where(apart, distance, depth), torch.where(apart[..., None], normal, face))


def polygon_distance(p: Tensor, vertices: Tensor) -> tuple[Tensor, Tensor]:
    """Distance (...) and normal (..., 2) of (..., 2) points to convex counter-clockwise (..., K, 2) vertices."""
    edge = vertices.roll(-1, -2) - vertices
    square = dot(edge, edge)
    real = square > 0
    safe = torch.where(real, square, 1.0)
    normals = torch.stack([edge[..., 1], -edge[..., 0]], -1) / safe.sqrt()[..., None]
    offset = p[..., None, :] - vertices
    heights = torch.where(real, dot(normals, offset), -torch.inf)
    deepest = heights.detach().argmax(-1)
    inside = torch.gather(heights, -1, deepest[..., None]).squeeze(-1)
    face = pick(normals, deepest)
    along = (dot(offset, edge) / safe).clamp(0, 1)
    gaps = offset - along[..., None] * edge
    distance, normal = length_along(pick(gaps, dot(gaps, gaps).detach().argmin(-1)), face)
    apart = (inside > 0) & (distance > tiny(p))
    return torch.where(apart, distance, inside), torch.where(apart[..., None], normal, face)
