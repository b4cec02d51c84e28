"""Violation: what one law says of trajectories, entry by entry, in physical units."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Violation:
    """One law, measured.

    Losses take `mean`, guidance takes the gradient of `energy`, benchmarks take the distribution of `values` where
    `measurable`, and `share` beside every figure.

    Attributes:
        law: Name of the law, such as "penetration".
        unit: Of the values: m, m^3, J, N s, m/s^2, events, or 1 for a share.
        values: (..., T, K) how far each subject breaks the law in each frame, 0 for lawful and where not measurable.
            Laws about an interval between frames fill the frame that ends it.
        measurable: (..., T, K) whether the entry can be judged at all.
        subjects: (K, 2) pairs of places in Bodies, (K, 1) places in Bodies or numbers of objects, or (1, 0) for the
            world as a whole.
        energy: (...) smooth in the trajectory, falling as the law is kept better; its scale is the law's own.
    """

    law: str
    unit: str
    values: Tensor
    measurable: Tensor
    subjects: Tensor
    energy: Tensor

    def __post_init__(self) -> None:
        shape = tuple(self.values.shape)
        if self.measurable.shape != self.values.shape or self.measurable.dtype != torch.bool:
            raise ValueError(f"violation.measurable: must be bool of shape {shape}, got {self.measurable.shape}")
        if self.subjects.shape[0] != shape[-1]:
            raise ValueError(f"violation.subjects: must have {shape[-1]} rows, got {self.subjects.shape[0]}")
        if self.energy.shape != self.values.shape[:-2]:
            raise ValueError(f"violation.energy: must have shape {shape[:-2]}, got {tuple(self.energy.shape)}")

    @property
    def mean(self) -> Tensor:
        """(...) mean over what can be measured, in units; 0 where nothing can."""
        count = self.measurable.sum((-1, -2))
        return self.values.sum((-1, -2)) / count.clamp_min(1)

    @property
    def worst(self) -> Tensor:
        """(...) largest value over frames and subjects, in units."""
        if self.values.shape[-1] == 0:
            return self.values.sum((-1, -2))
        return self.values.amax((-1, -2))

    @property
    def share(self) -> Tensor:
        """(...) share of entries that can be measured; 0 where there are none."""
        return self.measurable.to(self.values.dtype).mean((-1, -2)).nan_to_num(0.0)


def settle(
    law: str, unit: str, values: Tensor, measurable: Tensor, subjects: Tensor, energy: Tensor | None = None
) -> Violation:
    """A Violation whose values are 0 where not measurable; left out, the energy is the mean square of the values."""
    values = torch.where(measurable, values, 0.0)
    if energy is None:
        energy = values.square().sum((-1, -2)) / measurable.sum((-1, -2)).clamp_min(1)
    return Violation(law, unit, values, measurable, subjects, energy)
