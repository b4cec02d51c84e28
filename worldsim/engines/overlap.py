"""Scenes whose bodies overlap at the start are refused, alike in every engine."""

from __future__ import annotations

import math

import torch

from worldsim.engines.stepping import exempt_pairs
from worldsim.physics.bodies import Bodies
from worldsim.physics.geometry import distances
from worldsim.physics.trajectory import Trajectory
from worldsim.scene import Body, Box, Plane, Scene

# Deeper than this is an overlap, metres; shallower is rounding of a resting pose.
TOLERANCE = 1e-4


def _may_overlap(a: Body, b: Body) -> bool:
    """Cheap test by the ball around each body against the other's shape, to spare the exact distance of most pairs."""
    return _distance_at_least(a, b) < b.shape.extent and _distance_at_least(b, a) < a.shape.extent


def _distance_at_least(body: Body, other: Body) -> float:
    """A lower bound on how far the other body's centre is from a body, metres; in plain floats, for speed."""
    assert body.state is not None
    assert other.state is not None
    shape = body.shape
    x, y, z = (b - a for a, b in zip(body.state.position, other.state.position, strict=True))
    if not isinstance(shape, Box | Plane):
        return math.sqrt(x * x + y * y + z * z) - shape.extent
    w, i, j, k = body.state.orientation
    # The offset along the body's own axes.
    along_z = 2 * (i * k + w * j) * x + 2 * (j * k - w * i) * y + (1 - 2 * (i * i + j * j)) * z
    if isinstance(shape, Plane):
        return along_z
    along_x = (1 - 2 * (j * j + k * k)) * x + 2 * (i * j + w * k) * y + 2 * (i * k - w * j) * z
    along_y = 2 * (i * j - w * k) * x + (1 - 2 * (i * i + k * k)) * y + 2 * (j * k + w * i) * z
    beyond = (max(abs(c) - h, 0.0) for c, h in zip((along_x, along_y, along_z), shape.half_extents, strict=True))
    return math.hypot(*beyond)


def overlaps(scene: Scene, tolerance: float = TOLERANCE) -> list[tuple[str, str, float]]:
    """Pairs that overlap at the start: both names and the depth in metres, deepest first.

    Pairs of one group and pairs of static bodies are exempt.
    """
    exempt, bodies = exempt_pairs(scene), scene.bodies
    places = [(i, j) for i in range(len(bodies)) for j in range(i + 1, len(bodies)) if (i, j) not in exempt]
    pairs = [(i, j) for i, j in places if _may_overlap(bodies[i], bodies[j])]
    if not pairs:
        return []
    start = Trajectory.start_of([scene], torch.float64)
    with torch.no_grad():
        tensors = Bodies.from_scenes([scene], torch.float64)
        depth = -distances(tensors, start.position[:, 0], start.orientation[:, 0], pairs, check=False).distance[0]
    found = [
        (bodies[i].name, bodies[j].name, float(d)) for (i, j), d in zip(pairs, depth, strict=True) if d > tolerance
    ]
    return sorted(found, key=lambda item: -item[2])


def refuse_overlap(scene: Scene, tolerance: float = TOLERANCE) -> None:
    """Refuse a scene in which two bodies overlap at the start.

    Args:
        scene: To be checked.
        tolerance: Depth up to which a touch is no overlap, metres.

    Raises:
        ValueError: Naming the deepest pair and its depth.
    """
    found = overlaps(scene, tolerance)
    if found:
        first, second, depth = found[0]
        more = f" (and {len(found) - 1} more pairs)" if len(found) > 1 else ""
        rule = f"apart from body[{second}] within {tolerance:g} m"
        raise ValueError(f"body[{first}].state: must be {rule}, got an overlap of {depth:.6g} m{more}")
