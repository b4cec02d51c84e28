"""The law of a world learned from its videos: the prior's roll-out is held against what is read, and the law follows.

No states of a simulator enter: the start is read from the context frames, the target from the frames after them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from worldsim.models.pairing import fit_start
from worldsim.models.world import World
from worldsim.physics import LearnedLaw, PhysicsPrior
from worldsim.scene import Setup
from worldsim.vision.readout import Readout

# A body that shows less of itself than this is cut by the picture's edge or hidden, and its read centre is off.
WHOLE = 0.97


def law_loss(
    video: Tensor,
    setups: Sequence[Setup],
    law: LearnedLaw,
    prior: PhysicsPrior,
    readout: Readout,
    num_context: int,
) -> Tensor:
    """Mean Charbonnier distance between read centres and those of the prior's roll-out, in the bodies' extents.

    Args:
        video: (B, 3, T, H, W) in [-1, 1].
        setups: One a video; of their law nothing is used but what `law` leaves out.
        law: That is learned.
        prior: Rolls out, differentiably in the law.
        readout: Reads states from pixels.
        num_context: Frames from which the start is read; they should hold no impact.

    Returns:
        Scalar; frames in which a body is not seen whole do not count.
    """
    world = World.of(setups, video.device)
    with torch.no_grad():
        read = readout(video, world.bodies, world.view, world.background, world.fixed).trajectory
    now = law()
    context = read.frames(0, num_context)
    start = fit_start(context, world.bodies, now.gravity, float("inf"))
    future = prior(start, world.bodies, video.shape[2] - num_context, read.dt, law=now, check=False)
    moving = [i for i, static in enumerate(world.bodies.static) if not static]
    target = read.frames(num_context)
    gap = (future.position - target.position)[:, :, moving].norm(dim=-1) / world.bodies.size[:, None, moving, 0]
    # A body that left the picture may come back changed: frames after the first loss do not count.
    seen = (read.presence > WHOLE).float().cumprod(1)[:, num_context:, moving]
    charbonnier = (gap.square() + 1e-6).sqrt()
    loss: Tensor = (charbonnier * seen).sum() / seen.sum().clamp_min(1)
    return loss


def learn_law(
    batch_for: Callable[[int], tuple[Tensor, Sequence[Setup]]],
    law: LearnedLaw,
    prior: PhysicsPrior,
    readout: Readout,
    *,
    num_context: int = 4,
    steps: int = 150,
    learning_rate: float = 0.1,
    callback: Callable[[int, float], None] | None = None,
) -> LearnedLaw:
    """Fit a law to videos by Adam with a rate that falls to 0 along half a cosine.

    Args:
        batch_for: Videos and Setups of a step.
        law: At its start values; changed in place.
        prior: Rolls out.
        readout: Reads states.
        num_context: Frames from which starts are read.
        steps: Of Adam.
        learning_rate: Its first rate.
        callback: Called with step and loss.
    """
    optimizer = torch.optim.Adam(law.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        video, setups = batch_for(step)
        loss = law_loss(video, setups, law, prior, readout, num_context)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        for name, parameter in law.named_parameters():
            if parameter.grad is not None and not torch.isfinite(parameter.grad).all():
                raise FloatingPointError(f"law.{name}: its gradient must be finite, is not at step {step}")
        optimizer.step()
        schedule.step()
        if callback is not None:
            callback(step, float(loss.detach()))
    return law
