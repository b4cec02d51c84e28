"""When spheres and planes meet: closed-form times of impact of all pairs of a world in one tensor expression.

Nothing here is differentiated; worldsim.physics.prior.sphere_impact makes the chosen times differentiable.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from worldsim.physics import rotation
from worldsim.physics.bodies import Bodies
from worldsim.physics.geometry import collision_pairs
from worldsim.physics.prior.contact import TOUCHING
from worldsim.physics.prior.flight import basis, travel
from worldsim.physics.prior.matter import Matter
from worldsim.physics.prior.state import put_rows


@dataclass(frozen=True)
class Arcs:
    """Flights of S spheres written from the start of the step (see worldsim.physics.prior.flight).

    Attributes:
        x: (B, S, 3) metres.
        v: (B, S, 3) metres a second.
        a: (B, S, 3) acceleration, that of resting contacts included.
        turn: (B, S, 3) rotation vector, radians: turn + t spin + t^2 / 2 spin_rate is the turn since the start.
        spin: (B, S, 3) radians a second, world frame.
        spin_rate: (B, S, 3) radians a second squared.
    """

    x: Tensor
    v: Tensor
    a: Tensor
    turn: Tensor
    spin: Tensor
    spin_rate: Tensor


@dataclass(frozen=True)
class SphereWorld:
    """Spheres first, then planes, with what an impact between them needs.

    Attributes:
        spheres: Indices of the spheres among all bodies.
        planes: Indices of the planes.
        constants: (B, S + P, 8) normal (3, zero for spheres), inverse mass, inverse inertia, radius, friction,
            restitution.
        offset: (B, P) metres; a plane is normal . x = offset.
        gravity: (B, S, 3).
        drag: (B, S) or None.
        touchable: (B or 1, S, S + P) pairs that can collide.
        bounce: (B, S, S + P) restitution of pairs, without gradient.
        fixed: (S,) whether a sphere is static.
        frictionless: Whether no pair has friction.
    """

    spheres: list[int]
    planes: list[int]
    constants: Tensor
    offset: Tensor
    gravity: Tensor
    drag: Tensor | None
    touchable: Tensor
    bounce: Tensor
    fixed: Tensor
    frictionless: bool

    @property
    def normal(self) -> Tensor:
        """(B, P, 3) outward normals of the planes."""
        return self.constants[:, len(self.spheres) :, :3]

    @property
    def radius(self) -> Tensor:
        """(B, S) metres."""
        return self.constants[:, : len(self.spheres), 5]


def sphere_world(bodies: Bodies, matter: Matter, position: Tensor, orientation: Tensor) -> SphereWorld:
    """Sort bodies that are all spheres and planes; (B, N, ...) poses place the planes."""
    kinds, device = bodies.kinds, position.device
    spheres = [i for i, kind in enumerate(kinds) if kind == "sphere"]
    planes = [i for i, kind in enumerate(kinds) if kind == "plane"]
    up = torch.tensor([0.0, 0.0, 1.0], dtype=position.dtype, device=device)
    normal = rotation.rotate(orientation[:, planes], up.expand(position.shape[0], len(planes), 3))
    order = spheres + planes
    pair = torch.zeros(len(kinds), len(kinds), dtype=torch.bool)
    for i, j in collision_pairs(bodies):
        pair[i, j] = pair[j, i] = True
    touchable = pair[spheres][:, order].to(device)[None]
    if matter.presence is not None:
        there = matter.presence > 0.5
        touchable = touchable & there[:, spheres, None] & there[:, None, order]
    round_ones = torch.tensor([kind == "sphere" for kind in kinds], device=device)
    radius = torch.where(round_ones, matter.size[..., 0], 0.0)
    matters = [matter.inverse_mass, matter.inverse_inertia[..., 1], radius]
    matters += [matter.friction, matter.restitution]
    constants = torch.cat(
        [
            torch.cat([torch.zeros_like(position[:, spheres]), normal], 1),
            torch.stack(matters, -1)[:, order],
        ],
        -1,
    )
    compiling = torch.compiler.is_compiling()
    single = matter.restitution.detach()
    bounce = (single[:, spheres, None] * single[:, None, order]).sqrt()
    return SphereWorld(
        spheres,
        planes,
        constants,
        (normal * position[:, planes]).sum(-1),
        matter.gravity[:, spheres],
        None if matter.drag is None else matter.drag[:, spheres],
        touchable,
        bounce,
        torch.tensor([bodies.static[i] for i in spheres], device=device),
        not compiling and not bool((matter.friction.detach() > 0).any()),
    )


@dataclass(frozen=True)
class Encounters:
    """The next impact of each sphere. A pair is chosen where it comes first for both of its bodies.

    Attributes:
        active: (B, S) whether the sphere has an impact now to be resolved.
        time: (B, S) seconds since the start of the step; zero where not active.
        partner: (B, S) index among spheres and planes; zero where not active.
        pressed: (B, S, S + P) pairs that touch and are pressed together at the start; None where not asked for.
    """

    active: Tensor
    time: Tensor
    partner: Tensor
    pressed: Tensor | None = None

    def take(self, rows: Tensor) -> Encounters:
        """Of some worlds."""
        pressed = None if self.pressed is None else self.pressed[rows]
        return Encounters(self.active[rows], self.time[rows], self.partner[rows], pressed)


def slops(dtype: torch.dtype) -> tuple[float, float]:
    """Metres of overlap and metres a second of approach that count as none: what rounding makes of a resting body."""
    return (1e-9, 1e-8) if dtype == torch.float64 else (2e-6, 2e-5)


@torch.no_grad()
def may_meet(arcs: Arcs, world: SphereWorld, step: float) -> Tensor:
    """(B,) worlds in which something may touch within the step: whose balls around whole flights overlap."""
    x = arcs.x
    # Drag only shortens the way.
    reach = step * (arcs.v.norm(dim=-1) + 0.5 * step * arcs.a.norm(dim=-1)) + world.radius + TOUCHING
    square = x.square().sum(-1)
    apart = square[:, :, None] + square[:, None, :] - 2 * (x @ x.mT)
    # The difference of squares is good to a few roundings of the squares themselves.
    rounding = 16 * torch.finfo(x.dtype).eps * square.amax(-1)[:, None, None]
    near = apart - rounding < (reach[:, :, None] + reach[:, None, :]).square()
    low = x @ world.normal.mT - world.offset[:, None] < reach[..., None]
    return (torch.cat([near, low], -1) & world.touchable).flatten(1).any(1)


@torch.no_grad()
def next_encounters(
    arcs: Arcs, world: SphereWorld, last: Tensor | None, step: float, rest_time: float | None = None
) -> Encounters:
    """First downcrossing of each pair's distance within the step.

    With the relative motion r + v t + a t^2 / 2, spheres of radius sum R meet where
    (r.r - R^2) / 2 + (r.v) t + (v.v + r.a) t^2 / 2 = 0, exact where both fly freely, to second order otherwise; a
    sphere meets a plane where its height crosses zero, exact under any constant acceleration. Drag enters through its
    first order, a - c v. The impact's Newton step takes up what is left.

    Args:
        arcs: Flights.
        world: Who can meet whom.
        last: (B, S) time of each sphere's latest impact, before which nothing more can happen to it; None for 0.
        step: Seconds.
        rest_time: Where given, tells the pairs that rest on each other: those that touch, are pressed together and
            would rebound for less than this time, in seconds.
    """
    num_spheres, num_planes = len(world.spheres), len(world.planes)
    batch = arcs.x.shape[0]
    a = arcs.a if world.drag is None else arcs.a - world.drag[..., None] * arcs.v
    flight = torch.stack([arcs.x, arcs.v, a])  # (3, B, S, 3)
    apart = flight.permute(0, 3, 1, 2).contiguous()  # components first: sums over an inner axis of 3 are slow
    apart = apart[..., :, None] - apart[..., None, :]  # (3 orders, 3 axes, B, S, S)
    r, v, w = apart[0], apart[1], apart[2]
    radius = world.radius
    reach = radius[:, :, None] + radius[:, None, :]
    later = None if last is None else torch.cat([last, last.new_zeros(batch, num_planes)], 1)
    since = None if later is None else torch.maximum(later[:, :num_spheres, None], later[:, None, :])
    if since is not None:
        s = since[..., :num_spheres]
        r, v = r + s * (v + 0.5 * s * w), v + s * w
    gap = ((r * r).sum(0) - reach * reach) / (2 * reach)
    speed = (r * v).sum(0) / reach
    bend = ((v * v) + (r * w)).sum(0) / reach
    if num_planes:
        heights = flight @ world.normal.mT  # (3, B, S, P)
        low, fall, pull = heights[0] - world.offset[:, None] - radius[..., None], heights[1], heights[2]
        if since is not None:
            s = since[..., num_spheres:]
            low, fall = low + s * (fall + 0.5 * s * pull), fall + s * pull
        gap, speed, bend = torch.cat([gap, low], -1), torch.cat([speed, fall], -1), torch.cat([bend, pull], -1)
    left = step if since is None else step - since
    overlap_slop, speed_slop = slops(gap.dtype)
    tiny = torch.finfo(gap.dtype).tiny
    room = gap.clamp_min(0)
    square = speed * speed - 2 * bend * room
    root = square.clamp_min(0).sqrt()
    wait = torch.where(speed < 0, 2 * room / (root - speed), (speed + root) / (-bend).clamp_min(tiny))
    sinks = (room + left * (speed + 0.5 * left * bend)) < -overlap_slop
    valid = world.touchable & (square >= 0) & (wait < left) & ((root > speed_slop) | sinks)
    time = torch.where(valid, wait if since is None else since + wait, torch.inf)
    first, partner = time.min(-1)
    sphere = torch.arange(num_spheres, device=gap.device)
    index = partner.clamp_max(num_spheres - 1)
    agreed = (partner >= num_spheres) | (partner.gather(1, index) == sphere) | world.fixed[index]
    active = (first < step) & agreed & ~world.fixed
    pressed = None
    if rest_time is not None:
        brief = 2 * world.bounce.clamp_min(0.5) * root < -rest_time * bend
        pressed = world.touchable & (gap < TOUCHING) & brief
    return Encounters(active, torch.where(active, first, 0.0), torch.where(active, partner, 0), pressed)


def end_of_step(arcs: Arcs, world: SphereWorld, step: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Position, velocity, turn since the start (rotation vector) and spin at the end of the step."""
    time = arcs.x.new_tensor(step)
    at = basis(time if world.drag is None else time.expand_as(world.drag)[..., None], _column(world.drag))
    shift, velocity = travel(arcs.v, arcs.a, at)
    turn = arcs.turn + step * arcs.spin + (0.5 * step * step) * arcs.spin_rate
    return arcs.x + shift, velocity, turn, arcs.spin + step * arcs.spin_rate


def _column(value: Tensor | None) -> Tensor | None:
    return None if value is None else value[..., None]


def take_arcs(arcs: Arcs, rows: Tensor) -> Arcs:
    """The flights of some worlds."""
    return Arcs(*(value[rows] for value in vars(arcs).values()))


def put_arcs(whole: Arcs, rows: Tensor | None, part: Arcs) -> Arcs:
    """Flights with those of some worlds replaced; all of them where rows is None."""
    pairs = zip(vars(whole).values(), vars(part).values(), strict=True)
    return Arcs(*(new if old is new else put_rows(old, rows, new) for old, new in pairs))


def take_worlds(world: SphereWorld, rows: Tensor) -> SphereWorld:
    """Some worlds of a batch."""
    return replace(
        world,
        constants=world.constants[rows],
        offset=world.offset[rows],
        gravity=world.gravity[rows],
        drag=None if world.drag is None else world.drag[rows],
        touchable=world.touchable if world.touchable.shape[0] == 1 else world.touchable[rows],
        bounce=world.bounce[rows],
    )
