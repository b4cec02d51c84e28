"""The prior without a transformer: its rasterised roll-out taken for the video. What a paired model must improve on."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from worldsim.models.conditioning import Conditioning
from worldsim.models.config import DiTConfig, WorldModelConfig
from worldsim.models.world_model import WorldModel
from worldsim.vision.readout import Readout


class HintDenoiser(nn.Module):
    """A denoiser whose clean estimate is the hint."""

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.empty(0), requires_grad=False)  # a model is where its parameters are

    def forward(self, z: Tensor, t: Tensor, condition: Conditioning) -> Tensor:
        """(B, 3, T, H, W): the prior's rasterised roll-out.

        Raises:
            ValueError: Where there is no hint, for want of a Setup or of context frames, or as it is switched off.
        """
        if condition.hint_given is not None and not bool(condition.hint_given.all()):
            raise ValueError("hint: must be on where the prior works alone, got off")
        if condition.hint is None:
            raise ValueError("setup: must be given, with context frames, where the prior works alone; got none")
        return condition.hint


def prior_alone(fps: float, context: int = 4, readout: Readout | None = None) -> WorldModel:
    """A WorldModel without weights that generates what the prior foresees, in flat colours or simple shading.

    Args:
        fps: Frames a second.
        context: Frames that the start is read from.
        readout: Reads the start; left out, the one by colour, for flat planar worlds.
    """
    config = WorldModelConfig(dit=DiTConfig(patch=(1, 1, 1)), context_lengths=(context,), fps=fps)
    model = WorldModel(config, HintDenoiser())
    model.readout = readout or model.readout
    return model.eval()
