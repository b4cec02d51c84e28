"""Error floor of readouts on ground-truth pictures: what a figure read by them cannot be better than.

python experiments/readout/floor.py DATA READOUT [--clips 200] [--role test]

DATA is what experiments/violations/data.py --flat wrote, READOUT a folder that train.py wrote; the table goes into its
readout.json. Three readers on the same clips: the learned one; ColourReadout, which takes flat colours on one
background in orthographic pictures; and "shades", which unmixes each pixel in closed form between the static scene and
any brightness of a body's colour.

A body counts in a frame where its centre is in the picture and at least .3 of its outline is seen. Position errors are
distances between read and true centre, in pixels and, on the plane of motion, in metres; IoU is that of soft masks.
Where motion is free the learned one alone reads depth: metres are then in space, and errors across and along the line
of sight are told apart, in radii of the ball, with the share of balls and frames placed within .35 radii along it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from train import families, whole_area

from worldsim.data import Clip, ClipSet
from worldsim.models.world import World
from worldsim.vision import View, mask_moments, planar_position, project, rasterise
from worldsim.vision.colour_masks import colour_masks
from worldsim.vision.learned_readout import LearnedReadout

BATCH = 10
NEAR = 0.35  # radii along the line of sight within which a ball counts as placed


def shade_masks(video: Tensor, colours: Tensor, plate: Tensor) -> Tensor:
    """(B, T, M, H, W) shares a of each pixel p = (1 - a) plate + b colour, with b near .8 a: a ball lit from one side.

    Args:
        video: (B, T, 3, H, W) from 0 to 1.
        colours: (B, M, 3).
        plate: (B, 1, 3, H, W) the static scene.
    """
    ridge, usual = 0.05, 0.8
    offset = video - plate
    c = colours[:, None, :, :, None, None]
    s = plate[:, :, None]
    # Least squares over (a, b) of offset = -a plate + b colour, with ridge (b - usual a)^2.
    ss, cc, sc = s.square().sum(3), c.square().sum(3), (s * c).sum(3)
    os, oc = -(offset[:, :, None] * s).sum(3), (offset[:, :, None] * c).sum(3)
    aa, bb, ab = ss + ridge * usual**2, cc + ridge, -sc - ridge * usual
    determinant = (aa * bb - ab * ab).clamp_min(1e-6)
    a = ((bb * os - ab * oc) / determinant).clamp(0, 1)
    b = (oc - ab * a) / bb
    residual = (offset[:, :, None] + a[:, :, :, None] * s - b[:, :, :, None] * c).square().sum(3)
    residual = residual + ridge * (b - usual * a).square()
    sine = residual / (offset.square().sum(2, keepdim=True) + 0.05**2)
    # Gate and dead zone, the best of five on id/train, keep faint likeness far away out of the moments.
    a = ((a - 0.25) / 0.75).clamp_min(0)
    return a * (-sine / 0.04).softmax(2) * (-sine / 0.02).exp()


# Masks (B, T, M, H, W), centres (B, T, M, 2) in pixels, and places (B, T, M, 3) in metres.
Sight = tuple[Tensor, Tensor, Tensor]
Reader = Callable[[Clip, World, list[int]], Sight | None]


def readers(readout: LearnedReadout) -> dict[str, Reader]:
    """By name; they give None where they cannot read."""

    def learned(clip: Clip, world: World, moving: list[int]) -> Sight | None:
        seen = readout.observe(clip.video, world.bodies, world.view, world.background, world.fixed)
        return seen.masks, seen.centre, readout.place(seen, world.bodies, world.view)

    def colour(clip: Clip, world: World, moving: list[int]) -> Sight | None:
        if not world.view.orthographic:
            return None
        masks = colour_masks((clip.video.movedim(2, 1) + 1) / 2, world.bodies.colour, world.background)[:, :, moving]
        centre = mask_moments(masks).centroid
        return masks, centre, planar_position(centre, world.view)

    def shades(clip: Clip, world: World, moving: list[int]) -> Sight | None:
        if not readout.config.in_plane:
            return None
        # Bodies that move are absent in the static scene, the others stand where the Setup has them.
        presence = world.fixed.presence * torch.tensor(world.bodies.static)
        fixed = dataclasses.replace(world.fixed, presence=presence)
        drawn = rasterise(fixed, world.bodies, world.view, background=world.background, channels=("colour",))
        masks = shade_masks((clip.video.movedim(2, 1) + 1) / 2, world.bodies.colour[:, moving], drawn.colour)
        centre = mask_moments(masks).centroid
        return masks, centre, planar_position(centre, world.view)

    return {"learned": learned, "colour": colour, "shades": shades}


def in_space(place: Tensor, position: Tensor, radius: Tensor, view: View) -> list[Tensor]:
    """Errors across and along the line of sight in radii, and whether the latter is below NEAR; each (B, T, M)."""
    sight = position - view.position[:, None, None]
    off = (place - position) / radius[..., None]
    along = (off * sight).sum(-1) / sight.norm(dim=-1)
    across = (off.square().sum(-1) - along.square()).clamp_min(0).sqrt()
    return [across, along.abs(), (along.abs() < NEAR).to(off)]


@torch.no_grad()
def measure(clips: ClipSet, count: int, read: Reader, free: bool) -> dict[str, float] | None:
    """Errors over the clips of a set, with 95 % bootstrap intervals over clips; see in_space for free motion."""
    names = ("pixels", "metres", "iou", *(("across", "along", "placed") if free else ()))
    moving, rows, worst = clips.moving, [], []
    for first in range(0, min(count, len(clips)), BATCH):
        indices = list(range(first, min(first + BATCH, count, len(clips))))
        clip = clips.clip(indices, 0, clips.num_frames, 0)
        world = World.of(clip.setups)
        found = read(clip, world, moving)
        if found is None:
            return None
        masks, centre, place = found
        truth = clips.coverage(indices, 0, clips.num_frames)
        position, radius = clip.trajectory.position[:, :, moving], clip.bodies.size[:, None, moving, 0]
        true_centre, _ = project(position, world.view)
        size = true_centre.new_tensor([world.view.width, world.view.height])
        seen = truth.sum((-1, -2)) > 0.3 * whole_area(position, radius, world.view)
        counted = seen & ((true_centre > 0) & (true_centre < size)).all(-1)
        pixels = (centre - true_centre).norm(dim=-1)
        errors = [pixels, (place - position).norm(dim=-1)]
        iou = torch.minimum(masks, truth).sum((-1, -2)) / torch.maximum(masks, truth).sum((-1, -2)).clamp_min(1e-6)
        errors.append(iou)
        if free:
            errors += in_space(place, position, radius, world.view)
        total = counted.sum((1, 2)).clamp_min(1)
        rows.append(torch.stack([(v * counted).sum((1, 2)) / total for v in errors], 1))
        worst.append(pixels[counted])
    table, rng = torch.cat(rows).numpy(), np.random.default_rng(0)
    result: dict[str, float] = {"clips": len(table)}
    draws = rng.integers(len(table), size=(1000, len(table)))
    for k, name in enumerate(names):
        low, high = np.quantile(table[draws, k].mean(1), [0.025, 0.975])
        result |= {name: float(table[:, k].mean()), f"{name}_low": float(low), f"{name}_high": float(high)}
    result["pixels_95"] = float(torch.cat(worst).quantile(0.95))
    return result


def main() -> None:
    """Print the table and store it with the weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("readout", type=Path)
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--role", default="test", help="of the clips; val for trials, in distribution alone")
    arguments = parser.parse_args()
    readout = LearnedReadout.load(arguments.readout)
    table: dict[str, dict[str, float]] = {}
    for shading in ("shaded", "flat"):
        for family in families(readout.config.in_plane):
            name = family if shading == "shaded" else f"{family}-{shading}"
            for split in ("id", "ood"):
                if not (arguments.data / f"{name}_{split}_{arguments.role}.safetensors").is_file():
                    continue
                clips = ClipSet(arguments.data, name, split, arguments.role)
                for reader, read in readers(readout).items():
                    found = measure(clips, arguments.clips, read, not readout.config.in_plane)
                    if found is None:
                        continue
                    table[f"{name} {split} {reader}"] = found
                    print(
                        f"{name:12s} {split:4s} {reader:8s} {found['pixels']:6.3f} px "
                        f"[{found['pixels_low']:.3f}, {found['pixels_high']:.3f}] 95 %: {found['pixels_95']:6.3f}  "
                        f"{found['metres']:.4f} m  IoU {found['iou']:.3f}  {found['clips']} clips",
                        flush=True,
                    )
                    for part in ("across", "along", "placed") if "along" in found else ():
                        low, high = found[f"{part}_low"], found[f"{part}_high"]
                        print(f"{'':26s}{part:7s} {found[part]:.3f} [{low:.3f}, {high:.3f}]")
    told = json.loads((arguments.readout / "readout.json").read_text(encoding="utf-8"))
    readout.save(arguments.readout, {"training": told.get("training"), "floor": table})


if __name__ == "__main__":
    main()
