"""Impacts of spheres with spheres and planes at their differentiable time of impact, with friction and capture to rest.

Normal at the time of impact after Zhong, Han and Brikis, "Improving gradient computation for differentiable physics
simulation with contacts" (arXiv 2305.00092); the rest is Newton's restitution and Coulomb's friction at one point.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from worldsim.physics.prior.contact import TOUCHING
from worldsim.physics.prior.flight import basis, bend, press, travel
from worldsim.physics.prior.matter import pair_mean
from worldsim.physics.prior.spheres import Arcs, Encounters, SphereWorld


@dataclass(frozen=True)
class Free:
    """What accelerates the spheres of a step while nothing touches them.

    Attributes:
        a: (B, S, 3) metres a second squared.
        spin_rate: (B, S, 3) radians a second squared.
    """

    a: Tensor
    spin_rate: Tensor

    def take(self, rows: Tensor) -> Free:
        """Of some worlds."""
        return Free(self.a[rows], self.spin_rate[rows])


@dataclass(frozen=True)
class Struck:
    """Flights after a round of impacts.

    Attributes:
        arcs: The bent flights.
        supported: Whether some sphere may carry an acceleration by contact.
        normal: (B, S, 3) of each impact, from the partner to the sphere.
        push: (B, S) normal impulse, newton seconds; 0 where there was no impact.
    """

    arcs: Arcs
    supported: bool
    normal: Tensor
    push: Tensor


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(-1, keepdim=True)


def _length(vector: Tensor) -> Tensor:
    return (vector.square().sum(-1, keepdim=True) + 1e-18).sqrt()


def strike(
    arcs: Arcs,
    world: SphereWorld,
    meet: Encounters,
    free: Free,
    step: float,
    rest_time: float,
    supported: bool,
) -> Struck:
    """Give every sphere whose impact is due its impulse, and bend its flight at the time of impact.

    Each body of a pair works out the pair's impulse for itself, from the same numbers mirrored, so that
    nothing is scattered.

    Args:
        arcs: Flights.
        world: Bodies.
        meet: Who meets whom, and when.
        free: Accelerations without contact.
        step: Seconds.
        rest_time: A rebound whose flight would last less, in seconds, ends in rest. Where nothing presses the pair
            together there is no such flight, and slow impacts rebound like fast ones.
        supported: Whether some sphere already carries an acceleration by contact.
    """
    num_spheres = arcs.x.shape[1]
    own = torch.cat([arcs.x, arcs.v, arcs.a, arcs.spin, arcs.spin_rate], -1)
    other = _partners(own, world, meet.partner)
    mine = world.constants[:, :num_spheres]
    theirs = world.constants.gather(1, meet.partner[..., None].expand(-1, -1, mine.shape[-1]))
    active = meet.active[..., None]

    # Relative motion at the detached time of impact, then the time itself with its derivative: one Newton step.
    time = meet.time[..., None]
    r, u, bending = _relative(own, other, time, world.drag)
    r = torch.where(active, r, 1.0)
    plane_normal = theirs[..., 0:3]
    is_plane = meet.partner[..., None] >= num_spheres
    reach = mine[..., 5:6] + theirs[..., 5:6]
    normal = torch.where(is_plane, plane_normal, r / _length(r))
    gap = _dot(normal, r) - reach
    with torch.no_grad():
        closing = _dot(normal, u)
        moving = active & (closing < -1e-9)
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
    normal = torch.where(is_plane, plane_normal, r / _length(r))
    at = basis(tau, None if world.drag is None else world.drag[..., None])

    # Normal impulse: Newton's restitution, or none where the pair is pressed together and would rebound for an instant.
    speed = _dot(normal, u)
    restitution = pair_mean(mine[..., 7:8], theirs[..., 7:8])
    with torch.no_grad():
        pull = _dot(normal, bending)
        rests = active & (2 * restitution * speed.abs() < -rest_time * pull)
        some_rest = torch.compiler.is_compiling() or bool(rests.any())
    inverse_mass = mine[..., 3:4]
    if some_rest:
        restitution = torch.where(rests, 0.0, restitution)
    ease = inverse_mass + theirs[..., 3:4]
    ease = torch.where(active, ease, 1.0)
    push = torch.where(active, -(1 + restitution) * speed / ease, 0.0).clamp_min(0)
    impulse = push * normal
    spin_jump = None
    slide = arm = friction = tangent_ease = None
    if not world.frictionless:
        friction = pair_mean(mine[..., 6:7], theirs[..., 6:7])
        arm = mine[..., 5:6]
        surface = arm * own[..., 9:12] + theirs[..., 5:6] * other[..., 9:12]
        surface = surface + tau * (arm * own[..., 12:15] + theirs[..., 5:6] * other[..., 12:15])
        slide = u - speed * normal + torch.linalg.cross(normal, surface)
        tangent_ease = ease + arm.square() * mine[..., 4:5] + theirs[..., 5:6].square() * theirs[..., 4:5]
        grip = torch.minimum(1 / tangent_ease, friction * push / _length(slide))
        rub = torch.where(active, -grip * slide, 0.0)
        impulse = impulse + rub
        spin_jump = -(arm * mine[..., 4:5]) * torch.linalg.cross(normal, rub)
    bent_x, bent_v = bend(impulse * inverse_mass, at)
    arcs = replace(arcs, x=arcs.x + bent_x, v=arcs.v + bent_v)
    if spin_jump is not None:
        arcs = replace(arcs, spin=arcs.spin + spin_jump, turn=arcs.turn - tau * spin_jump)
    if not (some_rest or supported):
        return Struck(arcs, False, normal, push[..., 0])

    # Acceleration: a body struck loses the support it had; one that comes to rest on its partner gains some.
    lost = active & ~rests
    change = torch.where(lost, free.a - arcs.a, 0.0)
    spin_change = torch.where(lost, free.spin_rate - arcs.spin_rate, 0.0)
    hold = torch.where(rests, -_dot(normal, bending) / ease, 0.0)
    force = hold * normal
    if slide is not None:
        assert friction is not None
        assert arm is not None
        assert tangent_ease is not None
        left = (step - tau).clamp_min(1e-3 * step)
        after = slide + tangent_ease * (impulse - push * normal)
        surface_rate = arm * own[..., 12:15] + theirs[..., 5:6] * other[..., 12:15]
        drift = bending - _dot(normal, bending) * normal + torch.linalg.cross(normal, surface_rate)
        wish = -(after / left + drift) / tangent_ease
        rub_force = wish * torch.minimum(torch.ones_like(hold), friction * hold / _length(wish))
        force = force + torch.where(rests, rub_force, 0.0)
        spin_change = spin_change - (arm * mine[..., 4:5]) * torch.linalg.cross(
            normal, torch.where(rests, rub_force, 0.0)
        )
    change = change + force * inverse_mass
    pressed_x, pressed_v = press(change, at)
    arcs = replace(
        arcs,
        x=arcs.x + pressed_x,
        v=arcs.v + pressed_v,
        a=arcs.a + change,
        spin=arcs.spin - tau * spin_change,
        turn=arcs.turn + 0.5 * tau * tau * spin_change,
        spin_rate=arcs.spin_rate + spin_change,
    )
    return Struck(arcs, True, normal, push[..., 0])


def _relative(own: Tensor, other: Tensor, time: Tensor, drag: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Relative position, velocity and acceleration (B, S, 3) of each sphere and its partner at (B, S, 1) times."""
    if drag is None:
        relative = own - other[..., : own.shape[-1]]
        shift, u = travel(relative[..., 3:6], relative[..., 6:9], basis(time, None))
        return relative[..., 0:3] + shift, u, relative[..., 6:9]
    mine, theirs = drag[..., None], other[..., own.shape[-1] :]
    shift, u = travel(own[..., 3:6], own[..., 6:9], basis(time, mine))
    their_shift, their_u = travel(other[..., 3:6], other[..., 6:9], basis(time, theirs))
    bending = own[..., 6:9] - mine * u - other[..., 6:9] + theirs * their_u
    return own[..., 0:3] + shift - other[..., 0:3] - their_shift, u - their_u, bending


@torch.no_grad()
def refine(arcs: Arcs, world: SphereWorld, meet: Encounters, step: float) -> Encounters:
    """Newton steps on times of impact that next_encounters gave to second order: under drag or unequal accelerations.

    The derivative of the one differentiated Newton step is only as good as the root it starts from.
    """
    num_spheres = arcs.x.shape[1]
    own = torch.cat([arcs.x, arcs.v, arcs.a, arcs.spin, arcs.spin_rate], -1)
    other = _partners(own, world, meet.partner)
    theirs = world.constants.gather(1, meet.partner[..., None].expand(-1, -1, world.constants.shape[-1]))
    reach = world.radius[..., None] + theirs[..., 5:6]
    is_plane = meet.partner[..., None] >= num_spheres
    time = meet.time[..., None]
    for _ in range(3):
        r, u, _ = _relative(own, other, time, world.drag)
        normal = torch.where(is_plane, theirs[..., 0:3], r / _length(r))
        closing = _dot(normal, u)
        late = (_dot(normal, r) - reach) / torch.where(closing < -1e-9, closing, -1.0)
        # A pair that overlaps from the start collides now, not when it would have met.
        fits = meet.active[..., None] & (closing < -1e-9) & (late.abs() < 0.5 * step) & (time > 0)
        time = torch.where(fits, time - late, time)
    return replace(meet, time=time[..., 0])


def _partners(own: Tensor, world: SphereWorld, partner: Tensor) -> Tensor:
    """Each sphere's partner: its flight and spin (and drag, where there is some), planes at rest on their surface."""
    batch = own.shape[0]
    table = own if world.drag is None else torch.cat([own, world.drag[..., None]], -1)
    if world.planes:
        rest = world.normal * world.offset[..., None]
        still = torch.zeros(batch, len(world.planes), table.shape[-1] - 3, dtype=own.dtype, device=own.device)
        table = torch.cat([table, torch.cat([rest, still], -1)], 1)
    return table.gather(1, partner[..., None].expand(-1, -1, table.shape[-1]))
