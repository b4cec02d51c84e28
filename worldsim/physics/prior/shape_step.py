"""One step of a world of any shapes: from impact to impact, every world of the batch on its own clock.

A round measures the pairs that are near, lets those that touch and approach collide, finds the constant forces of those
at rest, and moves each world to its next time of impact or to the end of the step. Rounds go on in those worlds alone
that have not come to the end; under torch.compile, where no shape may depend on data, in all of them.
"""

from __future__ import annotations

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
    put,
    put_rows,
    resting_speed,
)
from worldsim.physics.prior.shape_world import ShapeWorld, measured, shape_world
from worldsim.physics.prior.state import State
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
            state, touched, wait = self._round(scene, state, touched, left, step, wrench)
            left = left - wait
            if compiling:
                continue
            going = left[:, 0] > 1e-9 * step
            number = int(going.sum())
            if number == 0:
                break
            if number < len(going):
                few = going.nonzero()[:, 0]
                whole, all_touched = put(whole, rows, state), put_rows(all_touched, rows, touched)
                rows = few if rows is None else rows[few]
                scene, state = scene.take(few), state.map(lambda tensor: tensor[few])  # noqa: B023
                left, touched = left[few], touched[few]
                wrench = None if wrench is None else wrench[few]
        else:
            pull = self._free(scene, state, wrench)
            state = scene.advance(state, pull.free, pull.spin_rate, left)
        return Advanced(put(whole, rows, state), None, put_rows(all_touched, rows, touched))

    def _round(
        self, scene: ShapeWorld, state: State, touched: Tensor, left: Tensor, step: float, wrench: Tensor | None
    ) -> tuple[State, Tensor, Tensor]:
        """Up to the next moment of impact: the state there, who has been touched, and the (B, 1) seconds till then."""
        pull = self._free(scene, state, wrench)
        with torch.no_grad():
            close = scene.touchable & (scene.clearance(state) < TOUCHING)
        compiling = torch.compiler.is_compiling()
        if compiling or bool(close.any()):
            rows: Tensor | None = None
            within, part, press, span, hits = scene, state, pull, left, touched
            if not compiling:
                rows = close.any(1).nonzero()[:, 0]
                if len(rows) < len(close):
                    within, part, press = scene.take(rows), state.map(lambda tensor: tensor[rows]), pull.take(rows)
                    span, close, hits = left[rows], close[rows], touched[rows]
                else:
                    rows = None
            part, hits, force, twist = self._contact(within, part, close, press, hits, span, step)
            state, touched = put(state, rows, part), put_rows(touched, rows, hits)
            if force is not None and twist is not None:
                free, spin_rate = put_rows(pull.free, rows, force), put_rows(pull.spin_rate, rows, twist)
                pull = pull._replace(free=free, spin_rate=spin_rate)
        wait = time_to_impact(scene, state, pull, left)
        return scene.advance(state, pull.free, pull.spin_rate, wait), touched, wait

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

    def _contact(
        self,
        scene: ShapeWorld,
        state: State,
        close: Tensor,
        pull: Pull,
        touched: Tensor,
        left: Tensor,
        step: float,
    ) -> tuple[State, Tensor, Tensor | None, Tensor | None]:
        """Collisions now, and the accelerations of bodies at rest on each other (None where nothing rests)."""
        compiling = torch.compiler.is_compiling()
        with torch.no_grad():
            apart = measured(scene, state, close)
            near = close & (apart.distance < TOUCHING)
            if not compiling and not bool(near.any()):
                return state, touched, None, None
            points = self.manifold.points(scene, state, apart, near)
        blows: list[tuple[Points, Tensor]] | None = None if self.log is None else []
        state, hit = self.collide(scene, state, apart, points, pull, blows)
        for struck, impulse in blows or ():
            assert self.log is not None
            self.log.append(touch_of(struck, state.position, step - left, impulse, None))
        touched = touched | hit
        with torch.no_grad():
            slow = normal_speed(points, state).abs() < resting_speed(points, pull)
            rests = points.valid & (points.gap < TOUCHING) & slow
            worlds = rests.any(1)
        if not compiling and not bool(worlds.any()):
            return state, touched, None, None
        rows: Tensor | None = None
        press = pull
        if not compiling and self.log is None and not bool(worlds.all()):
            rows = worlds.nonzero()[:, 0]
            scene, press, near, left = scene.take(rows), pull.take(rows), near[rows], left[rows]
            state_here = state.map(lambda tensor: tensor[rows])
        else:
            state_here = state
        force, twist = self._support(scene, state_here, near, press, left, step)
        return state, touched, put_rows(pull.free, rows, force), put_rows(pull.spin_rate, rows, twist)

    def _support(
        self, scene: ShapeWorld, state: State, near: Tensor, pull: Pull, left: Tensor, step: float
    ) -> tuple[Tensor, Tensor]:
        """Accelerations over what is left of the step, those by contacts at rest included."""
        points = self.manifold.points(scene, state, measured(scene, state, near), near)
        span = left.clamp_min(1e-7)[..., None]
        drag = scene.matter.drag
        at = basis(span, None if drag is None else drag[..., None])
        velocity = (1.0 if at.chi is None else at.chi) * state.linear_velocity + at.phi * pull.free
        spin = state.angular_velocity + span * pull.spin_rate
        slow = normal_speed(points, state).detach().abs() < resting_speed(points, pull)
        active = points.valid & (points.gap.detach() < TOUCHING) & slow
        gap, span_points = points.gap, span[..., 0]
        target = torch.where(gap > 0, -gap / span_points, (-0.1 * gap / span_points).clamp_max(0.3))
        jac = point_jacobian(scene, state, points)
        reply = central_path(points, jac, velocity, spin, target, active, self.solver)
        if self.log is not None:
            self.log.append(touch_of(points, state.position, step - left, reply.normal_impulse, span_points))
        return pull.free + reply.velocity / at.phi, pull.spin_rate + reply.spin / span
