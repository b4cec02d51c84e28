"""Rigid motion between impacts: flight in closed form, and a gyroscopic step that keeps angular momentum exactly."""

from __future__ import annotations

import torch
from torch import Tensor

from worldsim.physics import rotation
from worldsim.physics.prior.flight import Basis, basis, travel
from worldsim.physics.prior.state import State

# Fixed-point iterations of the implicit midpoint; each gains a factor h |omega| / 2 times the spread of the moments.
_MIDPOINT_ITERATIONS = 5


def inverse_inertia_world(matrices: Tensor, inverse_inertia: Tensor, planar: bool) -> Tensor:
    """(B, N, 3, 3) inverse inertia in world axes, 1/(kg m^2); in planar worlds about y only."""
    if planar:
        about_y = torch.tensor([0.0, 1.0, 0.0], dtype=inverse_inertia.dtype, device=inverse_inertia.device)
        return torch.diag_embed(inverse_inertia * about_y)
    return (matrices * inverse_inertia[..., None, :]) @ matrices.mT


def advance(
    state: State,
    acceleration: Tensor,
    spin_rate: Tensor,
    time: Tensor,
    drag: Tensor | None,
    inverse_inertia: Tensor | None,
) -> State:
    """Move bodies on for a time during which forces and torques are constant.

    Turning follows Euler's equations by the implicit midpoint rule in the body frame,
    I (w1 - w0) + h w_m x I w_m = 0 with w_m the mean, solved by fixed-point iterations; the orientation takes the
    exponential of h w_m, and the final spin is that which has exactly the angular momentum of the start.

    Args:
        state: (B, N, ...).
        acceleration: (B, N, 3) metres a second squared, drag left out.
        spin_rate: (B, N, 3) angular acceleration by torques, radians a second squared, world frame.
        time: (B, 1) or (B, N) seconds.
        drag: (B, N) 1/s, None for none.
        inverse_inertia: (B, N, 3) about the body axes, 1/(kg m^2); None where no body tumbles: where all moments of
            each are equal, or in a plane.
    """
    moment = time[..., None]
    at = basis(time if drag is None else time.expand_as(drag), drag)
    at = Basis(at.phi[..., None], at.psi[..., None], None if at.chi is None else at.chi[..., None])
    shift, velocity = travel(state.linear_velocity, acceleration, at)
    spin = state.angular_velocity + moment * spin_rate
    half = 0.5 * moment * spin_rate
    if inverse_inertia is None:
        turned = rotation.integrate(state.orientation, state.angular_velocity + half, moment)
        return State(state.position + shift, turned, velocity, spin)
    inverse = torch.where(inverse_inertia.amin(-1, keepdim=True) > 0, inverse_inertia, 1.0)
    inertia = 1 / inverse
    before = rotation.rotate_inverse(state.orientation, state.angular_velocity)
    middle = before
    for _ in range(_MIDPOINT_ITERATIONS):
        middle = before - 0.5 * moment * inverse * torch.linalg.cross(middle, inertia * middle)
    mean = rotation.rotate(state.orientation, middle) + half
    turned = rotation.integrate(state.orientation, mean, moment)
    momentum = rotation.rotate(state.orientation, inertia * rotation.rotate_inverse(state.orientation, spin))
    spin = rotation.rotate(turned, inverse * rotation.rotate_inverse(turned, momentum))
    return State(state.position + shift, turned, velocity, spin)
