"""Teleport: a place that is reached without having been travelled to."""

from __future__ import annotations

import torch

from worldsim.physics.geometry.checks import check_position
from worldsim.physics.trajectory import Trajectory
from worldsim.physics.violations.common import body_table, check_frames, present, root
from worldsim.physics.violations.result import Violation, settle


def teleport(trajectory: Trajectory, allowance: float = 0.0) -> Violation:
    """By how far a step between two frames exceeds what the steps before and after explain.

    In free flight a step is the mean of its neighbours; in a step that holds an impact it lies between the one
    before and the one after. So the jump is the distance of the step from the segment between both neighbours,
    which is 0 for either and the whole way for a body that moves alike before and after it leaps. The bend of a
    flight that is hit within a step leaves up to g dt^2; two impacts in successive steps leave more: print the
    floor.

    Mean: a loss on positions alone, needing no law. Energy: mean square of the jumps. Distribution: the benchmark's
    teleport figure.

    Args:
        trajectory: (..., T, N), T of 4 or more; only position and presence are read.
        allowance: Metres taken off each jump.

    Returns:
        Violation in m, one subject a body, entered at the frame that ends the step; measurable where the body exists in
        the four frames around the step, so not in the first step nor the last.

    Raises:
        ValueError: For NaN, fewer than 4 frames, or an allowance below 0.
    """
    if not allowance >= 0:
        raise ValueError(f"allowance: must be 0 or above, got {allowance!r}")
    check_position("trajectory.position", trajectory.position)
    check_frames(trajectory, 4)
    step = trajectory.position.diff(dim=-3)
    before, here, after = step[..., :-2, :, :], step[..., 1:-1, :, :], step[..., 2:, :, :]
    span = after - before
    length = span.square().sum(-1, keepdim=True)
    share = ((here - before) * span).sum(-1, keepdim=True) / torch.where(length > 0, length, 1.0)
    gap = here - before - share.clamp(0, 1) * span
    jump = (root(gap.square().sum(-1)) - allowance).clamp_min(0)
    values = torch.zeros_like(trajectory.presence)
    values = torch.cat([values[..., :2, :], jump, values[..., :1, :]], -2)
    exists = present(trajectory)
    known = exists[..., :-3, :] & exists[..., 1:-2, :] & exists[..., 2:-1, :] & exists[..., 3:, :]
    no = torch.zeros_like(exists)
    measurable = torch.cat([no[..., :2, :], known, no[..., :1, :]], -2)
    return settle("teleport", "m", values, measurable, body_table(trajectory.num_bodies, values))
