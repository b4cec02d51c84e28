"""The law of a world as tensors: given from outside, or learned as the parameters of a named world.

`worldsim.scene.Law` is the plain-data law of one scene; LawParameters is what the prior computes with, batched.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from worldsim.physics.bodies import Bodies
from worldsim.scene import Scene, Setup

GRAVITY = (0.0, 0.0, -9.81)


@dataclass(frozen=True)
class LawParameters:
    """What acts on the bodies of B worlds.

    Each figure may be one for all worlds, one a world (B, ...) or one a body (B, N, ...); a leading axis of 1
    broadcasts. Fields that are None are taken from the bodies.

    Attributes:
        gravity: (3,), (B, 3) or (B, N, 3) metres a second squared, world frame.
        drag: (), (B,) or (B, N) linear drag a mass, 1/s: acceleration is -drag times velocity. None for no drag.
        friction: (), (B,) or (B, N) Coulomb coefficients of the bodies; a pair has the geometric mean.
        restitution: (), (B,) or (B, N) from 0 to 1; a pair has the geometric mean.
        mass: (), (B,) or (B, N) kg; moments of inertia scale with it.
        friction_scale: () or (B,) factor on every friction coefficient.
    """

    gravity: Tensor
    drag: Tensor | None = None
    friction: Tensor | None = None
    restitution: Tensor | None = None
    mass: Tensor | None = None
    friction_scale: Tensor | None = None

    @staticmethod
    def of(scenes: Sequence[Scene | Setup], dtype: torch.dtype = torch.float32) -> LawParameters:
        """Gravity and drag of scenes, one row a world; matter is left to the bodies."""
        gravity = torch.tensor([scene.law.gravity for scene in scenes], dtype=dtype)
        drags = [scene.law.drag for scene in scenes]
        return LawParameters(gravity, torch.tensor(drags, dtype=dtype) if any(drags) else None)

    def map(self, function: Any) -> LawParameters:
        """Apply a function to every tensor that is given."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return dataclasses.replace(self, **{k: function(v) for k, v in values.items() if v is not None})

    def to(self, *args: Any, **kwargs: Any) -> LawParameters:
        """Move or cast every tensor, as torch.Tensor.to."""
        return self.map(lambda tensor: tensor.to(*args, **kwargs))


class LearnedLaw(nn.Module):
    """The law of one named world as parameters: softplus drag and friction, sigmoid restitution, log mass.

    A module without input: calling it gives the LawParameters of the present parameter values, for any batch.
    What is not asked for is not learned and comes from the bodies.

    Args:
        num_bodies: Bodies of the world, static ones included.
        gravity: Start value, metres a second squared.
        drag: Start value, 1/s, above 0; None learns no drag.
        friction: Start value for all bodies, above 0; None learns no friction.
        restitution: Start value for all bodies, strictly between 0 and 1; None learns no restitution.
        mass: (N,) start values, kg; None learns no mass.
    """

    def __init__(
        self,
        num_bodies: int,
        gravity: Sequence[float] = GRAVITY,
        drag: float | None = None,
        friction: float | None = None,
        restitution: float | None = None,
        mass: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        for name, value in (("drag", drag), ("friction", friction)):
            if value is not None and not value > 0:
                raise ValueError(f"learned_law.{name}: must be above 0 to start with, got {value!r}")
        if restitution is not None and not 0 < restitution < 1:
            raise ValueError(f"learned_law.restitution: must be strictly between 0 and 1, got {restitution!r}")
        if mass is not None and (len(mass) != num_bodies or not all(m > 0 for m in mass)):
            raise ValueError(f"learned_law.mass: must be {num_bodies} masses above 0, got {mass!r}")
        self.gravity = nn.Parameter(torch.tensor([float(g) for g in gravity]))
        self.raw_drag = _parameter(None if drag is None else _inverse_softplus(torch.tensor(float(drag))))
        full = torch.ones(num_bodies)
        self.raw_friction = _parameter(None if friction is None else _inverse_softplus(full * friction))
        self.raw_restitution = _parameter(None if restitution is None else torch.logit(full * restitution))
        self.log_mass = _parameter(None if mass is None else torch.tensor([float(m) for m in mass]).log())

    def forward(self) -> LawParameters:
        """The law at the present parameter values."""

        def apply(function: Any, raw: Tensor | None) -> Tensor | None:
            return None if raw is None else function(raw)

        def rows(function: Any, raw: Tensor | None) -> Tensor | None:
            return None if raw is None else function(raw)[None]

        return LawParameters(
            gravity=self.gravity,
            drag=apply(functional.softplus, self.raw_drag),
            friction=rows(functional.softplus, self.raw_friction),
            restitution=rows(torch.sigmoid, self.raw_restitution),
            mass=rows(torch.exp, self.log_mass),
        )


def _parameter(value: Tensor | None) -> nn.Parameter | None:
    return None if value is None else nn.Parameter(value)


def _inverse_softplus(value: Tensor) -> Tensor:
    return value + torch.log(-torch.expm1(-value))


def default_law(bodies: Bodies) -> LawParameters:
    """Earth's gravity, no drag, matter from the bodies."""
    return LawParameters(torch.tensor(GRAVITY, dtype=bodies.mass.dtype, device=bodies.mass.device))
