"""The Simulator protocol and the registry of engines; each engine is imported only when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from worldsim.engines.rollout import Frames, Rollout
from worldsim.physics.trajectory import Trajectory
from worldsim.scene import Scene

PRESETS = ("fast", "standard", "quality")


@runtime_checkable
class Simulator(Protocol):
    """Who can play a scene."""

    name: str
    version: str

    def simulate(
        self,
        scene: Scene,
        actions: NDArray[np.float32] | None = None,
        *,
        preset: str = "fast",
        render: bool = True,
    ) -> Rollout:
        """Play a scene.

        Args:
            scene: To be played.
            actions: (T - 1, A) ctrl values for each frame interval; left out, the robot's own program plays.
            preset: "fast", "standard" or "quality" rendering.
            render: Without it, video, ids and depth have zero frames.

        Raises:
            ValueError: Where bodies overlap at the start, or actions have a wrong shape.
        """
        ...

    def simulate_batch(self, scenes: Sequence[Scene], threads: int = 1) -> list[Trajectory]:
        """Play many scenes without rendering, on threads; one (T, N, ...) trajectory a scene."""
        ...

    def render(self, scene: Scene, trajectory: Trajectory, *, preset: str = "fast") -> Frames:
        """Draw given (T, N, ...) poses of a scene's bodies, possible or not. Absent bodies are not drawn."""
        ...


# Name to "module:class". Importing the module may fail where the engine is not installed.
ENGINES: dict[str, str] = {
    "mujoco": "worldsim.engines.mujoco:MujocoSimulator",
    "pybullet": "worldsim.engines.pybullet:PybulletSimulator",
    "torch": "worldsim.engines.torch:TorchSimulator",
}
_instances: dict[str, Simulator] = {}


def get_engine(engine: str | Simulator) -> Simulator:
    """The simulator of that name, or the one given; instances are kept.

    Raises:
        ValueError: Where the name is unknown.
        ImportError: Where the engine is not installed, with the line that installs it.
    """
    if not isinstance(engine, str):
        return engine
    if engine not in ENGINES:
        raise ValueError(f"engine: must be one of {', '.join(ENGINES)}, got {engine!r}")
    if engine not in _instances:
        module, name = ENGINES[engine].split(":")
        _instances[engine] = getattr(importlib.import_module(module), name)()
    return _instances[engine]
