"""Impacts of any shapes: at a differentiable moment, pair after pair until none approaches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from worldsim.physics import rotation
from worldsim.physics.geometry import PairDistances
from worldsim.physics.prior.contact import Jacobian, Points, jacobian, velocity_at
from worldsim.physics.prior.dynamics import advance, inverse_inertia_world
from worldsim.physics.prior.manifold import Manifold
from worldsim.physics.prior.matter import Matter
from worldsim.physics.prior.resting import Solver, central_path
from worldsim.physics.prior.state import State

# Gap in metres below which points count as touching.
TOUCHING = 1e-4
# Approach in metres a second that counts as none.
_STILL = 1e-6


@dataclass(frozen=True)
class Pull:
    """What presses bodies together.

    Attributes:
        free: (B, N, 3) acceleration without contact.
        gravity: (B, N, 3).
        rest_time: Seconds of flight below which a rebound ends in rest.
    """

    free: Tensor
    gravity: Tensor
    rest_time: float


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


def _take(values: Tensor, index: Tensor) -> Tensor:
    return values.gather(1, index[..., None].expand(-1, -1, values.shape[-1]))


@dataclass(frozen=True)
class Surroundings:
    """What a collision needs of the world around it.

    Attributes:
        measure: From a state to the distances of all pairs.
        manifold: Gathers contact points.
        matter: Of the bodies.
        planar: Whether bodies keep to the xz-plane.
        gyroscopic: As in advance.
        moves: (B, N) whether a body can move at all.
        solver: Of the impulses of one pair.
        rounds: Most collisions of one body after another.
    """

    measure: Callable[[State], PairDistances]
    manifold: Manifold
    matter: Matter
    planar: bool
    gyroscopic: bool
    moves: Tensor
    solver: Solver
    rounds: int

    def jacobian(self, state: State, points: Points) -> Jacobian:
        """Of these points at this state."""
        matrices = rotation.to_matrix(state.orientation)
        inverse = inverse_inertia_world(matrices, self.matter.inverse_inertia, self.planar)
        return jacobian(points, self.matter.inverse_mass, inverse, self.planar)


def collide(
    state: State,
    apart: PairDistances,
    points: Points,
    pull: Pull,
    scene: Surroundings,
    blows: list[tuple[Points, Tensor]] | None = None,
) -> tuple[State, Tensor]:
    """Let pairs that touch and approach collide, one after another until none approaches; fastest first.

    The points of one pair act together (a box that lands flat has four), pairs that share no body at the same time.
    The moment of each collision is made differentiable by one Newton step on its detached value: its bodies are
    advanced by d tau = -distance / rate, whose value is nil and whose derivative is that of the root, collide there,
    with normal and points as they are there, and are taken back by d tau with their new velocities. That is
    x+ = x + tau v- + (h - tau) v+ with the gravity terms.

    Args:
        state: At the moment of impact.
        apart: Distances at that state.
        points: Contact points at that state.
        pull: Tells rest from rebound.
        scene: The rest.
        blows: Where given, gets the points and their (B, C) normal impulses of every collision.

    Returns:
        The state after, and which bodies (B, N) collided.
    """
    batch, num_bodies = state.position.shape[:2]
    hit = torch.zeros(batch, num_bodies, dtype=torch.bool, device=state.position.device)
    compiling = torch.compiler.is_compiling()
    still = torch.zeros_like(pull.free)
    for _ in range(scene.rounds):
        with torch.no_grad():
            touching = points.valid & (points.gap < TOUCHING)
            here = touching & (points.gap < _arrival(points.gap))
            speed = (velocity_at(points, state.linear_velocity, state.angular_velocity) * points.normal).sum(-1)
            # A slow approach of bodies at rest is left to the forces at rest.
            slow = 0.05 * resting_speed(points, pull)
            ready = here & (speed < -torch.maximum(slow, torch.full_like(speed, _STILL)))
            of_pair = _choose(torch.where(ready, -speed, 0.0), points, scene)
            if not compiling and not bool(of_pair.any()):
                break
        late = _delay(state, apart, of_pair, pull, scene.manifold)
        state = advance(state, scene.matter, pull.free, still, late, scene.gyroscopic)
        apart = scene.measure(state)
        points = scene.manifold.points(state, apart)
        speed = (velocity_at(points, state.linear_velocity, state.angular_velocity) * points.normal).sum(-1)
        with torch.no_grad():
            active = points.valid & (points.gap < TOUCHING) & of_pair.gather(1, points.pair)
            brief = 2 * points.restitution * speed.abs() < pull.rest_time * pressing(points, pull)
        bounce = torch.where(brief, 0.0, points.restitution)
        target = torch.where(speed < 0, -bounce * speed, 0.0)
        jac = scene.jacobian(state, points)
        reply = central_path(points, jac, state.linear_velocity, state.angular_velocity, target, active, scene.solver)
        state = state._replace(
            linear_velocity=state.linear_velocity + reply.velocity,
            angular_velocity=state.angular_velocity + reply.spin,
        )
        state = advance(state, scene.matter, pull.free, still, -late, scene.gyroscopic)
        if blows is not None:
            blows.append((points, reply.normal_impulse.detach()))
        pushed = (active & (reply.normal_impulse.detach() > 0)).to(jac.ends.dtype)
        hit = hit | ((pushed[..., None] * jac.ends).sum(1) > 0)
    return state, hit


def _delay(state: State, apart: PairDistances, chosen: Tensor, pull: Pull, manifold: Manifold) -> Tensor:
    """(B, N) seconds of value zero by which each body's collision comes later, with the derivative of its time.

    Pairs that overlap, or that are so slow that they are coming to rest, have no moment of impact: theirs is the
    moment at hand, without derivative, which would grow as one over the approach.
    """
    i, j = manifold.first, manifold.second
    with torch.no_grad():
        rate = approach(state, apart, manifold)
        slow = torch.maximum(pair_rest_speed(apart, pull, manifold), torch.full_like(rate, _STILL))
        meets = apart.distance.abs() < _arrival(apart.distance)
        moving = chosen & meets & (rate < -slow)
        slope = torch.where(moving, -1 / torch.where(moving, rate, -1.0), 0.0)
    gap = torch.where(moving, apart.distance - apart.distance.detach(), 0.0)
    late = gap * slope
    each = torch.zeros_like(state.position[..., 0])
    return each.index_add(1, i, late).index_add(1, j, late)


def pair_rest_speed(apart: PairDistances, pull: Pull, manifold: Manifold) -> Tensor:
    """(B, P) as resting_speed, for the nearest points of each pair."""
    i, j = manifold.first, manifold.second
    relative = ((pull.free[:, i] - pull.free[:, j]) * apart.normal).sum(-1)
    weight = torch.maximum(
        (pull.gravity[:, i] * apart.normal).sum(-1).abs(), (pull.gravity[:, j] * apart.normal).sum(-1).abs()
    )
    return pull.rest_time * torch.maximum(relative, weight) / (2 * manifold.restitution.clamp_min(0.5))


def approach(state: State, apart: PairDistances, manifold: Manifold) -> Tensor:
    """(B, P) rate of each pair's distance at its witness points, metres a second."""
    i, j = manifold.first, manifold.second
    cross = torch.linalg.cross
    v, w = state.linear_velocity, state.angular_velocity
    on_i = v[:, i] + cross(w[:, i], apart.witness_a - state.position[:, i])
    on_j = v[:, j] + cross(w[:, j], apart.witness_b - state.position[:, j])
    rate: Tensor = ((on_j - on_i) * apart.normal).sum(-1)
    return rate


def _arrival(gap: Tensor) -> float:
    """Gap in metres at which a pair has arrived: what Newton's steps on the time of impact leave over."""
    return 1e-7 if gap.dtype == torch.float64 else 2e-5


def _choose(speed: Tensor, points: Points, scene: Surroundings) -> Tensor:
    """(B, P) pairs whose approach is the fastest of both bodies; points that do not approach have speed 0."""
    num_pairs = len(scene.manifold.first)
    of_pair = speed.new_zeros(speed.shape[0], num_pairs).scatter_reduce(1, points.pair, speed, "amax")
    # Ties go to the pair of lower number, so that one of two equal collisions comes first on every device.
    order = torch.arange(num_pairs, device=speed.device) * (8 * torch.finfo(speed.dtype).eps)
    of_pair = of_pair * (1 - order)
    first = scene.manifold.first.expand_as(of_pair)
    second = scene.manifold.second.expand_as(of_pair)
    of_body = torch.zeros_like(scene.moves, dtype=speed.dtype)
    of_body = of_body.scatter_reduce(1, first, of_pair, "amax").scatter_reduce(1, second, of_pair, "amax")
    of_body = torch.where(scene.moves, of_body, 0.0)  # a floor takes any number of blows at once
    return (of_pair > 0) & (of_pair >= of_body.gather(1, first)) & (of_pair >= of_body.gather(1, second))
