"""Painting by copying: new pixels taken from the last known frame, from where each tubelet says they come.

A body that moves keeps its colours, and a transformer whose tokens are normalised learns late to paint them again. So
each tubelet names, for each of its frames, a few displacements as kernels over the pixels around it, and each of its
pixels chooses among the copies and what is painted (the dynamic neural advection of Finn et al. 2016, arXiv
1605.07157, with kernels that are products of a row and a column).

A kernel that spreads over several pixels learns from far away where a body goes, and blurs what it copies: a ball of
two pixels' radius fades within a few copies of copies. So a model that has learned the places may cut its copies sharp,
by cubic convolution at the kernel's mean. In training its pixels are then still mixtures, which have a gradient; in use
each is taken from its likeliest source, since a mixture of a ball and what lies behind it is neither.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from worldsim.models.patches import Grid

_COPIES = 2  # what moves, and what it uncovers
_STAY = 4.0  # logit by which a kernel begins at its middle, and a pixel at the first copy


def cubic_at_mean(kernel: Tensor) -> Tensor:
    """Weights (..., K) of a spread kernel as those that interpolate at its mean (Keys 1981, a = -1/2)."""
    places = torch.arange(kernel.shape[-1], dtype=kernel.dtype, device=kernel.device)
    x = (places - (kernel * places).sum(-1, keepdim=True)).abs()
    near, far = (1.5 * x - 2.5) * x.square() + 1, ((2.5 - 0.5 * x) * x - 4) * x + 2
    weights = torch.where(x < 1, near, torch.where(x < 2, far, 0.0))
    return weights / weights.sum(-1, keepdim=True)


class CopyHead(nn.Module):
    """Tokens to copies of a frame, and to the share of each source in every pixel."""

    def __init__(self, patch: Grid, width: int, reach: int, sharp: bool = False) -> None:
        """Prepare for displacements of up to `reach` pixels along each axis; `sharp` as said above."""
        super().__init__()
        self.sharp = sharp
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
        kernels = rearrange(
            self.kernel(tokens), "b (t h w) (f two k) -> two (b h w) (t f) k", t=t, h=h, w=w, two=2, k=size
        ).softmax(-1)
        rows, columns = cubic_at_mean(kernels) if self.sharp else kernels
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
        if self.sharp and not self.training:
            share = functional.one_hot(share.argmax(0), len(share)).movedim(-1, 0).to(share)
        mixed: Tensor = (share[:-1] * copies).sum(0) + share[-1] * painted
        return mixed
