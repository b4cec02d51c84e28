"""Between pixels and tokens: tubelets that overlap through a convolution at half the resolution, and the way back.

A linear patch embedding cuts the picture at the borders of its tubelets, and a small width cannot carry all of a
tubelet's numbers. So a strided convolution comes before the embedding and its mirror after the head (the early
convolutions of Xiao et al. 2021, arXiv 2106.14881), and the output may take the noisy video and the hint over, pixel
for pixel, as far as a gate of each token allows.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

Grid = tuple[int, int, int]


def to_patches(video: Tensor, patch: Grid) -> Tensor:
    """(B, C, T, H, W) to (B, T' H' W', C pt ph pw)."""
    pt, ph, pw = patch
    patches: Tensor = rearrange(video, "b c (t pt) (h ph) (w pw) -> b (t h w) (c pt ph pw)", pt=pt, ph=ph, pw=pw)
    return patches


def from_patches(patches: Tensor, patch: Grid, grid: Grid) -> Tensor:
    """(B, T' H' W', C pt ph pw) to (B, C, T, H, W)."""
    (pt, ph, pw), (t, h, w) = patch, grid
    video: Tensor = rearrange(
        patches, "b (t h w) (c pt ph pw) -> b c (t pt) (h ph) (w pw)", t=t, h=h, w=w, pt=pt, ph=ph, pw=pw
    )
    return video


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
        if hasattr(self, "stem"):
            batch = video.shape[0]
            frames = functional.gelu(self.stem(rearrange(video, "b c t h w -> (b t) c h w")), approximate="tanh")
            video = rearrange(frames, "(b t) c h w -> b c t h w", b=batch)
        tokens: Tensor = self.linear(to_patches(video, self.patch))
        return tokens


class PatchHead(nn.Module):
    """Tokens to the clean video, with gates that let the noisy video and the hint through."""

    def __init__(self, channels: int, patch: Grid, width: int, stem: int, sources: int) -> None:
        """Prepare for a video of `channels` and as many full-size sources of the same channels."""
        super().__init__()
        self.full = patch
        pt, ph, pw = patch
        self.patch, inner = ((pt, ph // 2, pw // 2), stem) if stem else (patch, channels)
        self.linear = nn.Linear(width, inner * self.patch[0] * self.patch[1] * self.patch[2])
        if stem:
            self.blend = nn.Conv2d(stem, 4 * channels, 3, padding=1)
        self.gates = nn.Linear(width, sources)

    def start_from_sources(self, weights: tuple[float, ...]) -> None:
        """Let the first estimate be the sources in these weights: the last layer starts at zero."""
        last = self.blend if hasattr(self, "blend") else self.linear
        for module in (last, self.gates):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        with torch.no_grad():
            self.gates.bias.copy_(torch.tensor(weights))

    def forward(self, tokens: Tensor, grid: Grid, sources: list[Tensor]) -> Tensor:
        """(B, T' H' W', D) to (B, C, T, H, W); sources are (B, C, T, H, W) each."""
        video = from_patches(self.linear(tokens), self.patch, grid)
        if hasattr(self, "blend"):
            batch = video.shape[0]
            frames = functional.gelu(rearrange(video, "b c t h w -> (b t) c h w"), approximate="tanh")
            frames = functional.pixel_shuffle(self.blend(frames), 2)
            video = rearrange(frames, "(b t) c h w -> b c t h w", b=batch)
        pt, ph, pw = self.full
        (t, h, w), gates = grid, self.gates(tokens)
        for k, source in enumerate(sources):
            spread = source.view(*source.shape[:2], t, pt, h, ph, w, pw)
            gate = gates[..., k].view(-1, 1, t, 1, h, 1, w, 1)
            video = video + (gate * spread).view(source.shape)
        return video
