"""TorchSimulator: the Simulator protocol on the prior. Not for ground truth: a model is judged with another engine."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray

from worldsim.engines.overlap import refuse_overlap
from worldsim.engines.program import program
from worldsim.engines.record import reduce_contacts
from worldsim.engines.rollout import Frames, Rollout
from worldsim.engines.torch.paint import PRESETS, paint
from worldsim.engines.torch.play import Played, play
from worldsim.physics import PriorConfig, Trajectory
from worldsim.scene import Scene
from worldsim.scene.checks import require


class TorchSimulator:
    """Plays scenes without joints with the prior, in float64.

    Args:
        config: Steps and solver of the prior.
    """

    name = "torch"
    version = torch.__version__

    def __init__(self, config: PriorConfig | None = None) -> None:
        self._config = config or PriorConfig()

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
            ValueError: Where bodies overlap at the start, the scene has joints, or actions have a wrong shape.
            RuntimeError: Where the motion diverges.
        """
        require("preset", f"one of {', '.join(PRESETS)}", preset in PRESETS, preset)
        values = program(scene, actions)
        played = self._play(scene)
        if render:
            frames = paint(scene, played.trajectory, preset)
        else:
            size = (0, scene.camera.height, scene.camera.width)
            frames = Frames(np.zeros((*size, 3), np.uint8), np.zeros(size, np.uint8), np.zeros(size, np.float32))
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
        if threads == 1:
            return [self._play(scene).trajectory for scene in scenes]
        with ThreadPoolExecutor(threads) as pool:
            return [played.trajectory for played in pool.map(self._play, scenes)]

    def render(self, scene: Scene, trajectory: Trajectory, *, preset: str = "fast") -> Frames:
        """Draw given (T, N, ...) poses, possible or not; absent bodies are left out."""
        bodies = len(scene.bodies)
        shape = tuple(trajectory.position.shape)
        require("trajectory.position", f"of shape (T, {bodies}, 3)", len(shape) == 3 and shape[1] == bodies, shape)
        return paint(scene, trajectory, preset)

    def _play(self, scene: Scene) -> Played:
        refuse_overlap(scene)
        return play(scene, self._config)
