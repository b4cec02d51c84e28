"""The camera: how metres become pixels. Image u runs right and v down, in pixels; pixel i covers [i, i + 1)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from worldsim.scene.body import Vector
from worldsim.scene.checks import in_range, positive, require, vector

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Camera:
    """A pinhole or an orthographic camera with square pixels.

    Attributes:
        kind: "orthographic" or "perspective".
        position: Of the camera, metres, world frame.
        target: Point that falls on the picture's centre, metres.
        up: World direction that points up in the picture.
        extent: Height of what an orthographic camera sees, metres.
        fov: Vertical field of view of a perspective camera, degrees.
        width: Pixels.
        height: Pixels.
        near: Nearest distance drawn, metres.
        far: Farthest distance drawn, metres.
    """

    kind: str = "perspective"
    position: Vector = (0.0, -4.0, 1.5)
    target: Vector = (0.0, 0.0, 0.5)
    up: Vector = (0.0, 0.0, 1.0)
    extent: float = 10.0
    fov: float = 45.0
    width: int = 64
    height: int = 64
    near: float = 0.05
    far: float = 100.0

    def __post_init__(self) -> None:
        kinds = ("orthographic", "perspective")
        require("camera.kind", " or ".join(kinds), self.kind in kinds, self.kind)
        for name in ("position", "target", "up"):
            object.__setattr__(self, name, vector(f"camera.{name}", getattr(self, name), 3))
        positive("camera.extent", self.extent)
        in_range("camera.fov", self.fov, 1, 170)
        for name in ("width", "height"):
            size = getattr(self, name)
            require(f"camera.{name}", "a whole number of pixels from 8 to 8192", isinstance(size, int), size)
            in_range(f"camera.{name}", size, 8, 8192)
        positive("camera.near", self.near)
        positive("camera.far", self.far)
        require("camera.far", "beyond camera.near", self.far > self.near, self.far)
        forward = np.subtract(self.target, self.position)
        require("camera.target", "apart from camera.position", float(np.linalg.norm(forward)) > 1e-6, self.target)
        side = np.cross(forward, self.up)
        require("camera.up", "across the line of sight", float(np.linalg.norm(side)) > 1e-6, self.up)

    @cached_property
    def rotation(self) -> Array:
        """(3, 3) rotation from world to camera axes: x right, y down, z forward, as in OpenCV."""
        forward = np.subtract(self.target, self.position)
        forward = forward / np.linalg.norm(forward)
        right = np.cross(forward, self.up)
        right = right / np.linalg.norm(right)
        rotation = np.stack([right, np.cross(forward, right), forward])
        rotation.flags.writeable = False
        return rotation

    @property
    def focal(self) -> float:
        """Pixels a unit of x/z (perspective) or pixels a metre (orthographic)."""
        if self.kind == "orthographic":
            return self.height / self.extent
        return self.height / (2 * math.tan(math.radians(self.fov) / 2))

    def project(self, points: Array) -> tuple[Array, Array]:
        """Where world points fall in the picture.

        Args:
            points: (..., 3) metres, world frame.

        Returns:
            (..., 2) image coordinates u, v in pixels, and (...) depth along the line of sight in metres.
        """
        local = (np.asarray(points, dtype=np.float64) - np.array(self.position)) @ self.rotation.T
        depth = local[..., 2]
        scale = self.focal if self.kind == "orthographic" else self.focal / np.maximum(depth, 1e-9)[..., None]
        centre = np.array([self.width / 2, self.height / 2])
        return local[..., :2] * scale + centre, depth

    def sees(self, points: Array) -> NDArray[np.bool_]:
        """Whether each of the (..., 3) world points falls inside the picture and between near and far."""
        pixels, depth = self.project(points)
        inside = (pixels >= 0).all(-1) & (pixels[..., 0] <= self.width) & (pixels[..., 1] <= self.height)
        result: NDArray[np.bool_] = inside & (depth >= self.near) & (depth <= self.far)
        return result


def planar_camera(size: float = 10.0, pixels: int = 64, centre: tuple[float, float] | None = None) -> Camera:
    """The orthographic camera of planar worlds, looking along +y at a square of `size` metres.

    Args:
        size: Edge of the square, metres.
        pixels: Edge of the picture.
        centre: (x, z) of the square's centre; left out, the square spans [0, size] on both axes.
    """
    x, z = centre if centre is not None else (size / 2, size / 2)
    return Camera(
        kind="orthographic",
        position=(x, -10.0, z),
        target=(x, 0.0, z),
        extent=size,
        width=pixels,
        height=pixels,
    )
