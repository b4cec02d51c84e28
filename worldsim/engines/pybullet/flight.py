"""Free flight without the bias of semi-implicit Euler: Bullet is fed the mean velocity of each sub-step.

Bullet moves a free body by x' = x + h w' with w' = E w + h g', where E is its damping factor a sub-step and g' its
gravity. Under the law dv/dt = g - k v the velocity averaged over a sub-step obeys w' = E w + g (1 - E) / k with
E = exp(-k h), so that x' is exact where w starts as the mean over the sub-step before the start. What is reported
is v at the instant itself, by inverting that mean. Without drag this is the leapfrog scheme: w = v - g h / 2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Flight:
    """Maps between velocities at an instant and means over the sub-step that ends there.

    Attributes:
        gravity: Metres a second squared, world frame.
        drag: Linear drag a mass, 1/s.
        step: Sub-step, seconds.
    """

    gravity: Vector
    drag: float
    step: float

    @property
    def damping(self) -> float:
        """What Bullet is to take as linear damping: it keeps (1 - damping)^h of the velocity in a sub-step."""
        return -math.expm1(-self.drag)

    @property
    def bullet_gravity(self) -> Vector:
        """Gravity for Bullet, g (1 - E) / (k h)."""
        x = self.drag * self.step
        return self.gravity * (-math.expm1(-x) / x if x > 0 else 1.0)

    def to_mean(self, velocity: Vector) -> Vector:
        """Mean velocity over the sub-step before the instant, by the law traced backwards.

        Args:
            velocity: (3,) at the instant, metres a second.

        Returns:
            g/k + (v - g/k) (exp(kh) - 1) / (kh), or v - g h / 2 without drag.
        """
        x = self.drag * self.step
        if x < 1e-9:
            return velocity - 0.5 * self.step * (self.gravity - self.drag * velocity)
        terminal = self.gravity / self.drag
        return np.asarray(terminal + (velocity - terminal) * (math.expm1(x) / x))

    def to_instant(self, mean: Vector) -> Vector:
        """The inverse of `to_mean`."""
        x = self.drag * self.step
        if x < 1e-9:
            return mean + 0.5 * self.step * (self.gravity - self.drag * mean)
        terminal = self.gravity / self.drag
        return np.asarray(terminal + (mean - terminal) * (x / math.expm1(x)))
