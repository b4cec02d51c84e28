"""PybulletSimulator: the Simulator protocol on PyBullet."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from worldsim.engines.base import Engine, Played
from worldsim.engines.pybullet.client import VERSION, physics_client
from worldsim.engines.pybullet.play import play
from worldsim.engines.pybullet.render import paint
from worldsim.engines.rollout import Frames
from worldsim.scene import Scene


class PybulletSimulator(Engine):
    """Plays scenes in Bullet, under the scene's own pair law, and draws them with Bullet's software renderer.

    Each scene has a physics client of its own. PyBullet holds Python's interpreter lock while it steps, so that the
    threads of `simulate_batch` interleave and do not run side by side: for speed, run processes.
    """

    name = "pybullet"
    version = VERSION

    def _play(self, scene: Scene, actions: NDArray[np.float32]) -> Played:
        with physics_client() as client:
            return play(client, scene, actions)

    def _paint(self, scene: Scene, played: Played, preset: str) -> Frames:
        return paint(scene, played.trajectory, preset)
