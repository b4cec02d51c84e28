"""The scene's camera in the terms of Bullet's TinyRenderer, and its depth buffer in metres.

TinyRenderer samples a pixel at its corner, so the picture is moved by half a pixel. It takes near and far distance
out of the projection matrix as p / (q - 1) and p / (q + 1), with q and p the entries that make clip z from eye z, drops
what has its clip z outside [-near, far], and stores a function of clip z. An orthographic matrix made the usual way
fails that test everywhere; q = -2, p = -B has near = B / 3, far = B and clip z = 2 d - B, so that distances d from
B / 3 to B pass. The camera therefore steps back along its line of sight until [near, far] is among them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldsim.scene import Camera

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Optics:
    """Matrices for getCameraImage and what makes metres of its depth.

    Attributes:
        view: 16 numbers, column by column.
        projection: 16 numbers, column by column.
        camera: Of the scene.
        back: How far the camera stepped back, metres.
    """

    view: list[float]
    projection: list[float]
    camera: Camera
    back: float

    def metres(self, depth: NDArray[np.float32]) -> Array:
        """Depth along the line of sight in metres from TinyRenderer's depth buffer."""
        d = depth.astype(np.float64)
        if self.camera.kind == "orthographic":
            far = self.camera.far + self.back
            near = far / 3
            return np.asarray((_clip(d, near, far) + far) / 2 - self.back)
        near, far = self.camera.near, self.camera.far
        return np.asarray((_clip(d, near, far) + 2 * far * near / (far - near)) * (far - near) / (far + near))


def _clip(depth: Array, near: float, far: float) -> Array:
    """Clip z from what TinyRenderer stores, far (near + z) / (2 far near + (far - near) z)."""
    return far * near * (1 - 2 * depth) / (depth * (far - near) - far)


def make_optics(camera: Camera, scale: int = 1) -> Optics:
    """Optics of a camera.

    Args:
        camera: Of the scene.
        scale: The picture is drawn this many times finer along each axis.
    """
    flip = np.diag([1.0, -1.0, -1.0])
    view = np.eye(4)
    view[:3, :3] = flip @ camera.rotation
    view[:3, 3] = -view[:3, :3] @ np.array(camera.position)
    near, far, aspect = camera.near, camera.far, camera.width / camera.height
    right, up = 1 / (scale * camera.width), 1 / (scale * camera.height)
    projection = np.zeros((4, 4))
    back = 0.0
    if camera.kind == "perspective":
        focal = 2 * camera.focal / camera.height
        projection[0, 0], projection[1, 1] = focal / aspect, focal
        projection[2, 2], projection[2, 3] = (far + near) / (near - far), 2 * far * near / (near - far)
        projection[3, 2] = -1.0
        projection[0, 2], projection[1, 2] = right, up
    else:
        back = max(0.0, (far - 3 * near) / 2)
        view[2, 3] -= back
        projection[0, 0], projection[1, 1] = 2 / (camera.extent * aspect), 2 / camera.extent
        projection[2, 2], projection[2, 3] = -2.0, -(far + back)
        projection[3, 3] = 1.0
        projection[0, 3], projection[1, 3] = -right, -up
    return Optics(view.T.ravel().tolist(), projection.T.ravel().tolist(), camera, back)
