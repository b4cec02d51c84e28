"""ws.simulate: an engine plays the scene, then captions say what happened."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from worldsim.captions import describe
from worldsim.engines import Rollout, Simulator, get_engine
from worldsim.scene import Scene, scenarios


def simulate(
    scene: Scene,
    engine: str | Simulator = "mujoco",
    preset: str = "fast",
    actions: NDArray[np.float32] | None = None,
    render: bool = True,
) -> Rollout:
    """Play a scene, caption it, and note what its family has to tell of it (such as success) in `info`.

    Args:
        scene: To be played.
        engine: "mujoco", "pybullet", "torch", or a simulator of your own.
        preset: "fast", "standard" or "quality" rendering.
        actions: (T - 1, A) ctrl values for each frame interval; left out, the robot's own program plays.
        render: Without it, video, ids and depth have zero frames.

    Raises:
        ValueError: Where bodies overlap at the start, or an argument is unknown or of a wrong shape.
        ImportError: Where the engine is not installed, with the line that installs it.
    """
    rollout = get_engine(engine).simulate(scene, actions, preset=preset, render=render)
    family = scenarios().get(scene.family) if scene.family else None
    if family is not None and family.outcome is not None:
        rollout = replace(rollout, info={**rollout.info, **family.outcome(rollout)})
    return describe(rollout)
