"""Rigidity: points, masks and linked bodies that should keep their shape."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from worldsim.physics.bodies import Bodies
from worldsim.physics.geometry.checks import require_finite
from worldsim.physics.rotation import conjugate, kabsch, logarithm, multiply, rotate_inverse
from worldsim.physics.trajectory import Trajectory
from worldsim.physics.violations.common import check, per_body, present, root
from worldsim.physics.violations.result import Violation, settle


def point_rigidity(points: Tensor, seen: Tensor | None = None, scale: bool = False) -> Violation:
    """What is left of tracked points after the best rigid (or similarity) motion back to the first frame.

    Root of the mean squared distance, by the Procrustes fit (Umeyama 1991, equations 39 to 43, with the rotation of
    Kabsch 1976). With `scale`, a change of size, such as an approach to the camera, counts as lawful.

    Mean: a loss on tracks. Energy: mean square of the residual, differentiable in the points. Distribution: the
    benchmark's rigidity figure where a tracker gives points.

    Args:
        points: (..., T, K, P, 3) or (..., T, K, P, 2) P points on each of K objects; metres, or pixels.
        seen: (..., T, K, P) which points are tracked; all where left out. Objects with fewer than 3 points common
            with the first frame are not measurable.
        scale: Whether the fit may scale.

    Returns:
        Violation in the unit of the points (m), one subject an object; 0 at the first frame.

    Raises:
        ValueError: For NaN or a wrong shape.
    """
    if points.dim() < 4 or points.shape[-1] not in (2, 3):
        raise ValueError(f"points: must have shape (..., T, K, P, 2 or 3), got {tuple(points.shape)}")
    require_finite("points", points)
    if seen is None:
        seen = torch.ones_like(points[..., 0], dtype=torch.bool)
    if seen.shape != points.shape[:-1]:
        raise ValueError(f"seen: must have shape {tuple(points.shape[:-1])}, got {tuple(seen.shape)}")
    if points.shape[-1] == 2:
        points = torch.cat([points, torch.zeros_like(points[..., :1])], -1)
    common = seen & seen[..., :1, :, :]
    weights = common.to(points.dtype)
    source = points[..., :1, :, :, :].expand_as(points)
    fit = kabsch(source, points, weights)
    residual = fit.residual
    if scale:
        share = (weights / weights.sum(-1, keepdim=True).clamp_min(1))[..., None]
        a = source - (share * source).sum(-2, keepdim=True)
        b = points - (share * points).sum(-2, keepdim=True)
        turned = a @ fit.rotation.mT
        spread = (share * a.square()).sum((-1, -2)).clamp_min(torch.finfo(a.dtype).tiny)
        factor = (share * turned * b).sum((-1, -2)) / spread
        residual = root((share * (b - factor[..., None, None] * turned).square()).sum((-1, -2)))
    objects = torch.arange(points.shape[-3], device=points.device)[:, None]
    return settle("rigidity", "m", residual, common.sum(-1) >= 3, objects, None)


def mask_rigidity(masks: Tensor, whole: Tensor | None = None, min_area: float = 12.0) -> Violation:
    """How far the shape of masks strays from the first frame, for objects that keep to the image plane.

    The largest |log| of the ratios to the first frame of both axes (roots of the eigenvalues of the mask's
    covariance, Hu 1962) and of the root of the area: .1 means about a tenth longer, thinner or larger. Eigenvalues
    come in closed form, so that round masks, whose two coincide, have finite gradients.

    Mean: a loss on soft masks. Energy: mean square, differentiable in the masks. Distribution: the benchmark's
    rigidity figure in planar worlds. Out of plane, turning and approaching objects change their masks lawfully: use
    point_rigidity there.

    Args:
        masks: (..., T, K, H, W) from 0 to 1.
        whole: (..., T, K) whether the mask is neither hidden in part nor cut by the border; all where left out.
        min_area: Pixels below which a mask is too small to be measured.

    Returns:
        Violation in shares (unit 1), one subject a mask; measurable where the mask is whole and large enough there and
        in the first frame.

    Raises:
        ValueError: For NaN or a wrong shape.
    """
    if masks.dim() < 4:
        raise ValueError(f"masks: must have shape (..., T, K, H, W), got {tuple(masks.shape)}")
    require_finite("masks", masks)
    return moment_rigidity(*mask_moments(masks), whole, min_area)


def moment_rigidity(area: Tensor, axes: Tensor, whole: Tensor | None = None, min_area: float = 12.0) -> Violation:
    """mask_rigidity of masks whose moments are at hand.

    Args:
        area: (..., T, K) pixels.
        axes: (..., T, K, 2) eigenvalues of the covariance in square pixels, the larger first, as mask_moments gives.
        whole: (..., T, K) as for mask_rigidity.
        min_area: As for mask_rigidity.

    Raises:
        ValueError: For a wrong shape.
    """
    if axes.shape != (*area.shape, 2):
        raise ValueError(f"axes: must have shape {(*area.shape, 2)}, got {tuple(axes.shape)}")
    if whole is None:
        whole = torch.ones_like(area, dtype=torch.bool)
    if whole.shape != area.shape:
        raise ValueError(f"whole: must have shape {tuple(area.shape)}, got {tuple(whole.shape)}")
    usable = whole & (area >= min_area)
    measurable = usable & usable[..., :1, :]
    scales = torch.stack([axes[..., 0], axes[..., 1], area], -1)
    safe = torch.where(measurable[..., None], scales, 1.0)
    first = torch.where(measurable[..., None], scales[..., :1, :, :].expand_as(scales), 1.0)
    values = (0.5 * (safe / first).log()).abs().amax(-1)
    objects = torch.arange(area.shape[-1], device=area.device)[:, None]
    return settle("rigidity", "1", values, measurable, objects, None)


def mask_moments(masks: Tensor) -> tuple[Tensor, Tensor]:
    """Area (...) in pixels and eigenvalues (..., 2), the larger first, of the covariance of (..., H, W) masks."""
    height, width = masks.shape[-2:]
    y = torch.arange(height, dtype=masks.dtype, device=masks.device) + 0.5
    x = torch.arange(width, dtype=masks.dtype, device=masks.device) + 0.5
    area = masks.sum((-1, -2))
    total = area.clamp_min(torch.finfo(masks.dtype).eps)
    rows, columns = masks.sum(-1) / total[..., None], masks.sum(-2) / total[..., None]
    mean_y, mean_x = (rows * y).sum(-1), (columns * x).sum(-1)
    dy, dx = y - mean_y[..., None], x - mean_x[..., None]
    c_yy, c_xx = (rows * dy.square()).sum(-1), (columns * dx.square()).sum(-1)
    c_xy = ((masks @ dx[..., None]).squeeze(-1) * dy).sum(-1) / total
    # A pixel is a square of variance 1/12 on each axis, so that a mask one pixel wide still has a width.
    centre, half = (c_xx + c_yy) / 2 + 1 / 12, (c_xx - c_yy) / 2
    square = half.square() + c_xy.square()
    round_ = square <= torch.finfo(masks.dtype).eps ** 2
    spread = torch.where(round_, 0.0, torch.where(round_, 1.0, square).sqrt())
    return area, torch.stack([centre + spread, centre - spread], -1)


def group_rigidity(trajectory: Trajectory, bodies: Bodies, rigid_groups: Sequence[int] | None = None) -> Violation:
    """How far bodies of a group that is declared rigid move against the first body of that group.

    The motion of the body against its pose in the first frame, seen from the group's first body: the shift of its
    centre plus its turn times the half of its largest size, an upper bound on the way of any of its points.

    Mean: a loss for glued bodies. Energy: mean square. Distribution: the benchmark's rigidity figure for composite
    objects.

    Args:
        trajectory: (..., T, N).
        bodies: That move.
        rigid_groups: Numbers out of bodies.groups; all groups of more than one body where left out.

    Returns:
        Violation in m, one subject a pair of the group's first body and another; measurable where both exist.

    Raises:
        ValueError: For shapes that do not fit, NaN, or a group that is not there.
    """
    check(trajectory, bodies)
    groups = sorted(set(bodies.groups)) if rigid_groups is None else list(rigid_groups)
    for group in groups:
        if group not in bodies.groups:
            raise ValueError(f"rigid_groups: must be out of {sorted(set(bodies.groups))}, got {group!r}")
    listed: list[tuple[int, int]] = []
    for group in groups:
        members = [i for i, own in enumerate(bodies.groups) if own == group]
        listed += [(members[0], other) for other in members[1:]]
    table = torch.tensor(listed, dtype=torch.long, device=trajectory.position.device).reshape(-1, 2)
    base, link = table[:, 0], table[:, 1]
    turn = trajectory.orientation[..., base, :]
    place = rotate_inverse(turn, trajectory.position[..., link, :] - trajectory.position[..., base, :])
    pose = multiply(conjugate(turn), trajectory.orientation[..., link, :])
    shift = place - place[..., :1, :, :]
    twist = logarithm(multiply(pose, conjugate(pose[..., :1, :, :]).expand_as(pose)))
    size = per_body(reach(bodies), trajectory)[..., link]
    values = root(shift.square().sum(-1)) + root(twist.square().sum(-1)) * size
    exists = present(trajectory)
    measurable = exists[..., base] & exists[..., link]
    square = (shift.square().sum(-1) + (twist * size[..., None]).square().sum(-1)) * measurable
    energy = square.sum((-1, -2)) / measurable.sum((-1, -2)).clamp_min(1)
    return settle("rigidity", "m", values, measurable, table, energy)


def reach(bodies: Bodies) -> Tensor:
    """(B, N) radius of the smallest ball around the centre that holds the body, metres; 0 for planes."""
    columns = []
    for i, kind in enumerate(bodies.kinds):
        size = bodies.size[:, i]
        if kind == "box":
            columns.append(size.square().sum(-1).sqrt())
        elif kind == "polygon":
            columns.append(bodies.vertices[:, i].square().sum(-1).amax(-1).sqrt())
        else:
            columns.append(size[:, 0] + size[:, 1] if kind in ("capsule", "ring") else size[:, 0])
    return torch.stack(columns, -1)
