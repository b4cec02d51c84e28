"""Pairs whose cores are points and segments, and every pair with a plane but polygon and plane."""

from __future__ import annotations

import torch
from torch import Tensor

from worldsim.physics.geometry.segments import between_segments, on_segment
from worldsim.physics.geometry.types import PairDistance, Posed, rounded
from worldsim.physics.geometry.vectors import direction, dot, perpendicular, unit_axis


def segment_half(capsule: Posed) -> Tensor:
    """(..., 3) from a capsule's centre to the centre of its upper cap, world frame, metres."""
    return capsule.size[..., 1:2] * capsule.axis(2)


def sphere_sphere(a: Posed, b: Posed) -> PairDistance:
    """Two balls; concentric ones part along z."""
    up = unit_axis(a.position, 2)
    return rounded(a.position, b.position, a.size[..., 0], b.size[..., 0], up)


def sphere_capsule(a: Posed, b: Posed, planar: bool) -> PairDistance:
    """A ball and a capsule; a centre on the segment is pushed out across it."""
    half = segment_half(b)
    fallback = direction(in_plane_normal(half), unit_axis(half, 2)) if planar else perpendicular(half)
    return rounded(a.position, on_segment(a.position, b.position, half), a.size[..., 0], b.size[..., 0], fallback)


def in_plane_normal(v: Tensor) -> Tensor:
    """(..., 3) vector v turned by a right angle in the xz-plane."""
    return torch.stack([v[..., 2], torch.zeros_like(v[..., 1]), -v[..., 0]], -1)


def capsule_capsule(a: Posed, b: Posed) -> PairDistance:
    """Two capsules in space; where the segments cross they part across both."""
    half_a, half_b = segment_half(a), segment_half(b)
    point_a, point_b = between_segments(a.position, half_a, b.position, half_b)
    cross = torch.linalg.cross(*torch.broadcast_tensors(half_a, half_b))
    across = direction(cross, perpendicular(half_a))
    forward = dot(across, b.position - a.position)[..., None] >= 0
    return rounded(point_a, point_b, a.size[..., 0], b.size[..., 0], torch.where(forward, across, -across))


def plane_pair(plane: Posed, support: Tensor, radius: Tensor, normal: Tensor) -> PairDistance:
    """A plane and the ball around the support point of another shape against the plane's normal."""
    height = dot(normal, support - plane.position)
    distance = height - radius
    foot = support - height[..., None] * normal
    distance, normal, foot = torch.broadcast_tensors(distance[..., None], normal, foot)
    distance = distance[..., 0]
    return PairDistance(distance, normal, foot, foot + distance[..., None] * normal)


def plane_sphere(a: Posed, b: Posed) -> PairDistance:
    """A half-space and a ball."""
    return plane_pair(a, b.position, b.size[..., 0], a.axis(2))


def plane_capsule(a: Posed, b: Posed) -> PairDistance:
    """A half-space and a capsule; one that lies flat touches in its middle."""
    normal, half = a.axis(2), segment_half(b)
    return plane_pair(a, b.position - settled_sign(dot(normal, half), half) * half, b.size[..., 0], normal)


def plane_box(a: Posed, b: Posed, extents: Tensor, radius: Tensor) -> PairDistance:
    """A half-space and a box of half `extents` (..., 3), rounded; a flat face touches in its middle."""
    normal = a.axis(2)
    halves = extents[..., None] * b.axes()
    signs = settled_sign(dot(normal[..., None, :], halves), halves)
    return plane_pair(a, b.position - (signs * halves).sum(-2), radius, normal)


def plane_ring(a: Posed, b: Posed) -> PairDistance:
    """A half-space and a torus: the lowest point of its circle; a flat one touches in its centre's shadow."""
    normal, axis = a.axis(2), b.axis(2)
    slope = normal - dot(normal, axis)[..., None] * axis
    # The zero fallback puts the support of a flat ring at its centre, which is as low as every point of it.
    lowest = b.position - b.size[..., 0:1] * direction(slope, torch.zeros_like(slope))
    return plane_pair(a, lowest, b.size[..., 1], normal)


def settled_sign(cosine: Tensor, half: Tensor) -> Tensor:
    """(..., 1) sign of n . half, zero where half lies across n up to rounding."""
    level = 4 * torch.finfo(half.dtype).eps * dot(half, half).sqrt()
    return torch.where(cosine.abs() <= level, 0.0, torch.sign(cosine))[..., None].detach()
