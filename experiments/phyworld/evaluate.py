"""PhyWorld's velocity error for every row that a claim needs, in and out of distribution.

python experiments/phyworld/evaluate.py DATA --paired RUN [--plain RUN] [--clips 200] [--seeds 3] --out results.json

The error of a ball is the mean over new frames, in which it is wholly in view in truth, and over both axes of the
difference between its velocity (frame difference of the positions read by colour) and the true one, in units a second.
A ball whose area is outside [.5, 2] of the true one in a frame counts with the true speed there.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from data import FAMILIES, ClipSet
from torch import Tensor

from worldsim.data.clip import Clip
from worldsim.models.config import config_from_dict
from worldsim.models.pairing import draw_hint
from worldsim.models.world import World
from worldsim.models.world_model import WorldModel
from worldsim.physics import LawParameters
from worldsim.training import checkpoints, load_checkpoint

NUM_FRAMES, NUM_CONTEXT, BATCH = 16, 4, 50


def load(run: Path) -> WorldModel:
    """The averaged weights of a run's newest checkpoint."""
    model = WorldModel(config_from_dict(json.loads((run / "config.json").read_text())))
    tensors, _ = load_checkpoint(checkpoints(run)[-1])
    model.load_state_dict(tensors["average"])
    return model.eval()


def impact_start(clips: ClipSet, index: int) -> int:
    """First frame of a window that holds the collision 8 frames in; 0 for worlds without one."""
    velocity = clips.tensors["linear_velocity"][index]
    jumps = (velocity[1:] - velocity[:-1])[..., 0].abs().amax(-1) > 0.1
    if velocity.shape[1] == 1 or not bool(jumps.any()):
        return 0
    return max(0, min(int(jumps.int().argmax()) - 7, len(velocity) - NUM_FRAMES))


def batches(clips: ClipSet, count: int) -> list[Clip]:
    """Clips in batches of equal window."""
    starts: dict[int, list[int]] = {}
    for index in range(min(count, len(clips))):
        starts.setdefault(impact_start(clips, index), []).append(index)
    groups = [(s, rows[i : i + BATCH]) for s, rows in sorted(starts.items()) for i in range(0, len(rows), BATCH)]
    return [clips.clip(rows, start, NUM_FRAMES, NUM_CONTEXT) for start, rows in groups]


def errors(model: WorldModel, video: Tensor, clip: Clip) -> tuple[Tensor, Tensor]:
    """(B,) velocity and position error of each clip's worst-read truth-visible frames; NaN where none is in view."""
    world = World.of(clip.setups)
    reading = model.readout(video, world.bodies, world.view, world.background, world.fixed)
    truth, read = clip.trajectory.position, reading.trajectory.position
    radius = clip.bodies.size[:, None, :, :1]
    inside = ((truth[..., [0, 2]] >= radius) & (truth[..., [0, 2]] <= 10 - radius)).all(-1)
    whole = torch.pi * (clip.bodies.size[:, None, :, 0] * world.view.focal[:, None, None]).square()
    area = reading.moments.area / whole
    there = (area > 0.5) & (area < 2)
    dt = 1 / clip.fps
    velocity, true_velocity = (p[:, 1:].sub(p[:, :-1])[..., [0, 2]] / dt for p in (read, truth))
    counted = (inside[:, 1:] & inside[:, :-1])[:, NUM_CONTEXT - 1 :]
    seen = (there[:, 1:] & there[:, :-1])[:, NUM_CONTEXT - 1 :]
    off = (velocity - true_velocity).abs().mean(-1)[:, NUM_CONTEXT - 1 :]
    off = torch.where(seen, off, true_velocity.norm(dim=-1)[:, NUM_CONTEXT - 1 :])
    shift = (read - truth)[..., [0, 2]].abs().mean(-1)[:, NUM_CONTEXT:].clamp_max(10)
    total = counted.sum((1, 2))
    mean = (off * counted).sum((1, 2)) / total
    in_view = inside[:, NUM_CONTEXT:]
    return mean, (shift * in_view).sum((1, 2)) / in_view.sum((1, 2))


def wrong_law(law: LawParameters, clip: Clip) -> LawParameters:
    """Gravity x 1.5 and restitution - .3."""
    return dataclasses.replace(law, gravity=law.gravity * 1.5, restitution=clip.bodies.restitution - 0.3)


def rows(paired: WorldModel, plain: WorldModel | None, steps: int) -> dict[str, Callable[[Clip, int], Tensor]]:
    """Row name to a function from clip and seed to video."""

    def generate(model: WorldModel, **options: object) -> Callable[[Clip, int], Tensor]:
        def run(clip: Clip, seed: int) -> Tensor:
            law = wrong_law(clip.law, clip) if options.get("law") == "wrong" else None
            hint = bool(options.get("hint", True))
            context = clip.video[:, :, :NUM_CONTEXT]
            new = NUM_FRAMES - NUM_CONTEXT
            return model.generate(context, clip.setups, new, seed=seed, steps=steps, hint=hint, law=law).video

        return run

    def raster(clip: Clip, seed: int) -> Tensor:
        world = World.of(clip.setups)
        foreseen = paired.foresee(world, clip.video[:, :, :NUM_CONTEXT], NUM_FRAMES)
        return draw_hint(foreseen, world.bodies, world.view, world.background, "flat")

    table: dict[str, Callable[[Clip, int], Tensor]] = {
        "floor: the reader on ground truth": lambda clip, seed: clip.video,
        "the rasterised prior alone": raster,
        "paired": generate(paired),
        "paired, hint off": generate(paired, hint=False),
        "paired, wrong law": generate(paired, law="wrong"),
    }
    if plain is not None:
        table["plain twin"] = generate(plain)
    return table


def summary(values: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    """Mean with a 95 % bootstrap interval."""
    values = values[np.isfinite(values)]
    means = rng.choice(values, (1000, len(values))).mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return {"mean": float(values.mean()), "low": float(low), "high": float(high), "clips": len(values)}


def main() -> None:
    """Fill the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--paired", type=Path, required=True)
    parser.add_argument("--plain", type=Path)
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("outputs/phyworld.json"))
    arguments = parser.parse_args()
    paired = load(arguments.paired)
    table = rows(paired, load(arguments.plain) if arguments.plain else None, arguments.steps)
    rng = np.random.default_rng(0)
    results: dict[str, dict[str, dict[str, float]]] = {}
    began = time.monotonic()
    for family in FAMILIES:
        for split in ("id", "ood"):
            clips = batches(ClipSet(arguments.data, family, split, "test"), arguments.clips)
            for name, run in table.items():
                seeds = 1 if name.startswith(("floor", "the raster")) else arguments.seeds
                found = [errors(paired, run(clip, seed), clip) for seed in range(seeds) for clip in clips]
                velocity, position = (torch.cat(part).numpy() for part in zip(*found, strict=True))
                cell = {f"velocity_{k}": v for k, v in summary(velocity, rng).items()}
                cell |= {f"position_{k}": v for k, v in summary(position, rng).items()}
                results.setdefault(name, {})[f"{family} {split}"] = cell
                print(
                    f"{family:15s} {split:4s} {name:34s} velocity {cell['velocity_mean']:.4f} "
                    f"[{cell['velocity_low']:.4f}, {cell['velocity_high']:.4f}]  position {cell['position_mean']:.4f}",
                    flush=True,
                )
    document = {
        "hardware": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "seconds": round(time.monotonic() - began, 1),
        "arguments": {k: str(v) for k, v in vars(arguments).items() if k not in ("paired", "plain", "data", "out")},
        "rows": results,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
