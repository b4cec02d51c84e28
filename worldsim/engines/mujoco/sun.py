"""Where the sun's shadow map lies: around what the camera sees of a scene, whatever else the model holds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldsim.scene import Scene


@dataclass(frozen=True)
class ShadowVolume:
    """A ball that the shadow map covers.

    Attributes:
        centre: (3,) metres, world frame.
        radius: Metres; the map's edge is twice that.
    """

    centre: NDArray[np.float64]
    radius: float


def shadow_volume(scene: Scene) -> ShadowVolume:
    """The ball around the part of the view in which the bodies start.

    It hangs on the scene alone, so that a pose has the same shadows in whatever trajectory it stands.

    Args:
        scene: Its camera, and its bodies with their start states.
    """
    camera = scene.camera
    finite = [b for b in scene.bodies if b.state is not None and math.isfinite(b.shape.extent)]
    starts = np.array([b.state.position for b in finite if b.state is not None]).reshape(-1, 3)
    starts = starts[camera.sees(starts)] if len(starts) else starts
    forward = camera.rotation[2]
    points = starts if len(starts) else np.array([camera.target], dtype=np.float64)
    depth = (points - np.array(camera.position)) @ forward
    low, high = float(depth.min()), float(depth.max())
    # Half the diagonal of what is seen at the farthest start; a length on the picture is focal times its length there.
    scale = camera.focal if camera.kind == "orthographic" else camera.focal / max(high, camera.near)
    across = math.hypot(camera.width, camera.height) / 2 / scale
    middle = (low + high) / 2
    return ShadowVolume(np.array(camera.position) + middle * forward, math.hypot(across, (high - low) / 2))
