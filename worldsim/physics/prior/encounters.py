"""When spheres and planes meet: closed-form times of impact of those pairs that are near enough to meet at all.

Nothing here is differentiated; worldsim.physics.prior.sphere_impact makes the chosen times differentiable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from worldsim.physics.prior.contact import TOUCHING
from worldsim.physics.prior.spheres import SphereWorld


class Pairs(NamedTuple):
    """Ordered pairs of a sphere and whom it may meet, by place among the B (S + P) bodies of all worlds.

    Attributes:
        one: (K,) spheres.
        two: (K,) the others.
        num_round: How many, which come first, are pairs of two spheres.
    """

    one: Tensor
    two: Tensor
    num_round: int

    def within(self, worlds: Tensor, batch: int, count: int) -> Pairs:
        """The same, told by place among some worlds that hold them all."""
        shift = shifts(self.one, worlds, batch, count)
        return Pairs(self.one + shift, self.two + shift, self.num_round)

    def mask(self, chosen: Tensor, batch: int, num_spheres: int, count: int) -> Tensor:
        """(B, S, S + P) whether a pair is among the (K,) chosen ones."""
        place = (self.one // count * num_spheres + self.one % count) * count + self.two % count
        flat = chosen.new_zeros(batch * num_spheres * count).index_copy(0, place, chosen)
        return flat.view(batch, num_spheres, count)


def worlds_of(rows: Tensor, batch: int, count: int) -> Tensor:
    """The worlds, of `count` bodies each, in which (R,) bodies are."""
    going = torch.zeros(batch, dtype=torch.bool, device=rows.device)
    going[rows // count] = True
    return going.nonzero()[:, 0]


def shifts(rows: Tensor, worlds: Tensor, batch: int, count: int) -> Tensor:
    """(R,) what to add to places of bodies to tell them by place among some worlds."""
    moved = worlds.new_zeros(batch)
    moved[worlds] = (torch.arange(len(worlds), device=worlds.device) - worlds) * count
    return moved[rows // count]


@dataclass(frozen=True)
class Encounters:
    """The next impact of each sphere. A pair is chosen where it comes first for both of its bodies.

    Bodies are told by their place among the B (S + P) of all worlds.

    Attributes:
        rows: (R,) spheres that have an impact now to be resolved; all spheres where shapes must not depend on data.
        partner: (R,) whom they meet.
        time: (R,) seconds since the start of the step.
        active: (R, 1) which of the rows do have an impact; None for all.
        pressed: Pairs that touch and are pressed together at the start, and (K,) which of them really do; None where
            there is none, or where not asked for.
    """

    rows: Tensor
    partner: Tensor
    time: Tensor
    active: Tensor | None
    pressed: tuple[Pairs, Tensor] | None = None

    def within(self, worlds: Tensor, batch: int, count: int) -> Encounters:
        """The same, told by place among some worlds that hold them all."""
        shift = shifts(self.rows, worlds, batch, count)
        return Encounters(self.rows + shift, self.partner + shift, self.time, self.active)


def slops(dtype: torch.dtype) -> tuple[float, float]:
    """Metres of overlap and metres a second of approach that count as none: what rounding makes of a resting body."""
    return (1e-9, 1e-8) if dtype == torch.float64 else (2e-6, 2e-5)


@torch.no_grad()
def near(x: Tensor, v: Tensor, a: Tensor, world: SphereWorld, last: Tensor | None, step: float) -> Pairs:
    """Pairs that may touch within the step: whose balls around what is left of their flights overlap.

    Args:
        x: (B, S, 3) metres, from the start of the step, as v and a.
        v: (B, S, 3).
        a: (B, S, 3).
        world: Who can meet whom.
        last: (B, S + P) seconds from which on flights count; None for 0.
        step: Seconds.
    """
    num_spheres, count = x.shape[1], x.shape[1] + len(world.planes)
    if world.drag is not None:
        a = a - world.drag[:, :num_spheres, None] * v
    left: float | Tensor = step
    if last is not None:
        since = last[:, :num_spheres, None]
        x, v = x + since * (v + 0.5 * since * a), v + since * a
        left = step - since
    way = left * (_norm(v) + 0.5 * left * _norm(a))
    reach = way + world.radius[:, :num_spheres, None] + TOUCHING
    # |x_i - x_j|^2 - (reach_i + reach_j)^2 by one product of rows; good to a few roundings of the squares themselves.
    square, rows = _norm(x).square(), torch.cat([x, reach], -1)
    rest = square - reach.square()
    rounding = 16 * torch.finfo(x.dtype).eps * (square + reach.square()).amax(1, keepdim=True)
    close = torch.baddbmm(rest.expand(-1, -1, num_spheres), rows, rows.mT, alpha=-2) < rounding - rest.mT
    index, i, j = (close & world.touchable[..., :num_spheres]).nonzero(as_tuple=True)
    one, two = index * count + i, index * count + j
    if not world.planes:
        return Pairs(one, two, len(one))
    low = x @ world.normal.mT - world.offset[:, None] < reach
    index, i, j = (low & world.touchable[..., num_spheres:]).nonzero(as_tuple=True)
    ones, twos = torch.cat([one, index * count + i]), torch.cat([two, index * count + num_spheres + j])
    return Pairs(ones, twos, len(one))


def _norm(vector: Tensor) -> Tensor:
    x, y, z = vector.unbind(-1)  # sums over an inner axis of 3 are slow
    return (x * x + y * y + z * z).sqrt()[..., None]


@torch.no_grad()
def next_encounters(
    flights: Tensor,
    world: SphereWorld,
    last: Tensor | None,
    step: float,
    close: Pairs | None,
    rest_time: float | None = None,
    dense: bool = False,
) -> Encounters:
    """First downcrossing of each pair's distance within the step.

    With the relative motion r + v t + a t^2 / 2, spheres of radius sum R meet where
    (r.r - R^2) / 2 + (r.v) t + (v.v + r.a) t^2 / 2 = 0, exact where both fly freely, to second order otherwise; a
    sphere meets a plane where its height crosses zero, exact under any constant acceleration. Drag enters through its
    first order, a - c v. The impact's Newton step takes up what is left.

    Args:
        flights: (B, S + P, 18).
        world: Who can meet whom.
        last: (B, S + P) time of each body's latest impact, before which nothing more can happen to it; None for 0.
        step: Seconds.
        close: Pairs to look at, as `near` finds them; None for all, at shapes that data do not change.
        rest_time: Where given, tells the pairs that rest on each other: those that touch, are pressed together and
            would rebound for less than this time, in seconds.
        dense: Whether the rows are to be all spheres.
    """
    batch, count = flights.shape[:2]
    num_spheres = len(world.spheres)
    pairs = _all_pairs(world, batch) if close is None else close
    one, two, num_round = pairs
    motion, constants = flights.flatten(0, 1)[:, :9], world.constants.flatten(0, 1)
    if world.drag is not None:
        motion = torch.cat([motion[:, :6], motion[:, 6:] - constants[:, 8:9] * motion[:, 3:6]], -1)
    since = None if last is None else torch.maximum(last.flatten()[one], last.flatten()[two])
    gap, speed, bend = _courses(motion, constants, one, two, num_round, since)
    left = step if since is None else step - since
    overlap_slop, speed_slop = slops(gap.dtype)
    tiny = torch.finfo(gap.dtype).tiny
    room = gap.clamp_min(0)
    square = speed * speed - 2 * bend * room
    root = square.clamp_min(0).sqrt()
    wait = torch.where(speed < 0, 2 * room / (root - speed), (speed + root) / (-bend).clamp_min(tiny))
    sinks = (room + left * (speed + 0.5 * left * bend)) < -overlap_slop
    valid = (square >= 0) & (wait < left) & ((root > speed_slop) | sinks)
    if close is None:
        valid = valid & _touchable(pairs, world, batch)
    time = torch.where(valid, wait if since is None else since + wait, torch.inf)

    total = batch * count
    first = time.new_full((total,), torch.inf).scatter_reduce(0, one, time, "amin")
    soonest = torch.where(valid & (time == first[one]), two, total)
    partner = two.new_full((total,), total).scatter_reduce(0, one, soonest, "amin").clamp_max(total - 1)
    body = torch.arange(total, device=one.device)
    fixed = world.fixed.repeat(batch)
    active = (first < step) & (fixed[partner] | (partner[partner] == body)) & ~fixed
    pressed = None
    if rest_time is not None:
        bounce = (constants[one, 7] * constants[two, 7]).sqrt()
        brief = (gap < TOUCHING) & (2 * bounce.clamp_min(0.5) * root < -rest_time * bend)
        if close is None:
            brief = brief & _touchable(pairs, world, batch)
        if torch.compiler.is_compiling() or bool(brief.any()):
            pressed = (pairs, brief)
    if close is None or dense:
        rows = body.view(batch, count)[:, :num_spheres].flatten()
        due = active[rows]
        return Encounters(
            rows, torch.where(due, partner[rows], 0), torch.where(due, first[rows], 0.0), due[:, None], pressed
        )
    rows = active.nonzero()[:, 0]
    return Encounters(rows, partner[rows], first[rows], None, pressed)


def _all_pairs(world: SphereWorld, batch: int) -> Pairs:
    """All pairs, the same for every batch of these bodies."""
    num_spheres, count = len(world.spheres), len(world.spheres) + len(world.planes)
    device = world.constants.device
    listed = [(i, j) for i in range(num_spheres) for j in range(num_spheres) if i != j]
    num_round = len(listed) * batch
    listed += [(i, j) for i in range(num_spheres) for j in range(num_spheres, count)]
    shift = torch.arange(batch, device=device) * count
    one, two = torch.tensor(listed, dtype=torch.long, device=device).reshape(-1, 2).unbind(1)
    return Pairs((one[:, None] + shift).flatten(), (two[:, None] + shift).flatten(), num_round)


def _touchable(pairs: Pairs, world: SphereWorld, batch: int) -> Tensor:
    """(K,) whether these pairs can collide."""
    num_spheres, count = len(world.spheres), len(world.spheres) + len(world.planes)
    place = (pairs.one // count * num_spheres + pairs.one % count) * count + pairs.two % count
    return world.touchable.expand(batch, -1, -1).flatten()[place]


def _courses(
    motion: Tensor, constants: Tensor, one: Tensor, two: Tensor, num_round: int, since: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """(K,) gap of each pair, its rate and second rate at `since`; see next_encounters for what they stand for."""
    ours, theirs = motion.index_select(0, one), constants.index_select(0, two)
    radius = constants[:, 5][one]
    # Components first: sums over an inner axis of 3 are slow.
    apart = (ours[:num_round] - motion.index_select(0, two[:num_round])).T.contiguous().unflatten(0, (3, 3))
    r, v, w = apart[0], apart[1], apart[2]
    reach = radius[:num_round] + theirs[:num_round, 5]
    if since is not None:
        s = since[:num_round]
        r, v = r + s * (v + 0.5 * s * w), v + s * w
    gap = ((r * r).sum(0) - reach * reach) / (2 * reach)
    speed = (r * v).sum(0) / reach
    bend = ((v * v) + (r * w)).sum(0) / reach
    if num_round == len(one):
        return gap, speed, bend
    over = theirs[num_round:]
    heights = (ours[num_round:].unflatten(-1, (3, 3)) * over[:, None, :3]).sum(-1)
    low, fall, pull = heights[:, 0] - over[:, 9] - radius[num_round:], heights[:, 1], heights[:, 2]
    if since is not None:
        s = since[num_round:]
        low, fall = low + s * (fall + 0.5 * s * pull), fall + s * pull
    return torch.cat([gap, low]), torch.cat([speed, fall]), torch.cat([bend, pull])
