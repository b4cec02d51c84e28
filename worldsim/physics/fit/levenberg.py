"""Levenberg-Marquardt over a batch of worlds, with Jacobians by forward-mode differentiation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd import forward_ad

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


def jacobian(residual: Residual, theta: Tensor) -> tuple[Tensor, Tensor]:
    """Residuals (B, R) and their Jacobian (B, R, P): one forward pass over P copies of the batch, one tangent each."""
    batch, width = theta.shape
    copies = theta.detach().repeat_interleave(width, 0)
    tangents = torch.eye(width, dtype=theta.dtype, device=theta.device).repeat(batch, 1)
    world = torch.arange(batch, device=theta.device).repeat_interleave(width)
    with forward_ad.dual_level():
        value, slope = forward_ad.unpack_dual(residual(forward_ad.make_dual(copies, tangents), world))
        slope = torch.zeros_like(value) if slope is None else slope
    return value[::width].clone(), slope.unflatten(0, (batch, width)).mT.clone()


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
