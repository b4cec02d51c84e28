"""Stillness: bodies that stay where they ought to move."""

from __future__ import annotations

import torch

from worldsim.physics.geometry.checks import check_position
from worldsim.physics.trajectory import Trajectory
from worldsim.physics.violations.common import body_table, present, root
from worldsim.physics.violations.result import Violation, settle


def stillness(trajectory: Trajectory, expected: Trajectory, min_path: float = 0.02) -> Violation:
    """Share of the way that a body ought to have gone by each frame and has not.

    1 - length of the path so far over the length expected, at least 0: a frozen clip scores 1, one that moves as much
    as expected or more scores 0. It says nothing about where to; it keeps clips in which nothing happens, and so no
    law is broken, from winning.

    Mean: a loss against freezing. Energy: mean square. Distribution: the benchmark's stillness figure.

    Args:
        trajectory: (..., T, N); positions and presence are read.
        expected: (..., T, N) the motion of the scene, or the prior's from the context frames.
        min_path: Metres of expected path below which stillness cannot be judged.

    Returns:
        Violation in shares (unit 1), one subject a body.

    Raises:
        ValueError: For NaN or different shapes.
    """
    check_position("trajectory.position", trajectory.position)
    check_position("expected.position", expected.position)
    if expected.position.shape != trajectory.position.shape:
        shape = tuple(trajectory.position.shape)
        raise ValueError(f"expected.position: must have shape {shape}, got {tuple(expected.position.shape)}")
    if not min_path > 0:
        raise ValueError(f"min_path: must be above 0, got {min_path!r}")
    paths = []
    for motion in (trajectory, expected):
        way = root(motion.position.diff(dim=-3).square().sum(-1)).cumsum(-2)
        paths.append(torch.cat([torch.zeros_like(motion.presence[..., :1, :]), way], -2))
    measurable = (paths[1] >= min_path) & present(trajectory) & present(expected)
    values = (1 - paths[0] / torch.where(measurable, paths[1], 1.0)).clamp_min(0)
    return settle("stillness", "1", values, measurable, body_table(trajectory.num_bodies, values))
