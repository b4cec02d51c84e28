"""A ball's flight towards fixtures: which static body it touches first, by walking along the parabola.

Exact signed distances from a point to a ring, box, capsule or plane; the ball moves by no more than its gap a step, so
that no touch is stepped over (sphere tracing).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldsim.scene import Body, Box, Capsule, Plane, Ring, Sphere
from worldsim_envs._contact_time import as_static

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Touch:
    """The first touch of a flight.

    Attributes:
        time: Seconds from the start.
        body: Name of the static body.
        position: Of the ball's centre, metres.
        normal: Unit, from the fixture to the ball.
    """

    time: float
    body: str
    position: Array
    normal: Array


def point_distance(body: Body, point: Array) -> tuple[float, Array]:
    """Signed distance of a point from a static body, and the outward unit normal there, world frame."""
    static = as_static(0, body)
    if isinstance(body.shape, Box | Plane | Sphere):
        return static.distance(point)
    p = static.local(point - static.centre)
    if isinstance(body.shape, Capsule):
        half = body.shape.half_length
        nearest = np.array([0.0, 0.0, min(max(float(p[2]), -half), half)])
        offset, radius = p - nearest, body.shape.radius
    elif isinstance(body.shape, Ring):
        flat = math.hypot(float(p[0]), float(p[1]))
        towards = np.array([p[0], p[1], 0.0]) / flat if flat > 0 else np.array([1.0, 0.0, 0.0])
        offset, radius = p - towards * body.shape.major_radius, body.shape.minor_radius
    else:
        raise ValueError(f"body[{body.name}].shape: must be sphere, box, plane, capsule or ring, got {body.shape.kind}")
    norm = float(np.linalg.norm(offset))
    return norm - radius, static.rotation @ (offset / max(norm, 1e-12))


def position_at(start: Array, velocity: Array, gravity: Array, time: float) -> Array:
    """Of a body in free flight, metres."""
    result: Array = start + velocity * time + gravity * (time * time / 2)
    return result


def launch_velocity(start: Array, target: Array, gravity: Array, time: float) -> Array:
    """Start velocity that brings a body from start to target in `time` seconds of free flight."""
    result: Array = (target - start) / time - gravity * (time / 2)
    return result


def first_touch(
    fixtures: Sequence[Body], start: Array, velocity: Array, gravity: Array, radius: float, horizon: float
) -> Touch | None:
    """The first fixture that a ball in free flight touches within the horizon, None where it touches none.

    Args:
        fixtures: Static bodies.
        start: (3,) of the ball's centre, metres.
        velocity: (3,) metres a second.
        gravity: (3,) metres a second squared.
        radius: Metres.
        horizon: Seconds.
    """
    time = 0.0
    fastest = float(np.linalg.norm(velocity)) + float(np.linalg.norm(gravity)) * horizon
    while time <= horizon:
        point = position_at(start, velocity, gravity, time)
        gaps = [(*point_distance(body, point), body.name) for body in fixtures]
        distance, normal, name = min(gaps, key=lambda gap: gap[0])
        gap = distance - radius
        moving = velocity + gravity * time
        if gap < 1e-5 and float(moving @ normal) < 0:
            return Touch(time, name, point, normal)
        # The floor on the step keeps the walk finite where the ball leaves a touch; it is far below a picture's detail.
        time += max(gap / fastest, 2e-6)
    return None
