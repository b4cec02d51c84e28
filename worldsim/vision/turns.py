"""Turns of bodies in the plane, read from their masks as far as their shapes tell them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from worldsim.physics.bodies import Bodies
from worldsim.vision.moments import harmonic

LONG = 0.1  # elongation of a shape from which its long axis tells the turn
FAINT = 0.3  # share of a shape's own harmonic, below which its mask tells no turn
ROUND = 0.01  # own harmonic of a shape that tells none
_GRID = 16


def read_turns(masks: Tensor, seen: Tensor, bodies: Bodies) -> Tensor:
    """(B, T, N) radians about y by which bodies are turned, continuous in time; 0 for spheres and static bodies.

    Long shapes look the same after half a turn and are read by their long axis; squares and regular polygons after one
    corner, and are read by the harmonic of that order. From frame to frame the nearest of the turns that look alike is
    taken, and a frame that does not tell keeps the turn before it. Turns are known up to what looks alike, and
    polygons that are neither long nor regular may tell none.

    Args:
        masks: (B, T, N, H, W) weights; x to the right, z up.
        seen: (B, T, N) whether enough of a body is seen.
        bodies: Of B worlds, planar.
    """
    turns = masks.new_zeros(masks.shape[:3])
    for i, kind in enumerate(bodies.kinds):
        if kind not in ("box", "capsule", "polygon") or bodies.static[i]:
            continue
        outline = _outline(kind, bodies.size[:, i], bodies.vertices[:, i]).expand(len(masks), -1, -1)
        corners = torch.tensor([len({tuple(corner) for corner in row}) for row in outline.tolist()])
        long = _own_harmonic(outline, 2)[0] > LONG
        orders = torch.where(long.cpu(), 2, corners)
        for order in orders.unique().tolist():
            worlds = (orders == order).nonzero()[:, 0].to(masks.device)
            turns[worlds, :, i] = _read(masks[worlds, :, i], seen[worlds, :, i], outline[worlds], order)
    return turns


def _read(masks: Tensor, seen: Tensor, outline: Tensor, order: int) -> Tensor:
    """(B, T) turns of (B, T, H, W) masks of shapes that look the same after 2 pi / order."""
    own, direction = (value[:, None] for value in _own_harmonic(outline, order))
    found = harmonic(masks, order)
    told = seen & (own > ROUND) & (found.strength > FAINT * own)
    # Rows run downwards: a turn about y is positive in the picture, and the shape's own direction negative.
    angle, period = found.angle + direction, 2 * math.pi / order
    before, turns = torch.zeros_like(angle[:, 0]), []
    for t in range(angle.shape[1]):
        step = angle[:, t] - before
        nearest = step - period * torch.round(step.detach() / period)
        before = torch.where(told[:, t], before + nearest, before)
        turns.append(before)
    return torch.stack(turns, 1)


def _outline(kind: str, size: Tensor, vertices: Tensor) -> Tensor:
    """(B, V, 2) corners in x and z of the body frame, counter-clockwise; a capsule's are those of its box."""
    if kind == "polygon":
        return vertices
    half = torch.stack([size[:, 0], size[:, 1] + size[:, 0] if kind == "capsule" else size[:, 2]], -1)
    signs = torch.tensor([[-1, -1], [1, -1], [1, 1], [-1, 1]], dtype=size.dtype, device=size.device)
    return signs * half[:, None]


def _own_harmonic(outline: Tensor, order: int) -> tuple[Tensor, Tensor]:
    """(B,) strength and (B,) angle from x towards z of a filled outline's harmonic, as `harmonic` has them of masks."""
    p = torch.view_as_complex(outline.contiguous())
    q = p.roll(-1, -1)
    # Middles of the small triangles that each triangle of the body's centre, p and q is cut into.
    i, j = torch.meshgrid(torch.arange(_GRID), torch.arange(_GRID), indexing="ij")
    shares = [torch.stack([i[i + j < _GRID - k], j[i + j < _GRID - k]]) + (k + 1) / 3 for k in (0, 1)]
    a, b = (torch.cat(shares, 1) / _GRID).to(outline)[..., None, None]
    points, weights = a * p + b * q, (p.conj() * q).imag
    value = (weights * points**order).sum((0, -1))
    radial = (weights * points.abs() ** order).sum((0, -1))
    return value.abs() / radial, value.angle() / order
