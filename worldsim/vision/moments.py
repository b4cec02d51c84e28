"""Reading states from masks: area, centre, spread and angle in pixels, and their way back to metres.

Pixel i covers [i, i + 1), so its centre lies at i + 0.5; image u runs right and v down. Angles turn u towards v, that
is clockwise as seen, which is the sense of a positive rotation about +y in a planar world under its usual camera.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from worldsim.vision.raster.view import View

_SIZE_STEPS = 8


@dataclass(frozen=True)
class Moments:
    """Moments of masks up to second order.

    Attributes:
        area: (...) sum of the weights, square pixels.
        centroid: (..., 2) u, v in pixels; the picture's centre where the mask is empty.
        covariance: (..., 2, 2) square pixels, of the weights alone: nothing is taken off for softness.
        angle: (...) radians in (-pi/2, pi/2] from u towards v to the long axis. Without meaning where `elongation` is
            near 0, as for discs, squares and other regular polygons: use `harmonic` there.
        elongation: (...) (a - b) / (a + b) of the eigenvalues a >= b of the covariance: 0 round, 1 a line.
        border: (...) share of the weight on the outermost pixels; above 0 the mask may be cut by the picture's edge.
    """

    area: Tensor
    centroid: Tensor
    covariance: Tensor
    angle: Tensor
    elongation: Tensor
    border: Tensor


def mask_moments(masks: Tensor) -> Moments:
    """Moments of soft or hard masks; differentiable, finite for empty masks.

    Angle = atan2(2 C01, C00 - C11) / 2 (Hu 1962, "Visual pattern recognition by moment invariants").

    Args:
        masks: (..., H, W) weights of 0 or above; bool and integers are taken as numbers.
    """
    masks = _weights(masks)
    height, width = masks.shape[-2:]
    area = masks.sum((-1, -2))
    total = area + _tiny(masks)
    # Taken about the picture's centre, so that single precision loses nothing.
    u = torch.arange(width, dtype=masks.dtype, device=masks.device) + 0.5 - width / 2
    v = torch.arange(height, dtype=masks.dtype, device=masks.device) + 0.5 - height / 2
    columns, rows = masks.sum(-2) / total[..., None], masks.sum(-1) / total[..., None]
    mu, mv = (columns * u).sum(-1), (rows * v).sum(-1)
    du, dv = u - mu[..., None], v - mv[..., None]
    c00, c11 = (columns * du.square()).sum(-1), (rows * dv.square()).sum(-1)
    c01 = (((masks @ du[..., None]).squeeze(-1) / total[..., None]) * dv).sum(-1)
    covariance = torch.stack([torch.stack([c00, c01], -1), torch.stack([c01, c11], -1)], -2)
    spread, trace = torch.stack([c00 - c11, 2 * c01]), c00 + c11
    tiny = _tiny(masks)
    round_mask = spread.square().sum(0) <= (1e-12 * trace.square() + tiny)
    # atan2 and the root have no derivative at 0, where the angle has no meaning.
    first = torch.where(round_mask, 1.0, spread[0])
    second = torch.where(round_mask, 0.0, spread[1])
    angle = torch.atan2(second, first) / 2
    elongation = torch.where(round_mask, 0.0, (first.square() + second.square()).sqrt() / (trace + tiny))
    inner = masks[..., 1:-1, 1:-1].sum((-1, -2))
    return Moments(
        area=area,
        centroid=torch.stack([mu + width / 2, mv + height / 2], -1),
        covariance=covariance,
        angle=angle,
        elongation=elongation,
        border=((area - inner) / total).clamp_min(0),
    )


@dataclass(frozen=True)
class Harmonic:
    """How masks repeat as they turn.

    Attributes:
        angle: (...) radians in (-pi/n, pi/n] from u towards v to a direction in which the mask reaches farthest (a
            corner); known modulo 2 pi / n only.
        strength: (...) from 0 (round: the angle has no meaning) to 1; about .3 for a square at n = 4.
    """

    angle: Tensor
    strength: Tensor


def harmonic(masks: Tensor, order: int = 4) -> Harmonic:
    """Angle of shapes whose long axis is undefined: squares at order 4, regular n-gons at order n.

    The n-th harmonic is sum w (du + i dv)^n about the centroid; its phase is n times the direction of the corners.

    Args:
        masks: (..., H, W) weights of 0 or above.
        order: n, 2 or above.
    """
    if order < 2:
        raise ValueError(f"order: must be 2 or above, got {order!r}")
    masks = _weights(masks)
    height, width = masks.shape[-2:]
    centre = mask_moments(masks).centroid
    u = torch.arange(width, dtype=masks.dtype, device=masks.device) + 0.5 - centre[..., :1]
    v = torch.arange(height, dtype=masks.dtype, device=masks.device) + 0.5 - centre[..., 1:]
    u, v = (u / width)[..., None, :], (v / width)[..., :, None]
    real, imaginary = torch.ones_like(u + v), torch.zeros_like(u + v)
    for _ in range(order):
        real, imaginary = real * u - imaginary * v, real * v + imaginary * u
    phase = torch.stack([(masks * part).sum((-1, -2)) for part in (real, imaginary)])
    radial = (masks * (u.square() + v.square()) ** (order / 2)).sum((-1, -2)) + _tiny(masks)
    still = phase.square().sum(0) <= (1e-7 * radial).square()
    first, second = torch.where(still, 1.0, phase[0]), torch.where(still, 0.0, phase[1])
    strength = torch.where(still, 0.0, (first.square() + second.square()).sqrt() / radial)
    return Harmonic(torch.atan2(second, first) / order, strength)


def project(points: Tensor, view: View) -> tuple[Tensor, Tensor]:
    """Where world points fall in the picture; undoes unproject.

    Args:
        points: (B, ..., 3) metres, world frame.
        view: Cameras of B worlds, or one for all.

    Returns:
        (B, ..., 2) u, v in pixels, and (B, ...) depth in metres along the line of sight. In perspective, points nearer
        than view.near fall where they would at that depth.
    """
    local = view.to_camera(points.reshape(points.shape[0], -1, 3)).reshape(points.shape)
    depth = local[..., 2]
    plane = local[..., :2] if view.orthographic else local[..., :2] / depth.clamp_min(view.near)[..., None]
    centre = torch.tensor([view.width / 2, view.height / 2], dtype=points.dtype, device=points.device)
    return plane * _lead(view.focal.to(points), points.dim()) + centre, depth


def pixels_per_metre(points: Tensor, view: View) -> Tensor:
    """(B, ...) pixels that a metre across the line of sight takes at (B, ..., 3) world points."""
    focal = _lead(view.focal.to(points), points.dim() - 1).expand(points.shape[:-1])
    return focal if view.orthographic else focal / project(points, view)[1].clamp_min(view.near)


def unproject(pixels: Tensor, view: View, depth: Tensor | float) -> Tensor:
    """The world point seen at a pixel position and depth.

    Args:
        pixels: (B, ..., 2) u, v in pixels.
        view: Cameras of B worlds, or one for all.
        depth: (B, ...) metres along the line of sight.

    Returns:
        (B, ..., 3) metres, world frame.
    """
    plane = _plane_coordinates(pixels, view)
    depth = torch.as_tensor(depth, dtype=pixels.dtype, device=pixels.device).expand(pixels.shape[:-1])[..., None]
    local = torch.cat([plane if view.orthographic else plane * depth, depth], -1)
    return _to_world(local, view)


def planar_position(centroid: Tensor, view: View) -> Tensor:
    """Where the line of sight through a pixel position meets the plane y = 0 of a planar world.

    Args:
        centroid: (B, ..., 2) u, v in pixels.
        view: Cameras of B worlds, or one for all; none may look along the plane.

    Returns:
        (B, ..., 3) metres, world frame, with y = 0.
    """
    near = unproject(centroid, view, view.near)
    far = unproject(centroid, view, view.near + 1.0)
    way = far - near
    if bool((way[..., 1].detach().abs() < 1e-9).any()):
        raise ValueError("view.rotation: must not look along the plane y = 0")
    share = near[..., 1:2] / way[..., 1:2]
    return near - share * way


def sphere_position(area: Tensor, centroid: Tensor, radius: Tensor | float, view: View) -> Tensor:
    """Centre of a sphere of known radius from its whole mask in a perspective view.

    The outline of a ball at c is the cone (c.d)^2 = K |d|^2, K = |c|^2 - r^2, whose section with the image plane is an
    ellipse of area pi f^2 r^2 sqrt(K) / (cz^2 - r^2)^1.5 about (cx, cy) cz / (cz^2 - r^2). The two are solved for c by
    fixed-point steps, which contract by about |x|^2 r^2 / cz^2 each.

    Args:
        area: (B, ...) square pixels, above 0.
        centroid: (B, ..., 2) u, v in pixels.
        radius: (B, ...) or one number, metres.
        view: Perspective cameras of B worlds, or one for all.

    Returns:
        (B, ..., 3) metres, world frame.
    """
    if view.orthographic:
        raise ValueError("view: must be perspective, an orthographic picture does not tell depth")
    plane = _plane_coordinates(centroid, view)
    focal = _lead(view.focal, area.dim())
    radius = torch.as_tensor(radius, dtype=area.dtype, device=area.device)
    off_axis = plane.square().sum(-1)
    base = torch.pi * (radius * focal).square() / area
    excess = base  # cz^2 - r^2
    for _ in range(_SIZE_STEPS):
        excess = base * (1 + off_axis * excess / (excess + radius.square())).sqrt()
    depth = (excess + radius.square()).sqrt()
    local = torch.cat([plane * (excess / depth)[..., None], depth[..., None]], -1)
    return _to_world(local, view)


def _weights(masks: Tensor) -> Tensor:
    if masks.dim() < 2:
        raise ValueError(f"masks: must have shape (..., H, W), got {tuple(masks.shape)}")
    return masks if masks.is_floating_point() else masks.to(torch.get_default_dtype())


def _tiny(masks: Tensor) -> float:
    return float(torch.finfo(masks.dtype).eps) ** 2


def _lead(tensor: Tensor, dims: int) -> Tensor:
    """(B,) with ones added up to `dims` axes."""
    return tensor.reshape(-1, *([1] * (dims - 1)))


def _plane_coordinates(pixels: Tensor, view: View) -> Tensor:
    centre = torch.tensor([view.width / 2, view.height / 2], dtype=pixels.dtype, device=pixels.device)
    return (pixels - centre) / _lead(view.focal.to(pixels), pixels.dim())


def _to_world(local: Tensor, view: View) -> Tensor:
    rotation, position = view.rotation.to(local), view.position.to(local)
    flat = local.reshape(local.shape[0], -1, 3) if local.dim() > 1 else local.reshape(1, 1, 3)
    return (flat @ rotation + position[:, None]).reshape(local.shape)
