"""signed_distance: two scene shapes at two poses."""

from __future__ import annotations

import torch
from torch import Tensor

from worldsim.physics.bodies import _size, _vertices
from worldsim.physics.geometry.checks import check_orientation, check_position
from worldsim.physics.geometry.pairs import pair_distance
from worldsim.physics.geometry.types import PairDistance
from worldsim.scene import SHAPES, Box, Shape, State

Pose = State | tuple[Tensor, Tensor]


def signed_distance(
    shape_a: Shape, pose_a: Pose, shape_b: Shape, pose_b: Pose, planar: bool | None = None, rounding: float = 0.0
) -> Tensor:
    """How far two shapes are apart in metres; negative, the depth of their overlap. Differentiable in the poses.

    See closest_points for arguments and errors.

    Returns:
        (...) metres.
    """
    return closest_points(shape_a, pose_a, shape_b, pose_b, planar, rounding).distance


def closest_points(
    shape_a: Shape, pose_a: Pose, shape_b: Shape, pose_b: Pose, planar: bool | None = None, rounding: float = 0.0
) -> PairDistance:
    """Signed distance, normal from a to b, and witness points of two shapes.

    Args:
        shape_a: A scene shape.
        pose_a: (position (..., 3) in metres, orientation (..., 4) unit quaternion w x y z), or a scene State, which
            is taken in double precision.
        shape_b: A scene shape.
        pose_b: As pose_a; leading axes broadcast.
        planar: Whether both keep to the xz-plane; left out, where one is a polygon.
        rounding: Radius of the edges of boxes, metres.

    Returns:
        PairDistance. What overlap means for a ring says pair_distance.

    Raises:
        ValueError: For an unknown pair, a wrong shape of a tensor, a quaternion not of unit length, NaN, or a
            rounding that does not fit into a box.
    """
    tensors = []
    for name, shape, pose in (("a", shape_a, pose_a), ("b", shape_b, pose_b)):
        if type(shape) not in SHAPES.values():
            raise ValueError(f"shape_{name}: must be one of {', '.join(SHAPES)}, got {shape!r}")
        tensors.append(_tensors(f"pose_{name}", pose))
        if isinstance(shape, Box):
            least = min(shape.half_extents)
            if not 0 <= rounding < least:
                raise ValueError(f"rounding: must be from 0 to below the least half extent {least}, got {rounding!r}")
    (position_a, orientation_a), (position_b, orientation_b) = tensors
    if position_a.dtype != position_b.dtype:
        both_tensors = not isinstance(pose_a, State) and not isinstance(pose_b, State)
        if both_tensors:
            raise ValueError(f"pose_b: must be of dtype {position_a.dtype} like pose_a, got {position_b.dtype}")
        target = position_b if isinstance(pose_a, State) else position_a
        position_a, orientation_a, position_b, orientation_b = (
            t.to(target) for t in (position_a, orientation_a, position_b, orientation_b)
        )
    try:
        torch.broadcast_shapes(*(t.shape[:-1] for t in (position_a, orientation_a, position_b, orientation_b)))
    except RuntimeError:
        shapes = [tuple(t.shape) for t in (position_a, orientation_a, position_b, orientation_b)]
        raise ValueError(f"pose_a, pose_b: must broadcast over leading axes, got {shapes}") from None
    if planar is None:
        planar = "polygon" in (shape_a.kind, shape_b.kind)
    return pair_distance(
        shape_a.kind,
        position_a.new_tensor(_size(shape_a)),
        position_a.new_tensor(_vertices(shape_a)),
        position_a,
        orientation_a,
        shape_b.kind,
        position_b.new_tensor(_size(shape_b)),
        position_b.new_tensor(_vertices(shape_b)),
        position_b,
        orientation_b,
        planar,
        rounding,
    )


def _tensors(field: str, pose: Pose) -> tuple[Tensor, Tensor]:
    if isinstance(pose, State):
        return torch.tensor(pose.position, dtype=torch.float64), torch.tensor(pose.orientation, dtype=torch.float64)
    if not isinstance(pose, tuple) or len(pose) != 2 or not all(isinstance(part, Tensor) for part in pose):
        raise ValueError(f"{field}: must be a State or a tuple of position and orientation tensors, got {pose!r}")
    position, orientation = pose
    check_position(f"{field}.position", position)
    check_orientation(f"{field}.orientation", orientation)
    if position.dtype != orientation.dtype:
        raise ValueError(f"{field}.orientation: must be of dtype {position.dtype}, got {orientation.dtype}")
    return position, orientation
