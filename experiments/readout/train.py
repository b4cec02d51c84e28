"""Train the readout for lit scenes on the simulators' masks and states, id/train only.

python experiments/readout/train.py DATA OUT [--minutes 5] [--steps 3000] [--threads 1] [--space]

DATA is what experiments/violations/data.py wrote. OUT gets the weights, their config and how they were made. --space
trains on the set whose balls move freely, for a readout that takes a ball's depth from its apparent area. Augmented
by permuting the colour channels (of pictures, bodies and background alike), by noise and by blur, since the readout is
to look at unfinished estimates as well.
"""

from __future__ import annotations

import argparse
import dataclasses
import platform
import time
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from worldsim.data import Clip, ClipSet
from worldsim.models.world import World
from worldsim.vision import View, project
from worldsim.vision.learned_readout import LearnedReadout, LearnedReadoutConfig

CLIPS, FRAMES = 12, 2
# An error of .1 in the logarithm of the area is one of .5 radii along the line of sight where a ball is ten radii away.
AREA_WEIGHT = {True: 0.3, False: 3.0}


def families(in_plane: bool) -> tuple[str, ...]:
    """Sets of which a readout of that kind learns, and whose floor is measured."""
    return ("balls3", "balls4", "balls5", "hoop") if in_plane else ("space3",)


def whole_area(position: Tensor, radius: Tensor, view: View) -> Tensor:
    """(B, T, M) square pixels of the whole outlines of balls (B, T, M, 3) of radii (B, 1, M)."""
    focal = view.focal[:, None, None]
    if view.orthographic:
        return (torch.pi * (radius * focal).square()).expand(position.shape[:-1])
    local = view.to_camera(position.flatten(1, 2)).unflatten(1, position.shape[1:3])
    # As in vision.sphere_position: pi f^2 r^2 sqrt(|c|^2 - r^2) / (cz^2 - r^2)^1.5.
    excess = (local[..., 2].square() - radius.square()).clamp_min(1e-6)
    return torch.pi * (focal * radius).square() * (local.square().sum(-1) - radius.square()).sqrt() / excess**1.5


def degrade(clip: Clip, generator: torch.Generator) -> Clip:
    """The clip with its colour channels permuted, and some of its pictures blurred or noisy."""
    order = torch.randperm(3, generator=generator)
    video = clip.video[:, order]
    if torch.rand((), generator=generator) < 0.25:
        soft = functional.avg_pool2d(video.flatten(0, 1), 3, 1, 1, count_include_pad=False).unflatten(
            0, video.shape[:2]
        )
        video = torch.lerp(video, soft, float(torch.rand((), generator=generator)))
    level = 0.1 * torch.rand(video.shape[0], 1, 1, 1, 1, generator=generator).square()
    video = video + level * torch.randn(video.shape, generator=generator)
    bodies = dataclasses.replace(clip.bodies, colour=clip.bodies.colour[..., order])
    setups = tuple(
        dataclasses.replace(
            setup,
            background=tuple(setup.background[i] for i in order),
            bodies=tuple(
                dataclasses.replace(body, colour=tuple(body.colour[i] for i in order)) for body in setup.bodies
            ),
        )
        for setup in clip.setups
    )
    return dataclasses.replace(clip, video=video, bodies=bodies, setups=setups)


def loss(readout: LearnedReadout, clip: Clip, coverage: Tensor) -> dict[str, Tensor]:
    """Cross-entropy of the masks, distance of the centres in pixels, error of the logarithm of the areas."""
    world = World.of(clip.setups)
    seen = readout.observe(clip.video, world.bodies, world.view, world.background, world.fixed)
    none = (1 - coverage.sum(2, keepdim=True)).clamp(0, 1)
    rest = (1 - seen.masks.sum(2, keepdim=True)).clamp(0, 1)
    given, found = torch.cat([coverage, none], 2), torch.cat([seen.masks, rest], 2)
    # Less the entropy of the truth, so that 0 is perfect.
    masks = (given * (given.clamp_min(1e-4) / found.clamp_min(1e-4)).log()).sum(2).mean()
    moving = [k for k, static in enumerate(clip.bodies.static) if not static]
    position, radius = clip.trajectory.position[:, :, moving], clip.bodies.size[:, None, moving, 0]
    whole = whole_area(position, radius, world.view)
    centre, _ = project(position, world.view)
    size = centre.new_tensor([world.view.width, world.view.height])
    counted = ((centre > 0) & (centre < size)).all(-1) & (coverage.sum((-1, -2)) > 0.3 * whole)
    off = functional.huber_loss(seen.centre, centre, reduction="none", delta=0.5).sum(-1)
    stretch = (seen.area.clamp_min(1e-3) / whole).log().abs().clamp_max(2)
    total = counted.sum().clamp_min(1)
    return {"masks": masks, "centres": (off * counted).sum() / total, "areas": (stretch * counted).sum() / total}


def main() -> None:
    """Train and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=5.0, help="of processor time")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--space", action="store_true", help="motion is free in space")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    generator = torch.Generator().manual_seed(arguments.seed)
    names, area_weight = families(not arguments.space), AREA_WEIGHT[not arguments.space]
    sets = [ClipSet(arguments.data, family, "id", "train") for family in names]
    readout = LearnedReadout(LearnedReadoutConfig(in_plane=not arguments.space))
    optimiser = torch.optim.AdamW(readout.parameters(), arguments.learning_rate, betas=(0.9, 0.98), weight_decay=1e-4)
    began, budget, done = time.process_time(), arguments.minutes * 60, 0.0
    step = 0
    while done < 1:
        clips = sets[step % len(sets)]
        indices = torch.randint(len(clips), (CLIPS,), generator=generator).tolist()
        start = int(torch.randint(clips.num_frames - FRAMES + 1, (1,), generator=generator))
        clip = degrade(clips.clip(indices, start, FRAMES, 0), generator)
        terms = loss(readout, clip, clips.coverage(indices, start, FRAMES))
        # Warm up, then down to nothing by whichever of steps and minutes ends first.
        done = max((step + 1) / arguments.steps, (time.process_time() - began) / budget)
        for group in optimiser.param_groups:
            group["lr"] = arguments.learning_rate * min(1.0, (step + 1) / 50) * max(1 - done, 0.01)
        optimiser.zero_grad()
        total = 10 * terms["masks"] + terms["centres"] + area_weight * terms["areas"]
        total.backward()
        torch.nn.utils.clip_grad_norm_(readout.parameters(), 1.0)
        optimiser.step()
        if step % 100 == 0:
            values = "  ".join(f"{name} {value.item():.4f}" for name, value in terms.items())
            print(f"step {step:5d} {done:4.0%}  {values}", flush=True)
        step += 1
        # Now and then, so that a run that is stopped leaves something.
        if step % 200 == 0 or done >= 1:
            made = {
                "steps": step,
                "clips_a_step": CLIPS,
                "frames_a_clip": FRAMES,
                "seed": arguments.seed,
                "clips": {family: len(clips) for family, clips in zip(names, sets, strict=True)},
                "processor_seconds": round(time.process_time() - began, 1),
                "threads": arguments.threads,
                "hardware": platform.processor() or platform.machine(),
            }
            readout.save(arguments.out, {"training": made})


if __name__ == "__main__":
    main()
