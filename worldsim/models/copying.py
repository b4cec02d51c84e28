"""Painting by copying: new pixels taken from the last known frame, from where each tubelet says they come.

A body that moves keeps its colours, and a transformer whose tokens are normalised learns late to paint them again. So
each tubelet names, for each of its frames, a few displacements as kernels over the pixels around it, and each of its
pixels chooses among the copies and what is painted (the dynamic neural advection of Finn et al. 2016, arXiv
1605.07157, with kernels that are products of a row and a column).
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from worldsim.models.patches import Grid

_COPIES = 2  # what moves, and what it uncovers
_STAY = 4.0  # logit by which a kernel begins at its middle, and a pixel at the first copy


class CopyHead(nn.Module):
    """Tokens to copies of a frame, and to the share of each source in every pixel."""

    def __init__(self, patch: Grid, width: int, reach: int) -> None:
        """Prepare for displacements of up to `reach` pixels along each axis."""
        super().__init__()
        pt, ph, pw = patch
        self.patch, self.reach, self.size = patch, reach, 2 * reach + 1
        self.kernel = nn.Linear(width, pt * _COPIES * 2 * self.size)
        self.choice = nn.Linear(width, pt * ph * pw * (_COPIES + 1))

    def reset(self) -> None:
        """Begin as a frame that stays as it is."""
        with torch.no_grad():
            for linear in (self.kernel, self.choice):
                linear.weight.mul_(0.1)
                linear.bias.zero_()
            self.kernel.bias.view(-1, self.size)[:, self.reach] = _STAY
            self.choice.bias.view(-1, _COPIES + 1)[:, 0] = _STAY

    def forward(self, tokens: Tensor, grid: Grid, frame: Tensor, painted: Tensor) -> Tensor:
        """Mix copies and paint.

        Args:
            tokens: (B, T' H' W', D).
            grid: T', H', W'.
            frame: (B, C, H, W) what is copied from; beyond its edges stands what is at them.
            painted: (B, C, T, H, W).

        Returns:
            (B, C, T, H, W).
        """
        (t, h, w), (pt, ph, pw), size = grid, self.patch, self.size
        padded = functional.pad(frame, (self.reach,) * 4, mode="replicate")
        around = rearrange(
            padded.unfold(2, size, 1).unfold(3, size, 1),
            "b c (h ph) (w pw) ky kx -> (b h w) (ky kx) (c ph pw)",
            ph=ph, pw=pw,
        )  # fmt: skip
        rows, columns = rearrange(
            self.kernel(tokens), "b (t h w) (f two k) -> two (b h w) (t f) k", t=t, h=h, w=w, two=2, k=size
        ).softmax(-1)
        weights = (rows[..., :, None] * columns[..., None, :]).flatten(-2)
        copies = rearrange(
            torch.bmm(weights, around),
            "(b h w) (t pt m) (c ph pw) -> m b c (t pt) (h ph) (w pw)",
            h=h, w=w, t=t, pt=pt, m=_COPIES, ph=ph, pw=pw,
        )  # fmt: skip
        share = rearrange(
            self.choice(tokens),
            "b (t h w) (pt ph pw m) -> m b 1 (t pt) (h ph) (w pw)",
            t=t, h=h, w=w, pt=pt, ph=ph, pw=pw,
        ).softmax(0)  # fmt: skip
        mixed: Tensor = (share[:-1] * copies).sum(0) + share[-1] * painted
        return mixed
