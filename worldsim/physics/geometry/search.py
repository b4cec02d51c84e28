"""The least value of a function of one variable, searched in every entry of a batch at once, with fixed work."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

_GOLDEN = (math.sqrt(5) - 1) / 2


@torch.no_grad()
def minimise(
    function: Callable[[Tensor], Tensor],
    low: float,
    high: float,
    periodic: bool,
    like: Tensor,
    samples: int = 64,
    brackets: int = 4,
    iterations: int = 36,
    candidates: Tensor | None = None,
) -> Tensor:
    """Where a function is least between low and high: a grid, then golden sections around its best points.

    Finds the global minimum unless two local ones lie closer than a grid step. Golden sections need no derivative
    and converge at kinks too; the place is good to the square root of the precision, the value to the precision.

    Args:
        function: Maps (..., M) places to (..., M) values, its leading axes those of `like`.
        low: Start of the range.
        high: Its end, the same place as `low` where periodic.
        periodic: Whether the range closes on itself.
        like: (...) tensor that gives leading axes, dtype and device.
        samples: Points of the grid.
        brackets: How many of the lowest local minima of the grid are refined.
        iterations: Golden sections; 36 narrow a bracket by 3e7.
        candidates: (..., K) further places to compare, known from a closed form.

    Returns:
        (...) places.
    """
    steps = samples if periodic else samples - 1
    width = (high - low) / steps
    grid = low + width * torch.arange(samples, dtype=like.dtype, device=like.device)
    values = function(grid.expand(*like.shape, samples))
    before, after = values.roll(1, -1), values.roll(-1, -1)
    if not periodic:
        before[..., 0] = torch.inf
        after[..., -1] = torch.inf
    local = torch.where((values <= before) & (values <= after), values, torch.inf)
    start = grid[local.topk(brackets, dim=-1, largest=False).indices]
    left, right = start - width, start + width
    if not periodic:
        left, right = left.clamp_min(low), right.clamp_max(high)
    inner_left, inner_right = right - _GOLDEN * (right - left), left + _GOLDEN * (right - left)
    value_left, value_right = function(inner_left), function(inner_right)
    for _ in range(iterations):
        go_left = value_left < value_right
        left, right = torch.where(go_left, left, inner_left), torch.where(go_left, inner_right, right)
        kept = torch.where(go_left, inner_left, inner_right)
        kept_value = torch.where(go_left, value_left, value_right)
        fresh = torch.where(go_left, right - _GOLDEN * (right - left), left + _GOLDEN * (right - left))
        fresh_value = function(fresh)
        inner_left, inner_right = torch.where(go_left, fresh, kept), torch.where(go_left, kept, fresh)
        value_left = torch.where(go_left, fresh_value, kept_value)
        value_right = torch.where(go_left, kept_value, fresh_value)
    places = torch.cat([inner_left, start] if candidates is None else [inner_left, start, candidates], -1)
    best = function(places).argmin(-1, keepdim=True)
    return torch.gather(places, -1, best).squeeze(-1)
