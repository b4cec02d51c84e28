"""Cameras as tensors: one view a world, and the rays of its pixels.

Image-plane coordinates are x / z (perspective, no unit) or metres (orthographic), x right and y down from the
picture's centre; times the focal length they are pixels. A ray through image-plane point (x, y) is
origin + z direction with depth z in metres along the line of sight: (0, 0, 0) + z (x, y, 1) in perspective,
(x, y, 0) + z (0, 0, 1) in an orthographic view.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldsim.scene import Camera


@dataclass(frozen=True)
class View:
    """The cameras of B worlds, or one camera for all of them (B = 1). Kind, picture size, near and far are shared.

    Attributes:
        orthographic: Whether rays are parallel.
        rotation: (B, 3, 3) from world to camera axes: x right, y down, z forward, as in OpenCV.
        position: (B, 3) metres, world frame.
        focal: (B,) pixels a unit of the image plane.
        width: Pixels.
        height: Pixels.
        near: Metres; bodies with their centre nearer are not drawn, boxes and planes are cut there.
        far: Metres; depth where nothing is.
    """

    orthographic: bool
    rotation: Tensor
    position: Tensor
    focal: Tensor
    width: int
    height: int
    near: float
    far: float

    @staticmethod
    def from_cameras(
        cameras: Camera | Sequence[Camera],
        dtype: torch.dtype = torch.float32,
        device: torch.device | str | None = None,
    ) -> View:
        """The view of one camera, or of one camera a world.

        Raises:
            ValueError: Where the cameras differ in kind, width, height, near or far.
        """
        cameras = [cameras] if isinstance(cameras, Camera) else list(cameras)
        if not cameras:
            raise ValueError("cameras: must be at least one, got none")
        first = cameras[0]
        shared = ("kind", "width", "height", "near", "far")
        for i, camera in enumerate(cameras):
            for name in shared:
                if getattr(camera, name) != getattr(first, name):
                    raise ValueError(
                        f"cameras[{i}].{name}: must be {getattr(first, name)!r} as that of cameras[0], "
                        f"got {getattr(camera, name)!r}"
                    )

        def tensor(values: list[Any]) -> Tensor:
            return torch.as_tensor(np.asarray(values, dtype=np.float64)).to(dtype=dtype, device=device)

        return View(
            orthographic=first.kind == "orthographic",
            rotation=tensor([camera.rotation for camera in cameras]),
            position=tensor([camera.position for camera in cameras]),
            focal=tensor([camera.focal for camera in cameras]),
            width=first.width,
            height=first.height,
            near=first.near,
            far=first.far,
        )

    def to(self, *args: Any, **kwargs: Any) -> View:
        """Move or cast every tensor, as torch.Tensor.to."""
        names = ("rotation", "position", "focal")
        return dataclasses.replace(self, **{name: getattr(self, name).to(*args, **kwargs) for name in names})

    def repeat_frames(self, frames: int) -> View:
        """The view of (B * frames) pictures, time folded into the batch; a single shared camera stays one."""
        if self.focal.shape[0] == 1:
            return self
        names = ("rotation", "position", "focal")
        repeated = {name: getattr(self, name).repeat_interleave(frames, 0) for name in names}
        return dataclasses.replace(self, **repeated)

    def finer(self, factor: int) -> View:
        """The same view with as many times the pixels along each side."""
        width, height = self.width * factor, self.height * factor
        return dataclasses.replace(self, focal=self.focal * factor, width=width, height=height)

    def plane_points(self) -> Tensor:
        """(B, 3, H * W) homogeneous image-plane coordinates (x, y, 1) of the pixel centres, row by row."""
        u = torch.arange(self.width, dtype=self.focal.dtype, device=self.focal.device) + 0.5 - self.width / 2
        v = torch.arange(self.height, dtype=self.focal.dtype, device=self.focal.device) + 0.5 - self.height / 2
        x, y = u.repeat(self.height), v.repeat_interleave(self.width)
        focal = self.focal[:, None]
        return torch.stack([x / focal, y / focal, torch.ones_like(x).expand(focal.shape[0], -1)], 1)

    def to_camera(self, points: Tensor) -> Tensor:
        """World points (B, N, 3) in camera axes, metres."""
        return (points - self.position[:, None]) @ self.rotation.mT

    def turn(self, vectors: Tensor) -> Tensor:
        """World vectors (B, N, 3) in camera axes."""
        return vectors @ self.rotation.mT
