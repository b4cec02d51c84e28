"""Event-exact truth for frictionless balls: closed-form flight between impacts that are found as roots of polynomials.

Between impacts every ball follows x + v t + a t^2 / 2 with one and the same gravity, so the distance of two balls is a
quadratic in time, that of a ball from a plane or a box face too, and that from a box edge or corner a quartic. The
earliest root is the next impact; the impulse acts along the normal there. Balls that lie on a level or inclined surface
slide on it. Scenes with friction, drag, joints or other shapes are refused, and so is motion that comes to rest on
a surface by ever smaller bounces. Spin never changes without friction.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from worldsim.physics.trajectory import Trajectory
from worldsim.scene import Body, Box, Plane, Scene, Sphere
from worldsim_envs._contact_time import Array, Static, as_static, ball_ball_time, surface_hit

# A pair that parts or touches slower than this is at rest against each other, metres a second.
RESTING_SPEED = 1e-9
# A ball that bounces on a surface it is pulled against, slower than this, has come to rest: no closed form goes on.
LAST_BOUNCE = 1e-3
# A ball closer than this to a surface at the start, and not moving off it, lies on it, metres.
SUPPORT_GAP = 1e-3
MAX_IMPACTS = 20_000


@dataclass(frozen=True)
class Impact:
    """One impact.

    Attributes:
        time: Seconds from the start.
        pair: Places in Scene.bodies, the lower first.
        normal: Unit, from the first body to the second, world frame.
        approach: Relative normal speed before the impact, above 0, metres a second.
    """

    time: float
    pair: tuple[int, int]
    normal: tuple[float, float, float]
    approach: float


@dataclass(frozen=True)
class ExactSolution:
    """Motion at the frames, and the impacts in order of time."""

    trajectory: Trajectory
    impacts: tuple[Impact, ...]


@dataclass
class _World:
    """Balls in flight. Arrays are (n, ...) over the balls alone; `index` maps to places in Scene.bodies."""

    index: list[int]
    radius: Array
    mass: Array
    position: Array
    velocity: Array
    acceleration: Array
    statics: list[Static]
    support: list[Static | None]
    restitution: NDArray[np.float64]  # (bodies, bodies)


def refusal(scene: Scene) -> str | None:
    """Why exact_trajectory refuses a scene before it starts, None where it does not."""
    if scene.joints or scene.robot:
        return "joints or a robot"
    if scene.law.drag > 0:
        return "drag"
    for body in scene.bodies:
        if not body.static and not isinstance(body.shape, Sphere):
            return f"body {body.name!r} is a moving {body.shape.kind}, not a ball"
        if body.static and not isinstance(body.shape, Plane | Box | Sphere):
            return f"body {body.name!r} is a static {body.shape.kind}"
    frictions = [body.friction for body in scene.bodies if not body.static]
    touching = [max((o.friction for o in scene.bodies if o is not b), default=0.0) for b in scene.bodies]
    for body, other in zip(scene.bodies, touching, strict=True):
        if not body.static and body.friction * other > 0:
            return f"friction of body {body.name!r}"
    return None if frictions else "no body that moves"


def _refuse(reason: str) -> None:
    raise ValueError(f"scene: must be one of frictionless balls for the closed form, got {reason}")


def _world(scene: Scene) -> _World:
    reason = refusal(scene)
    if reason is not None:
        _refuse(reason)
    index = [i for i, body in enumerate(scene.bodies) if not body.static]
    balls = [scene.bodies[i] for i in index]
    states = [body.state for body in balls if body.state is not None]
    e = np.sqrt([body.restitution for body in scene.bodies])
    world = _World(
        index=index,
        radius=np.array([body.shape.extent for body in balls]),
        mass=np.array([body.mass for body in balls]),
        position=np.array([state.position for state in states]),
        velocity=np.array([state.linear_velocity for state in states]),
        acceleration=np.tile(np.array(scene.law.gravity), (len(balls), 1)),
        statics=[as_static(i, body) for i, body in enumerate(scene.bodies) if body.static],
        support=[None] * len(balls),
        restitution=np.outer(e, e),
    )
    for k in range(len(balls)):
        _find_support(world, k)
    return world


def _find_support(world: _World, k: int) -> None:
    """Rest ball k on the surface that it touches and is pulled against, if there is one."""
    for surface in world.statics:
        distance, normal = surface.distance(world.position[k])
        pull = float(world.acceleration[k] @ normal)
        leaving = float(world.velocity[k] @ normal)
        if abs(distance - world.radius[k]) < SUPPORT_GAP and pull < -1e-9 and abs(leaving) <= RESTING_SPEED:
            if world.support[k] is not None or not surface.flat_at(world.position[k]):
                _refuse("a ball that rests against two surfaces or an edge")
            world.support[k] = surface
            world.acceleration[k] -= pull * normal


def _next_impact(world: _World, horizon: float) -> tuple[float, int, int | None, Static | None]:
    """Seconds until the next impact within the horizon, the ball, and the other ball or the static body."""
    best: tuple[float, int, int | None, Static | None] = (math.inf, -1, None, None)
    n = len(world.index)
    for i in range(n):
        for j in range(i + 1, n):
            t = ball_ball_time(
                world.position[j] - world.position[i],
                world.velocity[j] - world.velocity[i],
                world.acceleration[j] - world.acceleration[i],
                world.radius[i] + world.radius[j],
                min(horizon, best[0]),
            )
            if t < best[0]:
                best = (t, i, j, None)
        for surface in world.statics:
            if surface is world.support[i]:
                continue
            t = surface_hit(
                surface,
                world.position[i],
                world.velocity[i],
                world.acceleration[i],
                world.radius[i],
                min(horizon, best[0]),
            )
            if t < best[0]:
                best = (t, i, None, surface)
    return best if best[0] <= horizon else (math.inf, -1, None, None)


def _fly(world: _World, time: float) -> None:
    world.position += world.velocity * time + world.acceleration * (time * time / 2)
    world.velocity += world.acceleration * time
    for k, surface in enumerate(world.support):
        if surface is not None and not surface.flat_at(world.position[k]):
            _refuse("a ball that leaves the surface it lies on")


def _along_support(world: _World, k: int, normal: Array) -> None:
    surface = world.support[k]
    if surface is not None:
        _, up = surface.distance(world.position[k])
        if abs(float(normal @ up)) > 1e-6:
            _refuse("an impact that presses a lying ball into its surface or lifts it off")


def _collide_balls(world: _World, i: int, j: int) -> tuple[Array, float]:
    offset = world.position[j] - world.position[i]
    normal: Array = offset / np.linalg.norm(offset)
    for k in (i, j):
        _along_support(world, k, normal)
    approach = -float((world.velocity[j] - world.velocity[i]) @ normal)
    e = world.restitution[world.index[i], world.index[j]]
    impulse = (1 + e) * approach / (1 / world.mass[i] + 1 / world.mass[j])
    world.velocity[i] -= impulse / world.mass[i] * normal
    world.velocity[j] += impulse / world.mass[j] * normal
    return normal, approach


def _collide_static(world: _World, k: int, surface: Static) -> tuple[Array, float]:
    _, normal = surface.distance(world.position[k])
    _along_support(world, k, normal)
    approach = -float(world.velocity[k] @ normal)
    e = world.restitution[world.index[k], surface.index]
    world.velocity[k] += (1 + e) * approach * normal
    leaving = e * approach
    if leaving < LAST_BOUNCE and float(world.acceleration[k] @ normal) < -1e-9:
        _refuse(f"a ball that comes to rest on body {surface.index} by ever smaller bounces")
    return normal, approach


def _static_row(body: Body) -> tuple[list[float], list[float]]:
    assert body.state is not None
    return list(body.state.position), list(body.state.orientation)


def _spun(body: Body, times: Array) -> Array:
    """(T, 4) orientations of a ball that keeps its spin."""
    assert body.state is not None
    w = np.array(body.state.angular_velocity)
    rate = float(np.linalg.norm(w))
    axis = w / rate if rate > 0 else np.zeros(3)
    half = times[:, None] * rate / 2
    turn = np.concatenate([np.cos(half), np.sin(half) * axis], axis=1)
    w1, v1, (w2, *rest) = turn[:, :1], turn[:, 1:], body.state.orientation
    v2 = np.array(rest)
    vector = w1 * v2 + w2 * v1 + np.cross(v1, v2)
    return np.concatenate([w1 * w2 - (v1 @ v2)[:, None], vector], axis=1)


def solve_exact(scene: Scene) -> ExactSolution:
    """Play a scene of frictionless balls without integration error.

    Args:
        scene: Moving spheres (discs in planar worlds) among static planes, boxes and spheres; no friction between any
            pair that can touch, no drag.

    Returns:
        The (T, N, ...) float64 trajectory of all bodies at the frames, and all impacts.

    Raises:
        ValueError: Where the scene holds anything else, or a ball comes to rest by bouncing, with the reason.
    """
    world = _world(scene)
    times = np.arange(scene.num_frames) / scene.fps
    positions = np.zeros((len(times), len(scene.bodies), 3))
    velocities = np.zeros_like(positions)
    orientations = np.zeros((len(times), len(scene.bodies), 4))
    spins = np.zeros_like(positions)
    for i, body in enumerate(scene.bodies):
        positions[:, i], orientations[:, i] = _static_row(body)
        if not body.static and body.state is not None:
            orientations[:, i], spins[:, i] = _spun(body, times), body.state.angular_velocity

    impacts: list[Impact] = []
    now = 0.0
    for frame, end in enumerate(times):
        while True:
            step, ball, other, surface = _next_impact(world, float(end) - now)
            if not math.isfinite(step):
                break
            _fly(world, step)
            now += step
            if surface is not None:
                normal, approach = _collide_static(world, ball, surface)
                pair = (world.index[ball], surface.index)
                normal = -normal
            else:
                assert other is not None
                normal, approach = _collide_balls(world, ball, other)
                pair = (world.index[ball], world.index[other])
            if pair[0] > pair[1]:
                pair, normal = (pair[1], pair[0]), -normal
            impacts.append(Impact(float(now), pair, (float(normal[0]), float(normal[1]), float(normal[2])), approach))
            if len(impacts) > MAX_IMPACTS:
                _refuse(f"more than {MAX_IMPACTS} impacts")
        _fly(world, float(end) - now)
        now = float(end)
        positions[frame, world.index], velocities[frame, world.index] = world.position, world.velocity

    trajectory = Trajectory(
        position=torch.from_numpy(positions),
        orientation=torch.from_numpy(orientations),
        linear_velocity=torch.from_numpy(velocities),
        angular_velocity=torch.from_numpy(spins),
        presence=torch.ones(positions.shape[:2], dtype=torch.float64),
        dt=1.0 / scene.fps,
    )
    return ExactSolution(trajectory, tuple(impacts))


def exact_trajectory(scene: Scene) -> Trajectory:
    """The (T, N, ...) float64 trajectory of solve_exact."""
    return solve_exact(scene).trajectory
