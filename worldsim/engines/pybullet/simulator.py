"""PybulletSimulator: the Simulator protocol on PyBullet."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from worldsim.engines.overlap import refuse_overlap
from worldsim.engines.program import program
from worldsim.engines.pybullet.client import VERSION, physics_client
from worldsim.engines.pybullet.play import Played, play
from worldsim.engines.pybullet.render import PRESETS, paint
from worldsim.engines.record import reduce_contacts
from worldsim.engines.rollout import Frames, Rollout
from worldsim.physics.trajectory import Trajectory
from worldsim.scene import Scene
from worldsim.scene.checks import require


class PybulletSimulator:
    """Plays scenes in Bullet, under the scene's own pair law, and draws them with Bullet's software renderer."""

    name = "pybullet"
    version = VERSION

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
            ValueError: Where bodies overlap at the start, a linked body's start contradicts its joints, or actions
                have a wrong shape or leave their limits.
            RuntimeError: Where the motion diverges.
        """
        require("preset", f"one of {', '.join(PRESETS)}", preset in PRESETS, preset)
        values = program(scene, actions)
        played = _play(scene, values)
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
        """Play many scenes without rendering; the same trajectories as `simulate`, whatever the number of threads.

        Each scene has a physics client of its own. PyBullet holds Python's interpreter lock while it steps, so that
        threads interleave and do not run side by side: for speed, run processes.
        """
        require("threads", "1 or more", threads >= 1, threads)

        def one(scene: Scene) -> Trajectory:
            return _play(scene, program(scene, None)).trajectory

        if threads == 1:
            return [one(scene) for scene in scenes]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(one, scenes))

    def render(self, scene: Scene, trajectory: Trajectory, *, preset: str = "fast") -> Frames:
        """Draw given (T, N, ...) poses, possible or not; absent bodies are left out."""
        bodies = len(scene.bodies)
        shape = tuple(trajectory.position.shape)
        require("trajectory.position", f"of shape (T, {bodies}, 3)", len(shape) == 3 and shape[1] == bodies, shape)
        return paint(scene, trajectory, preset)


def _play(scene: Scene, values: NDArray[np.float32]) -> Played:
    refuse_overlap(scene)
    with physics_client() as client:
        return play(client, scene, values)
