"""The smooth central path of contact: impulses at many points at once, with stick and slip, differentiated exactly.

Each point asks for an impulse lambda >= 0 with lambda (w lambda - z) = kappa / w, where w is its inverse effective mass
and z the velocity it lacks: lambda = (z + sqrt(z^2 + 4 kappa)) / (2 (w + g)). kappa to 0 is hard contact, kappa > 0
keeps a gradient through contacts that are about to open or close. Jacobi sweeps with mass splitting (Tonge et al.,
"Mass splitting for jitter-free parallel rigid body simulation", SIGGRAPH 2012), accelerated by momentum, find the fixed
point without gradient; one Newton step on it then carries the exact derivative (implicit function theorem).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from worldsim.physics.prior.contact import Jacobian, Points

# Relative residual at which the sweeps stop, and below which the Newton step also polishes the value.
_DONE = 1e-6
_CLOSE = 1e-3
# Most Newton steps without gradient.
_POLISH = 4


@dataclass(frozen=True)
class Solver:
    """How contact impulses are found.

    Attributes:
        sweeps: Most accelerated Jacobi sweeps; they stop early where nothing changes any more. Up to 4 Newton steps
            follow where they have not converged.
        kappa: Smoothing, metres squared a second squared: a mean square of velocity, whatever the masses.
        compliance: g over w: share of the inverse effective mass added to it.
    """

    sweeps: int = 48
    kappa: float = 1e-10
    compliance: float = 0.0

    def __post_init__(self) -> None:
        if self.sweeps < 1:
            raise ValueError(f"solver.sweeps: must be 1 or above, got {self.sweeps!r}")
        if not self.kappa > 0:
            raise ValueError(f"solver.kappa: must be above 0, got {self.kappa!r}")
        if not self.compliance >= 0:
            raise ValueError(f"solver.compliance: must be 0 or above, got {self.compliance!r}")


@dataclass(frozen=True)
class Response:
    """What the contact impulses do.

    Attributes:
        velocity: (B, N, 3) change of linear velocity, metres a second.
        spin: (B, N, 3) change of angular velocity, radians a second.
        normal_impulse: (B, C) newton seconds.
    """

    velocity: Tensor
    spin: Tensor
    normal_impulse: Tensor


def central_path(
    points: Points, jac: Jacobian, velocity: Tensor, spin: Tensor, target: Tensor, active: Tensor, solver: Solver
) -> Response:
    """Impulses that bring every active point's normal velocity to its target or above, without pulling.

    Args:
        points: Contact points.
        jac: Their Jacobian.
        velocity: (B, N, 3) that the bodies would have without contact, metres a second.
        spin: (B, N, 3) likewise, radians a second.
        target: (B, C) least normal velocity, positive apart, metres a second.
        active: (B, C) which points take part.
        solver: Sweeps and smoothing.
    """
    batch, count = points.gap.shape
    on = active.to(velocity.dtype)
    free = 1 - on
    # Mass splitting: a body touched at k points lends each of them a k-th of its mass; the worse end counts.
    shares = (jac.ends * ((jac.ends * on[..., None]).sum(1, keepdim=True))).amax(-1).clamp_min(1.0)
    ease = Ease(
        normal=jac.normal_ease * shares * (1 + solver.compliance) * on + free,
        tangent=jac.tangent_ease * shares * on + free,
    )
    start = torch.cat([velocity, spin], -1).flatten(1)[..., None]
    slide = (jac.rows @ start).view(batch, count, 3)
    problem = Problem(points.normal, points.friction, slide, target, on, jac, ease, solver.kappa)
    with torch.no_grad():
        found = _search(torch.zeros_like(points.normal), problem.sweep, solver.sweeps)
        found = _polish(problem, found)
    impulse = found + _newton_step(problem, found)
    change = (jac.response @ impulse.flatten(1)[..., None]).view(batch, -1, 6)
    return Response(change[..., :3], change[..., 3:], (impulse * points.normal).sum(-1))


@dataclass(frozen=True)
class Ease:
    """Inverse effective masses after mass splitting, (B, C) each, 1/kg; 1 at points that take no part."""

    normal: Tensor
    tangent: Tensor


@dataclass(frozen=True)
class Problem:
    """One system of contact impulses, all (B, C, ...); see central_path."""

    normal: Tensor
    friction: Tensor
    slide: Tensor
    target: Tensor
    on: Tensor
    jac: Jacobian
    ease: Ease
    kappa: float

    def wishes(self, impulse: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C) normal and (B, C, 3) tangential velocity that each point lacks, its own present impulse undone."""
        moved = (self.jac.rows @ (self.jac.response @ impulse.flatten(1)[..., None])).view_as(impulse)
        u = self.slide + moved
        push, speed = (impulse * self.normal).sum(-1), (u * self.normal).sum(-1)
        z = self.ease.normal * push - speed + self.target
        across = self.ease.tangent[..., None] * (impulse - push[..., None] * self.normal)
        return z, across - (u - speed[..., None] * self.normal)

    def sweep(self, impulse: Tensor) -> Tensor:
        """One simultaneous update of (B, C, 3) impulses, newton seconds."""
        z, along = self.wishes(impulse)
        push = self.on * (z + (z * z + 4 * self.kappa).sqrt()) / (2 * self.ease.normal)
        size = (along.square().sum(-1) + 1e-18).sqrt()
        grip = self.on * torch.minimum(1 / self.ease.tangent, self.friction * push / size)
        return push[..., None] * self.normal + grip[..., None] * along

    def derivative(self, impulse: Tensor) -> Tensor:
        """(B, C, 3, 3) derivative of a sweep by the velocity that each point lacks."""
        z, along = self.wishes(impulse)
        root = (z * z + 4 * self.kappa).sqrt()
        push = (z + root) / (2 * self.ease.normal)
        rate = (1 + z / root) / (2 * self.ease.normal)
        size = (along.square().sum(-1) + 1e-18).sqrt()
        slips = self.friction * push / size < 1 / self.ease.tangent
        heading = along / size[..., None]
        n = self.normal
        eye = torch.eye(3, dtype=n.dtype, device=n.device)
        across = eye - n[..., :, None] * n[..., None, :]
        stick = across / self.ease.tangent[..., None, None]
        turn = (self.friction * push / size)[..., None, None] * (across - heading[..., :, None] * heading[..., None, :])
        slip = turn + (self.friction * rate)[..., None, None] * heading[..., :, None] * n[..., None, :]
        normal = rate[..., None, None] * n[..., :, None] * n[..., None, :]
        return self.on[..., None, None] * (normal + torch.where(slips[..., None, None], slip, stick))


def _newton_step(problem: Problem, found: Tensor, whole: bool = False) -> Tensor:
    """What one Newton step on the fixed point f = sweep(f) adds to the impulses found without gradient.

    With N the derivative of the sweep's projection, D its easing and J, R = M^-1 J^T, the step solves
    (1 - N D + N J R) delta = sweep(f) - f. It is reduced to the bodies' 6 N velocities y = R delta; a small epsilon on
    the left keeps it regular where points are redundant, as the four corners of a box are. The matrix is detached, so
    that the step's derivative is that of the implicit function. Where the impulses are far from the fixed point,
    only the derivative is given, unless the `whole` step is asked for.
    """
    jac = problem.jac
    lack = problem.sweep(found) - found
    with torch.no_grad():
        epsilon = 1e-8 if found.dtype == torch.float64 else 1e-4
        n = problem.normal
        eye = torch.eye(3, dtype=n.dtype, device=n.device)
        outer = n[..., :, None] * n[..., None, :]
        easing = problem.ease.normal[..., None, None] * outer + problem.ease.tangent[..., None, None] * (eye - outer)
        slope = problem.derivative(found)
        own = torch.linalg.inv_ex((1 + epsilon) * eye - slope @ easing).inverse
        spring = own @ slope
        batch, count = n.shape[:2]
        rows, response = jac.rows.detach(), jac.response.detach()
        pulled = (spring @ rows.view(batch, count, 3, -1)).flatten(1, 2)
        system = response @ pulled
        system.diagonal(dim1=-2, dim2=-1).add_(1.0)
        worst = lack.abs().amax((-1, -2), keepdim=True)
        close = worst < _CLOSE * found.abs().amax((-1, -2), keepdim=True)
    step = (own @ lack[..., None]).squeeze(-1)
    motion = torch.linalg.solve(system, response @ step.flatten(1)[..., None])
    step = step - (pulled @ motion).view_as(step)
    return step if whole else torch.where(close, step, step - step.detach())


def _polish(problem: Problem, found: Tensor) -> Tensor:
    """Newton steps on the fixed point, kept in those worlds where they bring the impulses nearer to it."""
    left = _residual(problem, found)
    for _ in range(_POLISH):
        if not torch.compiler.is_compiling() and bool((left < _DONE).all()):
            break
        trial = found + _newton_step(problem, found, whole=True)
        then = _residual(problem, trial)
        better = then < left
        found, left = torch.where(better, trial, found), torch.where(better, then, left)
    return found


def _residual(problem: Problem, found: Tensor) -> Tensor:
    """(B, 1, 1) largest change by a sweep, relative to the largest impulse."""
    size = found.abs().amax((-1, -2), keepdim=True) + torch.finfo(found.dtype).tiny
    return (problem.sweep(found) - found).abs().amax((-1, -2), keepdim=True) / size


def _search(impulse: Tensor, sweep: Callable[[Tensor], Tensor], limit: int) -> Tensor:
    """Nesterov-accelerated sweeps with restart, as in projected gradient contact solvers (Mazhar et al. 2015)."""
    momentum, ahead = 1.0, impulse
    compiling = torch.compiler.is_compiling()
    for k in range(limit):
        new = sweep(ahead)
        move = new - impulse
        if not compiling and k % 4 == 3:
            scale = new.abs().amax() + torch.finfo(new.dtype).tiny
            if bool((ahead - new).abs().amax() < _DONE * scale):
                return new
        turned = ((ahead - new) * move).sum((-1, -2), keepdim=True) > 0
        grown = (1 + (1 + 4 * momentum * momentum) ** 0.5) / 2
        ahead = torch.where(turned, new, new + (momentum - 1) / grown * move)
        impulse, momentum = new, grown
    return impulse
