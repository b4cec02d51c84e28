"""The straight path between data and noise, and what can be predicted along it.

Time 0 is data x, time 1 is noise e: z = (1 - t) x + t e, velocity v = dz/dt = e - x (rectified flow, Liu et al. 2023,
arXiv 2209.03003, eq. 1, with time reversed). Times carry one value a latent frame, so that context frames sit at 0.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

# Below this time a prediction of x is not divided further: x-prediction with loss in velocity space weighs 1 / t^2.
MIN_TIME = 0.05
PREDICTIONS = ("x", "v", "noise")


def expand_time(t: Tensor, like: Tensor) -> Tensor:
    """Bring per-latent-frame times to the shape of a video.

    Args:
        t: (B, T') times, where T' divides the number of frames.
        like: (B, C, T, H, W).

    Returns:
        (B, 1, T, 1, 1), each time repeated over the frames of its tubelet.
    """
    frames = like.shape[2]
    if t.dim() != 2 or t.shape[0] != like.shape[0] or frames % t.shape[1]:
        raise ValueError(f"t: must have shape (B, T') with T' dividing {frames} frames, got {tuple(t.shape)}")
    return t.repeat_interleave(frames // t.shape[1], dim=1)[:, None, :, None, None]


def add_noise(x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """The point of the path at times t: (B, C, T, H, W) from data and noise of that shape and t (B, T')."""
    time = expand_time(t, x)
    return (1 - time) * x + time * noise


def to_velocity(prediction: Tensor, z: Tensor, t: Tensor, kind: str) -> Tensor:
    """Velocity e - x from a prediction of x, v or noise at z; times near 0 are clamped for x, near 1 for noise."""
    time = expand_time(t, z)
    if kind == "v":
        return prediction
    if kind == "x":
        return (z - prediction) / time.clamp_min(MIN_TIME)
    if kind == "noise":
        return (prediction - z) / (1 - time).clamp_min(MIN_TIME)
    raise ValueError(f"prediction: must be one of {', '.join(PREDICTIONS)}, got {kind!r}")


def to_data(prediction: Tensor, z: Tensor, t: Tensor, kind: str) -> Tensor:
    """The clean video x that a prediction of x, v or noise at z stands for."""
    if kind == "x":
        return prediction
    return z - expand_time(t, z) * to_velocity(prediction, z, t, kind)


def to_noise(prediction: Tensor, z: Tensor, t: Tensor, kind: str) -> Tensor:
    """The noise that a prediction of x, v or noise at z stands for."""
    if kind == "noise":
        return prediction
    return z + (1 - expand_time(t, z)) * to_velocity(prediction, z, t, kind)


def shift_time(t: Tensor, shift: float) -> Tensor:
    """Move times towards noise (shift > 1) as longer token sequences need: Esser et al. 2024 (2403.03206), eq. 23.

    Raises:
        ValueError: For a shift that is not above 0 and finite.
    """
    if not 0 < shift < math.inf:
        raise ValueError(f"shift: must be above 0 and finite, got {shift!r}")
    return shift * t / (1 + (shift - 1) * t)


def sample_times(
    batch: int,
    frames: int,
    context: int,
    *,
    mean: float = 0.0,
    std: float = 1.0,
    shift: float = 1.0,
    context_noise: float = 0.0,
    generator: torch.Generator | None = None,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Draw training times: one logit-normal time a clip, little or no noise on its context frames.

    Args:
        batch: B.
        frames: T', latent frames.
        context: How many of them, from the first on, are context.
        mean: Of the logit.
        std: Of the logit.
        shift: See shift_time.
        context_noise: Context times are uniform in [0, context_noise]; a little holds drift in roll-outs down.
        generator: Source of randomness, on the CPU.
        device: Of the result.

    Returns:
        (B, T') times.

    Raises:
        ValueError: For a shift that is not above 0 and finite.
    """
    logit = mean + std * torch.randn(batch, 1, generator=generator)
    t = shift_time(torch.sigmoid(logit), shift).expand(batch, frames).clone()
    t[:, :context] = context_noise * torch.rand(batch, 1, generator=generator)
    return t.to(device)
