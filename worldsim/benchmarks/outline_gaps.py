"""How far evidence of a picture lies from a body's outline or surface, for bodies of any convex shape.

Evidence comes in three forms: points of the plane of a planar world, where lines of sight through its edges meet it;
lines of sight in space, which touch the body; and points of its surface, where depth is given. Each gives a signed
distance in pixels, negative inside, whose zero is the true pose.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from worldsim.benchmarks.hull import hull_corners
from worldsim.benchmarks.rays import rays
from worldsim.physics.geometry import point_distance
from worldsim.physics.geometry.points import polygon_distance
from worldsim.physics.geometry.segments import between_segments
from worldsim.physics.geometry.vectors import unit_axis
from worldsim.physics.rotation import rotate, rotate_inverse
from worldsim.scene import Camera

_FAR = 1e3  # metres: half length of lines of sight as segments


@dataclass(frozen=True)
class Shapes:
    """Shapes of one kind, one a slot: a slot is a body in a frame.

    Attributes:
        kind: box, capsule or polygon.
        size: (S, 3) metres, as Bodies.size.
        vertices: (S, V, 2) metres, as Bodies.vertices, without the padding that no body needs.
        planar: Whether they keep to the plane y = 0.
    """

    kind: str
    size: Tensor
    vertices: Tensor
    planar: bool

    def take(self, slot: Tensor | None) -> Shapes:
        """Of other slots, or of the same."""
        if slot is None:
            return self
        return Shapes(self.kind, self.size[slot], self.vertices[slot], self.planar)


class Gaps(Protocol):
    """Signed distances of E edges or points from the bodies of S slots."""

    def __call__(self, position: Tensor, orientation: Tensor) -> Tensor:
        """(E,) pixels, at poses (S, 3) and (S, 4)."""
        ...

    def linear(self, position: Tensor, orientation: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(E,) pixels, (E, 2) unit normals of the outline, and (E, 6) derivatives.

        These are by position and rotation vector in the world frame, pixels a metre and a radian.
        """
        ...

    def take(self, index: Tensor, slot: Tensor, source: Tensor | None) -> Gaps:
        """Of edges `index` (E',), which belong to slots (E',): the old slots `source` (S',), or the same."""
        ...


@dataclass(frozen=True)
class PointGaps:
    """Gaps of world points on the outline in a planar world, or on the surface.

    Attributes:
        shapes: Of S slots.
        slot: (E,) of each point.
        points: (E, 3) metres.
        scale: (E,) pixels a metre.
    """

    shapes: Shapes
    slot: Tensor
    points: Tensor
    scale: Tensor

    def __call__(self, position: Tensor, orientation: Tensor) -> Tensor:
        """See Gaps."""
        return self.linear(position, orientation)[0]

    def linear(self, position: Tensor, orientation: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See Gaps."""
        own, turn, way = self.shapes.take(self.slot), orientation[self.slot], self.points - position[self.slot]
        found = point_distance(own.kind, own.size, own.vertices, rotate_inverse(turn, way), own.planar)
        slopes = _slopes(rotate(turn, found.normal), way) * self.scale[:, None]
        return found.distance * self.scale, found.normal[:, [0, 2]], slopes

    def take(self, index: Tensor, slot: Tensor, source: Tensor | None) -> PointGaps:
        """See Gaps."""
        return PointGaps(self.shapes.take(source), slot, self.points[index], self.scale[index])


@dataclass(frozen=True)
class SightGaps:
    """Gaps of lines of sight to bodies in space.

    Of a box the outline is the hull of its projected corners; of a capsule it is where lines of sight pass its axis at
    its radius.

    Attributes:
        shapes: Of S slots, boxes or capsules.
        slot: (E,) of each line.
        pixels: (E, 2) u, v of the lines.
        camera: Of the video's size.
    """

    shapes: Shapes
    slot: Tensor
    pixels: Tensor
    camera: Camera

    def __call__(self, position: Tensor, orientation: Tensor) -> Tensor:
        """See Gaps."""
        if self.shapes.kind == "capsule":
            return self._past_axes(position, orientation)[0]
        return self._hull_distance(self._corners(position, orientation)[2])[0]

    def linear(self, position: Tensor, orientation: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See Gaps."""
        if self.shapes.kind == "capsule":
            return self._past_axes(position, orientation)
        corners, depth, flat = self._corners(position, orientation)
        distance, normal = self._hull_distance(flat)
        # The outline next to an edge is a side between two corners, those that lie farthest along the normal.
        seen, slot = flat[self.slot], self.slot
        two = (seen @ normal[..., None]).squeeze(-1).topk(2, -1).indices
        ends = torch.gather(seen, 1, two[..., None].expand(-1, -1, 2))
        side = ends[:, 1] - ends[:, 0]
        foot = self.pixels - distance[:, None] * normal - ends[:, 0]
        share = ((foot * side).sum(-1) / side.square().sum(-1).clamp_min(1e-12)).clamp(0, 1)
        right, down, forward = (torch.tensor(axis) for axis in self.camera.rotation.copy())
        middle = torch.tensor([self.camera.width / 2, self.camera.height / 2], dtype=torch.float64)
        across = normal[:, :1] * right + normal[:, 1:] * down
        slopes = torch.zeros(len(slot), 6, dtype=torch.float64)
        for end, weight in ((0, 1 - share), (1, share)):
            corner = two[:, end]
            scale = scale_at(depth[slot, corner], self.camera)
            way = across
            if self.camera.kind == "perspective":
                leaving = ((ends[:, end] - middle) * normal).sum(-1) / self.camera.focal
                way = across - leaving[:, None] * forward
            slopes += _slopes(way, corners[slot, corner] - position[slot]) * (weight * scale)[:, None]
        return distance, normal, slopes

    def take(self, index: Tensor, slot: Tensor, source: Tensor | None) -> SightGaps:
        """See Gaps."""
        return SightGaps(self.shapes.take(source), slot, self.pixels[index], self.camera)

    def _corners(self, position: Tensor, orientation: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(S, 8, 3) metres, (S, 8) metres along the camera's axis and (S, 8, 2) pixels of boxes' corners."""
        camera = self.camera
        sign = torch.tensor([[i & 1, i >> 1 & 1, i >> 2 & 1] for i in range(8)], dtype=torch.float64) * 2 - 1
        corners = position[:, None] + rotate(orientation[:, None], sign * self.shapes.size[:, None])
        local = (corners - torch.tensor(camera.position, dtype=torch.float64)) @ torch.tensor(camera.rotation.T.copy())
        middle = torch.tensor([camera.width / 2, camera.height / 2], dtype=torch.float64)
        return corners, local[..., 2], local[..., :2] * scale_at(local[..., 2], camera)[..., None] + middle

    def _hull_distance(self, flat: Tensor) -> tuple[Tensor, Tensor]:
        order = torch.from_numpy(hull_corners(flat.detach().numpy()))
        hull = torch.gather(flat, -2, order[..., None].expand(-1, -1, 2))
        return polygon_distance(self.pixels, hull[self.slot])

    def _past_axes(self, position: Tensor, orientation: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        camera = self.camera
        origin, direction = (torch.tensor(part) for part in rays(camera, self.pixels.numpy()))
        own, place = self.shapes.take(self.slot), position[self.slot]
        half = own.size[:, 1:2] * unit_axis(direction, 2)
        on_ray, on_axis = between_segments(origin, _FAR * direction, place, rotate(orientation[self.slot], half))
        way = on_ray - on_axis
        length = way.norm(dim=-1)
        out = way / length.clamp_min(1e-12)[:, None]
        scale = scale_at(depth_of(place, camera), camera)
        slopes = _slopes(out, on_axis - place) * scale[:, None]
        return (length - own.size[:, 0]) * scale, out @ torch.tensor(camera.rotation[:2].T.copy()), slopes


@dataclass(frozen=True)
class BothGaps:
    """Gaps of outlines and, after them, of points of the surfaces."""

    outline: Gaps
    surface: Gaps
    edges: int

    def __call__(self, position: Tensor, orientation: Tensor) -> Tensor:
        """See Gaps."""
        return torch.cat([self.outline(position, orientation), self.surface(position, orientation)])

    def linear(self, position: Tensor, orientation: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See Gaps."""
        first, second = self.outline.linear(position, orientation), self.surface.linear(position, orientation)
        return torch.cat([first[0], second[0]]), torch.cat([first[1], second[1]]), torch.cat([first[2], second[2]])

    def take(self, index: Tensor, slot: Tensor, source: Tensor | None) -> BothGaps:
        """See Gaps; the index must name edges before points."""
        edge = index < self.edges
        return BothGaps(
            self.outline.take(index[edge], slot[edge], source),
            self.surface.take(index[~edge] - self.edges, slot[~edge], source),
            int(edge.sum()),
        )


def _slopes(normal: Tensor, lever: Tensor) -> Tensor:
    """(E, 6) by which a gap changes as the body, at the lever (E, 3) from its centre, moves along the normal (E, 3)."""
    return -torch.cat([normal, torch.linalg.cross(lever, normal)], -1)


def depth_of(points: Tensor, camera: Camera) -> Tensor:
    """(...) metres along the camera's axis of (..., 3) points."""
    return (points - torch.tensor(camera.position, dtype=torch.float64)) @ torch.tensor(camera.rotation[2].copy())


def scale_at(depth: Tensor, camera: Camera) -> Tensor:
    """(...) pixels a metre across the line of sight at (...) metres along the camera's axis."""
    if camera.kind == "orthographic":
        return torch.full_like(depth, camera.focal)
    return camera.focal / depth.clamp_min(camera.near)
