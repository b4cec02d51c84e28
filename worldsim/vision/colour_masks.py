"""Soft masks of flat-coloured bodies from a video: each pixel is unmixed between the background and one colour."""

from __future__ import annotations

import torch
from torch import Tensor


def colour_masks(
    video: Tensor, colours: Tensor, background: Tensor, sharpness: float = 0.2, noise: float = 0.02
) -> Tensor:
    """How much of each pixel each body covers.

    A pixel on a body's edge is a mix p = b + a (c - b) of background b and the body's colour c. For each body the share
    a is the least-squares one; bodies compete for a pixel by how well their line explains it.

    Args:
        video: (B, T, 3, H, W) from 0 to 1.
        colours: (B, N, 3) from 0 to 1; bodies of equal colour share pixels evenly and cannot be told apart.
        background: (B, 3) from 0 to 1.
        sharpness: Sine of the angle between a pixel's and a body's offset from the background at which the body's claim
            to the pixel falls to 1/e; angles, not distances, so that faint edge pixels go to the right body.
        noise: Distance in colour from the background below which angles mean nothing.

    Returns:
        (B, T, N, H, W) from 0 to 1, differentiable in the video.
    """
    if video.dim() != 5 or video.shape[2] != 3:
        raise ValueError(f"video: must have shape (B, T, 3, H, W), got {tuple(video.shape)}")
    if colours.shape[0] != video.shape[0] or colours.shape[-1] != 3:
        raise ValueError(f"colours: must have shape (B, N, 3) with B = {video.shape[0]}, got {tuple(colours.shape)}")
    base = background[:, None, :, None, None]
    offset = video - base
    line = (colours - background[:, None]).to(video)
    length = line.square().sum(-1).clamp_min(1e-6)
    share = torch.einsum("btchw,bnc->btnhw", offset, line) / length[:, None, :, None, None]
    share = share.clamp(0, 1)
    # |offset - share line|^2, expanded so that no (B, T, N, 3, H, W) tensor is made.
    along = torch.einsum("btchw,bnc->btnhw", offset, line)
    residual = offset.square().sum(2, keepdim=True) - 2 * share * along
    residual = residual + share.square() * length[:, None, :, None, None]
    sine = residual / (offset.square().sum(2, keepdim=True) + noise**2)
    claim = torch.softmax(-sine / sharpness**2, dim=2)
    return share * claim
