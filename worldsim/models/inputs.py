"""What users hand to a model, checked where it enters: context frames as pictures or tensors, and Setups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldsim.data.clip import to_float
from worldsim.scene import Setup


@dataclass(frozen=True)
class Given:
    """Context and Setups in the form that models take.

    Attributes:
        context: (B, 3, K, H, W) in [-1, 1], K one of the lengths that the model is trained for.
        setups: One a video; empty where none is given.
        single: Whether one video of uint8 pictures came in, so that one goes out.
    """

    context: Tensor
    setups: tuple[Setup, ...]
    single: bool


def take_in(
    context: Any,
    setup: Setup | Sequence[Setup] | None,
    lengths: Sequence[int],
    fps: float,
    device: torch.device | str = "cpu",
) -> Given:
    """Accept one video of uint8 pictures with its Setup, or a batch of float tensors with one Setup each.

    Of more frames than the model is trained for, the last ones are kept.

    Args:
        context: (K, H, W, 3) uint8 array, or (B, 3, K, H, W) tensor in [-1, 1].
        setup: One, one a video, or None.
        lengths: Numbers of context frames that the model is trained for.
        fps: Frames a second that the model is trained for.
        device: Where the model is; the context is brought there, in single precision.

    Raises:
        ValueError: Where shape, type, size or numbers are not as above: names the field.
    """
    single = not isinstance(context, Tensor)
    video = (_from_pictures(context) if single else _from_tensor(context)).to(device, torch.float32)
    usable = [length for length in lengths if length <= video.shape[2]]
    if not usable:
        raise ValueError(
            f"context: must have one of {tuple(lengths)} frames, got {video.shape[2]}; "
            "of more frames, the last ones are used"
        )
    keep = max(usable)
    video = video[:, :, video.shape[2] - keep :]
    setups = () if setup is None else (setup,) if isinstance(setup, Setup) else tuple(setup)
    if setup is not None and len(setups) != len(video):
        raise ValueError(f"setup: must be one a video, {len(video)} of them, got {len(setups)}")
    for i, one in enumerate(setups):
        if not isinstance(one, Setup):
            raise ValueError(f"setup[{i}]: must be a Setup, as scene.setup() makes, got {type(one).__name__}")
        camera, size = one.camera, tuple(video.shape[-2:])
        if (camera.height, camera.width) != size:
            raise ValueError(
                f"context: must have the size of its setup's camera, {camera.height} x {camera.width}, "
                f"got {size[0]} x {size[1]}"
            )
        if abs(one.fps - fps) > 1e-6:
            raise ValueError(f"setup[{i}].fps: must be {fps:g}, which the model is trained for, got {one.fps:g}")
    return Given(video, setups, single)


def _from_pictures(video: Any) -> Tensor:
    pictures = np.asarray(video)
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[3] != 3:
        raise ValueError(
            "context: must be uint8 of shape (K, H, W, 3), or a float tensor (B, 3, K, H, W) in [-1, 1], "
            f"got {pictures.dtype} {pictures.shape}"
        )
    return to_float(pictures)[None]


def _from_tensor(video: Tensor) -> Tensor:
    if not video.is_floating_point() or video.dim() != 5 or video.shape[1] != 3:
        raise ValueError(
            "context: must be a float tensor of shape (B, 3, K, H, W) in [-1, 1], or uint8 pictures (K, H, W, 3), "
            f"got {video.dtype} {tuple(video.shape)}"
        )
    if not torch.isfinite(video).all():
        raise ValueError("context: must be finite, holds NaN or infinity")
    if video.numel() and float(video.abs().max()) > 1.001:
        low, high = float(video.min()), float(video.max())
        raise ValueError(f"context: must lie in [-1, 1], got {low:.4g} to {high:.4g}")
    return video
