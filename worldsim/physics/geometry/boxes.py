"""Boxes and segments in space, exact whether apart or overlapping.

Both are zonotopes: a centre plus orthogonal half axes, three for a box and one for a segment. Overlapping, the
separating axis of least depth gives the distance (face normals and edge crosses; Gottschalk, Lin and Manocha,
"OBBTree", 1996). Apart, the nearest features hold a vertex of one, found by clamping it into the other, or two edges,
of which the pair of directions fixes the one on each shape that faces the other. The choice of features carries no
gradient; everything computed from the chosen features does.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import torch
from torch import Tensor

from worldsim.physics.geometry.segments import between_segments
from worldsim.physics.geometry.types import PairDistance, Posed, choose, inflate, rounded
from worldsim.physics.geometry.vectors import direction, dot, length_along, pick, tiny, unit_axis


class Zonotope(NamedTuple):
    """A box (k = 3) or a segment (k = 1).

    Attributes:
        centre: (..., 3) metres.
        axes: (..., k, 3) unit directions.
        extents: (..., k) half lengths, metres.
    """

    centre: Tensor
    axes: Tensor
    extents: Tensor

    @property
    def halves(self) -> Tensor:
        """(..., k, 3) from the centre to the faces."""
        return self.extents[..., None] * self.axes

    def nearest(self, point: Tensor) -> Tensor:
        """(..., 3) the point of the solid nearest to a (..., 3) point."""
        local = dot(self.axes, (point - self.centre)[..., None, :])
        local = torch.maximum(torch.minimum(local, self.extents), -self.extents)
        return self.centre + (local[..., None] * self.axes).sum(-2)

    def support(self, normal: Tensor) -> Tensor:
        """(..., 3) the farthest point along a (..., 3) direction, the middle of what lies across it."""
        cosine = dot(self.axes, normal[..., None, :])
        signs = torch.where(cosine.abs() < 16 * torch.finfo(cosine.dtype).eps, 0.0, cosine.sign()).detach()
        return self.centre + ((signs * self.extents)[..., None] * self.axes).sum(-2)

    def expand(self, leading: torch.Size) -> Zonotope:
        """The same with leading axes broadcast to `leading`."""
        k = self.axes.shape[-2]
        return Zonotope(
            self.centre.expand(*leading, 3), self.axes.expand(*leading, k, 3), self.extents.expand(*leading, k)
        )


def sphere_box(a: Posed, b: Posed, extents: Tensor, radius: Tensor) -> PairDistance:
    """A ball and a box of half `extents` rounded by `radius`; a centre inside leaves through the nearest face."""
    local = b.to_body(a.position)
    outside = local.abs() - extents
    nearest = torch.maximum(torch.minimum(local, extents), -extents)
    face = torch.nn.functional.one_hot(outside.detach().argmax(-1), 3).to(local.dtype)
    sign = torch.where(local >= 0, 1.0, -1.0).to(local.dtype)
    depth = (face * outside).sum(-1)
    out = sign * face
    surface = local - depth[..., None] * out
    inside = PairDistance(depth, -out, local.expand_as(surface), surface)
    apart = rounded(local, nearest, torch.zeros_like(depth), torch.zeros_like(depth), -out)
    core = choose(outside.amax(-1) > 0, apart, inside)
    world = PairDistance(
        core.distance,
        b.to_world(core.normal) - b.position,
        b.to_world(core.witness_a),
        b.to_world(core.witness_b),
    )
    return inflate(world, a.size[..., 0], radius)


def zonotope_distance(a: Zonotope, b: Zonotope) -> PairDistance:
    """Signed distance of two boxes or segments in space."""
    leading = torch.broadcast_shapes(
        a.centre.shape[:-1], b.centre.shape[:-1], a.extents.shape[:-1], b.extents.shape[:-1]
    )
    a, b = a.expand(leading), b.expand(leading)
    deep, separation = _overlapping(a, b)
    apart = _apart(a, b, deep.normal.detach())
    return choose((separation > 0) & (apart.distance > tiny(separation)), apart, deep)


def _overlapping(a: Zonotope, b: Zonotope) -> tuple[PairDistance, Tensor]:
    """The axis of largest separation, and that separation."""
    ka, kb = a.axes.shape[-2], b.axes.shape[-2]
    gap = b.centre - a.centre
    cross = torch.linalg.cross(*torch.broadcast_tensors(a.axes[..., :, None, :], b.axes[..., None, :, :])).flatten(
        -3, -2
    )
    sine = dot(cross, cross).detach().clamp_min(0).sqrt()
    parallel = sine < (1e-7 if gap.dtype == torch.float64 else 1e-3)
    cross = direction(cross, unit_axis(cross, 2))
    axes = torch.cat([a.axes, b.axes, cross], -2)
    with torch.no_grad():
        reach = sum(
            (dot(axes[..., :, None, :], zonotope.halves[..., None, :, :]).abs().sum(-1) for zonotope in (a, b)),
            torch.zeros_like(axes[..., 0]),
        )
        separations = dot(axes, gap[..., None, :]).abs() - reach
        # A cross of near-parallel edges only repeats a face normal, less exactly; ties go to the faces.
        scale = (a.extents.sum(-1) + b.extents.sum(-1))[..., None]
        bias = scale * 0.1 * torch.finfo(gap.dtype).eps ** 0.5
        crosses = torch.where(parallel, -torch.inf, separations[..., ka + kb :] - bias)
        index = torch.cat([separations[..., : ka + kb], crosses], -1).argmax(-1)
    normal = pick(axes, index)
    normal = torch.where((dot(normal, gap) < 0)[..., None], -normal, normal)
    separation = (
        dot(normal, gap)
        - dot(normal[..., None, :], a.halves).abs().sum(-1)
        - dot(normal[..., None, :], b.halves).abs().sum(-1)
    )
    support_a, support_b = a.support(normal), b.support(-normal)
    edge = (index - ka - kb).clamp_min(0)
    edge_a, edge_b = _edges(a, b, edge, normal.detach())
    touch_a, touch_b = between_segments(*edge_a, *edge_b)
    face_a, face_b = (index < ka)[..., None], (index < ka + kb)[..., None]
    shift = separation[..., None] * normal
    witness_a = torch.where(face_a, support_b - shift, torch.where(face_b, support_a, touch_a))
    witness_b = torch.where(face_a, support_b, torch.where(face_b, support_a + shift, touch_b))
    return PairDistance(separation, normal, witness_a, witness_b), separation.detach()


def _edges(
    a: Zonotope, b: Zonotope, index: Tensor, normal: Tensor
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Centre and half of the edge of a that is farthest along the normal, and of b farthest against it.

    `index` (...) counts pairs of axes, that of b fastest.
    """
    kb = b.axes.shape[-2]
    edges = []
    for zonotope, which, towards in ((a, index // kb, normal), (b, index % kb, -normal)):
        along = torch.nn.functional.one_hot(which, zonotope.axes.shape[-2]).to(normal.dtype)
        signs = torch.where(dot(zonotope.axes, towards[..., None, :]) < 0, -1.0, 1.0).detach() * (1 - along)
        centre = zonotope.centre + (signs[..., None] * zonotope.halves).sum(-2)
        edges.append((centre, (along[..., None] * zonotope.halves).sum(-2)))
    return edges[0], edges[1]


def _corners(k: int, like: Tensor) -> Tensor:
    """(2^k, k) all signs."""
    return torch.tensor(list(itertools.product((-1.0, 1.0), repeat=k)), dtype=like.dtype, device=like.device)


def _apart(a: Zonotope, b: Zonotope, fallback: Tensor) -> PairDistance:
    """Nearest points of two that do not overlap."""
    ka, kb = a.axes.shape[-2], b.axes.shape[-2]
    signs_a, signs_b = _corners(ka, fallback), _corners(kb, fallback)
    with torch.no_grad():
        vertices_a = a.centre[..., None, :] + signs_a @ a.halves
        vertices_b = b.centre[..., None, :] + signs_b @ b.halves
        from_a = _square(vertices_a - _nearest_each(b, vertices_a))
        from_b = _square(vertices_b - _nearest_each(a, vertices_b))
        axes_a, axes_b = a.axes.repeat_interleave(kb, -2), b.axes.repeat(*[1] * (b.axes.dim() - 2), ka, 1)
        normals = torch.linalg.cross(axes_a, axes_b)
        ahead = dot(normals, (b.centre - a.centre)[..., None, :])[..., None] >= 0
        normals = torch.where(ahead, normals, -normals)
        every = torch.arange(ka * kb, device=fallback.device)
        edge_a, edge_b = _edges(_row(a), _row(b), every.expand(*fallback.shape[:-1], ka * kb), normals)
        p, q = between_segments(*edge_a, *edge_b)
        between = _square(q - p)
        best_a, best_b, best_edge = from_a.argmin(-1), from_b.argmin(-1), between.argmin(-1)
        squares = torch.stack([from_a.amin(-1), from_b.amin(-1), between.amin(-1)], -1)
        kind = squares.argmin(-1)[..., None]
    corner_a = a.centre + (signs_a[best_a][..., None] * a.halves).sum(-2)
    corner_b = b.centre + (signs_b[best_b][..., None] * b.halves).sum(-2)
    edge_a, edge_b = _edges(a, b, best_edge, pick(normals, best_edge))
    touch_a, touch_b = between_segments(*edge_a, *edge_b)
    point_a = torch.where(kind == 0, corner_a, torch.where(kind == 1, a.nearest(corner_b), touch_a))
    point_b = torch.where(kind == 0, b.nearest(corner_a), torch.where(kind == 1, corner_b, touch_b))
    distance, normal = length_along(point_b - point_a, fallback)
    return PairDistance(distance, normal, point_a, point_b)


def _square(v: Tensor) -> Tensor:
    return dot(v, v)


def _nearest_each(zonotope: Zonotope, points: Tensor) -> Tensor:
    """Nearest points for each of (..., M, 3) points."""
    return _row(zonotope).nearest(points)


def _row(zonotope: Zonotope) -> Zonotope:
    """With one more leading axis, to stand against several points or directions each."""
    return Zonotope(zonotope.centre[..., None, :], zonotope.axes[..., None, :, :], zonotope.extents[..., None, :])
