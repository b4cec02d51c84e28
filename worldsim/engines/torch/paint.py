"""Drawing poses with the soft rasteriser: antialiased colour, and hard ids and depth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from worldsim.engines.rollout import Frames
from worldsim.physics import Bodies, Trajectory
from worldsim.scene import Scene
from worldsim.scene.checks import require
from worldsim.vision.raster import rasterise

# Softness of outlines in pixels, and pixels drawn for one along each side.
PRESETS = {"fast": (0.3, 1), "standard": (0.3, 2), "quality": (0.3, 4)}
_HARD = 0.02


@torch.no_grad()
def paint(scene: Scene, trajectory: Trajectory, preset: str) -> Frames:
    """Draw (T, N, ...) poses; see `Simulator.render`."""
    require("preset", f"one of {', '.join(PRESETS)}", preset in PRESETS, preset)
    softness, fine = PRESETS[preset]
    bodies = Bodies.from_scenes([scene])
    poses = trajectory.to(torch.float32)
    camera = scene.camera
    hard = rasterise(poses, bodies, camera, tau_px=_HARD, channels=("depth",))
    assert hard.depth is not None
    ids = hard.ids[0].argmax(1)
    nothing = hard.ids[0, :, 0]
    bodies_only = (hard.depth[0] - nothing * camera.far) / (1 - nothing).clamp_min(1e-3)
    depth = torch.where(ids == 0, camera.far, bodies_only)
    large = replace(camera, width=camera.width * fine, height=camera.height * fine)
    soft = rasterise(
        poses,
        bodies,
        large,
        tau_px=softness,
        shading=scene.shading,
        background=scene.background,
        channels=("colour",),
    )
    assert soft.colour is not None
    colour = torch.nn.functional.avg_pool2d(soft.colour[0], fine)
    video = (colour.permute(0, 2, 3, 1) * 255).round().clamp(0, 255).to(torch.uint8)
    return Frames(video.numpy(), ids.to(torch.uint8).numpy(), depth.numpy().astype(np.float32))
