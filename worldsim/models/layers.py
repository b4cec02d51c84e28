"""Parts of the transformer: norms, rotary positions, attention, blocks.

Axis legend: B batch, L tokens, D width, H heads, E width of a head.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional


def norm(x: Tensor) -> Tensor:
    """Zero mean and unit variance over the last axis, without learned scale: one kernel, where RMS norm takes five."""
    return functional.layer_norm(x, x.shape[-1:], eps=1e-6)


def modulate(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Normalise, then scale by 1 + scale and shift, as the noise time asks."""
    return torch.addcmul(shift, norm(x), 1 + scale)


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


def rotate(x: Tensor, phases: Tensor) -> Tensor:
    """Turn the pairs (x_2i, x_2i+1) of (..., L, H, E) by (L, E / 2, 2) cosines and sines.

    One complex product takes a third of the time of six real ones; torch.compile makes no code for complex numbers,
    but melts the six products into one pass.
    """
    pairs = x.to(phases.dtype).unflatten(-1, (-1, 2))
    if torch.compiler.is_compiling():
        a, b = pairs.unbind(-1)
        cosine, sine = phases[:, None].unbind(-1)
        return torch.stack([a * cosine - b * sine, a * sine + b * cosine], -1).flatten(-2).to(x.dtype)
    turned = torch.view_as_complex(pairs) * torch.view_as_complex(phases)[:, None]
    return torch.view_as_real(turned).flatten(-2).to(x.dtype)


class Attention(nn.Module):
    """Self-attention of many queries to one key and value (Shazeer 2019, 1911.02150), with rotary positions.

    Queries and keys are normalised (Dehghani et al. 2023, 2.1).
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, head = heads, width // heads
        # Apart from the values, so that queries and key lie together in memory where they are normalised and turned.
        self.qk = nn.Linear(width, width + head, bias=False)
        self.v = nn.Linear(width, head, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.scale = nn.Parameter(torch.ones(head))

    def forward(self, x: Tensor, phases: Tensor, heard: Tensor | None = None) -> Tensor:
        """(B, L, D) to (B, L, D), positions as (L, E / 2, 2) cosines and sines; (B, L) says what is attended to."""
        batch, length, width = x.shape
        qk = self.qk(x).view(batch, length, self.heads + 1, -1)
        qk = rotate(functional.layer_norm(qk, qk.shape[-1:], self.scale, eps=1e-6), phases)
        q, k = qk.split([self.heads, 1], dim=2)
        # Heads share key and value, so that their queries may stand in one long row: larger products, no copies.
        q, k = q.reshape(batch, 1, length * self.heads, -1), k.transpose(1, 2)
        mask = None if heard is None else heard[:, None, None]
        mixed = functional.scaled_dot_product_attention(q, k, self.v(x)[:, None], mask)
        out: Tensor = self.out(mixed.reshape(batch, length, width))
        return out


class Perceptron(nn.Sequential):
    """Linear, hard swish, linear: hard swish has swish's shape at a sixth of the time of GELU on a CPU."""

    CACHED = 1 << 19  # numbers, 2 MB of float32

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__(nn.Linear(width, hidden), nn.Hardswish(), nn.Linear(hidden, width))
        self.rows = max(1, self.CACHED // hidden)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) to the same; on a CPU as many rows at a time as its cache holds the hidden numbers of."""
        whole: Callable[[Tensor], Tensor] = super().forward
        rows = x.reshape(-1, x.shape[-1])
        if x.device.type != "cpu" or len(rows) <= self.rows:
            return whole(x)
        return torch.cat([whole(some) for some in rows.split(self.rows)]).view(x.shape)


class Block(nn.Module):
    """Attention and perceptron, each scaled, shifted and gated by noise time (adaLN-single, Chen et al. 2023, 2.3)."""

    def __init__(self, width: int, heads: int, mlp_ratio: float) -> None:
        super().__init__()
        hidden = int(width * mlp_ratio)
        self.attention = Attention(width, heads)
        self.mlp = Perceptron(width, hidden)
        # The time network is shared by all blocks; each adds this bias to its output. Gates start at zero.
        self.modulation = nn.Parameter(torch.zeros(6, width))

    def forward(
        self,
        x: Tensor,
        context: Tensor,
        modulation: Tensor,
        context_modulation: Tensor,
        phases: Tensor,
        heard: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Update video and context tokens, which attend to one another.

        Args:
            x: (B, T', S', D) tokens of the video, all of one sequence.
            context: (B, S, D) tokens of Setup and text; S may be 0.
            modulation: (6, B, T', 1, D), or broadcastable to it, for the video.
            context_modulation: (6, B, 1, D) for the context.
            phases: (S + T' S', E / 2, 2) cosines and sines, the context's first.
            heard: (B, S) which context tokens are attended to; None for all.

        Returns:
            x and context.
        """
        scale_a, shift_a, gate_a, scale_m, shift_m, gate_m = modulation + self.modulation[:, None, None, None]
        asked = context_modulation + self.modulation[:, None, None]
        tokens = modulate(x, scale_a, shift_a).flatten(1, 2)
        if context.shape[1]:
            tokens = torch.cat([modulate(context, asked[0], asked[1]), tokens], dim=1)
        if heard is not None:
            heard = functional.pad(heard, (0, tokens.shape[1] - heard.shape[1]), value=True)
        lengths = [context.shape[1], tokens.shape[1] - context.shape[1]]
        told, seen = self.attention(tokens, phases, heard).split(lengths, dim=1)
        x = torch.addcmul(x, gate_a, seen.reshape(x.shape))
        x = torch.addcmul(x, gate_m, self.mlp(modulate(x, scale_m, shift_m)))
        if context.shape[1]:
            context = torch.addcmul(context, asked[2], told)
            context = torch.addcmul(context, asked[5], self.mlp(modulate(context, asked[3], asked[4])))
        return x, context
