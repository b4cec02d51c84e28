"""MujocoSimulator: the Simulator protocol on MuJoCo."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray

from worldsim.engines.mujoco.backend import mujoco
from worldsim.engines.mujoco.play import Player
from worldsim.engines.mujoco.render import PRESETS, Painter
from worldsim.engines.mujoco.states import centre_velocities
from worldsim.engines.overlap import refuse_overlap
from worldsim.engines.program import program, refuse_divergence
from worldsim.engines.record import reduce_contacts
from worldsim.engines.rollout import Frames, Rollout
from worldsim.physics.trajectory import Trajectory
from worldsim.scene import Scene
from worldsim.scene.checks import require


class MujocoSimulator:
    """Plays scenes in MuJoCo, under the scene's own pair law, and draws them with MuJoCo's renderer."""

    name = "mujoco"

    def __init__(self) -> None:
        self.version: str = mujoco.__version__

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
            RuntimeError: Where the motion diverges, or where no OpenGL backend is there to draw with.
        """
        require("preset", f"one of {', '.join(PRESETS)}", preset in PRESETS, preset)
        values = program(scene, actions)
        refuse_overlap(scene)
        player = Player(scene)
        trajectory = _play(player, values)
        if render:
            frames = Painter(scene, preset, player.compiled).paint(trajectory)
        else:
            size = (0, scene.camera.height, scene.camera.width)
            frames = Frames(np.zeros((*size, 3), np.uint8), np.zeros(size, np.uint8), np.zeros(size, np.float32))
        return Rollout(
            scene=scene,
            video=frames.video,
            ids=frames.ids,
            depth=frames.depth,
            trajectory=trajectory,
            contacts=reduce_contacts(player.touches, scene.fps),
            actions=values,
            engine=self.name,
            engine_version=self.version,
        )

    def simulate_batch(self, scenes: Sequence[Scene], threads: int = 1) -> list[Trajectory]:
        """Play many scenes without rendering; the same trajectories as `simulate`, whatever the number of threads.

        The law of impacts is decided in Python between MuJoCo's calls, so that threads take turns and gain little;
        to use several cores, play in several processes.
        """
        require("threads", "1 or more", threads >= 1, threads)

        def one(scene: Scene) -> Trajectory:
            refuse_overlap(scene)
            return _play(Player(scene), program(scene, None))

        if threads == 1:
            return [one(scene) for scene in scenes]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(one, scenes))

    def render(self, scene: Scene, trajectory: Trajectory, *, preset: str = "fast") -> Frames:
        """Draw given (T, N, ...) poses, possible or not; absent bodies are left out."""
        bodies = len(scene.bodies)
        shape = tuple(trajectory.position.shape)
        require("trajectory.position", f"of shape (T, {bodies}, 3)", len(shape) == 3 and shape[1] == bodies, shape)
        return Painter(scene, preset).paint(trajectory)


def _play(player: Player, actions: NDArray[np.float32]) -> Trajectory:
    scene, model, data = player.scene, player.model, player.data
    count, frames = len(scene.bodies), scene.num_frames
    names = {"xpos": 3, "xquat": 4, "xipos": 3, "subtree_com": 3, "cvel": 6}
    seen = {name: np.empty((frames, model.nbody, width)) for name, width in names.items()}
    for k in range(frames):
        if k > 0:
            data.ctrl[:] = actions[k - 1]
            player.advance(k / scene.fps)
        refuse_divergence(scene, k, data.qpos, data.qvel)
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_comVel(model, data)
        for name, rows in seen.items():
            rows[k] = getattr(data, name)
    numbers = player.compiled.body_ids
    linear, angular = centre_velocities(
        seen["cvel"][:, numbers], seen["xipos"][:, numbers], seen["subtree_com"][:, model.body_rootid[numbers]]
    )
    return Trajectory(
        torch.from_numpy(seen["xpos"][:, numbers]),
        torch.from_numpy(seen["xquat"][:, numbers]),
        torch.from_numpy(linear),
        torch.from_numpy(angular),
        torch.ones(frames, count, dtype=torch.float64),
        1.0 / scene.fps,
    )
