"""Bodies and law resolved into what a step computes with: inverse masses, pair coefficients, gravity, drag."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from worldsim.physics.bodies import Bodies
from worldsim.physics.prior.law import LawParameters


@dataclass(frozen=True)
class Matter:
    """Numbers of N bodies in B worlds, all broadcast to the batch; static bodies have no inverse mass.

    Attributes:
        inverse_mass: (B, N) 1/kg.
        inverse_inertia: (B, N, 3) about the body axes, 1/(kg m^2).
        friction: (B, N).
        restitution: (B, N).
        gravity: (B, N, 3) metres a second squared; zero for static bodies.
        drag: (B, N) 1/s, or None for none anywhere.
        size: (B, N, 3) metres, as Bodies.size.
        vertices: (B, N, 12, 2) metres.
        presence: (B, N) or None where all bodies are present.
    """

    inverse_mass: Tensor
    inverse_inertia: Tensor
    friction: Tensor
    restitution: Tensor
    gravity: Tensor
    drag: Tensor | None
    size: Tensor
    vertices: Tensor
    presence: Tensor | None

    def map(self, function: Any) -> Matter:
        """Apply a function to every tensor."""
        return dataclasses.replace(self, **{k: function(v) for k, v in vars(self).items() if v is not None})


def over_bodies(value: Tensor, batch: int, num_bodies: int, trailing: int, name: str) -> Tensor:
    """Broadcast a law figure of shape (), (B,), (B, N) plus trailing axes to (B, N, ...).

    Raises:
        ValueError: Where the shape fits none of these.
    """
    lead = value.dim() - trailing
    shape = tuple(value.shape[:lead])
    fits = lead in (0, 1, 2) and all(s in (1, full) for s, full in zip(shape, (batch, num_bodies), strict=False))
    if not fits:
        rule = f"(), (B,) or (B, N) with B = {batch}, N = {num_bodies}" + (" and 3 components" if trailing else "")
        raise ValueError(f"law.{name}: must have shape {rule}, got {tuple(value.shape)}")
    while value.dim() < 2 + trailing:
        value = value.unsqueeze(value.dim() - trailing) if value.dim() > trailing else value.unsqueeze(0)
    return value.expand(batch, num_bodies, *value.shape[2:])


def resolve(bodies: Bodies, law: LawParameters, batch: int, presence: Tensor | None) -> Matter:
    """Matter of the bodies under a law.

    Args:
        bodies: Of one world or of `batch` worlds.
        law: Broadcastable against (B, N).
        batch: B.
        presence: (B, N), or None where all bodies are present.
    """
    n, like = bodies.num_bodies, bodies.mass

    def full(name: str, value: Tensor | None, trailing: int = 0) -> Tensor | None:
        return None if value is None else over_bodies(value.to(like), batch, n, trailing, name)

    def spread(tensor: Tensor) -> Tensor:
        return tensor.expand(batch, *tensor.shape[1:])

    free = torch.tensor([0.0 if static else 1.0 for static in bodies.static], dtype=like.dtype, device=like.device)
    mass, friction = full("mass", law.mass), full("friction", law.friction)
    restitution, gravity = full("restitution", law.restitution), full("gravity", law.gravity, 1)
    scale = full("friction_scale", law.friction_scale)
    friction = spread(bodies.friction) if friction is None else friction
    inverse_inertia = free[:, None] / bodies.inertia
    if mass is not None:
        inverse_inertia = inverse_inertia * (bodies.mass / mass)[..., None]
    assert gravity is not None
    return Matter(
        inverse_mass=spread(free / (bodies.mass if mass is None else mass)),
        inverse_inertia=spread(inverse_inertia),
        friction=friction if scale is None else friction * scale,
        restitution=spread(bodies.restitution) if restitution is None else restitution,
        gravity=gravity * free[:, None],
        drag=full("drag", law.drag),
        size=spread(bodies.size),
        vertices=spread(bodies.vertices),
        presence=presence,
    )


def pair_mean(a: Tensor, b: Tensor) -> Tensor:
    """Geometric mean with a finite gradient at zero: the pair law of friction and restitution."""
    product = a * b
    zero = product <= 0
    return torch.where(zero, 0.0, torch.where(zero, 1.0, product).sqrt())
