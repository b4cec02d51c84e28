"""Projection onto the feasible set: the nearest trajectory that a roll-out of the prior makes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from worldsim.physics.bodies import Bodies
from worldsim.physics.fit._identify import _check
from worldsim.physics.fit.parameters import Packing
from worldsim.physics.fit.rollout_fit import Problem, fit_rollout
from worldsim.physics.prior import LawParameters, PhysicsPrior
from worldsim.physics.prior.law import default_law
from worldsim.physics.trajectory import Trajectory


def project(
    observed: Trajectory,
    bodies: Bodies,
    *,
    law: LawParameters | None = None,
    turning: bool = False,
    prior: PhysicsPrior | None = None,
    iterations: int = 20,
) -> Trajectory:
    """The roll-out nearest to a trajectory, in the mean square of positions weighted by presence.

    Unactuated rigid scenes are feasible just where a roll-out makes them, so what comes out obeys the law as exactly
    as the prior does. Gradients pass to the observed positions and presence by the implicit function theorem with the
    Gauss-Newton matrix: d theta = (J^T W J)^-1 J^T W d observed.

    Args:
        observed: (B, T, N); presence from 0 to 1 weighs the frames.
        bodies: Of the worlds.
        law: Of the worlds; Earth's gravity where left out.
        turning: Whether orientations and spins are fitted too, by observed orientations.
        prior: Whose configuration to use.
        iterations: At most.

    Returns:
        (B, T, N) trajectory with the observed presence.
    """
    _check(observed, bodies, 1.0)
    dtype = observed.position.dtype
    # Differences of roll-outs want double precision; casts pass gradients on.
    observed, bodies = observed.to(torch.float64), bodies.to(torch.float64)
    law = (law or default_law(bodies)).to(torch.float64)
    packing = Packing.of(bodies, turning, ())
    plain = observed.map(torch.Tensor.detach)
    # A hundredth of the smallest moving body: what tells a jump from noise while the horizon grows.
    size = float(bodies.size[:, list(packing.dynamic), 0].amin()) or 1.0
    problem = Problem(plain, bodies, law, prior or PhysicsPrior(), packing, 1e-2 * size, 1e-2)
    fit = fit_rollout(problem, iterations)
    with torch.no_grad():
        rolled = problem.roll(fit.theta, observed.num_frames)
    dynamic = list(packing.dynamic)
    target = observed.position[:, :, dynamic][..., packing.axes]
    fitted = rolled.position[:, :, dynamic][..., packing.axes]
    count = target[0].numel()
    slope = fit.jacobian[:, :count]
    weight = plain.presence[:, :, dynamic, None].expand_as(target).flatten(1)
    moved = _Implicit.apply(target, fitted, slope, fit.jacobian, weight)
    position = rolled.position.clone()
    for k, axis in enumerate(packing.axes):
        position[:, :, dynamic, axis] = moved[..., k]
    projected = Trajectory(
        position,
        rolled.orientation,
        rolled.linear_velocity,
        rolled.angular_velocity,
        observed.presence,
        observed.dt,
    )
    return projected.to(dtype)


class _Implicit(torch.autograd.Function):
    """Fitted positions as a function of observed ones, with the fit's own Jacobian as derivative."""

    @staticmethod
    def forward(ctx: Any, target: Tensor, fitted: Tensor, slope: Tensor, whole: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(slope, whole, weight)
        return fitted.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        slope, whole, weight = ctx.saved_tensors
        # Rows of `slope` are weighted misfits: d misfit / d theta = w J / s, so J = s slope / w where w > 0.
        safe = weight.clamp_min(1e-9)
        plain = slope / safe[..., None]
        pulled = (plain.mT @ gradient.flatten(1)[..., None])[..., 0]
        normal = whole.mT @ whole
        ridge = 1e-9 * normal.diagonal(dim1=-2, dim2=-1).amax(-1)
        eye = torch.eye(normal.shape[-1], dtype=normal.dtype, device=normal.device)
        solved = torch.linalg.solve(normal + ridge[:, None, None] * eye, pulled)
        back = (slope @ solved[..., None])[..., 0] * weight
        return back.unflatten(1, gradient.shape[1:]), None, None, None, None
