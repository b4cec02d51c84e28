"""What a PhyWorld clip is judged by: two readers, velocity and position errors, fitted gravity.

Both readers are unbiased. "unmixing" is the readout that the paired model's hint starts from; "difference" shares no
code with it: red is what a pixel's red has above the mean of its other channels, blue likewise, and a ball stands at
the mean of its colour.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from worldsim.data.clip import Clip
from worldsim.models.world import World
from worldsim.vision.readout import ColourReadout

READERS = ("difference", "unmixing")


@dataclass(frozen=True)
class Errors:
    """Of each clip, NaN where nothing can be told.

    Attributes:
        frame_velocity: (B,) units a second, mean over new frames, axes and balls of the error of frame differences.
        mean_velocity: (B,) PhyWorld's figure: error of the velocity's mean over time, along x.
        position: (B,) units, mean over frames, axes and balls.
        gravity: (B,) fitted downward acceleration, units a second squared; of parabola alone.
        psnr: (B,) decibels against the true pictures, new frames.
        kept: (B,) share of frames and balls, wholly in view in truth, that show from half to twice the true area.
    """

    frame_velocity: Tensor
    mean_velocity: Tensor
    position: Tensor
    gravity: Tensor
    psnr: Tensor
    kept: Tensor


def read(video: Tensor, clip: Clip, reader: str) -> tuple[Tensor, Tensor]:
    """(B, T, N, 2) centres in units, x and z, and (B, T, N) areas in squared units, of (B, 3, T, H, W) in [-1, 1]."""
    world = World.of(clip.setups)
    scale = world.view.focal[:, None, None]
    if reader == "unmixing":
        reading = ColourReadout(1 / clip.fps)(video, world.bodies, world.view, world.background, world.fixed)
        return reading.trajectory.position[..., [0, 2]], reading.moments.area / scale.square()
    red, green, blue = ((video + 1) / 2).unbind(1)
    over = (red - (green + blue) / 2, blue - (red + green) / 2)
    cover = torch.stack(over[: len(clip.setups[0].bodies)], dim=2).clamp(0, 1)
    area = cover.sum((-1, -2))
    size = video.shape[-1]
    pixels = torch.arange(size) + 0.5
    x = (cover.sum(-2) * pixels).sum(-1) / area.clamp_min(1e-6)
    y = (cover.sum(-1) * pixels).sum(-1) / area.clamp_min(1e-6)
    places = torch.stack([x / scale, (size - y) / scale], dim=-1)
    return places, area / scale.square()


def errors(video: Tensor, clip: Clip, family: str, reader: str) -> Errors:
    """Judge (B, 3, T, H, W) against the clip's truth in its new frames."""
    known, dt = clip.num_context, 1 / clip.fps
    truth = clip.trajectory.position[..., [0, 2]]
    found, area = read(video, clip, reader)
    radius = clip.bodies.size[:, None, :, 0]
    inside = ((truth >= radius[..., None]) & (truth <= 10 - radius[..., None])).all(-1)
    whole = torch.pi * radius.square()
    shown = (area > 0.5 * whole) & (area < 2 * whole)
    velocity, true_velocity = ((p[:, 1:] - p[:, :-1]) / dt for p in (found, truth))
    both_in, both_shown = ((m[:, 1:] & m[:, :-1])[:, known - 1 :] for m in (inside, shown))
    velocity, true_velocity = velocity[:, known - 1 :], true_velocity[:, known - 1 :]
    speed = true_velocity.norm(dim=-1)
    off = torch.where(both_shown, (velocity - true_velocity).abs().mean(-1), speed)
    new = inside[:, known:]
    shift = (found - truth).abs().mean(-1)[:, known:].clamp_max(10)
    counted = both_in
    if family == "collision":  # after the first jump of the true velocity
        whole_run = (clip.trajectory.position[:, 1:, :, 0] - clip.trajectory.position[:, :-1, :, 0]) / dt
        jumped = ((whole_run[:, 1:] - whole_run[:, :-1]).abs().amax(-1) > 0.1).int().cummax(1).values.bool()
        counted = both_in & jumped[:, known - 2 :, None]
    lost = counted & ~both_shown
    along = torch.where(lost, true_velocity[..., 0] - speed, velocity[..., 0])  # a lost ball is off by its speed
    drift = (_mean(along, counted, 1) - _mean(true_velocity[..., 0], counted, 1)).abs()
    return Errors(
        _mean(off, both_in, (1, 2)),
        drift.nanmean(1),
        _mean(shift, new, (1, 2)),
        _fall(found[..., 0, 1], inside[..., 0], known, dt)
        if family == "parabola"
        else torch.full((len(found),), torch.nan),
        -10 * torch.log10((video - clip.video)[:, :, known:].square().mean((1, 2, 3, 4)).clamp_min(1e-8) / 4),
        _mean(shown[:, known:].float(), new, (1, 2)),
    )


def _mean(values: Tensor, mask: Tensor, dims: int | tuple[int, ...]) -> Tensor:
    return (values * mask).sum(dims) / mask.sum(dims)


def _fall(height: Tensor, inside: Tensor, known: int, dt: float) -> Tensor:
    """(B,) twice the quadratic coefficient of a least-squares parabola through the new frames, downwards."""
    result = torch.full((len(height),), torch.nan)
    for i, (z, mask) in enumerate(zip(height[:, known:], inside[:, known:], strict=True)):
        if int(mask.sum()) >= 5:
            time = torch.arange(len(z))[mask].numpy() * dt
            result[i] = -2 * float(np.polyfit(time, z[mask].numpy(), 2)[0])
    return result
