"""Contact without response, and response without contact: causes that lack their effect, effects without a cause."""

from __future__ import annotations

import torch
from torch import Tensor

from worldsim.physics.bodies import Bodies
from worldsim.physics.geometry import distances
from worldsim.physics.trajectory import Trajectory
from worldsim.physics.violations._dynamics import dynamics_residual
from worldsim.physics.violations.common import check, present
from worldsim.physics.violations.result import Violation, settle


def unanswered_contact(trajectory: Trajectory, bodies: Bodies, margin: float = 0.005) -> Violation:
    """Speed at which a pair that touches goes on into itself.

    Of a pair at a signed distance d of at most `margin`, the law wants d not to fall below -margin any further
    (Signorini's condition: a contact that closes is answered). The speed is the fall of d over the interval, as far as
    it lies under -margin, over dt: 0 for a rebound, for a touch and for rest, the closing speed for bodies that go
    through each other as if nothing were there. The frame in which a fast pair first overlaps is penetration's.

    Mean: a loss. Energy: mean square. Distribution: the benchmark's unanswered_contact figure. Source: PHYSICS.md
    section 4 with the sign of the complementarity condition (Signorini 1959).

    Args:
        trajectory: (..., T, N), T of 2 or more; positions, orientations and presence are read.
        bodies: That move.
        margin: Metres of depth that a reader or an engine leaves at rest.

    Returns:
        Violation in m/s, one subject a pair, entered at the frame that ends the interval; measurable where the pair
        touches at its begin and both bodies exist at both ends.

    Raises:
        ValueError: For shapes that do not fit, NaN, one frame only, or a margin below 0.
    """
    check(trajectory, bodies, frames=2)
    _check_margin(margin)
    measured = distances(bodies, trajectory.position, trajectory.orientation, check=False)
    now = measured.distance
    fall = (now[..., :-1, :].clamp_max(-margin) - now[..., 1:, :]).clamp_min(0) / trajectory.dt
    fall = torch.where(now[..., 1:, :] < -margin, fall, 0.0)
    exists = present(trajectory)
    both = exists[..., measured.pairs[:, 0]] & exists[..., measured.pairs[:, 1]]
    known = both[..., 1:, :] & both[..., :-1, :] & (now[..., :-1, :] <= margin)
    return settle("unanswered_contact", "m/s", _late(fall, now), _late(known, both), measured.pairs)


def uncaused_response(
    trajectory: Trajectory,
    bodies: Bodies,
    gravity: Tensor | tuple[float, float, float] = (0.0, 0.0, -9.81),
    drag: float = 0.0,
    margin: float = 0.005,
) -> Violation:
    """Change of a body's velocity that nothing gave it: neither gravity, nor drag, nor a contact.

    The forward defect of free flight (dynamics_residual) over dt, where the body touches nothing around the interval: a
    ball that turns in mid air by dv reads dv. Noise of positions enters sqrt 6 times over dt: print the floor.

    Mean: a loss. Energy: mean square. Distribution: the benchmark's uncaused_response figure.

    Args:
        trajectory: (..., T, N), T of 3 or more; positions, orientations and presence are read.
        bodies: That move.
        gravity: (3) or (..., 3) m/s^2.
        drag: Linear drag a mass, 1/s.
        margin: Metres within which a body counts as touching.

    Returns:
        Violation in m/s, one subject a body, entered at the frame that ends the interval; measurable in free flight.

    Raises:
        ValueError: As dynamics_residual, and for a margin below 0.
    """
    _check_margin(margin)
    found = dynamics_residual(trajectory, bodies, gravity, drag, margin=margin)
    return settle("uncaused_response", "m/s", found.values / trajectory.dt, found.measurable, found.subjects)


def _late(values: Tensor, like: Tensor) -> Tensor:
    """Values of intervals at the frames that end them, zero at the first."""
    return torch.cat([torch.zeros_like(like[..., :1, :]).to(values.dtype), values], -2)


def _check_margin(margin: float) -> None:
    if not margin >= 0:
        raise ValueError(f"margin: must be 0 or above, got {margin!r}")
