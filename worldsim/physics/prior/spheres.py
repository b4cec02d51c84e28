"""Worlds of spheres and planes as tensors, and the flights of their bodies written from the start of a step.

A flight is a row of six vectors: position, velocity, acceleration (that of resting contacts included), spin, its rate,
and the turn made before the start's spin and its rate count: turn + t spin + t^2 / 2 rate is the turn at time t, as a
rotation vector. Planes have rows as well, at rest on their surface, so that whom a sphere meets is one index.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from worldsim.physics import rotation
from worldsim.physics.bodies import Bodies
from worldsim.physics.geometry import collision_pairs
from worldsim.physics.prior.flight import basis, travel
from worldsim.physics.prior.matter import Matter

# Widths of the columns of SphereWorld.constants.
COLUMNS = (3, 1, 1, 1, 1, 1, 1, 1)


@dataclass(frozen=True)
class SphereWorld:
    """S spheres first, then P planes, with what an impact between them needs.

    Attributes:
        spheres: Indices of the spheres among all bodies.
        planes: Indices of the planes.
        constants: (B, S + P, 10) normal (3, zero for spheres), inverse mass, inverse inertia, radius, friction,
            restitution, drag (zero for planes), offset; a plane is normal . x = offset.
        touchable: (B or 1, S, S + P) pairs that can collide.
        fixed: (S + P,) whether a body is static.
        frictionless: Whether no pair has friction.
        drags: Whether there is drag.
    """

    spheres: list[int]
    planes: list[int]
    constants: Tensor
    touchable: Tensor
    fixed: Tensor
    frictionless: bool
    drags: bool

    @property
    def normal(self) -> Tensor:
        """(B, P, 3) outward normals of the planes."""
        return self.constants[:, len(self.spheres) :, :3]

    @property
    def offset(self) -> Tensor:
        """(B, P) metres."""
        return self.constants[:, len(self.spheres) :, 9]

    @property
    def radius(self) -> Tensor:
        """(B, S + P) metres; zero for planes."""
        return self.constants[..., 5]

    @property
    def drag(self) -> Tensor | None:
        """(B, S + P) 1/s; None for none."""
        return self.constants[..., 8] if self.drags else None

    def take(self, worlds: Tensor) -> SphereWorld:
        """Some worlds of a batch."""
        touchable = self.touchable if self.touchable.shape[0] == 1 else self.touchable[worlds]
        return replace(self, constants=self.constants.index_select(0, worlds), touchable=touchable)


def sphere_world(bodies: Bodies, matter: Matter, position: Tensor, orientation: Tensor) -> SphereWorld:
    """Sort bodies that are all spheres and planes; (B, N, ...) poses place the planes."""
    kinds, device = bodies.kinds, position.device
    spheres = [i for i, kind in enumerate(kinds) if kind == "sphere"]
    planes = [i for i, kind in enumerate(kinds) if kind == "plane"]
    up = torch.tensor([0.0, 0.0, 1.0], dtype=position.dtype, device=device)
    normal = rotation.rotate(orientation[:, run(planes)], up.expand(position.shape[0], len(planes), 3))
    order = run(spheres + planes)
    pair = torch.zeros(len(kinds), len(kinds), dtype=torch.bool)
    for i, j in collision_pairs(bodies):
        pair[i, j] = pair[j, i] = True
    touchable = pair[spheres][:, spheres + planes].to(device)[None]
    if matter.presence is not None:
        there = matter.presence > 0.5
        touchable = touchable & there[:, spheres, None] & there[:, None, spheres + planes]
    round_ones = torch.tensor([kind == "sphere" for kind in kinds], device=device)
    none = torch.zeros_like(matter.inverse_mass)
    radius = torch.where(round_ones, matter.size[..., 0], 0.0)
    drag = none if matter.drag is None else torch.where(round_ones, matter.drag, 0.0)
    matters = [matter.inverse_mass, matter.inverse_inertia[..., 1], radius]
    numbers = torch.stack([*matters, matter.friction, matter.restitution, drag], -1)[:, order]
    offset = torch.cat([none[:, : len(spheres)], (normal * position[:, run(planes)]).sum(-1)], 1)
    normals = torch.cat([torch.zeros_like(position[:, : len(spheres)]), normal], 1)
    return SphereWorld(
        spheres,
        planes,
        torch.cat([normals, numbers, offset[..., None]], -1),
        touchable,
        torch.tensor([bodies.static[i] for i in spheres + planes], device=device),
        not torch.compiler.is_compiling() and not bool((matter.friction.detach() > 0).any()),
        matter.drag is not None,
    )


def run(places: list[int]) -> slice | list[int]:
    """Places as a slice where they follow each other, which costs no copy and no scatter in the backward pass."""
    start = places[0] if places else 0
    return slice(start, start + len(places)) if places == list(range(start, start + len(places))) else places


def flights_of(x: Tensor, v: Tensor, a: Tensor, spin: Tensor, spin_rate: Tensor, world: SphereWorld) -> Tensor:
    """(B, S + P, 18) flights from (B, S, 3) vectors of the spheres; see this module's text."""
    flying = torch.cat([x, v, a, spin, spin_rate, torch.zeros_like(x)], -1)
    if not world.planes:
        return flying
    rest = world.normal * world.offset[..., None]
    return torch.cat([flying, torch.cat([rest, rest.new_zeros(*rest.shape[:2], 15)], -1)], 1)


def vectors(flights: Tensor) -> tuple[Tensor, ...]:
    """Position, velocity, acceleration, spin, spin rate and turn, (..., 3) each, of (..., 18) flights."""
    six: tuple[Tensor, ...] = flights.unflatten(-1, (6, 3)).unbind(-2)
    return six


def end_of_flight(x: Tensor, v: Tensor, a: Tensor, drag: Tensor | None, step: float) -> tuple[Tensor, Tensor]:
    """Position and velocity (..., 3) after the step; drag (...)."""
    time = x.new_tensor(step)
    at = basis(time if drag is None else time.expand_as(drag)[..., None], None if drag is None else drag[..., None])
    shift, velocity = travel(v, a, at)
    return x + shift, velocity
