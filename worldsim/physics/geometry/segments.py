"""Closest points on segments."""

from __future__ import annotations

import torch
from torch import Tensor

from worldsim.physics.geometry.vectors import dot


def on_segment(point: Tensor, centre: Tensor, half: Tensor) -> Tensor:
    """The point of the segment centre +- half that is nearest to a (..., 3) point."""
    length = dot(half, half)
    s = dot(point - centre, half) / torch.where(length > 0, length, 1.0)
    return centre + s.clamp(-1, 1)[..., None] * half


def between_segments(centre_a: Tensor, half_a: Tensor, centre_b: Tensor, half_b: Tensor) -> tuple[Tensor, Tensor]:
    """The two points at which segments centre +- half come nearest.

    Ericson, "Real-Time Collision Detection" (2005), section 5.1.9, with coordinates from -1 to 1. Where the segments
    are parallel the points lie in the middle of the stretch in which they face each other.

    Args:
        centre_a: (..., 3) metres.
        half_a: (..., 3) from the centre to an end, metres.
        centre_b: (..., 3) metres.
        half_b: (..., 3) from the centre to an end, metres.

    Returns:
        (..., 3) on a and (..., 3) on b.
    """
    gap = centre_a - centre_b
    aa, bb, ab = dot(half_a, half_a), dot(half_b, half_b), dot(half_a, half_b)
    ag, bg = dot(half_a, gap), dot(half_b, gap)
    cross = torch.linalg.cross(*torch.broadcast_tensors(half_a, half_b))
    determinant = dot(cross, cross)
    safe_aa, safe_bb = torch.where(aa > 0, aa, 1.0), torch.where(bb > 0, bb, 1.0)
    parallel = determinant <= torch.finfo(aa.dtype).eps * aa * bb
    # Two ends of b as coordinates along a; halfway between them, once clamped, is the middle of what faces a.
    middle = (((-ag + ab) / safe_aa).clamp(-1, 1) + ((-ag - ab) / safe_aa).clamp(-1, 1)) / 2
    crossing = ((ab * bg - ag * bb) / torch.where(parallel, 1.0, determinant)).clamp(-1, 1)
    s = torch.where(parallel, middle, crossing)
    t = ((ab * s + bg) / safe_bb).clamp(-1, 1)
    s = torch.where(parallel, s, ((ab * t - ag) / safe_aa).clamp(-1, 1))
    return centre_a + s[..., None] * half_a, centre_b + t[..., None] * half_b
