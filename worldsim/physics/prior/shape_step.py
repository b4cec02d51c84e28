"""One step of a world of any shapes: from impact to impact, every world of the batch on its own clock.

A round measures all pairs, lets those that touch and approach collide, finds the constant forces of those at rest, and
moves each world to its next time of impact or to the end of the step.
"""

from __future__ import annotations

import torch
from torch import Tensor

from worldsim.physics import rotation
from worldsim.physics.bodies import Bodies
from worldsim.physics.geometry import PairDistances, collision_pairs, distances
from worldsim.physics.prior.contact import Points, velocity_at
from worldsim.physics.prior.dynamics import advance, gyroscopic_bodies, inverse_inertia_world
from worldsim.physics.prior.flight import basis
from worldsim.physics.prior.manifold import Manifold
from worldsim.physics.prior.matter import Matter
from worldsim.physics.prior.resting import Solver, central_path
from worldsim.physics.prior.rollout import Advanced
from worldsim.physics.prior.shape_impact import (
    TOUCHING,
    Pull,
    Surroundings,
    approach,
    collide,
    pair_rest_speed,
    resting_speed,
)
from worldsim.physics.prior.state import State
from worldsim.physics.prior.touch import Touch, touch_of

# Newton steps on the detached time of impact.
_NEWTON = 4
# Most moments of impact in a step; what is left of the step then passes without looking for further ones.
_MOMENTS = 8


class ShapeStepper:
    """Advances worlds of any shapes.

    Args:
        bodies: Of the worlds.
        matter: Theirs under the law.
        solver: Of contact impulses and forces.
        rounds: Most collisions one after another at one moment.
        rest_time: A rebound whose flight would last less, in seconds, ends in rest.
    """

    def __init__(self, bodies: Bodies, matter: Matter, solver: Solver, rounds: int, rest_time: float) -> None:
        self.bodies, self.matter, self.solver = bodies, matter, solver
        self.rounds, self.rest_time = rounds, rest_time
        self.pairs = collision_pairs(bodies)
        free = max(1, sum(not static for static in bodies.static))
        self.manifold = Manifold(bodies, matter, limit=10 * free)
        self.log: list[Touch] | None = None
        self.gyroscopic = gyroscopic_bodies(matter, bodies.kinds, bodies.planar)
        self._around = Surroundings(
            measure=self._distances,
            manifold=self.manifold,
            matter=matter,
            planar=bodies.planar,
            gyroscopic=self.gyroscopic,
            moves=matter.inverse_mass.detach() > 0,
            solver=solver,
            rounds=rounds,
        )

    def enter(self, state: State) -> State:
        """All bodies take part."""
        return state

    def select(self, wrench: Tensor) -> Tensor:
        """All bodies take part."""
        return wrench

    def leave(self, moving: Tensor, start: Tensor) -> Tensor:
        """All bodies take part."""
        return moving

    def step(self, state: State, step: float, wrench: Tensor | None) -> Advanced:
        """The state after `step` seconds under a (B, N, 6) wrench."""
        batch, count = state.position.shape[:2]
        left = state.position.new_full((batch, 1), step)
        touched = torch.zeros(batch, count, dtype=torch.bool, device=left.device)
        compiling = torch.compiler.is_compiling()
        if not self.pairs:
            pull, twist = self._free(state, wrench)
            return Advanced(advance(state, self.matter, pull, twist, left, self.gyroscopic), None, touched)
        for _ in range(min(self.rounds, _MOMENTS)):
            pull, twist = self._free(state, wrench)
            apart = self._distances(state)
            near = (apart.distance < TOUCHING) & self.manifold.touchable
            if compiling or bool(near.any()):
                points = self.manifold.points(state, apart)
                force = Pull(pull, self.matter.gravity, self.rest_time)
                blows: list[tuple[Points, Tensor]] | None = None if self.log is None else []
                state, hit = collide(state, apart, points, force, self._around, blows)
                for struck, impulse in blows or ():
                    assert self.log is not None
                    self.log.append(touch_of(struck, state.position, step - left, impulse, None))
                touched = touched | hit
                more_pull, more_twist = self._support(state, points, force, twist, left, step)
                pull, twist = pull + more_pull, twist + more_twist
            with torch.no_grad():
                wait = self._next_impact(state, apart, pull, twist, left)
            state = advance(state, self.matter, pull, twist, wait, self.gyroscopic)
            left = left - wait
            if not compiling and not bool((left > 1e-9 * step).any()):
                return Advanced(state, None, touched)
        pull, twist = self._free(state, wrench)
        return Advanced(advance(state, self.matter, pull, twist, left, self.gyroscopic), None, touched)

    def _free(self, state: State, wrench: Tensor | None) -> tuple[Tensor, Tensor]:
        """Accelerations (B, N, 3), linear and angular, without contact."""
        pull = self.matter.gravity
        if wrench is None:
            return pull, torch.zeros_like(pull)
        inverse = inverse_inertia_world(
            rotation.to_matrix(state.orientation), self.matter.inverse_inertia, self.bodies.planar
        )
        twist = (inverse @ wrench[..., 3:, None]).squeeze(-1)
        return pull + wrench[..., :3] * self.matter.inverse_mass[..., None], twist

    def _distances(self, state: State) -> PairDistances:
        return distances(self.bodies, state.position, state.orientation, self.pairs, check=False)

    def _support(
        self, state: State, points: Points, force: Pull, twist: Tensor, left: Tensor, step: float
    ) -> tuple[Tensor, Tensor]:
        """Accelerations that contacts at rest add over what is left of the step."""
        span = left.clamp_min(1e-7)[..., None]
        drag = self.matter.drag
        at = basis(span, None if drag is None else drag[..., None])
        velocity = (1.0 if at.chi is None else at.chi) * state.linear_velocity + at.phi * force.free
        spin = state.angular_velocity + span * twist
        speed = (velocity_at(points, state.linear_velocity, state.angular_velocity) * points.normal).sum(-1)
        slow = speed.detach().abs() < resting_speed(points, force)
        active = points.valid & (points.gap.detach() < TOUCHING) & slow
        if not torch.compiler.is_compiling() and not bool(active.any()):
            return torch.zeros_like(velocity), torch.zeros_like(spin)
        gap, span_points = points.gap, span[..., 0]
        target = torch.where(gap > 0, -gap / span_points, (-0.1 * gap / span_points).clamp_max(0.3))
        jac = self._around.jacobian(state, points)
        reply = central_path(points, jac, velocity, spin, target, active, self.solver)
        if self.log is not None:
            self.log.append(touch_of(points, state.position, step - left, reply.normal_impulse, span_points))
        return reply.velocity / at.phi, reply.spin / span

    def _next_impact(self, state: State, apart: PairDistances, pull: Tensor, twist: Tensor, left: Tensor) -> Tensor:
        """Seconds (B, 1) to each world's next impact or the end of its step.

        The first downcrossing of the distance under constant acceleration of its two witness points is polished by
        Newton steps on the distance itself, measured at the advanced state.
        """
        speed, bend = approach(state, apart, self.manifold), self._bend(state, apart, pull, twist)
        room = apart.distance
        square = speed * speed - 2 * bend * room
        root = square.clamp_min(0).sqrt()
        tiny = torch.finfo(room.dtype).tiny
        wait = torch.where(speed < 0, 2 * room / (root - speed), (speed + root) / (-bend).clamp_min(tiny))
        resting = apart.distance < TOUCHING
        # A pair that touches is in the hands of the contact solver, unless it still approaches from a hair's breadth.
        fast = speed < -pair_rest_speed(apart, Pull(pull, self.matter.gravity, self.rest_time), self.manifold)
        valid = self.manifold.touchable & (room > 0) & (square >= 0) & (wait < left) & (~resting | fast)
        first, pair = torch.where(valid, wait, torch.inf).min(1, keepdim=True)
        any_due = first < left
        wait = torch.minimum(first, left)
        if not torch.compiler.is_compiling() and not bool(any_due.any()):
            return wait
        watched = ~resting | fast
        for _ in range(_NEWTON):
            ahead = advance(state, self.matter, pull, twist, wait, self.gyroscopic)
            then = self._distances(ahead)
            closing = approach(ahead, then, self.manifold)
            eligible = watched & self.manifold.touchable & (closing < 0)
            gap, deepest = torch.where(eligible, then.distance, torch.inf).min(1, keepdim=True)
            deeper = any_due & (gap < 0)
            pair = torch.where(deeper, deepest, pair)
            gap, rate = then.distance.gather(1, pair), closing.gather(1, pair)
            better = wait - gap / torch.where(rate < 0, rate, -1.0)
            good = any_due & (rate < 0)
            wait = torch.where(good, torch.minimum(better.clamp_min(0), left), wait)
        return wait

    def _bend(self, state: State, apart: PairDistances, pull: Tensor, twist: Tensor) -> Tensor:
        """(B, P) rate of the rate of each pair's distance by the accelerations of its witness points."""
        accelerations = state._replace(linear_velocity=pull, angular_velocity=twist)
        return approach(accelerations, apart, self.manifold)
