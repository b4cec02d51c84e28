"""How finely time is cut so that nothing tunnels. One rule for every engine."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from worldsim.scene import Body, Scene

# A pair may close by this share of its summed half widths in one step: contact is found on the right side, and
# a grazing touch that begins and ends within one step is shallower than a hundredth of a sphere's radius.
TRAVEL = 0.25
# Longest sub-step, seconds; bounds the error of contact forces, which engines hold over a sub-step.
MAX_STEP = 1e-3


@dataclass(frozen=True)
class Stepping:
    """A whole number of equal sub-steps a frame.

    Attributes:
        substeps: How many sub-steps a frame interval has.
        step: Seconds.
        speed: Fastest plausible speed that the choice rests on, metres a second.
    """

    substeps: int
    step: float
    speed: float


def exempt_pairs(scene: Scene) -> set[tuple[int, int]]:
    """Pairs of body places (i < j) that never collide: of one group, or both static."""
    bodies = scene.bodies
    return {
        (i, j)
        for i in range(len(bodies))
        for j in range(i + 1, len(bodies))
        if (bodies[i].static and bodies[j].static) or bodies[i].object_name == bodies[j].object_name
    }


def gravity_gain(scene: Scene, body: Body) -> float:
    """Bound on the speed that gravity can add to a body over the whole duration, metres a second.

    In the open it is g T. Over a plane with gravity g_n into it and g_t along it, falling from height H over the
    plane adds at most sqrt(2 g_n H), and sliding along it at most g_t T.
    """
    gravity = np.array(scene.law.gravity)
    least = float(np.linalg.norm(gravity)) * scene.duration
    assert body.state is not None
    for other in scene.bodies:
        if other.shape.kind != "plane":
            continue
        assert other.state is not None
        normal = other.state.rotation[:, 2]
        into = -float(gravity @ normal)
        if into <= 0:
            continue
        along = float(np.linalg.norm(gravity + into * normal))
        offset = np.subtract(body.state.position, other.state.position)
        rising = max(0.0, float(np.array(body.state.linear_velocity) @ normal))
        height = max(0.0, float(offset @ normal)) + body.shape.extent + rising**2 / (2 * into)
        least = min(least, math.sqrt(2 * into * height) + along * scene.duration)
    return least


def plausible_speed(scene: Scene, body: Body) -> float:
    """Bound on how fast any point of a body that nothing drives can get, metres a second.

    Start speed, rim speed of the start spin, and what gravity adds over the whole duration. A collision can
    hand over speed but not make it; the pair rule counts every moving body with the fastest.
    """
    if body.static:
        return 0.0
    assert body.state is not None
    rim = float(np.linalg.norm(body.state.angular_velocity)) * body.shape.extent
    return float(np.linalg.norm(body.state.linear_velocity)) + rim + gravity_gain(scene, body)


def tightest_pair(scene: Scene) -> float:
    """The least (thickness_i + thickness_j) / (how many of the two move) over pairs that may collide, metres."""
    least = math.inf
    exempt = exempt_pairs(scene)
    for i, a in enumerate(scene.bodies):
        for j in range(i + 1, len(scene.bodies)):
            b = scene.bodies[j]
            if (i, j) not in exempt:
                moving = (not a.static) + (not b.static)
                least = min(least, (a.shape.thickness + b.shape.thickness) / moving)
    return least


def divide(interval: float, speed: float, tightest: float, max_step: float, travel: float = TRAVEL) -> Stepping:
    """Cut an interval into the fewest equal sub-steps within which nothing tunnels.

    For every pair that may collide, speed * moving * step <= travel * (thickness_i + thickness_j), where thickness is
    half of a shape's smallest width; a plane is a half-space and cannot be tunnelled through.

    Args:
        interval: Seconds.
        speed: Fastest in the interval, metres a second.
        tightest: See tightest_pair, metres.
        max_step: Longest sub-step, seconds.
        travel: Share of the summed thickness that a pair may close in one step.
    """
    longest = max_step if speed == 0 else min(max_step, travel * tightest / speed)
    substeps = max(1, math.ceil(interval / longest - 1e-9))
    return Stepping(substeps, interval / substeps, speed)


def choose_stepping(scene: Scene, max_step: float = MAX_STEP, travel: float = TRAVEL) -> Stepping:
    """Equal sub-steps for the whole of a scene, by the fastest speed that is plausible in it.

    Args:
        scene: To be played.
        max_step: Longest sub-step, seconds.
        travel: Share of the summed thickness that a pair may close in one step.
    """
    speed = max(plausible_speed(scene, body) for body in scene.bodies)
    return divide(1.0 / scene.fps, speed, tightest_pair(scene), max_step, travel)
