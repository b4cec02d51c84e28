"""When shapes next meet: the first root of the distance along the flight, bracketed by samples and then refined.

Nothing here is differentiated; worldsim.physics.prior.shape_impact makes the moment differentiable.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from worldsim.physics.geometry import PairDistance
from worldsim.physics.prior.contact import TOUCHING
from worldsim.physics.prior.dynamics import advance
from worldsim.physics.prior.shape_world import Rows, ShapeWorld, closing
from worldsim.physics.prior.state import State, put_rows

# Distances are looked at at least every so many seconds, and in so many equal parts of the time left; at early ones
# besides, which see the other corner of a rocking box come down.
_LONGEST_GAP, _FEWEST_PARTS = 1 / 120, 4
_EARLY = (1 / 16, 1 / 4)
# Most evaluations in a bracket.
_EVALUATIONS = 12


class Pull(NamedTuple):
    """What accelerates and presses bodies.

    Attributes:
        free: (B, N, 3) acceleration, metres a second squared.
        spin_rate: (B, N, 3) angular acceleration, radians a second squared.
        gravity: (B, N, 3).
        rest_time: Seconds of flight below which a rebound ends in rest.
    """

    free: Tensor
    spin_rate: Tensor
    gravity: Tensor
    rest_time: float

    def take(self, rows: Tensor) -> Pull:
        """That of some worlds."""
        return Pull(self.free[rows], self.spin_rate[rows], self.gravity[rows], self.rest_time)

    def put(self, rows: Tensor | None, part: Pull) -> Pull:
        """With the accelerations of some worlds replaced; all of them where rows is None."""
        free, spin_rate = put_rows(self.free, rows, part.free), put_rows(self.spin_rate, rows, part.spin_rate)
        return self._replace(free=free, spin_rate=spin_rate)


def arrival(dtype: torch.dtype) -> float:
    """Gap in metres at which a pair has arrived: what the search for the time of impact leaves over."""
    return 1e-7 if dtype == torch.float64 else 2e-5


def rest_speed(free: Tensor, gravity: Tensor, normal: Tensor, restitution: Tensor, rest_time: float) -> Tensor:
    """(...) speed in metres a second below which a touching pair is at rest; zero where nothing presses it.

    Args:
        free: (..., 2, 3) accelerations of the two bodies.
        gravity: (..., 2, 3) likewise.
        normal: (..., 3) from the first to the second.
        restitution: (...) of the pair.
        rest_time: Seconds.
    """
    relative = ((free[..., 0, :] - free[..., 1, :]) * normal).sum(-1)
    weight = (gravity * normal[..., None, :]).sum(-1).abs().amax(-1)
    return rest_time * torch.maximum(relative, weight) / (2 * restitution.clamp_min(0.5))


class _Flight(NamedTuple):
    """Flights of the two bodies of R pairs, (R, 2, ...) each."""

    state: State
    free: Tensor
    spin_rate: Tensor
    drag: Tensor | None
    inverse_inertia: Tensor | None

    def take(self, keep: Tensor) -> _Flight:
        """Those of some rows."""
        drag = None if self.drag is None else self.drag[keep]
        inverse_inertia = None if self.inverse_inertia is None else self.inverse_inertia[keep]
        state = self.state.map(lambda tensor: tensor[keep])
        return _Flight(state, self.free[keep], self.spin_rate[keep], drag, inverse_inertia)

    def at(self, time: Tensor) -> State:
        """(..., R, 2, ...) at (..., R) times."""
        lead, count = time.shape[:-1], self.free.shape[0]

        def wide(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.expand(*lead, *tensor.shape).reshape(-1, *tensor.shape[1:])

        state = State(*(t for t in map(wide, self.state) if t is not None))
        free, spin_rate = wide(self.free), wide(self.spin_rate)
        assert free is not None
        assert spin_rate is not None
        ahead = advance(state, free, spin_rate, time.reshape(-1, 1), wide(self.drag), wide(self.inverse_inertia))
        return ahead.map(lambda tensor: tensor.view(*lead, count, *tensor.shape[1:]))


@torch.no_grad()
def time_to_impact(scene: ShapeWorld, state: State, pull: Pull, left: Tensor, step: float) -> Tensor:
    """Seconds (B, 1) to each world's next impact or the end of its step.

    Pairs that touch are in the hands of the contact solver, unless they move faster than what counts as rest.

    Args:
        scene: The worlds.
        state: Theirs.
        pull: Accelerations, those by contacts at rest included.
        left: (B, 1) seconds of the step that are left.
        step: Seconds of the whole step.
    """
    compiling = torch.compiler.is_compiling()
    rows = Rows.of(scene, scene.touchable & (scene.clearance(state) < _reach(scene, state, pull, left)))
    if not len(rows.world):
        return left
    flight = _Flight(
        State(*(rows.gather(part) for part in state)),
        rows.gather(pull.free),
        rows.gather(pull.spin_rate),
        None if scene.matter.drag is None else rows.gather(scene.matter.drag),
        rows.gather(scene.matter.inverse_inertia) if scene.tumbles else None,
    )
    until = left[rows.world, 0]
    count = max(_FEWEST_PARTS, math.ceil(step / _LONGEST_GAP))
    parts = [0.0, *(early / count for early in _EARLY), *((k + 1) / count for k in range(count))]
    times = torch.tensor(parts, dtype=left.dtype, device=left.device)[:, None] * until
    path = flight.at(times)
    found = rows.measure(path.position, path.orientation)
    now = PairDistance(*(part[0] for part in found))
    speed = closing(path.position[0], path.linear_velocity[0], path.angular_velocity[0], now)
    restitution = scene.restitution[rows.world, rows.pair]
    still = rest_speed(flight.free, rows.gather(pull.gravity), now.normal, restitution, pull.rest_time)
    watched = scene.touchable[rows.world, rows.pair] & ((now.distance >= TOUCHING) | (speed.abs() > still))
    gap = found.distance.clone()
    # One that has just rebounded stands at zero give or take rounding, and will be above it.
    gap[0] = torch.where(speed > still, gap[0].clamp_min(torch.finfo(gap.dtype).tiny), gap[0])
    crosses = (gap[:-1] > 0) & (gap[1:] <= 0)
    index = crosses.to(torch.uint8).argmax(0, keepdim=True)
    low, high = times.gather(0, index)[0], times.gather(0, index + 1)[0]
    due = crosses.any(0) & watched
    # What cannot come first in its world needs no root.
    soonest = left[:, 0].scatter_reduce(0, rows.world, torch.where(due, high, torch.inf), "amin")
    due = due & (low <= soonest[rows.world])
    if not compiling:
        if not bool(due.any()):
            return left
        rows, flight, low, high = rows.take(due), flight.take(due), low[due], high[due]
        gap, index, due = gap[:, due], index[:, due], due[due]
    before, after = gap.gather(0, index)[0], gap.gather(0, index + 1)[0]
    from_rest = before < arrival(gap.dtype)
    start = torch.where(from_rest, high, low + (high - low) * before / (before - after).clamp_min(1e-30))
    root, met = _root(rows, flight, low, high, start)
    first = torch.where(due & met, root, torch.inf)
    return left[:, 0].scatter_reduce(0, rows.world, first, "amin")[:, None]


def _reach(scene: ShapeWorld, state: State, pull: Pull, left: Tensor) -> Tensor:
    """(B, P) metres by which the centres of each pair can come closer in the time that is left."""
    i, j = scene.first, scene.second
    v, a = state.linear_velocity, pull.free
    if scene.matter.drag is None:
        speed, bend = (v[:, i] - v[:, j]).norm(dim=-1), (a[:, i] - a[:, j]).norm(dim=-1)
    else:
        fast, hard = v.norm(dim=-1), a.norm(dim=-1)
        speed, bend = fast[:, i] + fast[:, j], hard[:, i] + hard[:, j]
    reach: Tensor = left * (speed + 0.5 * left * bend) + TOUCHING
    return reach


def _root(rows: Rows, flight: _Flight, low: Tensor, high: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
    """Where each row's distance vanishes, (R,) seconds between low and high, and whether it was found.

    Newton steps with the rate at the witness points, halving the bracket where a step would leave it.
    """
    enough = 1e-11 if low.dtype == torch.float64 else 1.5e-6
    best, least = time, torch.full_like(time, torch.inf)
    for _ in range(_EVALUATIONS):
        at = flight.at(time)
        found = rows.measure(at.position, at.orientation)
        rate = closing(at.position, at.linear_velocity, at.angular_velocity, found)
        gap = found.distance
        off = torch.where(rate < 0, gap.abs(), torch.inf)
        best, least = torch.where(off < least, time, best), torch.minimum(off, least)
        if not torch.compiler.is_compiling() and bool((least < enough).all()):
            break
        low, high = torch.where(gap > 0, time, low), torch.where(gap > 0, high, time)
        step = time - gap / torch.where(rate < 0, rate, -1.0)
        inside = (rate < 0) & (step >= low) & (step <= high)
        time = torch.where(inside, step, 0.5 * (low + high))
    return best, least < arrival(low.dtype)
