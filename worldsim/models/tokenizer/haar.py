"""A causal 3-D Haar transform: exact, without parameters, the front end of the autoencoder.

Each level halves time, rows and columns and has eight times the channels. The first frame stands alone: it is paired
with itself, so that 2n + 1 frames give n + 1, and no frame looks ahead of its pair.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor


def _hadamard(like: Tensor) -> Tensor:
    two = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=like.dtype, device=like.device)
    return torch.kron(torch.kron(two, two), two)


def split(video: Tensor, first: bool) -> Tensor:
    """(B, C, T, H, W) to (B, 8C, T', H/2, W/2); the mean over each 2 x 2 x 2 block comes first of its eight.

    Args:
        video: T is odd where `first`, else even; H and W are even.
        first: Whether the video begins here, or follows what was split before.
    """
    if first:
        video = torch.cat([video[:, :, :1], video], dim=2)
    if video.shape[2] % 2 or video.shape[3] % 2 or video.shape[4] % 2:
        raise ValueError(
            f"video: must have {'an odd' if first else 'an even'} number of frames and even height and width, got "
            f"{video.shape[2] - first} x {video.shape[3]} x {video.shape[4]}"
        )
    blocks = rearrange(video, "b c (t pt) (h ph) (w pw) -> b c (pt ph pw) t h w", pt=2, ph=2, pw=2)
    return torch.einsum("ij,bcjthw->bcithw", _hadamard(video) / 8, blocks).flatten(1, 2)


def merge(bands: Tensor, first: bool) -> Tensor:
    """The inverse of split."""
    blocks = torch.einsum("ij,bcjthw->bcithw", _hadamard(bands), bands.unflatten(1, (-1, 8)))
    video: Tensor = rearrange(blocks, "b c (pt ph pw) t h w -> b c (t pt) (h ph) (w pw)", pt=2, ph=2, pw=2)
    return video[:, :, 1:] if first else video
