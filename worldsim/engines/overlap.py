"""Scenes whose bodies overlap at the start are refused, alike in every engine."""

from __future__ import annotations

import numpy as np
import torch

from worldsim.engines.stepping import exempt_pairs
from worldsim.physics.bodies import Bodies
from worldsim.physics.geometry import distances
from worldsim.physics.trajectory import Trajectory
from worldsim.scene import Body, Scene

# Deeper than this is an overlap, metres; shallower is rounding of a resting pose.
TOLERANCE = 1e-4


def _may_overlap(a: Body, b: Body) -> bool:
    """Cheap test by bounding balls, to spare the exact distance of pairs that are far apart."""
    assert a.state is not None
    assert b.state is not None
    if b.shape.kind == "plane":
        a, b = b, a
    assert a.state is not None
    assert b.state is not None
    offset = np.subtract(b.state.position, a.state.position)
    if a.shape.kind == "plane":
        w, x, y, z = a.state.orientation
        normal = np.array([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)])
        return float(offset @ normal) < b.shape.extent
    return float(np.linalg.norm(offset)) < a.shape.extent + b.shape.extent


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
