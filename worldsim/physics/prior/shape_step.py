"""One step of a world of any shapes: from impact to impact, every world of the batch on its own clock.

A round measures the pairs that are near, lets those that touch and approach collide, finds the constant forces of those
at rest, and moves each world to its next time of impact or to the end of the step. Rounds go on in those worlds alone
that have not come to the end; under torch.compile, where no shape may depend on data, in all of them.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from worldsim.physics import rotation
from worldsim.physics.bodies import Bodies
from worldsim.physics.prior.contact import TOUCHING, Points
from worldsim.physics.prior.dynamics import inverse_inertia_world
from worldsim.physics.prior.flight import basis
from worldsim.physics.prior.impact_time import Pull, time_to_impact
from worldsim.physics.prior.manifold import Manifold
from worldsim.physics.prior.matter import Matter
from worldsim.physics.prior.resting import Solver, central_path
from worldsim.physics.prior.rollout import Advanced
from worldsim.physics.prior.shape_impact import (
    Collisions,
    normal_speed,
    point_jacobian,
    resting_speed,
)
from worldsim.physics.prior.shape_world import ShapeWorld, measured, shape_world
from worldsim.physics.prior.state import State, put_rows
from worldsim.physics.prior.touch import Touch, touch_of

# Most moments of impact in a step; what is left of the step then passes without looking for further ones.
_MOMENTS = 32
# The same under torch.compile, where every one is played out.
_COMPILED_MOMENTS = 8


class ShapeStepper:
    """Advances worlds of any shapes.

    Args:
        bodies: Of the worlds.
        matter: Theirs under the law.
        solver: Of contact impulses and forces.
        rounds: Most moments of impact in a step, and most collisions one after another at one moment.
        rest_time: A rebound whose flight would last less, in seconds, ends in rest.
    """

    def __init__(self, bodies: Bodies, matter: Matter, solver: Solver, rounds: int, rest_time: float) -> None:
        self.scene = shape_world(bodies, matter)
        self.solver, self.rounds, self.rest_time = solver, rounds, rest_time
        free = max(1, sum(not static for static in bodies.static))
        self.manifold = Manifold(self.scene, limit=10 * free)
        self.collide = Collisions(self.manifold, solver, rounds)
        self.log: list[Touch] | None = None

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
        whole, all_touched, rows, scene = state, touched, None, self.scene
        moments = min(self.rounds, _COMPILED_MOMENTS if compiling else _MOMENTS) if len(scene.first) else 0
        for _ in range(moments):
            now = _Moment(scene, state, self._free(scene, state, wrench), left, touched)
            state, touched, left = self._round(now, step)
            going = left[:, 0] > 1e-9 * step
            if not compiling and not bool(going.any()):
                break
            few = self._few(going)
            if few is not None:
                whole, all_touched = whole.put(rows, state), put_rows(all_touched, rows, touched)
                rows = few if rows is None else rows[few]
                scene, state, left, touched = scene.take(few), state.take(few), left[few], touched[few]
                wrench = None if wrench is None else wrench[few]
        else:
            pull = self._free(scene, state, wrench)
            state = scene.advance(state, pull.free, pull.spin_rate, left)
        return Advanced(whole.put(rows, state), None, put_rows(all_touched, rows, touched))

    def _few(self, wanted: Tensor) -> Tensor | None:
        """The worlds of which a (B,) mask holds; None for all, also where no shape may depend on data."""
        if torch.compiler.is_compiling() or self.log is not None:
            return None
        rows = wanted.nonzero()[:, 0]
        return None if len(rows) == len(wanted) else rows

    def _round(self, now: _Moment, step: float) -> tuple[State, Tensor, Tensor]:
        """Up to the next moment of impact: the state there, who has been touched, and what is left of the step."""
        with torch.no_grad():
            close = now.scene.touchable & (now.scene.clearance(now.state) < TOUCHING)
        if torch.compiler.is_compiling() or bool(close.any()):
            rows = self._few(close.any(1))
            now = now.put(rows, self._contact(now.take(rows), close if rows is None else close[rows], step))
        wait = time_to_impact(now.scene, now.state, now.pull, now.left, step)
        state = now.scene.advance(now.state, now.pull.free, now.pull.spin_rate, wait)
        return state, now.touched, now.left - wait

    def _free(self, scene: ShapeWorld, state: State, wrench: Tensor | None) -> Pull:
        """Accelerations without contact."""
        gravity = scene.matter.gravity
        if wrench is None:
            return Pull(gravity, torch.zeros_like(gravity), gravity, self.rest_time)
        matrices = rotation.to_matrix(state.orientation)
        inverse = inverse_inertia_world(matrices, scene.matter.inverse_inertia, scene.planar)
        twist = (inverse @ wrench[..., 3:, None]).squeeze(-1)
        free = gravity + wrench[..., :3] * scene.matter.inverse_mass[..., None]
        return Pull(free, twist, gravity, self.rest_time)

    def _contact(self, now: _Moment, close: Tensor, step: float) -> _Moment:
        """Collisions at this moment, and the accelerations of bodies at rest on each other."""
        compiling = torch.compiler.is_compiling()
        with torch.no_grad():
            apart = measured(now.scene, now.state, close)
            near = close & (apart.distance < TOUCHING)
            if not compiling and not bool(near.any()):
                return now
            points = self.manifold.points(now.scene, now.state, apart, near)
        blows: list[tuple[Points, Tensor]] | None = None if self.log is None else []
        state, hit = self.collide(now.scene, now.state, apart, points, now.pull, blows)
        for struck, impulse in blows or ():
            assert self.log is not None
            self.log.append(touch_of(struck, state.position, step - now.left, impulse, None))
        now = now._replace(state=state, touched=now.touched | hit)
        with torch.no_grad():
            rests = _resting(points, now).any(1)
        if not compiling and not bool(rests.any()):
            return now
        rows = self._few(rests)
        pull = self._support(now.take(rows), near if rows is None else near[rows], step)
        return now._replace(pull=now.pull.put(rows, pull))

    def _support(self, now: _Moment, near: Tensor, step: float) -> Pull:
        """Accelerations over what is left of the step, those by contacts at rest included."""
        scene, state, pull = now.scene, now.state, now.pull
        points = self.manifold.points(scene, state, measured(scene, state, near), near)
        span = now.left.clamp_min(1e-7)[..., None]
        drag = scene.matter.drag
        at = basis(span, None if drag is None else drag[..., None])
        velocity = (1.0 if at.chi is None else at.chi) * state.linear_velocity + at.phi * pull.free
        spin = state.angular_velocity + span * pull.spin_rate
        gap, span_points = points.gap, span[..., 0]
        target = torch.where(gap > 0, -gap / span_points, (-0.1 * gap / span_points).clamp_max(0.3))
        jac = point_jacobian(scene, state, points)
        reply = central_path(points, jac, velocity, spin, target, _resting(points, now), self.solver)
        if self.log is not None:
            start = step - now.left
            self.log.append(touch_of(points, state.position, start, reply.normal_impulse, span_points))
        return pull._replace(free=pull.free + reply.velocity / at.phi, spin_rate=pull.spin_rate + reply.spin / span)


class _Moment(NamedTuple):
    """Worlds at some moment of a step.

    Attributes:
        scene: The worlds.
        state: Theirs.
        pull: Accelerations.
        left: (B, 1) seconds of the step that are left.
        touched: (B, N) who took part in an impact until now.
    """

    scene: ShapeWorld
    state: State
    pull: Pull
    left: Tensor
    touched: Tensor

    def take(self, rows: Tensor | None) -> _Moment:
        """Some of the worlds; all where rows is None."""
        if rows is None:
            return self
        parts = (self.scene.take(rows), self.state.take(rows), self.pull.take(rows))
        return _Moment(*parts, self.left[rows], self.touched[rows])

    def put(self, rows: Tensor | None, part: _Moment) -> _Moment:
        """With what contact changes in some worlds."""
        touched = put_rows(self.touched, rows, part.touched)
        return self._replace(
            state=self.state.put(rows, part.state), pull=self.pull.put(rows, part.pull), touched=touched
        )


def _resting(points: Points, now: _Moment) -> Tensor:
    """(B, C) points that touch and neither part nor approach faster than what counts as rest."""
    slow = normal_speed(points, now.state).detach().abs() < resting_speed(points, now.pull)
    return points.valid & (points.gap.detach() < TOUCHING) & slow
