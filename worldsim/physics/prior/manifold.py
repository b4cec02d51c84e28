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
from worldsim.physics.bodies import Bodies
from worldsim.physics.geometry import PairDistances, collision_pairs, point_distance
from worldsim.physics.prior.contact import Points
from worldsim.physics.prior.matter import Matter, pair_mean
from worldsim.physics.prior.state import State

# A corner belongs to the manifold where it lies over the other shape to within this many metres.
_RIM = 1e-4


@dataclass(frozen=True)
class CornerGroup:
    """Corners of bodies of one kind against bodies of one kind.

    Attributes:
        owner_kind: Whose corners.
        other_kind: Against what.
        owners: Q indices of bodies.
        others: Q indices of bodies.
        places: Q places in the list of pairs.
        sign: 1 where the owner is the pair's first body, else -1.
    """

    owner_kind: str
    other_kind: str
    owners: list[int]
    others: list[int]
    places: list[int]
    sign: float


def corner_groups(bodies: Bodies) -> list[CornerGroup]:
    """The groups of corners of all pairs that may collide, found once for each set of kinds."""
    groups: dict[tuple[str, str, float], CornerGroup] = {}
    for place, (i, j) in enumerate(collision_pairs(bodies)):
        for owner, other, sign in ((i, j, 1.0), (j, i, -1.0)):
            kinds = (bodies.kinds[owner], bodies.kinds[other], sign)
            if kinds[0] in ("sphere", "plane") or kinds[1] == "sphere":
                continue
            group = groups.setdefault(kinds, CornerGroup(*kinds[:2], [], [], [], sign))
            group.owners.append(owner)
            group.others.append(other)
            group.places.append(place)
    return list(groups.values())


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
        bodies: Of the worlds.
        matter: Theirs under the law.
        limit: Most points a world that are kept, the deepest ones.
    """

    def __init__(self, bodies: Bodies, matter: Matter, limit: int) -> None:
        self._planar, self._matter, self._limit = bodies.planar, matter, limit
        pairs = collision_pairs(bodies)
        device = matter.size.device
        self.first = torch.tensor([i for i, _ in pairs], dtype=torch.long, device=device)
        self.second = torch.tensor([j for _, j in pairs], dtype=torch.long, device=device)
        self._groups = corner_groups(bodies)
        self.friction = pair_mean(matter.friction[:, self.first], matter.friction[:, self.second])
        self.restitution = pair_mean(matter.restitution[:, self.first], matter.restitution[:, self.second])
        here = matter.presence
        self.touchable = torch.ones_like(self.friction, dtype=torch.bool)
        if here is not None:
            self.touchable = (here[:, self.first] > 0.5) & (here[:, self.second] > 0.5)

    def points(self, state: State, apart: PairDistances) -> Points:
        """The contact points at a state of which `apart` are the distances; normals from second to first body."""
        batch, device = state.position.shape[0], state.position.device
        normal = -apart.normal
        middle = (apart.witness_a + apart.witness_b) / 2
        places = [torch.arange(len(self.first), device=device)]
        where, gaps, valid = [middle], [apart.distance], [self.touchable]
        matrices = rotation.to_matrix(state.orientation) if self._groups else None
        for group in self._groups:
            assert matrices is not None
            local, radius, real = corners(
                group.owner_kind,
                self._matter.size[:, group.owners],
                self._matter.vertices[:, group.owners],
                self._planar,
            )
            count = local.shape[-2]
            turn, centre = matrices[:, group.owners], state.position[:, group.owners]
            world = centre[:, :, None] + (turn[:, :, None] @ local[..., None]).squeeze(-1)  # (B, Q, K, 3)
            place = torch.tensor(group.places, device=device)
            n = group.sign * normal[:, place, None]  # from the other shape to the corner's owner
            other_witness = apart.witness_b if group.sign > 0 else apart.witness_a
            height = ((world - other_witness[:, place, None]) * n).sum(-1) - radius[..., None]
            with torch.no_grad():
                offset = world - state.position[:, group.others][:, :, None]
                inside = (matrices[:, group.others][:, :, None].mT @ offset[..., None]).squeeze(-1)
                size = self._matter.size[:, group.others][:, :, None]
                outline = self._matter.vertices[:, group.others][:, :, None]
                nearest = point_distance(group.other_kind, size, outline, inside, self._planar).distance
                over = nearest - radius[..., None] <= height.clamp_min(0) + _RIM
            where.append((world - (radius[..., None, None] + 0.5 * height[..., None]) * n).flatten(1, 2))
            gaps.append(height.flatten(1))
            valid.append((real & over & self.touchable[:, place, None]).flatten(1))
            places.append(place.repeat_interleave(count))
        place = torch.cat(places)
        at, count = torch.cat(where, 1), len(place)
        a, b = self.first[place], self.second[place]
        points = Points(
            a=a.expand(batch, count),
            b=b.expand(batch, count),
            normal=normal[:, place],
            arm_a=at - state.position[:, a],
            arm_b=at - state.position[:, b],
            gap=torch.cat(gaps, 1),
            friction=self.friction[:, place],
            restitution=self.restitution[:, place],
            pair=place.expand(batch, count),
            valid=torch.cat(valid, 1),
        )
        return points.nearest(self._limit)
