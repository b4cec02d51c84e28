"""Shadows of a distant light: a depth picture from the light's side, compared with what the camera sees.

TinyRenderer has shadows of its own, but through the camera's projection and with a fixed offset in clip space, which
covers floors with moire. These have an offset of a few texels in metres.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from worldsim.scene import Camera, Scene

Array = NDArray[np.float64]
# Points less than this many texels behind the first lit one are lit too.
OFFSET = 3.0


def light_camera(scene: Scene, positions: Array, present: list[bool], direction: Array, texels: int) -> Camera | None:
    """An orthographic camera that looks along the light at all finite bodies; None where there are none.

    Args:
        scene: Whose bodies throw shadows.
        positions: (N, 3) of the bodies, metres.
        present: N flags.
        direction: (3,) unit vector towards the light.
        texels: Edge of the picture.
    """
    chosen = [i for i, body in enumerate(scene.bodies) if present[i] and math.isfinite(body.shape.extent)]
    if not chosen:
        return None
    extents = np.array([scene.bodies[i].shape.extent for i in chosen])[:, None]
    low, high = (positions[chosen] - extents).min(0), (positions[chosen] + extents).max(0)
    centre, radius = (low + high) / 2, max(float(np.linalg.norm(high - low)) / 2, 1e-3)
    x, y, z = centre + 2 * radius * direction
    up = (0.0, 0.0, 1.0) if abs(direction[2]) < 0.99 else (0.0, 1.0, 0.0)
    return Camera(
        kind="orthographic",
        position=(float(x), float(y), float(z)),
        target=(float(centre[0]), float(centre[1]), float(centre[2])),
        up=up,
        extent=2 * radius,
        width=texels,
        height=texels,
        near=0.5 * radius,
        far=20 * radius,
    )


def lit_share(camera: Camera, metres: NDArray[np.float32], light: Camera, light_metres: NDArray[np.float32]) -> Array:
    """How much of the light reaches what each pixel shows.

    Args:
        camera: That drew the picture.
        metres: (H, W) its depth along the line of sight; any whole multiple of the camera's size.
        light: From `light_camera`.
        light_metres: (S, S) the light's depth.

    Returns:
        (H, W) from 0 to 1: the share of the four nearest texels that see the point, weighted by nearness.
    """
    height, width = metres.shape
    v, u = np.mgrid[0:height, 0:width] + 0.5
    focal = camera.focal * height / camera.height
    flat = np.stack([u - width / 2, v - height / 2], -1) / focal
    depth = metres.astype(np.float64)
    if camera.kind == "perspective":
        flat = flat * depth[..., None]
    local = np.concatenate([flat, depth[..., None]], -1)
    pixels, far = light.project(local @ camera.rotation + np.array(camera.position))
    corner = np.floor(pixels - 0.5)
    share = pixels - 0.5 - corner
    texels = light.height
    first = far - OFFSET * light.extent / texels
    lit = np.zeros((height, width))
    for across in (0, 1):
        for down in (0, 1):
            i, j = corner[..., 0].astype(np.int64) + across, corner[..., 1].astype(np.int64) + down
            inside = (i >= 0) & (i < texels) & (j >= 0) & (j < texels)
            seen = light_metres[np.clip(j, 0, texels - 1), np.clip(i, 0, texels - 1)] >= first
            weight = (share[..., 0] if across else 1 - share[..., 0]) * (share[..., 1] if down else 1 - share[..., 1])
            lit += weight * (seen | ~inside)
    return lit
