"""Free flight in closed form: under constant acceleration, with or without linear drag.

A body's flight is written as an arc from the start of the step, x(t) = x0 + phi(t) v0 + psi(t) a and
v(t) = chi(t) v0 + phi(t) a. An impulse at time tau bends the arc, and the bent arc is again written from the start of
the step: then x+ = x + tau v- + (h - tau) v+ holds whatever the number of impacts, and bodies of one world need no
common clock.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Basis(NamedTuple):
    """Values of the flight's basis functions at some time.

    Attributes:
        phi: Seconds that the start velocity has acted: t without drag, (1 - e^(-ct)) / c with drag c.
        psi: Seconds squared that the acceleration has acted: t^2 / 2 without drag, (t - phi) / c with it.
        chi: Share of the start velocity that is left: 1 without drag, e^(-ct) with it.
    """

    phi: Tensor
    psi: Tensor
    chi: Tensor | None


def basis(time: Tensor, drag: Tensor | None) -> Basis:
    """The solution of x'' = a - c x' (textbook linear drag), stable for c t down to 0.

    Args:
        time: Any shape, seconds.
        drag: Broadcastable against time, 1/s; None for none.
    """
    if drag is None:
        return Basis(time, 0.5 * time * time, None)
    u = drag * time
    small = u.abs() < 0.05
    # Taylor series to u^6: below 1e-11 relative at u = .05.
    p = 1 - u / 2 * (1 - u / 3 * (1 - u / 4 * (1 - u / 5 * (1 - u / 6))))
    q = 0.5 - u / 6 * (1 - u / 4 * (1 - u / 5 * (1 - u / 6 * (1 - u / 7))))
    safe = torch.where(small, torch.ones_like(u), u)
    big = -torch.expm1(-safe) / safe
    phi = time * torch.where(small, p, big)
    psi = time * time * torch.where(small, q, (1 - big) / safe)
    return Basis(phi, psi, torch.exp(-u))


def travel(velocity: Tensor, acceleration: Tensor, at: Basis) -> tuple[Tensor, Tensor]:
    """Displacement and velocity at a time of which `at` holds the basis, shaped (..., 1) against (..., 3)."""
    shift = at.phi * velocity + at.psi * acceleration
    if at.chi is None:
        return shift, velocity + at.phi * acceleration
    return shift, at.chi * velocity + at.phi * acceleration


def bend(jump: Tensor, at: Basis) -> tuple[Tensor, Tensor]:
    """Change of (x0, v0) of an arc that gives its velocity a jump at the time of `at` and leaves its position there."""
    start = jump if at.chi is None else jump / at.chi
    return -at.phi * start, start


def press(change: Tensor, at: Basis) -> tuple[Tensor, Tensor]:
    """Change of (x0, v0) of an arc whose acceleration changes at the time of `at`, position and velocity there kept."""
    start = -at.phi * change if at.chi is None else -at.phi / at.chi * change
    return -at.phi * start - at.psi * change, start
