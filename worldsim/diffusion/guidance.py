"""What steers sampling: classifier-free guidance over denoisers, and hooks that correct the clean estimate."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from worldsim.diffusion.samplers import Denoise, Hook


def classifier_free(conditional: Denoise, unconditional: Denoise, scale: float) -> Denoise:
    """Push the estimate away from the unconditional one: Ho and Salimans 2022 (2207.12598), eq. 6 on clean estimates.

    Args:
        conditional: Denoiser with its conditions.
        unconditional: The same denoiser with them dropped.
        scale: 1 is plain conditional sampling.
    """
    if scale == 1:
        return conditional

    def denoise(z: Tensor, t: Tensor) -> Tensor:
        without = unconditional(z, t)
        return without + scale * (conditional(z, t) - without)

    return denoise


def energy_guidance(energy: Callable[[Tensor], Tensor], step: float, t_max: float = 0.7, iterations: int = 1) -> Hook:
    """A hook that moves the clean estimate down the gradient of a violation energy.

    Each step is Polyak's (Polyak 1969, step length E / |gradient|^2 for a least energy of 0), so that it is right
    whatever the energy's scale and dies out as the law is met. Above t_max the estimate is a mean over futures and
    need not be lawful: it is left alone.

    Args:
        energy: (B, C, T, H, W) clean estimates to (B,) energies, 0 where the law is kept.
        step: Largest root-mean-square change an iteration, in units of the video's range [-1, 1].
        t_max: Noise time above which nothing is done.
        iterations: Gradient steps an evaluation.
    """

    def hook(x: Tensor, now: float) -> Tensor:
        if now > t_max:
            return x
        for _ in range(iterations):
            with torch.enable_grad():
                leaf = x.detach().requires_grad_(True)
                value = energy(leaf)
                (gradient,) = torch.autograd.grad(value.sum(), leaf)
            square = gradient.flatten(1).square()
            polyak = value.detach() / square.sum(1).clamp_min(1e-12)
            bound = step * (1 - now) ** 2 / square.mean(1).sqrt().clamp_min(1e-12)
            x = x - torch.minimum(polyak, bound)[:, None, None, None, None] * gradient
        return x

    return hook
