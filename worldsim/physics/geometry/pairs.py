"""Signed distance of any two shapes: the batched core that prior, rasteriser and violations share."""

from __future__ import annotations

import torch
from torch import Tensor

from worldsim.physics.geometry import boxes, planar, round
from worldsim.physics.geometry.ring import ring_box, ring_capsule, ring_ring, ring_sphere
from worldsim.physics.geometry.types import PairDistance, Posed, inflate

# A pair is computed with the kind that stands first here as a, and swapped back.
_ORDER = ("plane", "ring", "sphere", "capsule", "box", "polygon")


def known_pair(kind_a: str, kind_b: str, planar_world: bool) -> bool:
    """Whether the pair has a distance: all but two planes and ring with polygon; polygons in planar worlds only."""
    kinds = {kind_a, kind_b}
    if not kinds <= set(_ORDER) or kinds == {"plane"} or kinds == {"ring", "polygon"}:
        return False
    return planar_world or "polygon" not in kinds


def pair_distance(
    kind_a: str,
    size_a: Tensor,
    vertices_a: Tensor | None,
    position_a: Tensor,
    orientation_a: Tensor,
    kind_b: str,
    size_b: Tensor,
    vertices_b: Tensor | None,
    position_b: Tensor,
    orientation_b: Tensor,
    planar: bool = False,
    rounding: float = 0.0,
) -> PairDistance:
    """Signed distance, normal and witness points of two shapes, over any batch.

    Fixed work for fixed shapes of tensors, so that it runs under torch.compile; float32 and float64, any device.
    Values are not checked here (signed_distance does). Overlapping convex shapes have minus the least distance that
    parts them. A ring is not convex: its distance is that of its tube, that is of its circle less the minor radius,
    so that a ball in its hole is apart from it, and depth is how far the tube is pressed in at its deepest point.

    The first derivative is exact wherever it exists, of distance, normal and witnesses; for rings with capsules,
    boxes and rings the nearest point of the circle is searched without gradient and one Newton step on it then carries
    the derivative. At ties (face on face, concentric) one of the one-sided derivatives is given, always finite.

    Args:
        kind_a: sphere, box, capsule, plane, polygon or ring.
        size_a: (..., 3) metres, as Bodies.size.
        vertices_a: (..., 12, 2) metres, as Bodies.vertices; needed for polygons only.
        position_a: (..., 3) metres, world frame.
        orientation_a: (..., 4) unit quaternions w x y z.
        kind_b: As kind_a.
        size_b: As size_a; all leading axes broadcast.
        vertices_b: As vertices_a.
        position_b: As position_a.
        orientation_b: As orientation_a.
        planar: Whether both keep to the xz-plane: spheres are discs, boxes rectangles in xz. A ring there is the
            torus all the same, its axis in the plane.
        rounding: Radius of the edges and corners of boxes, metres, below their half extents; their faces stay put.

    Returns:
        PairDistance with leading axes broadcast.

    Raises:
        ValueError: Where the pair has no distance (see known_pair).
    """
    if not known_pair(kind_a, kind_b, planar):
        raise ValueError(
            "pair: must be two of sphere, box, capsule, plane, polygon (planar worlds only) and ring, not two planes "
            f"and not ring with polygon, got unknown pair ({kind_a!r}, {kind_b!r}), planar={planar}"
        )
    a = Posed(size_a, vertices_a, position_a, orientation_a)
    b = Posed(size_b, vertices_b, position_b, orientation_b)
    if _ORDER.index(kind_a) > _ORDER.index(kind_b):
        return _ordered(kind_b, b, kind_a, a, planar, rounding).swapped()
    return _ordered(kind_a, a, kind_b, b, planar, rounding)


def _ordered(kind_a: str, a: Posed, kind_b: str, b: Posed, flat: bool, rounding: float) -> PairDistance:
    if kind_a == "plane":
        return _plane(a, kind_b, b, flat, rounding)
    if kind_a == "ring":
        return _ring(a, kind_b, b, rounding)
    if kind_a == kind_b == "sphere":
        return round.sphere_sphere(a, b)
    if (kind_a, kind_b) == ("sphere", "capsule"):
        return round.sphere_capsule(a, b, flat)
    if flat:
        core = planar.outline_distance(_outline(kind_a, a, rounding), _outline(kind_b, b, rounding))
        return inflate(core, _radius(kind_a, a, rounding), _radius(kind_b, b, rounding))
    if (kind_a, kind_b) == ("capsule", "capsule"):
        return round.capsule_capsule(a, b)
    if kind_a == "sphere":
        return boxes.sphere_box(a, b, b.size - rounding, _radius("box", b, rounding))
    core = boxes.zonotope_distance(_zonotope(kind_a, a, rounding), _zonotope(kind_b, b, rounding))
    return inflate(core, _radius(kind_a, a, rounding), _radius(kind_b, b, rounding))


def _plane(a: Posed, kind: str, b: Posed, flat: bool, rounding: float) -> PairDistance:
    if kind == "sphere":
        return round.plane_sphere(a, b)
    if kind == "capsule":
        return round.plane_capsule(a, b)
    if kind == "ring":
        return round.plane_ring(a, b)
    if kind == "polygon":
        return planar.plane_polygon(a, b, _vertices(b))
    extents = b.size - rounding
    if flat:
        extents = extents * torch.tensor([1.0, 0.0, 1.0], dtype=extents.dtype, device=extents.device)
    return round.plane_box(a, b, extents, _radius("box", b, rounding))


def _ring(a: Posed, kind: str, b: Posed, rounding: float) -> PairDistance:
    if kind == "sphere":
        return ring_sphere(a, b)
    if kind == "capsule":
        return ring_capsule(a, b)
    if kind == "ring":
        return ring_ring(a, b)
    return ring_box(a, b, b.size - rounding, _radius("box", b, rounding))


def _vertices(shape: Posed) -> Tensor:
    if shape.vertices is None:
        raise ValueError("vertices: must be given for a polygon, got None")
    return shape.vertices


def _outline(kind: str, shape: Posed, rounding: float) -> planar.Outline:
    if kind == "sphere":
        return planar.point_outline(shape)
    if kind == "capsule":
        return planar.segment_outline(shape)
    if kind == "box":
        return planar.polygon_outline(shape, planar.box_vertices(shape.size - rounding))
    return planar.polygon_outline(shape, _vertices(shape))


def _zonotope(kind: str, shape: Posed, rounding: float) -> boxes.Zonotope:
    axes = shape.axes()
    if kind == "capsule":
        return boxes.Zonotope(shape.position, axes[..., 2:, :], shape.size[..., 1:2])
    return boxes.Zonotope(shape.position, axes, shape.size - rounding)


def _radius(kind: str, shape: Posed, rounding: float) -> Tensor:
    """Radius of rounding of the shape's core."""
    if kind in ("sphere", "capsule"):
        return shape.size[..., 0]
    return torch.full_like(shape.size[..., 0], rounding if kind == "box" else 0.0)
