"""Between pixels and tokens: tubelets that overlap through a convolution at half the resolution, and the way back.

A linear patch embedding cuts the picture at the borders of its tubelets, and a small width cannot carry all of a
tubelet's numbers. So a strided convolution comes before the embedding (the early convolutions of Xiao et al. 2021,
arXiv 2106.14881). The estimate starts from a picture that is there already, the hint or the noisy video, so that the
tokens need only say what to change.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

Grid = tuple[int, int, int]


class PatchEmbed(nn.Module):
    """Noisy video and hint to tokens."""

    def __init__(self, channels: int, patch: Grid, width: int, stem: int) -> None:
        """Prepare for `channels` in all; a stem of 0 channels leaves the convolution out."""
        super().__init__()
        self.patch = patch
        pt, ph, pw = patch
        if stem:
            self.stem = nn.Conv2d(channels, stem, 3, stride=2, padding=1)
            self.patch, channels = (pt, ph // 2, pw // 2), stem
        self.linear = nn.Linear(channels * self.patch[0] * self.patch[1] * self.patch[2], width)

    def forward(self, video: Tensor) -> Tensor:
        """(B, C, T, H, W) to (B, T' H' W', D)."""
        frames = rearrange(video, "b c t h w -> (b t) c h w")
        if hasattr(self, "stem"):
            # Channels last, so that what a tubelet gathers lies together in memory.
            frames = functional.hardswish(self.stem(frames.to(memory_format=torch.channels_last)))
        pt, ph, pw = self.patch
        patches = rearrange(
            frames.permute(0, 2, 3, 1),
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
    power = correction.square().square()
    return correction * power / (power + threshold.square().square() + 1e-12)
