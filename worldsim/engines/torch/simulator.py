"""TorchSimulator: the Simulator protocol on the prior. Not for ground truth: a model is judged with another engine."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from worldsim.engines.base import Engine, Played
from worldsim.engines.rollout import Frames
from worldsim.engines.torch.paint import paint
from worldsim.engines.torch.play import play
from worldsim.physics import PriorConfig
from worldsim.scene import Scene


class TorchSimulator(Engine):
    """Plays scenes without joints with the prior, in float64.

    Args:
        config: Steps and solver of the prior.
    """

    name = "torch"
    version = torch.__version__

    def __init__(self, config: PriorConfig | None = None) -> None:
        self._config = config or PriorConfig()

    def _play(self, scene: Scene, actions: NDArray[np.float32]) -> Played:
        return play(scene, self._config)  # no joints, so no actions

    def _paint(self, scene: Scene, played: Played, preset: str) -> Frames:
        return paint(scene, played.trajectory, preset)
