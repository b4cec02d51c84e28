"""Gravity error: how bodies fall when nothing holds them."""

from __future__ import annotations

import torch
from torch import Tensor

from worldsim.physics.bodies import Bodies
from worldsim.physics.trajectory import Trajectory
from worldsim.physics.violations.common import body_table, check_window, vector_of, windowed_length
from worldsim.physics.violations.contacts import Contacts
from worldsim.physics.violations.result import Violation, settle


def gravity_error(
    trajectory: Trajectory,
    bodies: Bodies,
    gravity: Tensor | tuple[float, float, float] = (0.0, 0.0, -9.81),
    drag: float = 0.0,
    window: int = 2,
    margin: float = 0.005,
    contacts: Contacts | None = None,
) -> Violation:
    """Difference of the acceleration seen in free flight from the law's.

    The acceleration is that of the parabola fitted by least squares to the 2 window + 1 frames around each frame
    (Savitzky and Golay 1964), exact for constant acceleration; with drag the law's is g - c v at the fitted velocity,
    good to second order in c dt. Noise of positions enters about sqrt(720 / n^5) / dt^2 times for n frames: widen
    the window where it matters.

    Mean: a loss on positions. Energy: mean square of the error. Distribution: the benchmark's gravity figure.

    Args:
        trajectory: (..., T, N); positions, orientations and presence are read, velocities are not.
        bodies: That move.
        gravity: (3) or (..., 3) m/s^2.
        drag: Linear drag a mass, 1/s.
        window: Frames to both sides.
        margin: Metres within which a body counts as touching.
        contacts: Of the same trajectory and bodies, where they are at hand.

    Returns:
        Violation in m/s^2, one subject a body; measurable where it flies free through the whole window.

    Raises:
        ValueError: For shapes that do not fit, NaN, too few frames, drag below 0 or a window below 1.
    """
    check_window(window, drag)
    contacts = Contacts.of(trajectory, bodies, contacts, frames=2 * window + 1)
    pull = vector_of(gravity, trajectory, "gravity")
    time = trajectory.dt * torch.arange(-window, window + 1, dtype=torch.float64)
    fit = torch.linalg.pinv(torch.stack([torch.ones_like(time), time, time.square() / 2], -1))
    fit = fit.to(trajectory.position)
    count = trajectory.num_frames - 2 * window
    # Differences from the middle frame keep single precision away from the world's origin.
    middle = trajectory.position[..., window : window + count, :, :]
    shifted = trajectory.position.unfold(-3, 2 * window + 1, 1) - middle[..., None]
    velocity, acceleration = shifted @ fit[1], shifted @ fit[2]
    error = acceleration - (pull - drag * velocity)
    values = windowed_length(error, window)
    measurable = contacts.flying(margin, window)
    return settle("gravity", "m/s^2", values, measurable, body_table(bodies.num_bodies, values))
