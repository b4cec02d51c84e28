"""Permanence: what is there stays, and nothing comes from nowhere."""

from __future__ import annotations

import torch
from torch import Tensor

from worldsim.physics.geometry.checks import require_finite
from worldsim.physics.trajectory import Trajectory
from worldsim.physics.violations.common import body_table
from worldsim.physics.violations.result import Violation, settle


def permanence(
    trajectory: Trajectory,
    visible_area: Tensor | None = None,
    expected_area: Tensor | None = None,
    min_area: float = 12.0,
) -> Violation:
    """How far bodies vanish, melt or come to be.

    The change of presence against the first frame and, with areas, where an object ought to be seen, the relative
    difference of the area seen from the area expected, at most 1; the larger of both. The expected area is that of
    the body drawn at its state among all others, so that occlusion costs nothing.

    Mean: a loss that keeps penetration and energy losses from being met by making bodies vanish. Energy: mean of
    squared presence change plus mean of squared relative difference of areas (not cut at 1), differentiable in
    presence and areas. Distribution: the benchmark's permanence figure.

    Args:
        trajectory: (..., T, N); only presence is read.
        visible_area: (..., T, N) pixels seen of each body, from soft or hard masks.
        expected_area: (..., T, N) pixels expected; given with visible_area.
        min_area: Expected pixels below which areas say nothing.

    Returns:
        Violation in shares (unit 1), one subject a body; measurable everywhere without areas, else where the
        expected area is large enough or presence itself has changed.

    Raises:
        ValueError: For NaN, a wrong shape, or one area without the other.
    """
    presence = trajectory.presence
    require_finite("trajectory.presence", presence)
    change = presence - presence[..., :1, :]
    table = body_table(trajectory.num_bodies, presence)
    if (visible_area is None) != (expected_area is None):
        raise ValueError("visible_area, expected_area: must be given together, got one of them")
    if visible_area is None or expected_area is None:
        return settle("permanence", "1", change.abs(), torch.ones_like(presence, dtype=torch.bool), table)
    for name, area in (("visible_area", visible_area), ("expected_area", expected_area)):
        if area.shape != presence.shape:
            raise ValueError(f"{name}: must have shape {tuple(presence.shape)}, got {tuple(area.shape)}")
        require_finite(name, area)
        if bool((area < 0).any()):
            raise ValueError(f"{name}: must be 0 or above, got {area.min().item():.6g}")
    judged = expected_area >= min_area
    ratio = torch.where(judged, visible_area / torch.where(judged, expected_area, 1.0) - 1, 0.0)
    values = torch.maximum(change.abs(), ratio.abs().clamp_max(1))
    squares = ratio.square().sum((-1, -2)) / judged.sum((-1, -2)).clamp_min(1)
    energy = change.square().mean((-1, -2)) + squares
    return settle("permanence", "1", values, judged | (change.abs() > 0.5), table, energy)
