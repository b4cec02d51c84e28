"""MujocoSimulator: the Simulator protocol on MuJoCo."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from worldsim.engines.base import Engine, Played
from worldsim.engines.mujoco.backend import mujoco
from worldsim.engines.mujoco.play import Player
from worldsim.engines.mujoco.render import Painter
from worldsim.engines.mujoco.states import centre_velocities
from worldsim.engines.program import refuse_divergence
from worldsim.engines.rollout import Frames
from worldsim.physics.trajectory import Trajectory
from worldsim.scene import Scene


class MujocoSimulator(Engine):
    """Plays scenes in MuJoCo, under the scene's own pair law, and draws them with MuJoCo's renderer.

    The law of impacts is decided in Python between MuJoCo's calls, so that the threads of `simulate_batch` take turns
    and gain little; to use several cores, play in several processes. Drawing needs an OpenGL backend.
    """

    name = "mujoco"
    version: str = mujoco.__version__

    def _play(self, scene: Scene, actions: NDArray[np.float32]) -> Played:
        player = Player(scene)
        return Played(_play(player, actions), player.touches, player.compiled)

    def _paint(self, scene: Scene, played: Played, preset: str) -> Frames:
        return Painter(scene, preset, played.compiled).paint(played.trajectory)


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
