"""distances: every pair of bodies that may collide, at once, grouped by kinds."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from worldsim.physics.bodies import Bodies
from worldsim.physics.geometry.checks import check_bodies
from worldsim.physics.geometry.pairs import pair_distance
from worldsim.physics.geometry.types import PairDistance

Pairs = tuple[tuple[int, int], ...]


class PairDistances(NamedTuple):
    """Signed distances of P pairs of bodies.

    Attributes:
        pairs: (P, 2) places in Bodies, the lower first.
        distance: (..., P) metres, negative when overlapping.
        normal: (..., P, 3) unit, from the first body to the second, world frame.
        witness_a: (..., P, 3) on the first body, metres, world frame.
        witness_b: (..., P, 3) on the second body, metres, world frame.
    """

    pairs: Tensor
    distance: Tensor
    normal: Tensor
    witness_a: Tensor
    witness_b: Tensor


def collision_pairs(bodies: Bodies) -> Pairs:
    """Places (i, j), i < j, of all pairs that may collide: not both static, not of one group."""
    return _pairs(bodies.static, bodies.groups)


@functools.lru_cache(maxsize=256)
def _pairs(static: tuple[bool, ...], groups: tuple[int, ...]) -> Pairs:
    count = len(static)
    return tuple(
        (i, j)
        for i in range(count)
        for j in range(i + 1, count)
        if not (static[i] and static[j]) and groups[i] != groups[j]
    )


@functools.lru_cache(maxsize=256)
def pairs_by_kinds(kinds: tuple[str, ...], pairs: Pairs) -> tuple[tuple[tuple[str, str], tuple[int, ...]], ...]:
    """Places in the list of pairs for each couple of kinds."""
    groups: dict[tuple[str, str], list[int]] = {}
    for place, (i, j) in enumerate(pairs):
        groups.setdefault((kinds[i], kinds[j]), []).append(place)
    return tuple((key, tuple(places)) for key, places in groups.items())


def distances(
    bodies: Bodies,
    position: Tensor,
    orientation: Tensor,
    pairs: Sequence[tuple[int, int]] | None = None,
    rounding: float = 0.0,
    check: bool = True,
) -> PairDistances:
    """Signed distances of all pairs of bodies that may collide.

    Args:
        bodies: Of B worlds; B = 1 serves any leading axes.
        position: (B, ..., N, 3) metres, world frame.
        orientation: (B, ..., N, 4) unit quaternions.
        pairs: Places (i, j) to measure; left out, those of collision_pairs.
        rounding: Radius of the edges of boxes, metres.
        check: Whether values are checked. Leave it off inside torch.compile and inner loops.

    Returns:
        PairDistances, in the order of the pairs; leading axes as position's.

    Raises:
        ValueError: For an unknown pair; with `check` also for shapes that do not fit, sizes not above zero,
            quaternions not of unit length, NaN.
    """
    if check:
        check_bodies(bodies, position, orientation)
    listed: Pairs = collision_pairs(bodies) if pairs is None else tuple((int(i), int(j)) for i, j in pairs)
    count = bodies.num_bodies
    for pair in listed:
        if pairs is not None and not (0 <= pair[0] < count and 0 <= pair[1] < count and pair[0] != pair[1]):
            raise ValueError(f"pairs: must be two different places below {count}, got {pair}")
    size, vertices = _aligned(bodies.size, position.dim(), 2), _aligned(bodies.vertices, position.dim(), 3)
    parts: list[PairDistance] = []
    order: list[int] = []
    for (kind_a, kind_b), places in pairs_by_kinds(bodies.kinds, listed):
        a = torch.tensor([listed[p][0] for p in places], device=position.device)
        b = torch.tensor([listed[p][1] for p in places], device=position.device)
        part = pair_distance(
            kind_a,
            size.index_select(-2, a),
            vertices.index_select(-3, a),
            position.index_select(-2, a),
            orientation.index_select(-2, a),
            kind_b,
            size.index_select(-2, b),
            vertices.index_select(-3, b),
            position.index_select(-2, b),
            orientation.index_select(-2, b),
            bodies.planar,
            rounding,
        )
        parts.append(part)
        order.extend(places)
    table = torch.tensor(listed, dtype=torch.long, device=position.device).reshape(-1, 2)
    if not parts:
        empty = position[..., :0, :]
        return PairDistances(table, empty[..., 0], empty, empty, empty)
    back = torch.tensor([order.index(p) for p in range(len(listed))], device=position.device)
    return PairDistances(
        table,
        torch.cat([part.distance for part in parts], -1).index_select(-1, back),
        torch.cat([part.normal for part in parts], -2).index_select(-2, back),
        torch.cat([part.witness_a for part in parts], -2).index_select(-2, back),
        torch.cat([part.witness_b for part in parts], -2).index_select(-2, back),
    )


def _aligned(table: Tensor, dims: int, own: int) -> Tensor:
    """A (B, N, ...) table with axes of one between B and N, so that it broadcasts against a pose of `dims` axes."""
    if table.shape[0] == 1:
        return table[0]
    return table.reshape(table.shape[0], *[1] * (dims - 3), *table.shape[-own:])
