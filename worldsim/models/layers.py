"""Parts of the transformer: norms, rotary positions, attention, blocks.

Axis legend: B batch, L tokens, D width, H heads, E width of a head.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


def rms_norm(x: Tensor) -> Tensor:
    """Divide by the root mean square over the last axis, without a learned scale (Zhang and Sennrich 2019, eq. 4)."""
    return functional.rms_norm(x, x.shape[-1:], eps=1e-6)


def time_features(t: Tensor, width: int) -> Tensor:
    """(..., width) sines and cosines of noise times in [0, 1], periods from 1e-3 to 6 (Vaswani et al. 2017, 3.5)."""
    half = width // 2
    rates = torch.exp(torch.linspace(0, math.log(1000), half, device=t.device, dtype=t.dtype))
    angles = t[..., None] * rates
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def rotary_angles(grid: tuple[int, int, int], head_width: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Angles of 3-D rotary positions for a grid of tokens (Su et al. 2021, eq. 15, an axis a share of the pairs).

    Time gets what space leaves: space takes a third of the pairs each. Positions are counted from the first frame and
    from the picture's middle, so that sizes and aspect ratios not trained on stay close to those trained on.

    Args:
        grid: T', H', W' tokens.
        head_width: E.
        device: Of the result.
        dtype: Of the result.

    Returns:
        (T' H' W', E / 2) angles in radians.
    """
    pairs = head_width // 2
    space = pairs // 3
    counts = (pairs - 2 * space, space, space)
    axes = []
    for size, count, centred in zip(grid, counts, (False, True, True), strict=True):
        position = torch.arange(size, device=device, dtype=dtype) - (size - 1) / 2 * centred
        rates = 100.0 ** (-torch.arange(count, device=device, dtype=dtype) / max(count, 1))
        axes.append(position[:, None] * rates)
    t, h, w = grid
    shape = (t, h, w)
    parts = [
        axes[0][:, None, None].expand(*shape, -1),
        axes[1][None, :, None].expand(*shape, -1),
        axes[2][None, None, :].expand(*shape, -1),
    ]
    return torch.cat(parts, dim=-1).reshape(t * h * w, pairs)


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turn the pairs (x_i, x_{i + E/2}) of (..., L, E) by (L, E / 2) angles given as cosines and sines."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], dim=-1)


class Attention(nn.Module):
    """Multi-head self-attention with normalised queries and keys (Dehghani et al. 2023, 2.1) and rotary positions."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.scale_q = nn.Parameter(torch.ones(width // heads))
        self.scale_k = nn.Parameter(torch.ones(width // heads))

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        """(B, L, D) to (B, L, D)."""
        batch, length, width = x.shape
        q, k, v = self.qkv(x).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        q = rotate(rms_norm(q) * self.scale_q, cosine, sine)
        k = rotate(rms_norm(k) * self.scale_k, cosine, sine)
        mixed = functional.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        return out


class Block(nn.Module):
    """Attention and perceptron, each scaled, shifted and gated by noise time (adaLN-single, Chen et al. 2023, 2.3)."""

    def __init__(self, width: int, heads: int, mlp_ratio: float) -> None:
        super().__init__()
        hidden = int(width * mlp_ratio)
        self.attention = Attention(width, heads)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(approximate="tanh"), nn.Linear(hidden, width))
        # The time network is shared by all blocks; each adds this bias to its output. Gates start at zero.
        self.modulation = nn.Parameter(torch.zeros(6, width))

    def forward(self, x: Tensor, modulation: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        """(B, L, D) to (B, L, D) under (B, L, 6, D) modulation."""
        scale_a, shift_a, gate_a, scale_m, shift_m, gate_m = (modulation + self.modulation).unbind(dim=-2)
        x = x + gate_a * self.attention(rms_norm(x) * (1 + scale_a) + shift_a, cosine, sine)
        out: Tensor = x + gate_m * self.mlp(rms_norm(x) * (1 + scale_m) + shift_m)
        return out
