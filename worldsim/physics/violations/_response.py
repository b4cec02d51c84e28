"""Contact without response, and response without contact: causes that lack their effect, effects without a cause."""

from __future__ import annotations

import torch
from torch import Tensor

from worldsim.physics.bodies import Bodies
from worldsim.physics.trajectory import Trajectory
from worldsim.physics.violations._dynamics import flight_basis
from worldsim.physics.violations.common import body_table, check_window, vector_of, windowed_length
from worldsim.physics.violations.contacts import Contacts
from worldsim.physics.violations.result import Violation, settle


def unanswered_contact(
    trajectory: Trajectory, bodies: Bodies, margin: float = 0.005, contacts: Contacts | None = None
) -> Violation:
    """Speed at which a pair that touches goes on into itself.

    Of a pair at a signed distance d of at most `margin`, the law wants d not to fall below -margin any further
    (Signorini's condition: a contact that closes is answered). The speed is the fall of d over the interval, as far as
    it lies under -margin, over dt: 0 for a rebound, for a touch and for rest, the closing speed for bodies that go
    through each other as if nothing were there. The frame in which a fast pair first overlaps is penetration's.

    Mean: a loss. Energy: mean square. Distribution: the benchmark's unanswered_contact figure. Source: the
    complementarity condition of Signorini (1959).

    Args:
        trajectory: (..., T, N), T of 2 or more; positions, orientations and presence are read.
        bodies: That move.
        margin: Metres of depth that a reader or an engine leaves at rest.
        contacts: Of the same trajectory and bodies, where they are at hand.

    Returns:
        Violation in m/s, one subject a pair, entered at the frame that ends the interval; measurable where the pair
        touches at its begin and both bodies exist at both ends.

    Raises:
        ValueError: For shapes that do not fit, NaN, one frame only, or a margin below 0.
    """
    contacts = Contacts.of(trajectory, bodies, contacts, frames=2)
    _check_margin(margin)
    measured, both = contacts.distances, contacts.both
    now = measured.distance
    fall = (now[..., :-1, :].clamp_max(-margin) - now[..., 1:, :]).clamp_min(0) / trajectory.dt
    fall = torch.where(now[..., 1:, :] < -margin, fall, 0.0)
    known = both[..., 1:, :] & both[..., :-1, :] & (now[..., :-1, :] <= margin)
    return settle("unanswered_contact", "m/s", _late(fall, now), _late(known, both), measured.pairs)


def uncaused_response(
    trajectory: Trajectory,
    bodies: Bodies,
    gravity: Tensor | tuple[float, float, float] = (0.0, 0.0, -9.81),
    drag: float = 0.0,
    margin: float = 0.005,
    window: int = 1,
    contacts: Contacts | None = None,
    unseen: Tensor | None = None,
) -> Violation:
    """Change of a body's velocity that nothing gave it: neither gravity, nor drag, nor a contact.

    Velocities before and after a frame are slopes of straight lines fitted to the `window` intervals on either side;
    half a window from the frame each, they are those of the instant for any constant acceleration, and the law carries
    one to the other in closed form. A ball that turns in mid air at a frame by dv reads dv. Of w intervals, noise of
    positions enters sqrt(24 / (w (w + 1) (w + 2)) + 72 / ((w + 1) (w + 2))^2) times over dt: 2.4 for 1, .53 for 4.

    Mean: a loss. Energy: mean square. Distribution: the benchmark's uncaused_response figure.

    Args:
        trajectory: (..., T, N), T of 3 or more; positions, orientations and presence are read.
        bodies: That move.
        gravity: (3) or (..., 3) m/s^2.
        drag: Linear drag a mass, 1/s.
        margin: Metres within which a body counts as touching.
        window: Intervals on both sides over which velocities are fitted.
        contacts: Of the same trajectory and bodies, where they are at hand.
        unseen: (..., T, N, 3) unit vectors along which the change does not count, as a reader does not know the place;
            zero where all of it does.

    Returns:
        Violation in m/s, one subject a body, entered at the frame at which the velocity changes; measurable where the
        body flies free through both windows.

    Raises:
        ValueError: For shapes that do not fit, NaN, fewer than 2 window + 1 frames, a margin or drag below 0, or a
            window below 1.
    """
    _check_margin(margin)
    check_window(window, drag)
    contacts = Contacts.of(trajectory, bodies, contacts, frames=2 * window + 1)
    pull = vector_of(gravity, trajectory, "gravity")
    steps = trajectory.position.diff(dim=-3) / trajectory.dt
    # The slope of a fit to equally spaced points is a mean of their steps with weights of a parabola.
    place = torch.arange(1, window + 1, dtype=torch.float64)
    weights = 6 * place * (window + 1 - place) / (window * (window + 1) * (window + 2))
    slope = steps.unfold(-3, window, 1) @ weights.to(steps)
    gain, _, left = flight_basis(drag, window * trajectory.dt)
    change = slope[..., window:, :, :] - (left * slope[..., :-window, :, :] + gain * pull)
    if unseen is not None:
        along = unseen[..., window : unseen.shape[-3] - window, :, :]
        change = change - (change * along).sum(-1, keepdim=True) * along
    values = windowed_length(change, window)
    measurable = contacts.flying(margin, window)
    return settle("uncaused_response", "m/s", values, measurable, body_table(bodies.num_bodies, values))


def _late(values: Tensor, like: Tensor) -> Tensor:
    """Values of intervals at the frames that end them, zero at the first."""
    return torch.cat([torch.zeros_like(like[..., :1, :]).to(values.dtype), values], -2)


def _check_margin(margin: float) -> None:
    if not margin >= 0:
        raise ValueError(f"margin: must be 0 or above, got {margin!r}")
