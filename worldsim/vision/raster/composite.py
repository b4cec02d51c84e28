"""Putting surfaces in front of one another: visibility, colour, depth and motion."""

from __future__ import annotations

import torch
from torch import Tensor

from worldsim.vision.raster.round import Rays


def opacity(distance: Tensor, width: int, tau_px: float) -> Tensor:
    """(M, N, P) share of each pixel that a body covers, from the signed distance in pixels to its outline.

    sigmoid(-d / tau); with a tau of 0, the exact share for an outline that is straight within the pixel: a line with
    normal (a, b) sweeps the unit square as a box of width a convolved with one of width b.
    """
    if tau_px > 0:
        return torch.sigmoid(distance * (-1 / tau_px))
    with torch.no_grad():
        slopes = torch.gradient(distance.unflatten(-1, (-1, width)), dim=(-2, -1))
        down, across = (slope.abs().flatten(-2) for slope in slopes)
        length = torch.hypot(down, across).clamp_min(1e-6)
        short, long = (m(down, across) / length for m in (torch.minimum, torch.maximum))
        short, long = short.clamp_min(1e-3), long.clamp_min(0.5)
    away = distance.abs()
    corner = ((long + short) / 2 - away).clamp_min(0).square() / (2 * long * short)
    beyond = torch.where(away <= (long - short) / 2, 0.5 - away / long, corner)
    return torch.where(distance > 0, beyond, 1 - beyond)


def visibility(alpha: Tensor, depth: Tensor, side_by_side: bool = False) -> Tensor:
    """What is seen of each body, and of the background, at each pixel.

    Front-to-back composition: a body's weight is its own opacity times the transparency of all that lies nearer at
    that pixel. The order is decided by depth without gradient; of equal depths the earlier body is in front.

    Args:
        alpha: (M, N, P) opacity from 0 to 1.
        depth: (M, N, P) metres.
        side_by_side: Whether bodies share pixels without hiding one another, as those of a plane do: opacities then add
            up to at most 1, the nearer ones first. Composition would take two half-covered pixels where balls touch
            for three quarters of one.

    Returns:
        (M, N + 1, P) weights that sum to 1, background first.
    """
    layers, depths = alpha.unbind(1), depth.detach().unbind(1)
    left = [torch.ones_like(layer) for layer in layers]
    for i in range(len(layers)):
        for j in range(i + 1, len(layers)):
            first = (depths[i] <= depths[j]).to(alpha.dtype)
            if side_by_side:
                left[j] = left[j] - layers[i] * first
                left[i] = left[i] - layers[j] * (1 - first)
            else:
                left[j] = left[j] * (1 - layers[i] * first)
                left[i] = left[i] * (1 - layers[j] * (1 - first))
    if side_by_side:
        seen = torch.minimum(torch.stack(left, 1).clamp_min(0), alpha)
        background = 1 - seen.sum(1, keepdim=True)
    else:
        seen = torch.stack(left, 1) * alpha
        background = (1 - alpha).prod(1, keepdim=True)
    return torch.cat([background, seen], 1)


def colours(weights: Tensor, colour: Tensor, background: Tensor, brightness: Tensor | None) -> Tensor:
    """Mix body colours by visibility.

    Args:
        weights: (M, N + 1, P), background first.
        colour: (M, N, 3) from 0 to 1.
        background: (M, 3) from 0 to 1.
        brightness: (M, N, P) share of its colour that a surface shows; None for flat colour.

    Returns:
        (M, 3, P).
    """
    palette = torch.cat([background[:, None], colour], 1).mT
    if brightness is not None:
        weights = torch.cat([weights[:, :1], weights[:, 1:] * brightness.clamp_max(1)], 1)
    return palette @ weights


def flow(rays: Rays, weights: Tensor, depth: Tensor, centre: Tensor, linear: Tensor, angular: Tensor) -> Tensor:
    """Apparent motion of what is seen, in image-plane units a second.

    The surface point at depth z on the ray moves with linear + angular x (point - centre); the background is still.

    Args:
        rays: Of the pixels.
        weights: (M, N + 1, P), background first.
        depth: (M, N, P) metres.
        centre: (M, N, 3) metres, camera axes.
        linear: (M, N, 3) metres a second, camera axes.
        angular: (M, N, 3) radians a second, camera axes.

    Returns:
        (M, 2, P).
    """
    seen = weights[:, 1:]
    drift = linear - torch.linalg.cross(angular, centre)  # velocity of the body's point at the eye
    wx, wy, wz = angular.unbind(-1)

    def mix(coefficient: Tensor, weight: Tensor) -> Tensor:
        return torch.matmul(coefficient[:, None], weight)

    x, y = rays.x, rays.y
    if rays.view.orthographic:
        deep = seen * depth
        return torch.cat(
            [
                mix(drift[..., 0], seen) - y * mix(wz, seen) + mix(wy, deep),
                mix(drift[..., 1], seen) + x * mix(wz, seen) - mix(wx, deep),
            ],
            1,
        )
    # (v_xy - (x, y) v_z) / z with v = drift + z angular x (x, y, 1)
    near = seen / depth.clamp_min(rays.view.near)
    vz = mix(drift[..., 2], near)
    turn_z = y * mix(wx, seen) - x * mix(wy, seen)
    return torch.cat(
        [
            mix(drift[..., 0], near) - x * vz + mix(wy, seen) - y * mix(wz, seen) - x * turn_z,
            mix(drift[..., 1], near) - y * vz + x * mix(wz, seen) - mix(wx, seen) - y * turn_z,
        ],
        1,
    )
