"""From pixels to the world: lines of sight of a camera at a video's size, and what they meet."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from worldsim.physics.bodies import Bodies
from worldsim.physics.geometry.points import point_distance
from worldsim.scene import Body, Box, Camera, Capsule, Law, Plane, Polygon, Ring, Setup, Shape

Floats = NDArray[np.float64]


def fit_camera(camera: Camera, height: int, width: int) -> Camera:
    """The same view at a video's size.

    Raises:
        ValueError: Where the shape of the picture differs by more than a pixel.
    """
    if abs(camera.width / camera.height * height - width) > 1:
        raise ValueError(
            f"video: must have the camera's shape of picture, {camera.width} x {camera.height}, got {width} x {height}"
        )
    return replace(camera, width=width, height=height)


def rays(camera: Camera, pixels: Floats) -> tuple[Floats, Floats]:
    """Lines of sight through image points.

    Args:
        camera: Of the video's size.
        pixels: (..., 2) u, v.

    Returns:
        (..., 3) points on the lines in metres, and (..., 3) unit directions, world frame.
    """
    plane = (pixels - np.array([camera.width / 2, camera.height / 2])) / camera.focal
    right, down, forward = camera.rotation
    shift = plane[..., :1] * right + plane[..., 1:] * down
    origin = np.array(camera.position)
    if camera.kind == "orthographic":
        return origin + shift, np.broadcast_to(forward, shift.shape)
    direction = shift + forward
    return np.broadcast_to(origin, shift.shape), direction / np.linalg.norm(direction, axis=-1, keepdims=True)


def on_plane(camera: Camera, pixels: Floats) -> Floats:
    """(..., 3) where lines of sight meet y = 0, metres."""
    origin, direction = rays(camera, pixels)
    return np.asarray(origin - (origin[..., 1:2] / direction[..., 1:2]) * direction, np.float64)


def lift(camera: Camera, pixels: Floats, depth: Floats) -> Floats:
    """(..., 3) points in metres at a depth (...) in metres along the camera's axis."""
    origin, direction = rays(camera, pixels)
    return np.asarray(origin + (depth / (direction @ camera.rotation[2]))[..., None] * direction, np.float64)


def first_hit(body: Body, camera: Camera, pixels: Floats) -> Floats:
    """(E) metres along the lines of sight of (E, 2) pixels to a static body, infinite where they miss it.

    Closed forms for planes and boxes (slabs, Kay and Kajiya 1986); sphere tracing (Hart 1996) for the rest.
    """
    if body.state is None:
        raise ValueError(f"body[{body.name}].state: must be known to be looked at")
    origin, direction = rays(camera, pixels)
    turn = body.state.rotation
    start, way = (origin - np.array(body.state.position)) @ turn, direction @ turn
    if isinstance(body.shape, Plane):
        with np.errstate(divide="ignore", invalid="ignore"):
            length = -start[:, 2] / way[:, 2]
        return np.where(np.isfinite(length) & (length > 0), length, np.inf)
    if isinstance(body.shape, Box):
        with np.errstate(divide="ignore", invalid="ignore"):
            sides = np.stack([(sign * np.array(body.shape.half_extents) - start) / way for sign in (-1, 1)])
        near, far = np.nanmax(sides.min(0), -1), np.nanmin(sides.max(0), -1)
        return np.where((near <= far) & (far > 0), np.maximum(near, 0.0), np.inf)
    alone = Bodies.from_scenes([Setup((body,), Law(), camera, 1.0)], dtype=torch.float64)
    size, corners = alone.size[0, 0], alone.vertices[0, 0]
    # Only rays through the ball around the body can meet it, and none beyond the ball's far side. A polygon is a prism
    # without end.
    reach = np.inf if isinstance(body.shape, Polygon) else (1 + 2e-3) * body.shape.extent
    nearest = -(start * way).sum(-1)
    chord = reach**2 - ((start + nearest[:, None] * way) ** 2).sum(-1)
    length, far = np.full(len(start), np.inf), nearest + np.sqrt(chord.clip(0))  # metres along the line of sight
    left = np.flatnonzero((chord > 0) & (far > 0))
    gone = torch.zeros(len(left), dtype=torch.float64)
    point, ray, end = (torch.from_numpy(x[left]) for x in (start, way, far))
    for step in range(64):
        if not len(left):
            break
        gap = point_distance(alone.kinds[0], size, corners, point + gone[:, None] * ray).distance
        gone = gone + gap.clamp_min(0)
        there = gap < (1e-12 if step < 63 else 1e-3 * body.shape.extent)
        length[left[there.numpy()]] = gone[there].numpy()
        going = ~there & (gone < end)
        left, gone, point, ray, end = left[going.numpy()], gone[going], point[going], ray[going], end[going]
    return length


def shadow_radius(shape: Shape) -> float:
    """Radius of the ball whose mean shadow is a shape's, metres.

    Of a convex shape the root of its surface over 4 pi (Cauchy); of a ring that of its tube's length, pi / 4 of which
    is seen in the mean, times its width, as if no part of it hid another.
    """
    if isinstance(shape, Box):
        x, y, z = shape.half_extents
        return math.sqrt(2 * (x * y + y * z + z * x) / math.pi)
    if isinstance(shape, Capsule):
        return math.sqrt(shape.radius * (shape.radius + shape.half_length))
    if isinstance(shape, Ring):
        return math.sqrt(math.pi * shape.major_radius * shape.minor_radius)
    return shape.extent
