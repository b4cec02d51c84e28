"""Gravity and restitution learned from id/train video through the prior, from wrong starts.

python experiments/phyworld/learn_law.py DATA [--seeds 3] [--out law.json]

PhyWorld's worlds have gravity 0 or 2.5 and restitution 1; collisions of restitution .5 and .8 are painted anew.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from data import ClipSet, paint
from torch import Tensor

import worldsim as ws
from worldsim.data.clip import to_float
from worldsim.models.law_from_video import learn_law
from worldsim.physics import LearnedLaw, PhysicsPrior, PriorConfig
from worldsim.scene import Scene, Setup
from worldsim.scene.files import write_bytes
from worldsim.training import step_generator
from worldsim.vision.readout import ColourReadout
from worldsim_envs.exact import exact_trajectory

BATCH, NUM_FRAMES = 32, 24
WRONG_GRAVITY, WRONG_RESTITUTION = (0.3, 0.0, -5.0), 0.65


def painted(restitution: float, count: int) -> tuple[list[Scene], Tensor]:
    """Collisions of that restitution from id/train seeds, and their videos."""
    scenes = []
    for seed in range(count):
        scene = ws.make_scene("collision", seed=seed, split="id", role="train", pixels=32)
        bodies = tuple(dataclasses.replace(body, restitution=restitution) for body in scene.bodies)
        scenes.append(dataclasses.replace(scene, bodies=bodies))
    return scenes, torch.stack([torch.from_numpy(paint(s, exact_trajectory(s))) for s in scenes])


def fit(scenes: list[Scene], videos: Tensor, seed: int, steps: int) -> LearnedLaw:
    """The law that explains the videos."""
    # What the Setups say of matter is covered up: the law must come from the pixels.
    setups = [
        dataclasses.replace(s.setup(), bodies=tuple(dataclasses.replace(b, restitution=0.5) for b in s.setup().bodies))
        for s in scenes
    ]
    prior = PhysicsPrior(config=PriorConfig(max_step=0.1))
    law = LearnedLaw(len(scenes[0].bodies), WRONG_GRAVITY, restitution=WRONG_RESTITUTION)

    def batch_for(step: int) -> tuple[Tensor, Sequence[Setup]]:
        rows = torch.randint(len(scenes), (BATCH,), generator=step_generator(seed, step)).tolist()
        return to_float(videos[rows, :NUM_FRAMES]), [setups[i] for i in rows]

    return learn_law(batch_for, law, prior, ColourReadout(1 / scenes[0].fps), steps=steps)


def main() -> None:
    """Learn every law with every seed and print truth beside estimate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--clips", type=int, default=300)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("outputs/law.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    def stored(family: str) -> Callable[[], tuple[list[Scene], Tensor]]:
        def load() -> tuple[list[Scene], Tensor]:
            clips = ClipSet(arguments.data, family, "id", "train")
            return clips.scenes[: arguments.clips], clips.tensors["video"][: arguments.clips]

        return load

    worlds: dict[str, Callable[[], tuple[list[Scene], Tensor]]] = {
        "uniform_motion": stored("uniform_motion"),
        "parabola": stored("parabola"),
        "collision": stored("collision"),
        "collision, restitution 0.8": lambda: painted(0.8, arguments.clips),
        "collision, restitution 0.5": lambda: painted(0.5, arguments.clips),
    }
    rows: dict[str, dict[str, object]] = {}
    print(
        "| world | true gravity | learned, mean over seeds (spread) | true restitution | learned (spread) | minutes |"
    )
    print("|---" * 6 + "|")
    for name, load in worlds.items():
        began = time.monotonic()
        scenes, videos = load()
        laws = [fit(scenes, videos, seed, arguments.steps)() for seed in range(arguments.seeds)]
        down = torch.stack([-law.gravity[2] for law in laws]).detach()
        bounce = torch.stack([law.restitution.mean() for law in laws if law.restitution is not None]).detach()
        truth = scenes[0]
        bounces = len(truth.bodies) > 1
        minutes = (time.monotonic() - began) / 60
        rows[name] = {
            "gravity": laws[0].gravity.tolist(),
            "restitution": float(bounce[0]) if bounces else None,
        }
        print(
            f"| {name} | {-truth.law.gravity[2]:.2f} | {down.mean():.4f} ({down.min():.4f}-{down.max():.4f}) | "
            + (f"{truth.bodies[0].restitution:.2f} | " if bounces else "- | ")
            + (f"{bounce.mean():.4f} ({bounce.min():.4f}-{bounce.max():.4f}) | " if bounces else "- | ")
            + f"{minutes:.1f} |",
            flush=True,
        )
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(arguments.out, json.dumps(rows, indent=1).encode("utf-8"))


if __name__ == "__main__":
    main()
