"""Scenes whose bodies overlap at the start are refused, alike in every engine."""

from __future__ import annotations

import numpy as np
import torch

from worldsim.engines.stepping import exempt_pairs
from worldsim.physics.geometry import signed_distance
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
    found = []
    exempt = exempt_pairs(scene)
    bodies = scene.bodies
    for i, a in enumerate(bodies):
        for j in range(i + 1, len(bodies)):
            b = bodies[j]
            if (i, j) in exempt or not _may_overlap(a, b):
                continue
            assert a.state is not None
            assert b.state is not None
            with torch.no_grad():
                distance = float(signed_distance(a.shape, a.state, b.shape, b.state, planar=scene.planar))
            if distance < -tolerance:
                found.append((a.name, b.name, -distance))
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
