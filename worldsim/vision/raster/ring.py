"""Rings as pictures: tori, hole and all."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from worldsim.vision.raster.round import Rays, Surface, round_brightness, thick

_SAMPLES = 16
_NEWTON_STEPS = 4


class _Circle(NamedTuple):
    """The middle of the tube: centre + first cos + second sin, (M, n, 3) each, camera axes, metres."""

    centre: Tensor
    first: Tensor
    second: Tensor

    def at(self, cosine: Tensor, sine: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Coordinates of points of the circle."""
        centre, first, second = self
        x, y, z = (centre[..., i, None] + cosine * first[..., i, None] + sine * second[..., i, None] for i in range(3))
        return x, y, z

    def tangent(self, cosine: Tensor, sine: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Derivative of `at` by the angle."""
        x, y, z = (cosine * self.second[..., i, None] - sine * self.first[..., i, None] for i in range(3))
        return x, y, z


def _offset(rays: Rays, point: tuple[Tensor, Tensor, Tensor]) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
    """From points to the nearest points of rays, (M, n, P) x, y, z each, and the depth of the latter."""
    ax, ay, az = point
    if rays.view.orthographic:
        return (rays.x - ax, rays.y - ay, torch.zeros_like(az)), az
    depth = (ax * rays.x + ay * rays.y + az) / rays.square
    return (depth * rays.x - ax, depth * rays.y - ay, depth - az), depth


def _along(rays: Rays, vector: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Dot product with the rays' directions."""
    if rays.view.orthographic:
        return vector[2]
    return vector[0] * rays.x + vector[1] * rays.y + vector[2]


def _newton_step(rays: Rays, circle: _Circle, angle: Tensor, floor: Tensor) -> Tensor:
    """One step towards the angle of least distance between ray and circle.

    With w from the circle's point a to the ray, across the ray, half the squared distance has slope -w . a' and
    curvature |a'|^2 - (a' . d)^2 / |d|^2 - w . a''. The curvature is held fixed, so that a step from the solution has
    the derivative of the implicit function.
    """
    cosine, sine = angle.cos(), angle.sin()
    point, tangent = circle.at(cosine, sine), circle.tangent(cosine, sine)
    w, _ = _offset(rays, point)
    slope = -(w[0] * tangent[0] + w[1] * tangent[1] + w[2] * tangent[2])
    with torch.no_grad():
        length = tangent[0] ** 2 + tangent[1] ** 2 + tangent[2] ** 2
        bend = sum(w[i] * (point[i] - circle.centre[..., i, None]) for i in range(3))  # a'' = centre - a
        curvature = length - _along(rays, tangent) ** 2 / rays.square + bend
        curvature = torch.maximum(curvature.abs(), floor)
    return angle - (slope / curvature).clamp(-0.2, 0.2)


@torch.no_grad()
def _nearest_angle(rays: Rays, circle: _Circle, minor: Tensor, floor: Tensor) -> Tensor:
    """(M, n, P) angle of the circle's point nearest to each ray: the best of even samples, then Newton steps."""
    circle = _Circle(*(value.detach() for value in circle))
    pixels = torch.broadcast_to(rays.x, (*circle.centre.shape[:2], rays.x.shape[-1]))
    best, angle = torch.full_like(pixels, math.inf), torch.zeros_like(pixels)
    for k in range(_SAMPLES):
        phi = 2 * math.pi * k / _SAMPLES
        cosine, sine = torch.full_like(pixels[..., :1], math.cos(phi)), torch.full_like(pixels[..., :1], math.sin(phi))
        point = circle.at(cosine, sine)
        (wx, wy, wz), _ = _offset(rays, point)
        # Of two places equally near to the ray (a ring seen edge on) the one in front counts.
        ahead = point[2] - circle.centre[..., 2:]
        square = wx * wx + wy * wy + wz * wz + 1e-3 * minor.detach() * ahead
        angle = torch.where(square < best, phi, angle)
        best = torch.minimum(square, best)
    for _ in range(_NEWTON_STEPS):
        angle = _newton_step(rays, circle, angle, floor)
    return angle


def ring_surface(rays: Rays, centre: Tensor, rotation: Tensor, size: Tensor) -> Surface:
    """Rings: tori around the body's z axis. The outline, hole included, is where the ray's distance to the circle is r.

    The nearest point of the circle is sought without gradient; one more Newton step carries the derivative. Depth
    takes the tube as a cylinder along the circle's tangent, which is good to about the minor radius squared over the
    major one, less so where a ring seen edge on lies behind itself.

    Args:
        rays: Of the pixels.
        centre: (M, n, 3) metres, camera axes.
        rotation: (M, n, 3, 3) from body to camera axes.
        size: (M, n, 3) major and minor radius first, metres.
    """
    major, minor = size[..., :1], size[..., 1:2]
    circle = _Circle(centre, rotation[..., 0] * major, rotation[..., 1] * major)
    floor = (0.05 * major * major).detach()
    angle = _newton_step(rays, circle, _nearest_angle(rays, circle, minor, floor), floor)
    cosine, sine = angle.cos(), angle.sin()
    offset, depth = _offset(rays, circle.at(cosine, sine))
    distance, half_chord = thick(rays, offset, depth, minor)
    # Where the ray enters the tube; the entry lies on the ball around the core there, as for capsules.
    slant = (_along(rays, circle.tangent(cosine, sine)) * rays.inverse_length / major).clamp(-0.98, 0.98)
    angle = angle - half_chord * slant * (1 - slant * slant).rsqrt() / major
    offset, depth = _offset(rays, circle.at(angle.cos(), angle.sin()))
    _, half_chord = thick(rays, offset, depth, minor)
    return Surface(
        distance, depth - half_chord * rays.inverse_length, round_brightness(rays, offset, half_chord, minor)
    )
