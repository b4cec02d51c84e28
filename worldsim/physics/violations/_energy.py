"""Energy gain: motion that comes from nowhere."""

from __future__ import annotations

import torch
from torch import Tensor

from worldsim.physics.bodies import Bodies
from worldsim.physics.geometry.checks import require_finite
from worldsim.physics.rotation import rotate_inverse
from worldsim.physics.trajectory import Trajectory
from worldsim.physics.violations.common import check, dynamic, per_body, present, vector_of, world_table
from worldsim.physics.violations.result import Violation, settle


def mechanical_energy(trajectory: Trajectory, bodies: Bodies, gravity: Tensor) -> Tensor:
    """(..., T, N) kinetic and potential energy of dynamic bodies in joules, from the trajectory's velocities.

    Potential energy is -m g . x, zero at the world's origin. Static bodies have 0.
    """
    mass, inertia = per_body(bodies.mass, trajectory), per_body(bodies.inertia, trajectory)
    spin = rotate_inverse(trajectory.orientation, trajectory.angular_velocity)
    kinetic = 0.5 * (mass * trajectory.linear_velocity.square().sum(-1) + (inertia * spin.square()).sum(-1))
    potential = -mass * (gravity * trajectory.position).sum(-1)
    return torch.where(dynamic(bodies, mass), kinetic + potential, 0.0)


def energy_gain(
    trajectory: Trajectory,
    bodies: Bodies,
    gravity: Tensor | tuple[float, float, float] = (0.0, 0.0, -9.81),
    work: Tensor | None = None,
) -> Violation:
    """Growth of the mechanical energy of all bodies together from frame to frame beyond the work put in.

    One-sided: friction, drag and impacts may take energy, nothing gives it. Velocities are
    those of the trajectory; where they come from differences of noisy positions, each is off by the noise over dt
    and m v times that is the floor.

    Mean: a loss. Energy: mean square of the gain. Distribution: the benchmark's energy figure, best read beside the
    kinetic energy at hand.

    Args:
        trajectory: (..., T, N), T of 2 or more.
        bodies: That move.
        gravity: (3) or (..., 3) m/s^2.
        work: (..., T - 1) joules put in over each interval by actuators and hands; none where left out.

    Returns:
        Violation in J for the world, entered at the frame that ends the interval; measurable where the presence of no
        dynamic body is wanting.

    Raises:
        ValueError: For shapes that do not fit, NaN, fewer than 2 frames.
    """
    check(trajectory, bodies, frames=2)
    pull = vector_of(gravity, trajectory, "gravity")
    total = mechanical_energy(trajectory, bodies, pull).sum(-1)
    gain = total.diff(dim=-1)
    if work is not None:
        if work.shape != gain.shape:
            raise ValueError(f"work: must have shape {tuple(gain.shape)}, got {tuple(work.shape)}")
        require_finite("work", work)
        gain = gain - work
    gain = gain.clamp_min(0)
    values = torch.cat([torch.zeros_like(gain[..., :1]), gain], -1)[..., None]
    return settle("energy", "J", values, all_present(trajectory, bodies), world_table(values))


def all_present(trajectory: Trajectory, bodies: Bodies) -> Tensor:
    """(..., T, 1) whether all dynamic bodies exist in the frame and the one before; False in the first."""
    whole = (present(trajectory) | ~dynamic(bodies, trajectory.presence)).all(-1, keepdim=True)
    both = whole[..., 1:, :] & whole[..., :-1, :]
    return torch.cat([torch.zeros_like(whole[..., :1, :]), both], -2)
