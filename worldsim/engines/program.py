"""Around a play, alike in every engine: the control program that plays, and the refusal of motion that diverged."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from worldsim.scene import Scene
from worldsim.scene.checks import require

Array = NDArray[np.float64]
# Coordinates and velocities beyond this have diverged, SI units.
LARGEST = 1e8


def program(scene: Scene, actions: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """The (T - 1, A) ctrl values that play: those given, else the robot's own program, its last row held.

    Raises:
        ValueError: Where actions have a wrong shape or are not finite, where the robot has no program and none is
            given, or where a value is outside its actuator's limits.
    """
    count = len(scene.robot.actuators) if scene.robot else 0
    shape = (scene.num_frames - 1, count)
    if actions is None:
        if scene.robot is None:
            return np.zeros(shape, np.float32)
        rows = scene.robot.controls
        require("robot.controls", "given, or actions passed to simulate", len(rows) > 0, rows)
        index = np.minimum(np.arange(shape[0]), len(rows) - 1)
        values = np.array(rows, dtype=np.float32)[index]
        field = "robot.controls"
    else:
        values, field = np.asarray(actions, dtype=np.float32), "actions"
        require(field, f"of shape (T - 1, A) = {shape}", values.shape == shape, values.shape)
    require(field, "finite", bool(np.isfinite(values).all()), "values that are not")
    for i, actuator in enumerate(scene.robot.actuators if scene.robot else ()):
        low, high = actuator.limits
        outside = values[(values[:, i] < low - 1e-6) | (values[:, i] > high + 1e-6), i]
        rule = f"within the limits {actuator.limits} of actuator[{actuator.joint}]"
        require(f"{field}[:, {i}]", rule, len(outside) == 0, outside[:3].tolist())
    return values


def refuse_divergence(scene: Scene, frame: int, *arrays: Array) -> None:
    """Refuse states that are not finite or beyond all reason.

    Args:
        scene: That is played.
        frame: At which the states are.
        arrays: Positions and velocities, or coordinates and their rates.

    Raises:
        RuntimeError: With family, seed and time.
    """
    # A comparison with what is not a number is false.
    if not all(float(np.abs(a).max(initial=0.0)) <= LARGEST for a in arrays):
        raise RuntimeError(
            f"the motion of scene family {scene.family or '(none)'!r}, seed {scene.seed}, diverged by "
            f"{frame / scene.fps:.4f} s; look for stiff joints, strong gains or tiny masses beside great ones"
        )
