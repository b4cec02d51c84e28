"""What pair routines take and give: a posed shape, and the nearest (or deepest) points of two."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from worldsim.physics.geometry.vectors import length_along, unit_axis
from worldsim.physics.rotation import rotate, rotate_inverse, to_matrix


class PairDistance(NamedTuple):
    """How far two shapes are apart, or how deep they overlap.

    Attributes:
        distance: (...) metres, negative when overlapping.
        normal: (..., 3) unit vector from a to b, world frame: moving b along it parts the two.
        witness_a: (..., 3) point of a's surface nearest to b, or deepest inside b; world frame, metres.
        witness_b: (..., 3) point of b's surface; witness_b - witness_a = distance * normal.
    """

    distance: Tensor
    normal: Tensor
    witness_a: Tensor
    witness_b: Tensor

    def swapped(self) -> PairDistance:
        """The same pair named the other way round."""
        return PairDistance(self.distance, -self.normal, self.witness_b, self.witness_a)


class PointDistance(NamedTuple):
    """How far points are from a shape.

    Attributes:
        distance: (...) metres, negative inside.
        normal: (..., 3) unit vector out of the shape, the gradient of the distance; in the frame of the points.
    """

    distance: Tensor
    normal: Tensor


class Posed(NamedTuple):
    """A shape somewhere in the world.

    Attributes:
        size: (..., 3) as in Bodies.size.
        vertices: (..., 12, 2) as in Bodies.vertices, None for all but polygons.
        position: (..., 3) metres.
        orientation: (..., 4) unit quaternion.
    """

    size: Tensor
    vertices: Tensor | None
    position: Tensor
    orientation: Tensor

    def axis(self, index: int) -> Tensor:
        """(..., 3) a body axis in the world frame."""
        return rotate(self.orientation, unit_axis(self.orientation[..., 1:], index))

    def axes(self) -> Tensor:
        """(..., 3, 3) body axes in the world frame, one a row."""
        return to_matrix(self.orientation).mT

    def to_body(self, point: Tensor) -> Tensor:
        """(..., 3) world point in the body frame."""
        return rotate_inverse(self.orientation, point - self.position)

    def to_world(self, point: Tensor) -> Tensor:
        """(..., 3) body point in the world frame."""
        return self.position + rotate(self.orientation, point)


def rounded(point_a: Tensor, point_b: Tensor, radius_a: Tensor, radius_b: Tensor, fallback: Tensor) -> PairDistance:
    """The distance of two balls around the nearest points of two cores; `fallback` is the normal where these meet."""
    gap, normal = length_along(point_b - point_a, fallback)
    return inflate(PairDistance(gap, normal, point_a, point_b), radius_a, radius_b)


def inflate(core: PairDistance, radius_a: Tensor | float, radius_b: Tensor | float) -> PairDistance:
    """Round two cores by radii: the distance shrinks by both, the witnesses move out along the normal."""
    radius_a = torch.as_tensor(radius_a, dtype=core.distance.dtype, device=core.distance.device)
    radius_b = torch.as_tensor(radius_b, dtype=core.distance.dtype, device=core.distance.device)
    return PairDistance(
        core.distance - radius_a - radius_b,
        core.normal,
        core.witness_a + radius_a[..., None] * core.normal,
        core.witness_b - radius_b[..., None] * core.normal,
    )


def choose(first: Tensor, a: PairDistance, b: PairDistance) -> PairDistance:
    """Entries of a where `first` (...) holds, else of b."""
    wide = first[..., None]
    return PairDistance(
        torch.where(first, a.distance, b.distance),
        torch.where(wide, a.normal, b.normal),
        torch.where(wide, a.witness_a, b.witness_a),
        torch.where(wide, a.witness_b, b.witness_b),
    )
