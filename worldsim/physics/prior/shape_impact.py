"""Impacts of any shapes: at a differentiable moment, pair after pair until none approaches."""

from __future__ import annotations

import torch
from torch import Tensor

from worldsim.physics import rotation
from worldsim.physics.geometry import PairDistance
from worldsim.physics.prior.contact import TOUCHING, Jacobian, Points, jacobian, velocity_at
from worldsim.physics.prior.dynamics import inverse_inertia_world
from worldsim.physics.prior.impact_time import Pull, arrival, rest_speed
from worldsim.physics.prior.manifold import Manifold
from worldsim.physics.prior.resting import Solver, central_path
from worldsim.physics.prior.shape_world import ShapeWorld, approach, measured
from worldsim.physics.prior.state import State, put_rows

# Approach in metres a second that counts as none.
_STILL = 1e-6


def pressing(points: Points, pull: Pull) -> Tensor:
    """(B, C) acceleration that presses each point together: of the pair, or weight along the normal, the larger."""
    with torch.no_grad():
        relative = _take(pull.free, points.a) - _take(pull.free, points.b)
        weight = torch.maximum(
            (_take(pull.gravity, points.a) * points.normal).sum(-1).abs(),
            (_take(pull.gravity, points.b) * points.normal).sum(-1).abs(),
        )
        return torch.maximum(-(relative * points.normal).sum(-1), weight)


def resting_speed(points: Points, pull: Pull) -> Tensor:
    """(B, C) normal speed in metres a second below which a touching point is at rest; zero where nothing presses."""
    return pull.rest_time * pressing(points, pull) / (2 * points.restitution.clamp_min(0.5)).detach()


def normal_speed(points: Points, state: State) -> Tensor:
    """(B, C) metres a second at which each point opens."""
    return (velocity_at(points, state.linear_velocity, state.angular_velocity) * points.normal).sum(-1)


def _take(values: Tensor, index: Tensor) -> Tensor:
    return values.gather(1, index[..., None].expand(-1, -1, values.shape[-1]))


def point_jacobian(scene: ShapeWorld, state: State, points: Points) -> Jacobian:
    """Of these points at this state."""
    matrices = rotation.to_matrix(state.orientation)
    inverse = inverse_inertia_world(matrices, scene.matter.inverse_inertia, scene.planar)
    return jacobian(points, scene.matter.inverse_mass, inverse, scene.planar)


class Collisions:
    """Lets pairs that touch and approach collide.

    Args:
        manifold: Gathers contact points.
        solver: Of the impulses of one pair.
        rounds: Most collisions of one body after another at one moment.
    """

    def __init__(self, manifold: Manifold, solver: Solver, rounds: int) -> None:
        self._manifold, self._solver, self._rounds = manifold, solver, rounds

    def __call__(
        self,
        scene: ShapeWorld,
        state: State,
        apart: PairDistance,
        points: Points,
        pull: Pull,
        blows: list[tuple[Points, Tensor]] | None = None,
    ) -> tuple[State, Tensor]:
        """Collide one pair after another until none approaches; fastest first.

        The points of one pair act together (a box that lands flat has four), pairs that share no body at the same
        time. The moment of each collision is made differentiable by one Newton step on its detached value: its bodies
        are advanced by d tau = -distance / rate, whose value is nil and whose derivative is that of the root, collide
        there, with normal and points as they are there, and are taken back by d tau with their new velocities. That
        is x+ = x + tau v- + (h - tau) v+ with the gravity terms.

        Args:
            scene: The worlds.
            state: At the moment of impact.
            apart: Distances at that state, without gradient.
            points: Contact points at that state, without gradient: poses do not change here, so that they tell who
                touches throughout.
            pull: Tells rest from rebound.
            blows: Where given, gets the points and their (B, C) normal impulses of every collision.

        Returns:
            The state after, and which bodies (B, N) collided.
        """
        hit = torch.zeros_like(scene.moves)
        if not torch.compiler.is_compiling() and blows is None:
            return self._in_few(scene, state, apart, points, pull, hit)
        for _ in range(self._rounds):
            chosen = _ready(scene, state, points, pull)
            if not torch.compiler.is_compiling() and not bool(chosen.any()):
                break
            state, pushed = self._strike(scene, state, apart, chosen, pull, blows)
            hit = hit | pushed
        return state, hit

    def _in_few(
        self, scene: ShapeWorld, state: State, apart: PairDistance, points: Points, pull: Pull, hit: Tensor
    ) -> tuple[State, Tensor]:
        """The same in fewer and fewer worlds: those in which something still approaches."""
        rows: Tensor | None = None
        whole, struck = state, hit
        for _ in range(self._rounds):
            chosen = _ready(scene, state, points, pull)
            going = chosen.any(1)
            count = int(going.sum())
            if count == 0:
                break
            if count < len(going):
                few = going.nonzero()[:, 0]
                whole, struck = whole.put(rows, state), put_rows(struck, rows, hit)
                rows = few if rows is None else rows[few]
                scene, pull, chosen, hit = scene.take(few), pull.take(few), chosen[few], hit[few]
                state, points = state.take(few), points.map(lambda t: t[few])  # noqa: B023
                apart = PairDistance(*(part[few] for part in apart))
            state, pushed = self._strike(scene, state, apart, chosen, pull, None)
            hit = hit | pushed
        return whole.put(rows, state), put_rows(struck, rows, hit)

    def _strike(
        self,
        scene: ShapeWorld,
        state: State,
        apart: PairDistance,
        chosen: Tensor,
        pull: Pull,
        blows: list[tuple[Points, Tensor]] | None,
    ) -> tuple[State, Tensor]:
        """Collide the (B, P) chosen pairs, no two of which share a body that moves."""
        still = torch.zeros_like(pull.free)
        late = _delay(scene, state, apart, chosen, pull)
        state = scene.advance(state, pull.free, still, late)
        points = self._manifold.points(scene, state, measured(scene, state, chosen), chosen)
        speed = normal_speed(points, state)
        with torch.no_grad():
            active = points.valid & (points.gap < TOUCHING) & chosen.gather(1, points.pair)
            brief = 2 * points.restitution * speed.abs() < pull.rest_time * pressing(points, pull)
        bounce = torch.where(brief, 0.0, points.restitution)
        target = torch.where(speed < 0, -bounce * speed, 0.0)
        jac = point_jacobian(scene, state, points)
        reply = central_path(points, jac, state.linear_velocity, state.angular_velocity, target, active, self._solver)
        state = state._replace(
            linear_velocity=state.linear_velocity + reply.velocity,
            angular_velocity=state.angular_velocity + reply.spin,
        )
        state = scene.advance(state, pull.free, still, -late)
        if blows is not None:
            blows.append((points, reply.normal_impulse.detach()))
        pushed = (active & (reply.normal_impulse.detach() > 0)).to(jac.ends.dtype)
        return state, (pushed[..., None] * jac.ends).sum(1) > 0


@torch.no_grad()
def _ready(scene: ShapeWorld, state: State, points: Points, pull: Pull) -> Tensor:
    """(B, P) pairs whose turn it is to collide; a slow approach of bodies at rest is left to the forces at rest."""
    here = points.valid & (points.gap < arrival(points.gap.dtype))
    speed = normal_speed(points, state)
    slow = 0.05 * resting_speed(points, pull)
    ready = here & (speed < -slow.clamp_min(_STILL))
    return _choose(torch.where(ready, -speed, 0.0), points, scene)


def _delay(scene: ShapeWorld, state: State, apart: PairDistance, chosen: Tensor, pull: Pull) -> Tensor:
    """(B, N) seconds of value zero by which each body's collision comes later, with the derivative of its time.

    Pairs that overlap, or that are so slow that they are coming to rest, have no moment of impact: theirs is the
    moment at hand, without derivative, which would grow as one over the approach.
    """
    ends = torch.stack([scene.first, scene.second], 1)
    with torch.no_grad():
        rate = approach(scene, state, apart)
        gravity, free = pull.gravity[:, ends], pull.free[:, ends]
        slow = rest_speed(free, gravity, apart.normal, scene.restitution, pull.rest_time).clamp_min(_STILL)
        meets = apart.distance.abs() < arrival(apart.distance.dtype)
        moving = chosen & meets & (rate < -slow)
        slope = torch.where(moving, -1 / torch.where(moving, rate, -1.0), 0.0)
    each = torch.zeros_like(state.position[..., 0])
    if not torch.is_grad_enabled():
        return each
    distance = measured(scene, state, moving).distance
    late = torch.where(moving, distance - distance.detach(), 0.0) * slope
    return each.index_add(1, scene.first, late).index_add(1, scene.second, late)


def _choose(speed: Tensor, points: Points, scene: ShapeWorld) -> Tensor:
    """(B, P) pairs whose approach is the fastest of both bodies; points that do not approach have speed 0."""
    num_pairs = len(scene.first)
    of_pair = speed.new_zeros(speed.shape[0], num_pairs).scatter_reduce(1, points.pair, speed, "amax")
    # Ties go to the pair of lower number, so that one of two equal collisions comes first on every device.
    order = torch.arange(num_pairs, device=speed.device) * (8 * torch.finfo(speed.dtype).eps)
    of_pair = of_pair * (1 - order)
    first = scene.first.expand_as(of_pair)
    second = scene.second.expand_as(of_pair)
    of_body = torch.zeros_like(scene.moves, dtype=speed.dtype)
    of_body = of_body.scatter_reduce(1, first, of_pair, "amax").scatter_reduce(1, second, of_pair, "amax")
    of_body = torch.where(scene.moves, of_body, 0.0)  # a floor takes any number of blows at once
    return (of_pair > 0) & (of_pair >= of_body.gather(1, first)) & (of_pair >= of_body.gather(1, second))
