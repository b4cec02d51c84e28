"""Spheres and capsules as pictures, and what they share with rings: a core (point, segment, circle) with a radius.

A ray meets such a body where its distance q to the core is below the radius r, so the outline is q = r, exactly, in
both kinds of view. Moving the ray across the picture by one image-plane unit moves its nearest point by the depth of
that point (perspective) or by one (orthographic), so (q - r) over that rate is the distance to the outline in the
picture, exact to first order at the outline and exact everywhere in an orthographic view.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from worldsim.scene import light
from worldsim.vision.raster.view import View

# Relative to the radius: keeps square roots differentiable on the axis of a body and at its limb.
_SOFT = 1e-2


class Surface(NamedTuple):
    """What pictures say of bodies, before anything hides anything.

    Attributes:
        distance: (M, n, P) signed distance to the outline in pixels, negative inside.
        depth: (M, n, P) metres along the line of sight of the first surface; near the body's centre outside of it.
        brightness: (M, n, P) light that the surface sends back, as a share of its colour; see worldsim.scene.light.
    """

    distance: Tensor
    depth: Tensor
    brightness: Tensor


class Rays(NamedTuple):
    """Rays of the pixels of M pictures, or of all pictures alike (leading 1).

    Attributes:
        view: The cameras, time folded in.
        points: (M, 3, P) homogeneous image-plane coordinates (x, y, 1).
        x: (M, 1, P).
        y: (M, 1, P).
        square: (M, 1, P) squared length of the ray's direction: x^2 + y^2 + 1 (perspective), 1 (orthographic).
        inverse_length: (M, 1, P) one over the length.
        focal: (M, 1, 1) pixels a unit of the image plane.
        lights: (M, 1, 3) unit vectors towards lamp and sun, camera axes; empty where colours are flat.
    """

    view: View
    points: Tensor
    x: Tensor
    y: Tensor
    square: Tensor
    inverse_length: Tensor
    focal: Tensor
    lights: tuple[Tensor, ...]

    @staticmethod
    def of(view: View, lit: bool) -> Rays:
        """The rays through all pixel centres, and the lights where surfaces are lit."""
        points = view.plane_points()
        x, y = points[:, :1], points[:, 1:2]
        square = torch.ones_like(x) if view.orthographic else x.square() + y.square() + 1
        lights = []
        for direction in (light.LAMP_DIRECTION, light.SUN_DIRECTION) if lit else ():
            towards = -torch.tensor(direction, dtype=x.dtype, device=x.device)
            lights.append(view.turn((towards / towards.norm()).expand(view.rotation.shape[0], 1, 3)))
        return Rays(view, points, x, y, square, square.rsqrt(), view.focal[:, None, None], tuple(lights))

    def part(self, start: int, stop: int) -> Rays:
        """The rays of some of the pictures; rays that all pictures share stay as they are."""
        if self.x.shape[0] == 1:
            return self
        values = (self.points, self.x, self.y, self.square, self.inverse_length, self.focal)
        points, x, y, square, inverse_length, focal = (value[start:stop] for value in values)
        lights = tuple(towards[start:stop] for towards in self.lights)
        return Rays(self.view, points, x, y, square, inverse_length, focal, lights)

    def along(self, vector: Tensor) -> Tensor:
        """Dot product of ray directions with (M, n, 3) vectors in camera axes: (M, n, P)."""
        if self.view.orthographic:
            return vector[..., 2:]
        return torch.matmul(vector, self.points)

    def brightness(self, cosine: Callable[[Tensor], Tensor]) -> Tensor:
        """Light that a matt surface sends back (Lambert), without shadows; one where colours are flat.

        Args:
            cosine: Gives the (M, n, P) dot product of the surface's normals with (M, 1, 3) directions in camera axes.
        """
        if not self.lights:
            return torch.ones_like(self.x)
        lamp, sun = (torch.relu(cosine(towards)) for towards in self.lights)
        return light.AMBIENT + light.LAMP * lamp + light.SUN * sun


def thick(rays: Rays, offset: tuple[Tensor, Tensor, Tensor], depth: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
    """Signed pixel distance and half chord of a ball whose centre is the core's nearest point.

    Args:
        rays: Of the pixels.
        offset: (M, n, P) each: x, y, z from the core's nearest point to the ray's nearest point, metres.
        depth: (M, n, P) depth of the ray's nearest point, metres.
        radius: (M, n, 1) metres.
    """
    wx, wy, wz = offset
    across = wx * wx + wy * wy
    tiny = (_SOFT * _SOFT * 1e-4) * radius * radius
    square = across + wz * wz if not rays.view.orthographic else across
    gap = (square + tiny).sqrt()
    outside = gap - radius
    if rays.view.orthographic:
        distance = outside * rays.focal
    else:
        # d gap / d (image plane) = depth |w_xy| / |w|; depth is kept off zero for rays that point away.
        distance = outside * gap * rays.focal * ((across + tiny).rsqrt() / depth.clamp_min(rays.view.near))
    half_chord = (torch.relu(radius * radius - square) + (_SOFT * radius) ** 2).sqrt()
    return distance, half_chord


def round_brightness(rays: Rays, offset: tuple[Tensor, Tensor, Tensor], half_chord: Tensor, radius: Tensor) -> Tensor:
    """(M, n, P) brightness where a ray enters a ball around the core's nearest point; arguments as of `thick`."""

    def cosine(towards: Tensor) -> Tensor:
        x, y, z = (towards[..., i, None] for i in range(3))
        beside = offset[0] * x + offset[1] * y + offset[2] * z
        return (beside - half_chord * (rays.along(towards) * rays.inverse_length)) / radius

    return rays.brightness(cosine)


def sphere_surface(rays: Rays, centre: Tensor, size: Tensor) -> Surface:
    """Spheres. In perspective the outline is the exact ellipse.

    Args:
        rays: Of the pixels.
        centre: (M, n, 3) metres, camera axes.
        size: (M, n, 3) radius first, metres.
    """
    radius = size[..., :1]
    cx, cy, cz = centre.unbind(-1)
    cx, cy, cz = cx[..., None], cy[..., None], cz[..., None]
    if rays.view.orthographic:
        offset = (rays.x - cx, rays.y - cy, torch.zeros_like(cx))
        depth = cz
    else:
        depth = rays.along(centre) / rays.square
        offset = (depth * rays.x - cx, depth * rays.y - cy, depth - cz)
    distance, half_chord = thick(rays, offset, depth, radius)
    return Surface(
        distance, depth - half_chord * rays.inverse_length, round_brightness(rays, offset, half_chord, radius)
    )


def capsule_surface(rays: Rays, centre: Tensor, axis: Tensor, size: Tensor) -> Surface:
    """Capsules: segments along the body's z axis, rounded.

    Args:
        rays: Of the pixels.
        centre: (M, n, 3) metres, camera axes.
        axis: (M, n, 3) unit, camera axes.
        size: (M, n, 3) radius and half length first, metres.
    """
    radius, half = size[..., :1], size[..., 1:2]
    cx, cy, cz = (value[..., None] for value in centre.unbind(-1))
    kx, ky, kz = (value[..., None] for value in axis.unbind(-1))
    # Nearest points of the segment c + t k and the line through the eye along d: t minimises |c + t k|^2 across d.
    if rays.view.orthographic:
        dk = kz
        across = 1 - kz * kz
        numerator = (rays.x - cx) * kx + (rays.y - cy) * ky
    else:
        dc, dk = rays.along(centre), rays.along(axis)
        ratio = dk / rays.square
        across = 1 - dk * ratio
        numerator = dc * ratio - (centre * axis).sum(-1, keepdim=True)
    across = across + 1e-6  # a capsule seen end on has no single nearest point: take its middle
    at = numerator / across
    t = torch.minimum(torch.maximum(at, -half), half)

    def ray_point(t: Tensor) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
        ax, ay, az = cx + t * kx, cy + t * ky, cz + t * kz
        if rays.view.orthographic:
            return (rays.x - ax, rays.y - ay, torch.zeros_like(t)), az
        depth = (dc + t * dk) / rays.square
        return (depth * rays.x - ax, depth * rays.y - ay, depth - az), depth

    offset, depth = ray_point(t)
    distance, _ = thick(rays, offset, depth, radius)
    # The ray enters the infinite cylinder before its nearest point; the entry lies on the ball around the core there.
    offset, _ = ray_point(at)
    square = offset[0] ** 2 + offset[1] ** 2 + offset[2] ** 2
    chord = (torch.relu(radius * radius - square) + (_SOFT * radius) ** 2).sqrt()
    back = chord * dk * rays.inverse_length * across.rsqrt()
    entry = torch.minimum(torch.maximum(at - back, -half), half)
    offset, depth = ray_point(entry)
    _, half_chord = thick(rays, offset, depth, radius)
    return Surface(
        distance, depth - half_chord * rays.inverse_length, round_brightness(rays, offset, half_chord, radius)
    )
