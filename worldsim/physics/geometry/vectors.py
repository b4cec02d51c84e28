"""Small vector helpers that differentiate without NaN where lengths vanish."""

from __future__ import annotations

import torch
from torch import Tensor


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Sum of products over the last axis."""
    return (a * b).sum(-1)


def tiny(tensor: Tensor) -> float:
    """A length, in metres, under which a direction is taken as undefined."""
    return 1e-12 if tensor.dtype == torch.float64 else 1e-7


def direction(v: Tensor, fallback: Tensor) -> Tensor:
    """(..., 3) unit vector along v, or the unit fallback where v is too short to have a direction."""
    square = dot(v, v)[..., None]
    short = square < tiny(v) ** 2
    return torch.where(short, fallback, v / torch.where(short, 1.0, square).sqrt())


def length_along(v: Tensor, fallback: Tensor) -> tuple[Tensor, Tensor]:
    """Length and direction of v.

    The length is v . direction: its gradient is the direction everywhere, at zero too, where it is the fallback.
    That way bodies with coinciding centres still push each other apart.
    """
    unit = direction(v, fallback)
    return dot(v, unit), unit


def perpendicular(v: Tensor) -> Tensor:
    """(..., 3) some unit vector across v (z for a zero v)."""
    with torch.no_grad():
        axis = torch.nn.functional.one_hot(v.abs().argmin(-1), 3).to(v.dtype)
        e_z = torch.zeros_like(v)
        e_z[..., 2] = 1
    return direction(torch.linalg.cross(v, axis.expand_as(v)), e_z)


def unit_axis(like: Tensor, axis: int) -> Tensor:
    """(..., 3) unit vector along a coordinate axis, shaped as `like`."""
    unit = torch.zeros_like(like)
    unit[..., axis] = 1
    return unit


def pick(table: Tensor, index: Tensor) -> Tensor:
    """Row `index` (...) of each table (..., K, D): a (..., D) tensor."""
    where = index[..., None, None].expand(*index.shape, 1, table.shape[-1])
    return torch.gather(table.expand(*index.shape, *table.shape[-2:]), -2, where).squeeze(-2)
