"""Render and compare: fit poses to pictures by Levenberg-Marquardt through the soft rasteriser, coarse to fine."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from worldsim.physics.bodies import Bodies
from worldsim.physics.rotation import exponential, multiply, normalise
from worldsim.physics.trajectory import Trajectory
from worldsim.scene import Camera
from worldsim.vision.raster import View, rasterise

# Variance of the logistic distribution whose integral is the sigmoid of d / tau, in units of tau^2.
_LOGISTIC_VARIANCE = math.pi**2 / 3
_FIRST_DAMPING = 1e-2
_LEAST_DAMPING, _MOST_DAMPING = 1e-7, 1e7


@dataclass(frozen=True)
class Refined:
    """Poses that fit pictures.

    Attributes:
        trajectory: (B, T, N, ...) with fitted position and orientation; velocities and presence as given.
        residual: (B, T) root mean squared difference of the compared channels at the finest level.
        information: (B, T, D, D) J^T J of the fit at the finest level, over the free bodies' coordinates in order
            (x, z, turn about y for planar bodies; x, y, z and the rotation vector else; world frame, metres and
            radians). With pixel noise of variance s^2 its inverse times s^2 is the covariance; a direction that the
            pictures do not tell (the turn of a ball) has zero rows.
    """

    trajectory: Trajectory
    residual: Tensor
    information: Tensor


@torch.no_grad()
def refine(
    trajectory: Trajectory,
    bodies: Bodies,
    camera: Camera | Sequence[Camera] | View,
    *,
    ids: Tensor | None = None,
    colour: Tensor | None = None,
    taus_px: Sequence[float] = (4.0, 2.0, 1.0, 0.5),
    steps: int = 4,
    target_tau_px: float = 0.0,
    shading: str = "flat",
    background: Sequence[float] | Tensor = (1.0, 1.0, 1.0),
) -> Refined:
    """Move the dynamic bodies of each frame until the rasterised picture looks like the one seen.

    Frames are fitted apart from one another, all in one batch, with all bodies of a frame together, so that a body that
    hides another is accounted for. At each softness the picture seen is blurred to match (a Gaussian of the variance
    of the logistic edge), which widens the basin to several pixels at the first level and leaves no bias at the last.
    A step that does not lower a frame's cost is taken back and damped more (Nocedal and Wright, Numerical
    Optimization, section 10.3).

    Args:
        trajectory: (B, T, N, ...) or (T, N, ...) first guess.
        bodies: Of B worlds, or of one for all. Static ones stay. With `planar`, bodies move in x, z and turn about y.
        camera: One for all worlds, one a world, or their View.
        ids: (B, T, N + 1, H, W) visible shares to match, background first, or (B, T, H, W) whole numbers.
        colour: (B, T, 3, H, W) from 0 to 1 to match; with ids, both are.
        taus_px: Softness of outlines at each level, pixels, coarse to fine.
        steps: Levenberg-Marquardt steps a level.
        target_tau_px: Softness that the pictures seen already have.
        shading: Of the rasteriser, for colour.
        background: Of the rasteriser, for colour.

    Raises:
        ValueError: Where nothing is given to compare, no body is free, or shapes disagree.
    """
    if trajectory.position.dim() == 3:
        trajectory = trajectory.map(lambda tensor: tensor[None])
    position = trajectory.position
    view = camera if isinstance(camera, View) else View.from_cameras(camera)
    targets = _targets(ids, colour, trajectory, view)
    free = [i for i, static in enumerate(bodies.static) if not static]
    if not free:
        raise ValueError("bodies.static: must leave at least one body free, got all static")
    if not taus_px or min(taus_px) <= 0 or steps < 1:
        raise ValueError(f"taus_px and steps: must be above 0, got {tuple(taus_px)!r} and {steps!r}")
    width = 3 if bodies.planar else 6
    channels = ("colour",) if colour is not None else ()

    def compare(at: Trajectory, tau: float, blurred: list[Tensor], delta: Tensor) -> Tensor:
        moved = _moved(at, delta, free, bodies.planar)
        raster = rasterise(moved, bodies, view, tau_px=tau, shading=shading, background=background, channels=channels)
        seen = ([raster.ids] if ids is not None else []) + ([raster.colour] if raster.colour is not None else [])
        return torch.cat([(a - b).flatten(2) for a, b in zip(seen, blurred, strict=True)], -1)

    still = position.new_zeros(*position.shape[:2], len(free) * width)
    probe = _probe(trajectory, bodies, view, len(free))
    damping = torch.full(position.shape[:2], _FIRST_DAMPING, dtype=position.dtype, device=position.device)
    cost, jacobian = torch.empty(0), torch.empty(0)
    for tau in taus_px:
        blurred = [_blur(target, tau, target_tau_px) for target in targets]
        for _ in range(steps):
            function = partial(compare, trajectory, tau, blurred)
            residual, jacobian = _linearise(function, still, probe)
            cost = residual.square().sum(-1)
            gradient = (jacobian @ residual[..., None]).squeeze(-1)
            normal = jacobian @ jacobian.mT
            diagonal = normal.diagonal(dim1=-2, dim2=-1)
            floor = 1e-4 * diagonal.amax(-1, keepdim=True) + torch.finfo(position.dtype).tiny ** 0.5
            damped = normal + torch.diag_embed(damping[..., None] * diagonal + 1e-3 * floor)
            step = -torch.linalg.solve(damped, gradient[..., None]).squeeze(-1)
            better = function(step).square().sum(-1) < cost
            trajectory = _moved(trajectory, torch.where(better[..., None], step, 0.0), free, bodies.planar)
            damping = torch.where(better, damping / 4, damping * 4).clamp(_LEAST_DAMPING, _MOST_DAMPING)
        # Another softness has another curvature: trust it afresh.
        damping = damping.clamp_max(_FIRST_DAMPING)
        if tau == taus_px[-1]:
            residual, jacobian = _linearise(partial(compare, trajectory, tau, blurred), still, probe)
            cost = residual.square().mean(-1)
    return Refined(trajectory, cost.sqrt(), jacobian @ jacobian.mT)


def _targets(ids: Tensor | None, colour: Tensor | None, trajectory: Trajectory, view: View) -> list[Tensor]:
    """Pictures to match, (B, T, C, H, W) each."""
    position = trajectory.position
    lead, count = tuple(position.shape[:2]), trajectory.num_bodies
    picture = (view.height, view.width)
    targets = []
    if ids is not None:
        if ids.shape == (*lead, *picture) and not ids.is_floating_point():
            ids = torch.nn.functional.one_hot(ids.long(), count + 1).movedim(-1, -3)
        if ids.shape != (*lead, count + 1, *picture):
            raise ValueError(f"ids: must have shape {(*lead, count + 1, *picture)}, got {tuple(ids.shape)}")
        targets.append(ids.to(position))
    if colour is not None:
        if colour.shape != (*lead, 3, *picture):
            raise ValueError(f"colour: must have shape {(*lead, 3, *picture)}, got {tuple(colour.shape)}")
        targets.append(colour.to(position))
    if not targets:
        raise ValueError("ids and colour: must be given, one at least, got neither")
    return targets


def _moved(trajectory: Trajectory, delta: Tensor, free: list[int], planar: bool) -> Trajectory:
    """The trajectory with the free bodies moved by (B, T, D) metres and radians in the world frame."""
    parts = delta.unflatten(-1, (len(free), -1))
    if planar:
        x, z, turn = parts.unbind(-1)
        zero = torch.zeros_like(x)
        shift, spin = torch.stack([x, zero, z], -1), torch.stack([zero, turn, zero], -1)
    else:
        shift, spin = parts[..., :3], parts[..., 3:]
    index = torch.tensor(free, device=delta.device)
    position = trajectory.position.index_add(-2, index, shift)
    turned = normalise(multiply(exponential(spin), trajectory.orientation[..., free, :]))
    orientation = trajectory.orientation.index_copy(-2, index, turned)
    return dataclasses.replace(trajectory, position=position, orientation=orientation)


def _probe(trajectory: Trajectory, bodies: Bodies, view: View, free: int) -> Tensor:
    """(D,) steps of the central differences: a small share of a pixel for shifts, a tenth of it (radians) for turns."""
    position = trajectory.position
    share = 1e-3 if position.dtype == torch.float64 else 3e-2
    flat = position.flatten(0, 1)
    depth = view.to(position).repeat_frames(position.shape[1]).to_camera(flat)[..., 2].abs().mean()
    scale = 1.0 if view.orthographic else float(depth)
    shift = share * scale / float(view.focal.mean())
    kinds = [shift, shift, share / 10] if bodies.planar else [shift] * 3 + [share / 10] * 3
    return torch.tensor(kinds * free, dtype=position.dtype, device=position.device)


def _linearise(function: Callable[[Tensor], Tensor], at: Tensor, probe: Tensor) -> tuple[Tensor, Tensor]:
    """Value (B, T, R) and Jacobian (B, T, D, R) of a function of (B, T, D) that treats frames apart.

    Central differences, one coordinate of all frames at a time: ten times faster here than forward-mode derivatives,
    which torch builds from small pieces, and exact enough for Gauss-Newton, whose optimum they do not move.
    """
    rows = []
    for k, step in enumerate(probe.tolist()):
        shift = torch.zeros_like(at)
        shift[..., k] = step
        rows.append((function(at + shift) - function(at - shift)) / (2 * step))
    return function(at), torch.stack(rows, -2)


def _blur(target: Tensor, tau: float, target_tau: float) -> Tensor:
    """Soften (B, T, C, H, W) pictures of edge softness target_tau to softness tau."""
    variance = _LOGISTIC_VARIANCE * (tau * tau - target_tau * target_tau)
    if variance <= 1e-6:
        return target
    sigma = math.sqrt(variance)
    reach = math.ceil(4 * sigma)
    at = torch.arange(-reach, reach + 1, dtype=target.dtype, device=target.device)
    kernel = torch.exp(-0.5 * (at / sigma) ** 2)
    kernel = kernel / kernel.sum()
    flat = target.flatten(0, 2)[:, None]
    flat = torch.nn.functional.pad(flat, (reach, reach, reach, reach), mode="replicate")
    flat = torch.nn.functional.conv2d(flat, kernel[None, None, None, :])
    flat = torch.nn.functional.conv2d(flat, kernel[None, None, :, None])
    result: Tensor = flat.squeeze(1).unflatten(0, target.shape[:3])
    return result
