"""What every engine does alike before, between and after; how a scene is played and drawn is left to each of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.engines.overlap import refuse_overlap
from worldsim.engines.program import program
from worldsim.engines.protocol import PRESETS
from worldsim.engines.record import Touches, reduce_contacts
from worldsim.engines.rollout import Frames, Rollout
from worldsim.physics.trajectory import Trajectory
from worldsim.scene import Scene
from worldsim.scene.checks import require


@dataclass(frozen=True)
class Played:
    """A motion and its contacts, instant by instant.

    Attributes:
        trajectory: (T, N, ...) of all bodies.
        touches: What touched; empty for poses that nobody played.
        compiled: The engine's own model of the scene, where it has one that it can draw from.
    """

    trajectory: Trajectory
    touches: list[Touches] = field(default_factory=list)
    compiled: Any = None


class Engine(ABC):
    """The Simulator protocol on top of two methods: `_play` and `_paint`."""

    name: str
    version: str

    @abstractmethod
    def _play(self, scene: Scene, actions: NDArray[np.float32]) -> Played:
        """Play a scene without overlaps with (T - 1, A) ctrl values."""

    @abstractmethod
    def _paint(self, scene: Scene, played: Played, preset: str) -> Frames:
        """Draw the poses of a trajectory."""

    def simulate(
        self,
        scene: Scene,
        actions: NDArray[np.float32] | None = None,
        *,
        preset: str = "fast",
        render: bool = True,
    ) -> Rollout:
        """Play a scene; see `Simulator.simulate`.

        Raises:
            ValueError: Where bodies overlap at the start, a linked body's start contradicts its joints, the engine
                knows no joints and the scene has some, or actions have a wrong shape or leave their limits.
            RuntimeError: Where the motion diverges, or where nothing is there to draw with.
        """
        require("preset", f"one of {', '.join(PRESETS)}", preset in PRESETS, preset)
        values = program(scene, actions)
        refuse_overlap(scene)
        played = self._play(scene, values)
        frames = self._paint(scene, played, preset) if render else Frames.empty(scene.camera)
        return Rollout(
            scene=scene,
            video=frames.video,
            ids=frames.ids,
            depth=frames.depth,
            trajectory=played.trajectory,
            contacts=reduce_contacts(played.touches, scene.fps),
            actions=values,
            engine=self.name,
            engine_version=self.version,
        )

    def simulate_batch(self, scenes: Sequence[Scene], threads: int = 1) -> list[Trajectory]:
        """Play many scenes without rendering; the same trajectories as `simulate`, whatever the number of threads."""
        require("threads", "1 or more", threads >= 1, threads)

        def one(scene: Scene) -> Trajectory:
            values = program(scene, None)
            refuse_overlap(scene)
            return self._play(scene, values).trajectory

        if threads == 1:
            return [one(scene) for scene in scenes]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(one, scenes))

    def render(self, scene: Scene, trajectory: Trajectory, *, preset: str = "fast") -> Frames:
        """Draw given (T, N, ...) poses, possible or not; absent bodies are left out."""
        bodies = len(scene.bodies)
        shape = tuple(trajectory.position.shape)
        require("trajectory.position", f"of shape (T, {bodies}, 3)", len(shape) == 3 and shape[1] == bodies, shape)
        return self._paint(scene, Played(trajectory), preset)
