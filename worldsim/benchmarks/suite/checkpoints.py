"""Our own checkpoints as generators; torch models are imported only when one is asked for."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from worldsim.benchmarks.suite.generators import UInt8, Unanswered
from worldsim.scene import Setup


def is_world_model(model: Any) -> bool:
    """Whether it is a WorldModel, without importing models for what cannot be one."""
    module = sys.modules.get("worldsim.models.world_model")
    return module is not None and isinstance(model, module.WorldModel)


def load_checkpoint_generator(name_or_folder: str, arguments: dict[str, Any]) -> CheckpointGenerator:
    """A shipped name, or a folder."""
    from worldsim.models.pretrained import from_pretrained

    if Path(name_or_folder).exists() and not Path(name_or_folder).is_dir():
        raise ValueError(f"model: must be a folder or a name, {name_or_folder} is a file")
    return CheckpointGenerator(from_pretrained(name_or_folder), Path(name_or_folder).name, **arguments)


class CheckpointGenerator:
    """A WorldModel."""

    def __init__(self, model: Any, name: str, steps: int = 10, solver: str = "euler", hint: bool = True) -> None:
        """Take a WorldModel and how it is sampled.

        Args:
            model: WorldModel.
            name: In the table.
            steps: Of the sampler.
            solver: "euler" or "heun".
            hint: Whether the prior's hint is given.
        """
        self.name = name if hint else f"{name}, hint off"
        self._model = model.eval()
        self._options = {"steps": steps, "solver": solver, "hint": hint}

    def generate(self, context: UInt8, setup: Setup, num_frames: int, fps: float, seed: int, text: str) -> UInt8:
        """Continue the last frames of the context that are a valid length for the model."""
        import torch

        lengths = [length for length in self._model.config.context_lengths if length <= len(context)]
        if not lengths:
            raise Unanswered(f"the model wants {min(self._model.config.context_lengths)} context frames or more")
        if abs(self._model.config.fps - fps) > 1e-6:
            raise Unanswered(f"the model plays {self._model.config.fps:g} frames a second, the scene has {fps:g}")
        if setup.camera.kind != "orthographic":
            raise Unanswered("the model's readout by colour reads orthographic pictures alone")
        frames = torch.from_numpy(context[-max(lengths) :]).movedim(-1, 0)[None].float() / 127.5 - 1
        made = self._model.generate(frames, [setup], num_frames, seed=seed, **self._options)
        new = made.video[0, :, made.num_context :]
        return np.asarray(((new + 1) * 127.5).round().byte().movedim(0, -1).cpu().numpy())
