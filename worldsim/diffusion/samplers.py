"""Samplers as functions over a denoiser: they know times and the path, and nothing of models or physics."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from numbers import Integral, Real

import torch
from torch import Tensor

from worldsim.diffusion.path import expand_time, shift_time

# (z, t) -> clean estimate; z (B, C, T, H, W), t (B, T').
Denoise = Callable[[Tensor, Tensor], Tensor]
# (clean estimate, noise time of the generated frames) -> corrected clean estimate: guidance and projection.
Hook = Callable[[Tensor, float], Tensor]
SOLVERS = ("euler", "heun", "ab2")


def check_options(steps: int = 1, solver: str = "euler", shift: float = 1.0, context_time: float = 0.0) -> None:
    """Refuse options that nothing can be sampled with; see sample for what they are.

    Raises:
        ValueError: Naming the option, its rule and its value.
    """
    if not isinstance(steps, Integral) or isinstance(steps, bool) or steps < 1:
        raise ValueError(f"steps: must be a whole number of 1 or more, got {steps!r}")
    if solver not in SOLVERS:
        raise ValueError(f"solver: must be one of {', '.join(SOLVERS)}, got {solver!r}")
    if not isinstance(shift, Real) or not 0 < shift < math.inf:
        raise ValueError(f"shift: must be above 0 and finite, got {shift!r}")
    if not isinstance(context_time, Real) or not 0 <= context_time < 1:
        raise ValueError(f"context_time: must be from 0 to below 1, got {context_time!r}")


def time_grid(steps: int, shift: float = 1.0) -> list[float]:
    """The steps + 1 times from 1 down to 0, evenly spaced before the shift.

    Raises:
        ValueError: For steps that are no whole number from 1, or a shift that is not above 0 and finite.
    """
    check_options(steps, shift=shift)
    return [float(shift_time(torch.tensor(1 - i / steps, dtype=torch.float64), shift)) for i in range(steps + 1)]


def sample(
    denoise: Denoise,
    context: Tensor,
    num_frames: int,
    *,
    tubelet: int = 1,
    steps: int = 10,
    solver: str = "euler",
    shift: float = 1.0,
    context_time: float = 0.0,
    hooks: Sequence[Hook] = (),
    generator: torch.Generator | None = None,
) -> Tensor:
    """Generate the frames that follow a context.

    Args:
        denoise: The denoiser, with all conditions bound.
        context: (B, C, K, H, W) clean frames; K may be 0 and is a multiple of the tubelet.
        num_frames: How many frames the whole clip has, context included; a multiple of the tubelet.
        tubelet: Frames a latent frame.
        steps: Of the solver.
        solver: "euler", or of second order "heun" with two evaluations a step and one in the last, or "ab2" with one
            throughout: Adams and Bashforth's two-step method (Hairer, Norsett, Wanner 1993, III.5, variable steps).
        shift: Of the time grid.
        context_time: Noise time that the context is told to have, and is given; 0.02 steadies long roll-outs.
        hooks: Applied in order to each clean estimate.
        generator: Source of the starting noise; on the CPU, so that results agree between devices.

    Returns:
        (B, C, num_frames, H, W) whose first K frames are the context, untouched.

    Raises:
        ValueError: For frame counts or options that are not as above: names field, rule and value.
    """
    check_options(steps, solver, shift, context_time)
    batch, channels, known, height, width = context.shape
    for name, count in (("context", known), ("num_frames", num_frames)):
        if count % tubelet:
            raise ValueError(f"{name}: must be a multiple of the tubelet {tubelet}, got {count} frames")
    if num_frames <= known:
        raise ValueError(f"num_frames: must exceed the {known} context frames, got {num_frames}")
    shape = (batch, channels, num_frames, height, width)
    noise = torch.randn(shape, generator=generator, dtype=context.dtype).to(context.device)
    held = (1 - context_time) * context + context_time * noise[:, :, :known]
    z = torch.cat([held, noise[:, :, known:]], dim=2)

    def times(now: float) -> Tensor:
        t = torch.full((batch, num_frames // tubelet), now, dtype=context.dtype, device=context.device)
        t[:, : known // tubelet] = context_time
        return t

    def clean(point: Tensor, now: float) -> Tensor:
        estimate = denoise(point, times(now))
        estimate = torch.cat([context, estimate[:, :, known:]], dim=2)
        for hook in hooks:
            estimate = torch.cat([context, hook(estimate, now)[:, :, known:]], dim=2)
        return estimate

    grid = time_grid(steps, shift)
    before: tuple[Tensor, float] | None = None  # of "ab2": velocity and length of the step before
    for now, then in itertools.pairwise(grid):
        x = clean(z, now)
        if then == 0:
            return x
        velocity = (z - x) / now
        moving = expand_time(times(then) - times(now), z)
        ahead = z + moving * velocity
        if solver == "heun":
            x_ahead = clean(ahead, then)
            velocity = (velocity + (ahead - x_ahead) / then) / 2
            ahead = z + moving * velocity
        elif solver == "ab2":
            if before is not None:
                ahead = ahead + moving * (then - now) / (2 * before[1]) * (velocity - before[0])
            before = velocity, then - now
        z = ahead
    raise AssertionError("the time grid ends at 0")
