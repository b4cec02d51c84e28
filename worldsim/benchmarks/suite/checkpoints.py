"""Our own checkpoints as generators; torch models are imported only when one is asked for."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from worldsim.benchmarks.suite.generator import UInt8, Unanswered
from worldsim.scene import Setup
from worldsim.scene.checks import require


def is_world_model(model: Any) -> bool:
    """Whether it is a WorldModel, without importing models for what cannot be one."""
    module = sys.modules.get("worldsim.models.world_model")
    return module is not None and isinstance(model, module.WorldModel)


class CheckpointGenerator:
    """A WorldModel."""

    def __init__(self, model: Any, name: str, steps: int = 10, solver: str = "euler", hint: bool = True) -> None:
        """Take a WorldModel and how it is sampled.

        Args:
            model: A WorldModel, or the name or folder of a checkpoint.
            name: In the table.
            steps: Of the sampler.
            solver: "euler", "heun" or "ab2".
            hint: Whether the prior's hint is given; off, the name says so.

        Raises:
            ValueError: For a solver or steps that no scene could be answered with.
        """
        from worldsim.diffusion.samplers import SOLVERS

        require("model_args.solver", f"one of {', '.join(SOLVERS)}", solver in SOLVERS, solver)
        whole = isinstance(steps, int) and not isinstance(steps, bool)
        require("model_args.steps", "a whole number of 1 or more", whole and steps >= 1, steps)
        if isinstance(model, str | Path):
            from worldsim.models.world_model import WorldModel

            model = WorldModel.from_pretrained(model)
        self.name = name if hint else f"{name}, hint off"
        self._model = model
        self._options = {"steps": steps, "solver": solver, "hint": hint}

    def generate(self, context: UInt8, setup: Setup, num_frames: int, fps: float, seed: int, text: str) -> UInt8:
        """Continue the last frames of the context that are a valid length for the model.

        Raises:
            Unanswered: Where the model refuses the scene: another frame rate, size or camera than it is made for.
        """
        try:
            made = self._model.generate(context, setup, num_frames, seed=seed, **self._options)
        except ValueError as error:
            raise Unanswered(str(error)) from error
        return np.asarray(made.video[made.num_context :])
