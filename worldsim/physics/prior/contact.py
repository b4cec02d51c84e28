"""Contact points and how impulses at them move bodies: the contact Jacobian of a fixed number of points a world."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

# Gap in metres below which bodies count as touching.
TOUCHING = 1e-4


@dataclass(frozen=True)
class Points:
    """C contact points in each of B worlds, each between a body a and a body b.

    Attributes:
        a: (B, C) index of the first body.
        b: (B, C) index of the second.
        normal: (B, C, 3) unit, from b to a, world frame.
        arm_a: (B, C, 3) from a's centre of mass to the point, metres, world frame.
        arm_b: (B, C, 3) from b's.
        gap: (B, C) signed distance, metres.
        friction: (B, C) of the pair.
        restitution: (B, C) of the pair.
        pair: (B, C) a number for each pair of bodies.
        valid: (B, C) whether the point is one at all: pairs of absent bodies have none.
    """

    a: Tensor
    b: Tensor
    normal: Tensor
    arm_a: Tensor
    arm_b: Tensor
    gap: Tensor
    friction: Tensor
    restitution: Tensor
    pair: Tensor
    valid: Tensor

    @property
    def count(self) -> int:
        """Points a world."""
        return self.gap.shape[1]

    def map(self, function: Any) -> Points:
        """Apply a function to every tensor."""
        return Points(**{name: function(value) for name, value in vars(self).items()})

    def nearest(self, limit: int) -> Points:
        """The `limit` points of smallest gap in each world, all of them where there are fewer."""
        if self.count <= limit:
            return self
        index = torch.where(self.valid, self.gap.detach(), torch.inf).topk(limit, dim=1, largest=False).indices

        def take(value: Tensor) -> Tensor:
            wide = index if value.dim() == 2 else index[..., None].expand(-1, -1, value.shape[-1])
            taken: Tensor = value.gather(1, wide)
            return taken

        return self.map(take)


def velocity_at(points: Points, velocity: Tensor, spin: Tensor) -> Tensor:
    """(B, C, 3) velocity of a's surface against b's at each point, metres a second, world frame."""
    motion = torch.cat([velocity, spin], -1)
    of_a, of_b = _take(motion, points.a), _take(motion, points.b)
    cross = torch.linalg.cross
    turning: Tensor = cross(of_a[..., 3:], points.arm_a) - cross(of_b[..., 3:], points.arm_b)
    return of_a[..., :3] - of_b[..., :3] + turning


def _take(values: Tensor, index: Tensor) -> Tensor:
    return values.gather(1, index[..., None].expand(-1, -1, values.shape[-1]))


@dataclass(frozen=True)
class Jacobian:
    """J and M^-1 J^T of Points, dense: worlds are small and two products a sweep beat any scatter.

    Attributes:
        rows: (B, 3 C, 6 N) from body velocities (linear, angular) to point velocities in world axes.
        response: (B, 6 N, 3 C) from point impulses to changes of body velocity.
        ends: (B, C, N) 1 where the point lies on the body.
        normal_ease: (B, C) w = n J M^-1 J^T n, 1/kg.
        tangent_ease: (B, C) an upper bound for the two directions across, the exact value in a plane.
    """

    rows: Tensor
    response: Tensor
    ends: Tensor
    normal_ease: Tensor
    tangent_ease: Tensor


def jacobian(points: Points, inverse_mass: Tensor, inverse_inertia: Tensor, planar: bool) -> Jacobian:
    """Assemble the Jacobian.

    Args:
        points: Contact points.
        inverse_mass: (B, N).
        inverse_inertia: (B, N, 3, 3) world frame.
        planar: Whether bodies keep to the xz-plane.
    """
    batch, count = points.gap.shape
    num_bodies = inverse_mass.shape[1]
    on_a = functional.one_hot(points.a, num_bodies).to(inverse_mass.dtype)
    on_b = functional.one_hot(points.b, num_bodies).to(inverse_mass.dtype)
    eye = torch.eye(3, dtype=inverse_mass.dtype, device=inverse_mass.device)
    straight = eye.expand(batch, count, 3, 3)
    # The row of point axis k: u_k = v_k + (spin x arm)_k = v_k + (arm x e_k) . spin.
    block_a = torch.cat([straight, _skew(points.arm_a)], -1)
    block_b = torch.cat([straight, _skew(points.arm_b)], -1)
    rows = block_a[..., None, :] * on_a[:, :, None, :, None] - block_b[..., None, :] * on_b[:, :, None, :, None]
    linear = rows[..., :3] * inverse_mass[:, None, None, :, None]
    angular = torch.einsum("bcknj,bnij->bckni", rows[..., 3:], inverse_inertia)
    response = torch.cat([linear, angular], -1)
    rows = rows.reshape(batch, 3 * count, 6 * num_bodies)
    response = response.reshape(batch, 3 * count, 6 * num_bodies)
    own = (rows.view(batch, count, 3, -1)[:, :, :, None] * response.view(batch, count, 3, -1)[:, :, None]).sum(-1)
    n = points.normal
    normal_ease = torch.einsum("bci,bcij,bcj->bc", n, own, n)
    trace = own.diagonal(dim1=-2, dim2=-1).sum(-1)
    if planar:
        trace = trace - own[..., 1, 1]
    return Jacobian(rows, response.mT, (on_a + on_b), normal_ease, trace - normal_ease)


def _skew(arm: Tensor) -> Tensor:
    """(..., 3, 3) whose row k is arm x e_k."""
    x, y, z = arm.unbind(-1)
    zero = torch.zeros_like(x)
    flat = torch.stack([zero, z, -y, -z, zero, x, y, -x, zero], -1)
    return flat.view(*flat.shape[:-1], 3, 3)
