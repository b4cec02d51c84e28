"""Pairs with a ring: a torus is its circle, rounded by the minor radius.

Point to circle and plane to circle have closed forms. Against a segment, a box or another circle the nearest
parameter is searched without gradient; the derivative of the least value needs nothing more (Danskin), that of the
nearest points follows from one Newton step on the parameter: d parameter = -d slope / curvature.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from worldsim.physics.geometry.points import box_distance, circle_distance
from worldsim.physics.geometry.round import segment_half
from worldsim.physics.geometry.search import minimise
from worldsim.physics.geometry.types import PairDistance, Posed, inflate, rounded
from worldsim.physics.geometry.vectors import direction, dot, unit_axis
from worldsim.physics.rotation import rotate, rotate_inverse


def _nearest_on_circle(p: Tensor, major: Tensor) -> Tensor:
    """The point of the circle about z that is nearest to (..., 3) points; points on the axis go to x."""
    flat = torch.stack([p[..., 0], p[..., 1], torch.zeros_like(p[..., 2])], -1)
    return major[..., None] * direction(flat, unit_axis(p, 0))


def ring_point(a: Posed, point: Tensor, radius: Tensor) -> PairDistance:
    """A ring and the ball of some radius around a (..., 3) world point."""
    circle = a.to_world(_nearest_on_circle(a.to_body(point), a.size[..., 0]))
    return rounded(circle, point, a.size[..., 1], radius, a.axis(2))


def ring_sphere(a: Posed, b: Posed) -> PairDistance:
    """A ring and a ball."""
    return ring_point(a, b.position, b.size[..., 0])


def _curvature(p: Tensor, major: Tensor, velocity: Tensor, acceleration: Tensor) -> tuple[Tensor, Tensor]:
    """Slope and curvature of the distance to a circle about z along a path through p."""
    distance, normal = circle_distance(p, major, torch.zeros_like(major))
    slope = dot(normal, velocity)
    with torch.no_grad():
        rho = (p[..., 0].square() + p[..., 1].square()).sqrt().clamp_min(torch.finfo(p.dtype).tiny)
        around = (p[..., 0] * velocity[..., 1] - p[..., 1] * velocity[..., 0]) / rho
        flat = dot(velocity, velocity) - around.square() - slope.square()
        bent = flat + (rho - major) / rho * around.square()
        curvature = bent / distance.clamp_min(torch.finfo(p.dtype).eps * major) + dot(normal, acceleration)
    return slope, curvature


def _attach(parameter: Tensor, slope: Tensor, curvature: Tensor, free: Tensor) -> Tensor:
    """One Newton step: makes the searched parameter exact, and gives it the derivative that its slope's zero has."""
    safe = torch.where(free, curvature, 1.0)
    return parameter - torch.where(free, slope / safe, 0.0)


def _settled(slope: Tensor, curvature: Tensor, scale: Tensor) -> Tensor:
    """Whether a minimum is smooth: no slope left, and curved upwards."""
    level = 1e-5 if slope.dtype == torch.float64 else 2e-2
    return (slope.detach().abs() <= level * scale) & (curvature > 1e-6 * scale)


def ring_capsule(a: Posed, b: Posed) -> PairDistance:
    """A ring and a capsule: searched along the segment, with the circle's distance in closed form."""
    centre = a.to_body(b.position)
    half = rotate_inverse(a.orientation, segment_half(b))
    major = a.size[..., 0]
    leading = torch.broadcast_shapes(centre.shape[:-1], half.shape[:-1], major.shape)
    centre, half, major = centre.expand(*leading, 3), half.expand(*leading, 3), major.expand(leading)

    def distance(s: Tensor) -> Tensor:
        p = centre[..., None, :] + s[..., None] * half[..., None, :]
        return circle_distance(p, major[..., None], torch.zeros_like(major[..., None])).distance

    s = minimise(distance, -1.0, 1.0, False, major)
    p = centre + s[..., None] * half
    slope, curvature = _curvature(p, major, half, torch.zeros_like(half))
    scale = dot(half, half).sqrt().detach()
    s = _attach(s, slope, curvature, _settled(slope, curvature, scale) & (s.abs() < 1))
    return ring_point(a, a.to_world(centre + s[..., None] * half), b.size[..., 0])


def _circle(centre: Tensor, x: Tensor, y: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    """Point and velocity of a circle centre + x cos + y sin; centre, x, y (..., 3), angle (...)."""
    cosine, sine = torch.cos(angle)[..., None], torch.sin(angle)[..., None]
    return centre + x * cosine + y * sine, y * cosine - x * sine


def _circle_in(frame: Posed, ring: Posed) -> tuple[Tensor, Tensor, Tensor]:
    """Centre and two radius vectors of a ring's circle in the body frame of another shape."""
    major = ring.size[..., 0:1]
    centre = frame.to_body(ring.position)
    x = rotate_inverse(frame.orientation, major * ring.axis(0))
    y = rotate_inverse(frame.orientation, major * ring.axis(1))
    centre, x, y = torch.broadcast_tensors(centre, x, y)
    return centre, x, y


def ring_ring(a: Posed, b: Posed) -> PairDistance:
    """Two rings: searched around the circle of b, with the distance to the circle of a in closed form."""
    centre, x, y = _circle_in(a, b)
    major = a.size[..., 0]

    def distance(angle: Tensor) -> Tensor:
        p, _ = _circle(centre[..., None, :], x[..., None, :], y[..., None, :], angle)
        return circle_distance(p, major[..., None], torch.zeros_like(major[..., None])).distance

    angle = minimise(distance, -math.pi, math.pi, True, centre[..., 0] + 0 * major)
    p, velocity = _circle(centre, x, y, angle)
    slope, curvature = _curvature(p, major + 0 * p[..., 0], velocity, centre - p)
    scale = dot(velocity, velocity).sqrt().detach()
    angle = _attach(angle, slope, curvature, _settled(slope, curvature, scale))
    p, _ = _circle(centre, x, y, angle)
    return ring_point(a, a.to_world(p), b.size[..., 1])


def ring_box(a: Posed, b: Posed, extents: Tensor, radius: Tensor) -> PairDistance:
    """A ring and a box of half `extents` rounded by `radius`: the circle's deepest point in the box's distance.

    Where the circle cuts an edge of the box, its deepest point lies where two faces are equally near. That point is
    followed, and the normal is the mean of both faces' with the weights that balance their slopes along the circle.
    """
    centre, x, y = _circle_in(b, a)

    def distance(angle: Tensor) -> Tensor:
        p, _ = _circle(centre[..., None, :], x[..., None, :], y[..., None, :], angle)
        return box_distance(p, extents[..., None, :], False).distance

    like = centre[..., 0] + 0 * extents[..., 0]
    candidates = _deepest_inside(centre, x, y, extents)
    angle = minimise(distance, -math.pi, math.pi, True, like, candidates=candidates)
    p, velocity = _circle(centre, x, y, angle)
    _, normal = box_distance(p, extents, False)
    slope = dot(normal, velocity)
    with torch.no_grad():
        outside = (p.abs() - extents).clamp_min(0)
        gap = dot(outside, outside).sqrt()
        bent = (velocity * (outside > 0)).square().sum(-1) - slope.square()
        bent = torch.where(gap > 0, bent / torch.where(gap > 0, gap, 1.0), 0.0)
        curvature = bent + dot(normal, centre - p)
        scale = dot(velocity, velocity).sqrt()
    step, steepness, _, ridge = _ridge(p, velocity, extents, scale)
    angle = torch.where(
        ridge,
        _attach(angle, step, steepness, ridge),
        _attach(angle, slope, curvature, _settled(slope, curvature, scale)),
    )
    p, velocity = _circle(centre, x, y, angle)
    core, normal = box_distance(p, extents, False)
    _, _, mixed, _ = _ridge(p, velocity, extents, scale)
    normal = torch.where(ridge[..., None], direction(mixed, normal), normal)
    toward = rotate(b.orientation, -normal)
    circle = b.to_world(p)
    return inflate(
        PairDistance(core, toward, circle, circle + core[..., None] * toward), a.size[..., 1], radius + 0 * core
    )


def _ridge(p: Tensor, velocity: Tensor, extents: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The two faces nearest to a point in a box, along a path through it.

    Returns:
        By how much the first is nearer (...), the rate at which that changes (...), the sum of both normals weighted
        so that their slopes balance (..., 3), and whether the path is deepest where both are equally near (...).
    """
    heights = p.abs() - extents
    sign = torch.where(p >= 0, 1.0, -1.0).to(p.dtype)
    top = heights.detach().topk(2, -1).indices
    pair = torch.gather(heights, -1, top)
    slopes = torch.gather(sign * velocity, -1, top)
    lead = pair[..., 0] - pair[..., 1]
    level = 1e-6 if p.dtype == torch.float64 else 2e-3
    opposed = slopes[..., 0] * slopes[..., 1] < 0
    ridge = (pair[..., 0] < 0) & (lead.detach() < level * scale) & opposed.detach()
    rate = torch.where(ridge, slopes[..., 0] - slopes[..., 1], 1.0)
    first = torch.where(ridge, -slopes[..., 1] / rate, 1.0)
    mixed = torch.zeros_like(p).scatter(-1, top, torch.stack([first, 1 - first], -1)) * sign
    return lead, rate.detach(), mixed, ridge


@torch.no_grad()
def _deepest_inside(centre: Tensor, x: Tensor, y: Tensor, extents: Tensor) -> Tensor:
    """(..., 36) angles among which the deepest point of a circle inside a box is found.

    Inside, the distance is the largest of six heights over faces, each A + B cos + C sin: it is least at the least
    point of one of them or where two of them cross.
    """
    constant = torch.cat([centre - extents, -centre - extents], -1)
    cosine, sine = torch.cat([x, -x], -1), torch.cat([y, -y], -1)
    least = torch.atan2(-sine, -cosine)
    first, second = torch.triu_indices(6, 6, 1, device=x.device)
    a, b, c = (term[..., first] - term[..., second] for term in (constant, cosine, sine))
    amplitude = (b.square() + c.square()).sqrt().clamp_min(torch.finfo(x.dtype).tiny)
    away = torch.arccos((-a / amplitude).clamp(-1, 1))
    peak = torch.atan2(c, b)
    leading = torch.broadcast_shapes(least.shape[:-1], peak.shape[:-1])
    return torch.cat([part.expand(*leading, part.shape[-1]) for part in (least, peak + away, peak - away)], -1)
