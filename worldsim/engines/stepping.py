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


def plausible_speed(scene: Scene, body: Body) -> float:
    """Bound on how fast any point of a body that nothing drives can get, metres a second.

    Start speed, rim speed of the start spin, and what gravity adds over the whole duration. A collision can
    hand over speed but not make it; the pair rule adds the two fastest, which covers that.
    """
    if body.static:
        return 0.0
    assert body.state is not None
    rim = float(np.linalg.norm(body.state.angular_velocity)) * body.shape.extent
    gained = float(np.linalg.norm(scene.law.gravity)) * scene.duration
    return float(np.linalg.norm(body.state.linear_velocity)) + rim + gained


def choose_stepping(scene: Scene, max_step: float = MAX_STEP, travel: float = TRAVEL) -> Stepping:
    """The longest sub-step that divides a frame interval and lets nothing tunnel.

    For every pair that may collide, (speed_i + speed_j) * step <= travel * (thickness_i + thickness_j), where
    thickness is half of a shape's smallest width; a plane is a half-space and cannot be tunnelled through.

    Args:
        scene: To be played.
        max_step: Longest sub-step, seconds.
        travel: Share of the summed thickness that a pair may close in one step.
    """
    interval = 1.0 / scene.fps
    speeds = [plausible_speed(scene, body) for body in scene.bodies]
    fastest = max(speeds)
    exempt = exempt_pairs(scene)
    longest = max_step
    for i, a in enumerate(scene.bodies):
        for j in range(i + 1, len(scene.bodies)):
            b = scene.bodies[j]
            width = a.shape.thickness + b.shape.thickness
            # Speed may be handed on from a third body, so that a moving body counts with the fastest.
            closing = fastest * ((not a.static) + (not b.static))
            if (i, j) in exempt or math.isinf(width) or closing == 0:
                continue
            longest = min(longest, travel * width / closing)
    substeps = max(1, math.ceil(interval / longest - 1e-9))
    return Stepping(substeps, interval / substeps, fastest)
