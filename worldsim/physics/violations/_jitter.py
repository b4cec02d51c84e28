"""Jitter: bodies at rest that tremble."""

from __future__ import annotations

import torch

from worldsim.physics.geometry.checks import check_position
from worldsim.physics.trajectory import Trajectory
from worldsim.physics.violations.common import body_table, check_frames, present, root
from worldsim.physics.violations.result import Violation, settle


def jitter(trajectory: Trajectory, rest: Trajectory | None = None, window: int = 4, speed: float = 0.02) -> Violation:
    """Root mean square distance of a resting body from where it rests, over a window of frames.

    A body rests where the mean of its places in the first half of the window and that in the second half are less than
    `speed` times the time between them apart; its places are then compared with their mean over the window. A body
    that rolls slowly adds speed times the window's length over sqrt 12 at most. Of trembling by +-a from frame to
    frame, the jitter is a.

    Mean: a loss on bodies at rest. Energy: mean square. Distribution: the benchmark's jitter figure. The definition is
    this project's own: published scores count tremor as motion.

    Args:
        trajectory: (..., T, N), T of 2 window + 1 or more; only position and presence are read.
        rest: (..., T, N) motion that tells which bodies ought to rest; the trajectory itself where left out.
        window: Frames to both sides.
        speed: Metres a second under which a body rests.

    Returns:
        Violation in m, one subject a body; measurable where the body exists and rests through the whole window.

    Raises:
        ValueError: For NaN, too few frames, a window below 1, a speed not above 0, or shapes that differ.
    """
    if not isinstance(window, int) or window < 1:
        raise ValueError(f"window: must be a whole number from 1, got {window!r}")
    if not speed > 0:
        raise ValueError(f"speed: must be above 0, got {speed!r}")
    check_position("trajectory.position", trajectory.position)
    check_frames(trajectory, 2 * window + 1)
    yardstick = trajectory if rest is None else rest
    if yardstick.position.shape != trajectory.position.shape:
        shape = tuple(trajectory.position.shape)
        raise ValueError(f"rest.position: must have shape {shape}, got {tuple(yardstick.position.shape)}")
    places = trajectory.position.unfold(-3, 2 * window + 1, 1)
    own = yardstick.position.unfold(-3, 2 * window + 1, 1)
    way = (own[..., window + 1 :].mean(-1) - own[..., :window].mean(-1)).square().sum(-1).sqrt()
    resting = way < speed * trajectory.dt * (window + 1)
    size = root((places - places.mean(-1, keepdim=True)).square().sum(-2).mean(-1))
    whole = present(trajectory).unfold(-2, 2 * window + 1, 1).all(-1)
    edge = torch.zeros_like(trajectory.presence[..., :window, :])
    values = torch.cat([edge, size, edge], -2)
    measurable = torch.cat([edge.bool(), resting & whole, edge.bool()], -2)
    return settle("jitter", "m", values, measurable, body_table(trajectory.num_bodies, values))
