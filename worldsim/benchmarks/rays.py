"""From pixels to the world: lines of sight of a camera at a video's size, and where they meet the plane y = 0."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from worldsim.scene import Camera

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
