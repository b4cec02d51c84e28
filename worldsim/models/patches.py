"""Between pixels and tokens: tubelets that overlap through a convolution at half the resolution, and the way back.

A linear patch embedding cuts the picture at the borders of its tubelets, and a small width cannot carry all of a
tubelet's numbers. So a strided convolution comes before the embedding (the early convolutions of Xiao et al. 2021,
arXiv 2106.14881). The estimate starts from a picture that is there already, the hint or the noisy video, so that the
tokens need only say what to change.
"""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

Grid = tuple[int, int, int]


class PatchEmbed(nn.Module):
    """Noisy video, last known tubelet and hint to tokens."""

    def __init__(self, channels: int, patch: Grid, width: int, stem: int) -> None:
        """Prepare for `channels` in all; a stem of 0 channels leaves the convolution out."""
        super().__init__()
        self.patch = patch
        pt, ph, pw = patch
        if stem:
            self.stem = nn.Conv2d(channels, stem, 3, stride=2, padding=1)
            self.patch, channels = (pt, ph // 2, pw // 2), stem
        self.linear = nn.Linear(channels * self.patch[0] * self.patch[1] * self.patch[2], width)

    def forward(self, video: Tensor, known: Tensor, hint: Tensor | None = None) -> Tensor:
        """(B, C, T, H, W) video and hint, with (B, C, T / T', H, W) shown beside each tubelet, to (B, T' H' W', D)."""
        pt, ph, pw = self.patch
        tubelets = video.unflatten(2, (-1, pt))
        shown = [tubelets, known[:, :, None].expand_as(tubelets)]
        if hint is not None:
            shown.append(hint.unflatten(2, (-1, pt)))
        # Channels last, in the one copy that puts them together: what a tubelet gathers then lies together in memory.
        frames = torch.cat([each.movedim(1, -1) for each in shown], dim=-1).flatten(0, 2)
        if hasattr(self, "stem"):
            frames = functional.hardswish(self.stem(frames.movedim(-1, 1))).movedim(1, -1)
        patches = rearrange(
            frames,
            "(b t pt) (h ph) (w pw) c -> b (t h w) (pt ph pw c)",
            b=len(video), pt=pt, ph=ph, pw=pw,
        )  # fmt: skip
        tokens: Tensor = self.linear(patches)
        return tokens


class PatchHead(nn.Module):
    """Tokens to pictures, and to a gate of one number a tubelet."""

    def __init__(self, channels: int, patch: Grid, width: int, stem: int, pictures: int) -> None:
        """Prepare for as many pictures of `channels`; with a stem, each row of a tubelet has its own hidden numbers."""
        super().__init__()
        pt, ph, pw = patch
        self.patch, self.pictures = patch, pictures
        if stem:
            hidden = stem * pw // 4
            self.hidden = nn.Linear(width, pt * ph * hidden)
            self.last = nn.Linear(hidden, pictures * channels * pw)
        else:
            self.last = nn.Linear(width, pt * ph * pictures * channels * pw)
        self.gate = nn.Linear(width, 1)

    def forward(self, tokens: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
        """(B, T' H' W', D) to (K, B, C, T, H, W) pictures and the (B, 1, T, H, W) gate."""
        (t, h, w), (pt, ph, pw), k = grid, self.patch, self.pictures
        if hasattr(self, "hidden"):
            rows = self.last(functional.hardswish(self.hidden(tokens)).unflatten(-1, (pt * ph, -1)))
        else:
            rows = self.last(tokens).unflatten(-1, (pt * ph, -1))
        pictures = rearrange(
            rows,
            "b (t h w) (pt ph) (k c pw) -> k b c (t pt) (h ph) (w pw)",
            t=t, h=h, w=w, pt=pt, ph=ph, k=k, pw=pw,
        )  # fmt: skip
        gate = rearrange(self.gate(tokens), "b (t h w) 1 -> b 1 t h w", t=t, h=h, w=w)
        for axis, repeats in zip((2, 3, 4), self.patch, strict=True):
            gate = gate.repeat_interleave(repeats, dim=axis)
        return pictures, gate


def last_known(video: Tensor, t: Tensor) -> Tensor:
    """The newest tubelet that has less noise than the last one has: what is to come goes on from there.

    Args:
        video: (B, C, T, H, W), noisy but for its context.
        t: (B, T') noise times of its tubelets.

    Returns:
        (B, C, T / T', H, W); zero, a middle grey, for a video without context.
    """
    number = torch.arange(1, t.shape[1] + 1, device=t.device)
    known = ((t < t[:, -1:]) * number).amax(1)
    tubelets = video.unflatten(2, (t.shape[1], -1))
    at = (known - 1).clamp_min(0)[:, None, None, None, None, None]
    newest = tubelets.gather(2, at.expand(-1, video.shape[1], 1, *tubelets.shape[3:])).squeeze(2)
    shown: Tensor = newest * (known > 0)[:, None, None, None, None]
    return shown


def shrink(correction: Tensor, threshold: Tensor) -> Tensor:
    """Let corrections far above the threshold pass and those far below vanish (Gao 1998's garrote, smooth and steeper).

    r^5 / (r^4 + threshold^4): what a network says of a picture that is right already is small and never quite zero; a
    haze of one grey level over a thousand pixels would move what is read of a small body by a tenth of its radius.
    """
    shrunk: Tensor = _Shrink.apply(correction, threshold.square().square() + 1e-12)
    return shrunk


class _Shrink(torch.autograd.Function):
    """r k with k = r^4 / (r^4 + b); slopes, k (5 - 4 k) and r k (k - 1) / b, take half the time of autograd's way."""

    @staticmethod
    def forward(context: Any, correction: Tensor, bound: Tensor) -> Tensor:
        power = correction.square().square_()
        kept = power.div_(power + bound)
        shrunk = correction * kept
        context.save_for_backward(shrunk, kept, bound)
        return shrunk

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        shrunk, kept, bound = context.saved_tensors
        pull = gradient * shrunk
        along = kept.mul(-4).add_(5).mul_(kept).mul_(gradient)
        return along, torch.addcmul(pull, pull, kept, value=-1).sum_to_size(bound.shape) / -bound
