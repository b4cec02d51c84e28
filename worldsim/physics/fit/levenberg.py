"""Levenberg-Marquardt over a batch of worlds, with Jacobians by batched central differences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

# (M, P) parameters, (M,) the world each row belongs to -> (M, R) residuals.
Residual = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Fit:
    """Where a fit ended.

    Attributes:
        theta: (B, P).
        residual: (B, R) at theta.
        jacobian: (B, R, P) at theta.
        converged: (B,) whether the last step was too small to matter.
    """

    theta: Tensor
    residual: Tensor
    jacobian: Tensor
    converged: Tensor


@torch.no_grad()
def jacobian(residual: Residual, theta: Tensor, step: float = 1e-6) -> tuple[Tensor, Tensor]:
    """Residuals (B, R) and their Jacobian (B, R, P), by central differences over one batch of 2 P + 1 copies.

    The prior's motion is smooth in its parameters between changes of the order of impacts, so that in float64 the
    differences are good to about 1e-9; a batched roll-out costs little more than a single one, while torch's
    forward-mode derivatives cost ten times as much for the same numbers.
    """
    batch, width = theta.shape
    shift = step * (1 + theta.abs())
    moves = torch.diag_embed(shift)  # (B, P, P)
    copies = torch.cat([theta[:, None], theta[:, None] + moves, theta[:, None] - moves], 1).flatten(0, 1)
    world = torch.arange(batch, device=theta.device).repeat_interleave(2 * width + 1)
    values = residual(copies, world).unflatten(0, (batch, 2 * width + 1))
    slope = (values[:, 1 : width + 1] - values[:, width + 1 :]) / (2 * shift[..., None])
    return values[:, 0], slope.mT


@torch.no_grad()
def levenberg_marquardt(
    residual: Residual, theta: Tensor, iterations: int = 30, tolerance: float = 1e-9, damping: float = 1e-3
) -> Fit:
    """Minimise half the sum of squared residuals of each world on its own.

    Damping scales with the diagonal of J^T J (Marquardt 1963, eq. 11 with his scaling), grows tenfold where a step
    fails and falls tenfold where it helps.

    Args:
        residual: See Residual; rows are in units of their standard deviation.
        theta: (B, P) start.
        iterations: At most.
        tolerance: A world has converged when a step changes its cost by less than this, in squared standard
            deviations, or by less than this share.
        damping: First lambda.
    """
    theta = theta.detach().clone()
    batch = theta.shape[0]
    worlds = torch.arange(batch, device=theta.device)
    lam = theta.new_full((batch,), damping)
    done = torch.zeros(batch, dtype=torch.bool, device=theta.device)
    value, slope = jacobian(residual, theta)
    for _ in range(iterations):
        normal, gradient = slope.mT @ slope, (slope.mT @ value[..., None])
        diagonal = normal.diagonal(dim1=-2, dim2=-1).clamp_min(1e-12)
        step = torch.linalg.solve(normal + torch.diag_embed(lam[:, None] * diagonal), -gradient)[..., 0]
        trial = theta + torch.where(done[:, None], torch.zeros_like(step), step)
        cost = value.square().sum(1)
        now = residual(trial, worlds).square().sum(1)
        better = now < cost
        small = (cost - now).abs() <= tolerance * (1 + cost)
        done = done | small | (lam > 1e12)
        theta = torch.where(better[:, None], trial, theta)
        lam = torch.where(better, lam / 10, lam * 10).clamp_min(1e-12)
        if bool(better.any()):
            value, slope = jacobian(residual, theta)
        if bool(done.all()):
            break
    return Fit(theta, value, slope, done)
