"""Contact manifolds: where a pair of shapes touches at several points, they share the normal of the nearest points.

A pair's points are its two nearest points and the corners of each shape (ends of capsules, eight points of a ring)
that lie over the other. All take the pair's normal: the nearest face of a single corner would flip at the rim, as where
equal boxes are stacked flush.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from worldsim.physics import rotation
from worldsim.physics.geometry import PairDistance, point_distance
from worldsim.physics.prior.contact import TOUCHING, Points
from worldsim.physics.prior.shape_world import ShapeWorld
from worldsim.physics.prior.state import State

# A corner belongs to the manifold where it lies over the other shape to within this many metres.
_RIM = 1e-4


@dataclass(frozen=True)
class CornerGroup:
    """Corners of bodies of one kind against bodies of one kind.

    Attributes:
        owner_kind: Whose corners.
        other_kind: Against what.
        owners: (Q,) places of bodies.
        others: (Q,) places of bodies.
        places: (Q,) places in the list of pairs.
        sign: 1 where the owner is the pair's first body, else -1.
    """

    owner_kind: str
    other_kind: str
    owners: Tensor
    others: Tensor
    places: Tensor
    sign: float


def corner_groups(scene: ShapeWorld) -> list[CornerGroup]:
    """The groups of corners of all pairs that may collide."""
    groups = []
    for (first, second), places in scene.groups:
        for sign, owner, other in ((1.0, first, second), (-1.0, second, first)):
            if owner in ("sphere", "plane") or other == "sphere":
                continue
            a, b = scene.first[places], scene.second[places]
            ends = (a, b) if sign > 0 else (b, a)
            groups.append(CornerGroup(owner, other, *ends, places, sign))
    return groups


def corners(kind: str, size: Tensor, vertices: Tensor, planar: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Points whose balls span a shape, in the body frame.

    Args:
        kind: box, polygon, capsule or ring.
        size: (..., 3) metres.
        vertices: (..., 12, 2) metres.
        planar: Whether a box is a rectangle in xz.

    Returns:
        Points (..., K, 3), radius of their balls (...), and which of them are real (..., K).
    """
    zero = torch.zeros_like(size[..., 0])
    if kind == "box":
        depth = (0.0,) if planar else (-1.0, 1.0)
        signs = [(x, y, z) for x in (-1.0, 1.0) for y in depth for z in (-1.0, 1.0)]
        points = size[..., None, :] * torch.tensor(signs, dtype=size.dtype, device=size.device)
        return points, zero, torch.ones_like(points[..., 0], dtype=torch.bool)
    if kind == "polygon":
        flat = torch.zeros_like(vertices[..., 0])
        points = torch.stack([vertices[..., 0], flat, vertices[..., 1]], -1)
        real = (vertices - vertices.roll(1, -2)).abs().amax(-1) > 0
        return points, zero, real
    if kind == "capsule":
        points = torch.stack([zero, zero, size[..., 1]], -1)
        points = torch.stack([points, -points], -2)
        return points, size[..., 0], torch.ones_like(points[..., 0], dtype=torch.bool)
    angle = torch.arange(8, dtype=size.dtype, device=size.device) * (torch.pi / 4)
    around = torch.stack([angle.cos(), angle.sin(), torch.zeros_like(angle)], -1)
    points = size[..., None, 0:1] * around
    return points, size[..., 1], torch.ones_like(points[..., 0], dtype=torch.bool)


class Manifold:
    """Gathers the contact points of a world's pairs.

    Args:
        scene: The worlds.
        limit: Most points a world that are kept, the deepest ones.
    """

    def __init__(self, scene: ShapeWorld, limit: int) -> None:
        self._limit = limit
        self._groups = corner_groups(scene)

    def points(self, scene: ShapeWorld, state: State, apart: PairDistance, near: Tensor) -> Points:
        """The contact points of the (B, P) near pairs, those that touch first; normals from second to first body.

        Args:
            scene: The worlds, or some of them.
            state: Theirs.
            apart: (B, P) distances at that state.
            near: (B, P) pairs whose points are wanted.
        """
        batch, device = state.position.shape[0], state.position.device
        compiling = torch.compiler.is_compiling()
        normal = -apart.normal
        middle = (apart.witness_a + apart.witness_b) / 2
        places = [torch.arange(len(scene.first), device=device)]
        where, gaps, valid = [middle], [apart.distance], [near]
        matrices = rotation.to_matrix(state.orientation) if self._groups else None
        for group in self._groups:
            assert matrices is not None
            place, owners, others = group.places, group.owners, group.others
            if not compiling:
                here = near[:, place].any(0).nonzero()[:, 0]
                if not len(here):
                    continue
                place, owners, others = place[here], owners[here], others[here]
            size, vertices = scene.matter.size, scene.matter.vertices
            local, radius, real = corners(group.owner_kind, size[:, owners], vertices[:, owners], scene.planar)
            count = local.shape[-2]
            centre = state.position[:, owners]
            world = centre[:, :, None] + local @ matrices[:, owners].mT  # (B, Q, K, 3)
            n = group.sign * normal[:, place, None]  # from the other shape to the corner's owner
            other_witness = apart.witness_b if group.sign > 0 else apart.witness_a
            height = ((world - other_witness[:, place, None]) * n).sum(-1) - radius[..., None]
            with torch.no_grad():
                if group.other_kind == "plane":  # endless: every corner lies over it
                    over = near[:, place, None]
                else:
                    inside = (world - state.position[:, others][:, :, None]) @ matrices[:, others]
                    outline = vertices[:, others][:, :, None]
                    other_size = size[:, others][:, :, None]
                    nearest = point_distance(group.other_kind, other_size, outline, inside, scene.planar).distance
                    over = nearest - radius[..., None] <= height.clamp_min(0) + _RIM
                    over = over & near[:, place, None]
            where.append((world - (radius[..., None, None] + 0.5 * height[..., None]) * n).flatten(1, 2))
            gaps.append(height.flatten(1))
            valid.append((real & over).flatten(1))
            places.append(place.repeat_interleave(count))
        place = torch.cat(places)
        at, gap, usable, count = torch.cat(where, 1), torch.cat(gaps, 1), torch.cat(valid, 1), len(place)
        limit = self._limit
        if not compiling:
            most = int((usable & (gap.detach() < TOUCHING)).sum(1).amax()) if batch else 0
            limit = min(limit, max(1, most))
        a, b = scene.first[place], scene.second[place]
        points = Points(
            a=a.expand(batch, count),
            b=b.expand(batch, count),
            normal=normal[:, place],
            arm_a=at - state.position[:, a],
            arm_b=at - state.position[:, b],
            gap=gap,
            friction=scene.friction[:, place],
            restitution=scene.restitution[:, place],
            pair=place.expand(batch, count),
            valid=usable,
        )
        return points.nearest(limit)
