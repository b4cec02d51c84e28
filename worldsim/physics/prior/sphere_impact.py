"""Impacts of spheres with spheres and planes at their differentiable time of impact, with friction and capture to rest.

Normal at the time of impact after Zhong, Han and Brikis, "Improving gradient computation for differentiable physics
simulation with contacts" (arXiv 2305.00092); the rest is Newton's restitution and Coulomb's friction at one point.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from worldsim.physics.prior.contact import TOUCHING
from worldsim.physics.prior.encounters import Encounters
from worldsim.physics.prior.flight import basis, bend, press, travel
from worldsim.physics.prior.matter import pair_mean
from worldsim.physics.prior.spheres import COLUMNS, SphereWorld, vectors


@dataclass(frozen=True)
class Struck:
    """Flights after a round of impacts.

    Attributes:
        flights: (B, S + P, 18), the bent ones among them.
        supported: Whether some sphere may carry an acceleration by contact.
        normal: (R, 3) of each impact, from the partner to the sphere.
        push: (R,) normal impulse, newton seconds; 0 where there was no impact.
    """

    flights: Tensor
    supported: bool
    normal: Tensor
    push: Tensor


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(-1, keepdim=True)


def _length(vector: Tensor) -> Tensor:
    return (vector.square().sum(-1, keepdim=True) + 1e-18).sqrt()


def _only(active: Tensor | None, value: Tensor, other: Tensor | float) -> Tensor:
    """The value where there is an impact, the other elsewhere."""
    return value if active is None else torch.where(active, value, other)


def strike(
    flights: Tensor,
    world: SphereWorld,
    meet: Encounters,
    free: Tensor,
    step: float,
    rest_time: float,
    supported: bool,
) -> Struck:
    """Give every sphere whose impact is due its impulse, and bend its flight at the time of impact.

    Each body of a pair works out the pair's impulse for itself, from the same numbers mirrored, so that
    nothing is scattered.

    Args:
        flights: (B, S + P, 18).
        world: Bodies.
        meet: Who meets whom, and when.
        free: (B, S + P, 18) flights without contact, of which accelerations are taken.
        step: Seconds.
        rest_time: A rebound whose flight would last less, in seconds, ends in rest. Where nothing presses the pair
            together there is no such flight, and slow impacts rebound like fast ones.
        supported: Whether some sphere already carries an acceleration by contact.
    """
    table, active = flights.flatten(0, 1), meet.active
    pair = _Pair.of(table, world, meet)
    x, v, a, spin, spin_rate, turn = pair.own
    other_spin, other_spin_rate = pair.other[3], pair.other[4]

    # Relative motion at the detached time of impact, then the time itself with its derivative: one Newton step.
    time = meet.time[:, None]
    r, u, bending = pair.relative(time)
    r = _only(active, r, 1.0)
    normal = torch.where(pair.is_plane, pair.plane_normal, r / _length(r))
    gap = _dot(normal, r) - pair.reach
    with torch.no_grad():
        closing = _dot(normal, u)
        moving = closing < -1e-9 if active is None else active & (closing < -1e-9)
        late = gap / torch.where(moving, closing, -1.0)
        polish = moving & (late.abs() < 0.05 * step)
        # A pair that overlaps, or that is coming to rest, has no moment of impact to differentiate.
        settles = 2 * closing.abs() < -rest_time * _dot(normal, bending)
        meets = moving & (gap > -TOUCHING) & ~settles
        slope = torch.where(meets, 1 / torch.where(moving, closing, -1.0), 0.0)
        kept = torch.where(polish, 0.0, gap)
    shift_time = -(gap - kept) * slope
    tau = time + shift_time
    r = r + shift_time * u
    u = u + shift_time * bending
    normal = torch.where(pair.is_plane, pair.plane_normal, r / _length(r))
    at = basis(tau, pair.drag)

    # Normal impulse: Newton's restitution, or none where the pair is pressed together and would rebound for an instant.
    speed = _dot(normal, u)
    restitution = pair_mean(pair.mine.restitution, pair.theirs.restitution)
    with torch.no_grad():
        pull = _dot(normal, bending)
        rests = 2 * restitution * speed.abs() < -rest_time * pull
        rests = rests if active is None else active & rests
        some_rest = torch.compiler.is_compiling() or bool(rests.any())
    inverse_mass, inverse_inertia = pair.mine.inverse_mass, pair.mine.inverse_inertia
    if some_rest:
        restitution = torch.where(rests, 0.0, restitution)
    ease = _only(active, inverse_mass + pair.theirs.inverse_mass, 1.0)
    push = _only(active, -(1 + restitution) * speed / ease, 0.0).clamp_min(0)
    impulse = push * normal
    slide = arm = friction = tangent_ease = None
    if not world.frictionless:
        friction = pair_mean(pair.mine.friction, pair.theirs.friction)
        arm, their_arm = pair.mine.radius, pair.theirs.radius
        surface = arm * spin + their_arm * other_spin
        surface = surface + tau * (arm * spin_rate + their_arm * other_spin_rate)
        slide = u - speed * normal + torch.linalg.cross(normal, surface)
        tangent_ease = ease + arm.square() * inverse_inertia + their_arm.square() * pair.theirs.inverse_inertia
        grip = torch.minimum(1 / tangent_ease, friction * push / _length(slide))
        rub = _only(active, -grip * slide, 0.0)
        impulse = impulse + rub
        spin_jump = -(arm * inverse_inertia) * torch.linalg.cross(normal, rub)
        spin, turn = spin + spin_jump, turn - tau * spin_jump
    bent_x, bent_v = bend(impulse * inverse_mass, at)
    x, v = x + bent_x, v + bent_v
    if some_rest or supported:
        # Acceleration: a body struck loses the support it had; one that comes to rest on its partner gains some.
        lost = ~rests if active is None else active & ~rests
        freely = free.flatten(0, 1).index_select(0, meet.rows)
        change = torch.where(lost, freely[:, 6:9] - a, 0.0)
        spin_change = torch.where(lost, freely[:, 12:15] - spin_rate, 0.0)
        hold = torch.where(rests, -_dot(normal, bending) / ease, 0.0)
        force = hold * normal
        if slide is not None:
            assert friction is not None
            assert arm is not None
            assert tangent_ease is not None
            left = (step - tau).clamp_min(1e-3 * step)
            after = slide + tangent_ease * (impulse - push * normal)
            surface_rate = arm * spin_rate + pair.theirs.radius * other_spin_rate
            drift = bending - _dot(normal, bending) * normal + torch.linalg.cross(normal, surface_rate)
            wish = -(after / left + drift) / tangent_ease
            rub_force = wish * torch.minimum(torch.ones_like(hold), friction * hold / _length(wish))
            rub_force = torch.where(rests, rub_force, 0.0)
            force = force + rub_force
            spin_change = spin_change - (arm * inverse_inertia) * torch.linalg.cross(normal, rub_force)
        change = change + force * inverse_mass
        pressed_x, pressed_v = press(change, at)
        x, v, a = x + pressed_x, v + pressed_v, a + change
        spin, turn = spin - tau * spin_change, turn + 0.5 * tau * tau * spin_change
        spin_rate = spin_rate + spin_change
    bent = torch.cat([x, v, a, spin, spin_rate, turn], -1)
    table = table.index_copy(0, meet.rows, bent)
    return Struck(table.view_as(flights), some_rest or supported, normal, push[:, 0])


class _Constants(NamedTuple):
    """Columns (R, ...) of SphereWorld.constants."""

    normal: Tensor
    inverse_mass: Tensor
    inverse_inertia: Tensor
    radius: Tensor
    friction: Tensor
    restitution: Tensor
    drag: Tensor
    offset: Tensor


@dataclass(frozen=True)
class _Pair:
    """R spheres and their partners.

    Attributes:
        own: The spheres' vectors, (R, 3) each; see vectors.
        other: Their partners'.
        mine: The spheres' constants.
        theirs: Their partners'.
        is_plane: (R, 1) whether the partner is a plane.
        drags: Whether there is drag.
    """

    own: tuple[Tensor, ...]
    other: tuple[Tensor, ...]
    mine: _Constants
    theirs: _Constants
    is_plane: Tensor
    drags: bool

    @staticmethod
    def of(table: Tensor, world: SphereWorld, meet: Encounters) -> _Pair:
        """Look up the rows of an encounter in the flights of all bodies."""
        constants, num_spheres = world.constants.flatten(0, 1), len(world.spheres)
        mine, theirs = (
            _Constants(*constants.index_select(0, index).split(COLUMNS, -1)) for index in (meet.rows, meet.partner)
        )
        own, other = (vectors(table.index_select(0, index)) for index in (meet.rows, meet.partner))
        is_plane = (meet.partner % (num_spheres + len(world.planes)) >= num_spheres)[:, None]
        return _Pair(own, other, mine, theirs, is_plane, world.drags)

    @property
    def plane_normal(self) -> Tensor:
        """(R, 3) outward normal of the partner, where it is a plane."""
        return self.theirs.normal

    @property
    def reach(self) -> Tensor:
        """(R, 1) distance of centres at contact, metres."""
        return self.mine.radius + self.theirs.radius

    @property
    def drag(self) -> Tensor | None:
        """(R, 1) of the sphere, 1/s."""
        return self.mine.drag if self.drags else None

    def relative(self, time: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Relative position, velocity and acceleration (R, 3) at (R, 1) times."""
        (x, v, a, *_), (y, w, b, *_) = self.own, self.other
        if not self.drags:
            shift, u = travel(v - w, a - b, basis(time, None))
            return x - y + shift, u, a - b
        shift, u = travel(v, a, basis(time, self.mine.drag))
        their_shift, their_u = travel(w, b, basis(time, self.theirs.drag))
        bending = a - self.mine.drag * u - b + self.theirs.drag * their_u
        return x + shift - y - their_shift, u - their_u, bending


@torch.no_grad()
def refine(flights: Tensor, world: SphereWorld, meet: Encounters, step: float) -> Encounters:
    """Newton steps on times of impact that next_encounters gave to second order: under drag or unequal accelerations.

    The derivative of the one differentiated Newton step is only as good as the root it starts from.
    """
    pair = _Pair.of(flights.flatten(0, 1), world, meet)
    time = meet.time[:, None]
    for _ in range(3):
        r, u, _ = pair.relative(time)
        normal = torch.where(pair.is_plane, pair.plane_normal, r / _length(r))
        closing = _dot(normal, u)
        late = (_dot(normal, r) - pair.reach) / torch.where(closing < -1e-9, closing, -1.0)
        # A pair that overlaps from the start collides now, not when it would have met.
        fits = (closing < -1e-9) & (late.abs() < 0.5 * step) & (time > 0)
        time = torch.where(fits if meet.active is None else fits & meet.active, time - late, time)
    return replace(meet, time=time[:, 0])
