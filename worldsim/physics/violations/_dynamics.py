"""Dynamics residual: where a body goes against where the law takes it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from worldsim.physics.bodies import Bodies
from worldsim.physics.geometry.checks import require_finite
from worldsim.physics.rotation import conjugate, integrate, logarithm, multiply, normalise
from worldsim.physics.trajectory import Trajectory
from worldsim.physics.violations.common import (
    body_table,
    dynamic,
    present,
    root,
    vector_of,
    within,
)
from worldsim.physics.violations.contacts import Contacts
from worldsim.physics.violations.result import Violation, settle

# Takes instants (..., T', N) as a Trajectory and returns the same instants one dt later.
Step = Callable[[Trajectory], Trajectory]


def dynamics_residual(
    trajectory: Trajectory,
    bodies: Bodies,
    gravity: Tensor | tuple[float, float, float] = (0.0, 0.0, -9.81),
    drag: float = 0.0,
    step: Step | None = None,
    impacts: Tensor | None = None,
    margin: float = 0.005,
    scale: float = 1e-3,
    contacts: Contacts | None = None,
) -> Violation:
    """Forward defect |x_{t+1} - f(x_t, v_t)| of every body and frame, with v_t from the two frames before.

    A backward difference is the velocity at t - dt/2; it is brought to t under gravity and drag in closed form,
    without which the defect would be biased by g dt^2 / 2. f is free flight, or `step`, such as
    the prior's own one-step map with contacts. All frames go through it as one batch, so that nothing is chained.

    Without `step` only free flight is judged: frames in which a body may have touched another, found from the
    signed distances and how far bodies move, are not measurable. With `step` contacts are its matter and only frames
    given as `impacts` are left out: within the two intervals that make v_t and the one predicted.

    Mean: a loss (take the energy: it is Charbonnier's). Energy: mean of sqrt(r^2 + scale^2) - scale; second differences
    carry sqrt 6 times the noise of positions: set the scale there. Distribution: the benchmark's dynamics figure.

    Args:
        trajectory: (..., T, N), T of 3 or more; positions, orientations and presence are read, velocities are not.
        bodies: That move.
        gravity: (3) or (..., 3) m/s^2.
        drag: Linear drag a mass, 1/s.
        step: Takes a Trajectory of instants and gives it one dt later.
        impacts: (..., T, N) flags, True where the body was hit in the interval that ends at the frame.
        margin: Metres within which a body counts as touching, for free flight.
        scale: Of Charbonnier's loss, metres.
        contacts: Of the same trajectory and bodies, where they are at hand.

    Returns:
        Violation in m, one subject a body, entered at the predicted frame.

    Raises:
        ValueError: For shapes that do not fit, NaN, fewer than 3 frames, drag below 0 or a scale not above 0.
    """
    contacts = Contacts.of(trajectory, bodies, contacts, frames=3)
    if not drag >= 0:
        raise ValueError(f"drag: must be 0 or above, got {drag!r}")
    if not scale > 0:
        raise ValueError(f"scale: must be above 0, got {scale!r}")
    pull = vector_of(gravity, trajectory, "gravity")
    if step is None:
        predicted = _carried(trajectory, pull, drag)
    else:
        predicted = step(observed_states(trajectory, pull, drag)).position
        require_finite("step(...).position", predicted)
    gap = trajectory.position[..., 2:, :, :] - predicted
    residual = root(gap.square().sum(-1))
    values = torch.cat([torch.zeros_like(trajectory.presence[..., :2, :]), residual], -2)
    known = contacts.flying(margin) if step is None else within(present(trajectory) & dynamic(bodies, values), 1)
    measurable = torch.cat([torch.zeros_like(known[..., :1, :]), known[..., :-1, :]], -2)
    if impacts is not None:
        if impacts.shape != values.shape:
            raise ValueError(f"impacts: must have shape {tuple(values.shape)}, got {tuple(impacts.shape)}")
        hit = impacts.bool()
        measurable = measurable & ~hit
        measurable[..., 1:, :] &= ~hit[..., :-1, :]
    robust = torch.where(measurable, (values.square() + scale**2).sqrt() - scale, 0.0)
    energy = robust.sum((-1, -2)) / measurable.sum((-1, -2)).clamp_min(1)
    return settle("dynamics", "m", values, measurable, body_table(bodies.num_bodies, values), energy)


def flight_basis(drag: float, dt: float) -> tuple[float, float, float]:
    """Seconds that velocity and seconds^2 that acceleration act over dt, and the share of velocity left."""
    time = torch.tensor(drag * dt, dtype=torch.float64)
    if drag * dt < 1e-4:
        c = drag * dt
        return dt * (1 - c / 2 + c * c / 6), dt * dt * (0.5 - c / 6 + c * c / 24), 1 - c + c * c / 2
    phi = float(-torch.expm1(-time)) / drag
    return phi, (dt - phi) / drag, float(torch.exp(-time))


def observed_states(trajectory: Trajectory, gravity: Tensor, drag: float) -> Trajectory:
    """Frames 1 to T - 2 with velocities from differences to the frame before, brought to the instant by the law."""
    now, before = trajectory.frames(1, -1), trajectory.frames(0, -2)
    velocity = _velocity(trajectory, gravity, drag)
    spin = logarithm(multiply(now.orientation, conjugate(before.orientation))) / trajectory.dt
    return Trajectory(now.position, now.orientation, velocity, spin, now.presence, trajectory.dt)


def _velocity(trajectory: Trajectory, gravity: Tensor, drag: float) -> Tensor:
    """(..., T - 2, N, 3) velocities at frames 1 to T - 2."""
    phi, psi, left = flight_basis(drag, trajectory.dt)
    position = trajectory.position
    start = (position[..., 1:-1, :, :] - position[..., :-2, :, :] - psi * gravity) / phi
    return left * start + phi * gravity


def _carried(trajectory: Trajectory, gravity: Tensor, drag: float) -> Tensor:
    """(..., T - 2, N, 3) places of frames 2 to T - 1 in free flight from those before: free_flight(observed_states)."""
    phi, psi, _ = flight_basis(drag, trajectory.dt)
    return trajectory.position[..., 1:-1, :, :] + phi * _velocity(trajectory, gravity, drag) + psi * gravity


def free_flight(trajectory: Trajectory, gravity: Tensor, drag: float) -> Trajectory:
    """Every instant one dt later in free flight, with a constant spin about the world axes."""
    phi, psi, left = flight_basis(drag, trajectory.dt)
    velocity = trajectory.linear_velocity
    return Trajectory(
        trajectory.position + phi * velocity + psi * gravity,
        normalise(integrate(trajectory.orientation, trajectory.angular_velocity, trajectory.dt)),
        left * velocity + phi * gravity,
        trajectory.angular_velocity,
        trajectory.presence,
        trajectory.dt,
    )
