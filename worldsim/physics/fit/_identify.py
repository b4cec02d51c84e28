"""Identification: the law of a world and the start of its bodies from an observed trajectory, with covariance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from worldsim.physics.bodies import Bodies
from worldsim.physics.fit.parameters import Packing
from worldsim.physics.fit.rollout_fit import Problem, fit_rollout
from worldsim.physics.prior import LawParameters, PhysicsPrior
from worldsim.physics.prior.law import default_law
from worldsim.physics.trajectory import Trajectory


@dataclass(frozen=True)
class Identified:
    """What identify finds.

    Attributes:
        law: (B, ...) figures; learned ones in place of the guess.
        start: (B, 1, N) state at the first frame.
        trajectory: (B, T, N) the fitted roll-out.
        std: Learned name to (B, k) standard deviations in the figure's own unit: gravity a component, mass a body.
        covariance: (B, P, P) of the packed parameters.
        misfit: (B,) root mean square of the residuals, in standard deviations of the noise; near 1 for a right model.
        converged: (B,).
    """

    law: LawParameters
    start: Trajectory
    trajectory: Trajectory
    std: dict[str, Tensor]
    covariance: Tensor
    misfit: Tensor
    converged: Tensor


def identify(
    observed: Trajectory,
    bodies: Bodies,
    learn: Sequence[str] = ("gravity",),
    *,
    law: LawParameters | None = None,
    noise: float = 1e-3,
    turn_noise: float | None = None,
    prior: PhysicsPrior | None = None,
    iterations: int = 30,
) -> Identified:
    """Fit a roll-out of the prior to what was observed, by Levenberg-Marquardt, all worlds at once.

    Args:
        observed: (B, T, N) positions, and orientations where turn_noise is given; velocities are not used. Presence 0
            marks frames in which a body was not seen. The fit runs in float64.
        bodies: Sizes, and matter that is not learned.
        learn: Law figures to find, out of gravity, restitution, friction, drag, mass (ratios to the first moving body).
        law: Guess of what is learned, truth of what is not.
        noise: Standard deviation of the observed positions, metres.
        turn_noise: Standard deviation of observed orientations, radians; None leaves orientations out.
        prior: Whose configuration to use.
        iterations: At most, over the whole horizon.

    Raises:
        ValueError: Where shapes or values make no sense, named.
    """
    _check(observed, bodies, noise)
    # Differences of roll-outs want double precision.
    observed, bodies = observed.to(torch.float64), bodies.to(torch.float64)
    law = (law or default_law(bodies)).to(torch.float64)
    packing = Packing.of(bodies, turn_noise is not None, tuple(learn))
    problem = Problem(observed, bodies, law, prior or PhysicsPrior(), packing, noise, turn_noise or 1.0)
    fit = fit_rollout(problem, iterations)
    with torch.no_grad():
        start, found = packing.unpack(fit.theta, observed.frames(0, 1), bodies, law)
        normal = fit.jacobian.mT @ fit.jacobian
        scale = normal.diagonal(dim1=-2, dim2=-1).clamp_min(1e-300).rsqrt()
        correlation = scale[:, :, None] * normal * scale[:, None, :]
        covariance = scale[:, :, None] * torch.linalg.pinv(correlation, hermitian=True) * scale[:, None, :]
        spread = covariance.diagonal(dim1=-2, dim2=-1).clamp_min(0).sqrt()
        std = {
            name: spread[:, place] * _slope(name, fit.theta[:, place]) for name, place in packing.law_slices().items()
        }
        seen = (observed.presence[:, :, list(packing.dynamic)] > 0.5).sum((1, 2))
        per_body = len(packing.axes) + len(packing.turns)
        misfit = (fit.residual.square().sum(1) / (seen * per_body).clamp_min(1)).sqrt()
        rolled = problem.roll(fit.theta, observed.num_frames)
    return Identified(found, start, rolled, std, covariance, misfit, fit.converged)


def _slope(name: str, raw: Tensor) -> Tensor:
    """Derivative of a figure in its own unit by its packed parameter."""
    if name == "gravity":
        return torch.ones_like(raw)
    if name == "restitution":
        return torch.sigmoid(raw) * (1 - torch.sigmoid(raw))
    return raw.exp()


def _check(observed: Trajectory, bodies: Bodies, noise: float) -> None:
    shape = tuple(observed.position.shape)
    if len(shape) != 4 or shape[1] < 2 or shape[2] != bodies.num_bodies:
        raise ValueError(
            f"observed.position: must have shape (B, T, {bodies.num_bodies}, 3) with T of 2 or more, got {shape}"
        )
    if not noise > 0:
        raise ValueError(f"noise: must be above 0, got {noise!r}")
    if not bool(torch.isfinite(observed.position).all()):
        raise ValueError("observed.position: must be finite; mark what was not seen by presence 0")
    moving = [i for i, static in enumerate(bodies.static) if not static]
    if bool(((observed.presence[:, :, moving] > 0.5).sum(1) < 2).any()):
        raise ValueError("observed.presence: must show each moving body in at least 2 frames")
