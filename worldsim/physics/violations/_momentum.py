"""Momentum drift: a push without one who is pushed back."""

from __future__ import annotations

import torch
from torch import Tensor

from worldsim.physics.bodies import Bodies
from worldsim.physics.trajectory import Trajectory
from worldsim.physics.violations._energy import all_present
from worldsim.physics.violations.common import dynamic, per_body, root, vector_of, world_table
from worldsim.physics.violations.contacts import Contacts
from worldsim.physics.violations.result import Violation, settle


def momentum_drift(
    trajectory: Trajectory,
    bodies: Bodies,
    gravity: Tensor | tuple[float, float, float] = (0.0, 0.0, -9.81),
    drag: float = 0.0,
    margin: float = 0.005,
    contacts: Contacts | None = None,
) -> Violation:
    """Change of the momentum of all bodies together beyond what gravity and drag give, where contacts are mutual.

    Whoever touches a static body hands momentum to the world, so intervals in which a body may have done so are not
    measurable. Over an interval gravity gives m g dt, and drag takes c dt times the mean of the
    momentum at both ends, exact to the third order in c dt.

    Mean: a loss for collisions in free space. Energy: mean square of the drift. Distribution: the benchmark's
    momentum figure. Worlds with actuators or hands need not conserve momentum: do not ask there.

    Args:
        trajectory: (..., T, N), T of 2 or more; its velocities are read.
        bodies: That move.
        gravity: (3) or (..., 3) m/s^2.
        drag: Linear drag a mass, 1/s.
        margin: Metres within which a body counts as touching a static one.
        contacts: Of the same trajectory and bodies, where they are at hand.

    Returns:
        Violation in N s for the world, entered at the frame that ends the interval.

    Raises:
        ValueError: For shapes that do not fit, NaN, fewer than 2 frames, drag below 0.
    """
    contacts = Contacts.of(trajectory, bodies, contacts, frames=2)
    if not drag >= 0:
        raise ValueError(f"drag: must be 0 or above, got {drag!r}")
    pull = vector_of(gravity, trajectory, "gravity")
    moving = dynamic(bodies, trajectory.presence)
    mass = torch.where(moving, per_body(bodies.mass, trajectory), 0.0)[..., None]
    momentum = (mass * trajectory.linear_velocity).sum(-2)
    pulled = (mass * pull).sum(-2)
    change = momentum.diff(dim=-2) - trajectory.dt * pulled
    change = change + drag * trajectory.dt * (momentum[..., 1:, :] + momentum[..., :-1, :]) / 2
    drift = root(change.square().sum(-1))
    values = torch.cat([torch.zeros_like(drift[..., :1]), drift], -1)[..., None]
    held = contacts.near(margin, statics_only=True).any(-1, keepdim=True)
    alone = ~(held[..., 1:, :] | held[..., :-1, :])
    measurable = all_present(trajectory, bodies)
    measurable[..., 1:, :] &= alone
    return settle("momentum", "N s", values, measurable, world_table(values))
