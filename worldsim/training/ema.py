"""Average of weights over training with a profile that is a power of time, so that its length grows with the run."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

LONGEST = 0.28  # of averages relative to the run: above it no power of time has that length


def exponent_for(length: float) -> float:
    """The exponent gamma whose averaging profile has the given standard deviation, relative to the run's length.

    Karras et al. 2024 (EDM2, 2312.02696), eq. 127: length^2 = (g + 1) / ((g + 2)^2 (g + 3)).
    """
    if not 0 < length < LONGEST:
        raise ValueError(f"ema.length: must be between 0 and {LONGEST} of the run, got {length!r}")
    # length^2 (g + 2)^2 (g + 3) - (g + 1) = 0 as a cubic in g; the largest real root is the one above 0.
    square = length**-2
    roots = np.roots([1, 7, 16 - square, 12 - square])
    return float(roots[np.isreal(roots)].real.max())


class PowerAverage:
    """EMA with decay (1 - 1/t)^(g + 1) at step t: EDM2, eq. 123."""

    def __init__(self, model: nn.Module, length: float = 0.1) -> None:
        self.exponent = exponent_for(length)
        self.weights: dict[str, Tensor] = {k: v.detach().clone() for k, v in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after step `step`, counted from 1."""
        decay = (1 - 1 / step) ** (self.exponent + 1)
        for name, value in model.state_dict().items():
            average = self.weights[name]
            if average.is_floating_point():
                average.lerp_(value, 1 - decay)
            else:
                average.copy_(value)
