"""PhyWorld's errors for every row that a claim needs, in and out of distribution.

python experiments/phyworld/evaluate.py DATA --paired RUN --law LAW [--plain RUN] [--clips 200] [--seeds 3]
    [--steered] [--only NAME ...] --out results.json

Rows are added to those that the file has, where clips, seeds and steps are the same.
LAW comes from learn_law.py: what the paired model rolls out with was learned from video. Errors are those of measure.py
by both readers, with 95 % bootstrap intervals over clips and seeds; page.py prints them.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from data import FAMILIES, ClipSet
from measure import READERS, errors
from page import page
from torch import Tensor

from worldsim.data.clip import Clip
from worldsim.models.pairing import draw_hint, predict
from worldsim.models.steering import Guidance
from worldsim.models.world import World
from worldsim.models.world_model import WorldModel
from worldsim.physics import LawParameters, Trajectory
from worldsim.scene.files import write_bytes
from worldsim.training import load_run, run_facts

NUM_FRAMES, NUM_CONTEXT, BATCH = 16, 4, 50
FLOOR, RASTER, PAIRED = "the reader on ground truth", "the rasterised prior alone", "paired"


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


def wrong_law(law: LawParameters, clip: Clip) -> LawParameters:
    """Gravity x 1.5 and restitution - .3."""
    return dataclasses.replace(law, gravity=law.gravity * 1.5, restitution=clip.bodies.restitution - 0.3)


def learned_law(table: dict[str, dict[str, Any]], clip: Clip, family: str) -> LawParameters:
    """What learn_law.py found for the world, in place of the Setups' law."""
    found = table[family]
    law = dataclasses.replace(clip.law, gravity=torch.tensor(found["gravity"]).expand_as(clip.law.gravity))
    if found["restitution"] is None:
        return law
    return dataclasses.replace(law, restitution=torch.full_like(clip.bodies.restitution, found["restitution"]))


def without_last(model: WorldModel, clip: Clip) -> Trajectory:
    """What the prior foresees where it is not told of the last ball after the context."""
    world = World.of(clip.setups)
    told = model.foresee(world, clip.video[:, :, :NUM_CONTEXT], NUM_FRAMES)
    start = told.frames(NUM_CONTEXT - 1, NUM_CONTEXT)
    presence = start.presence.clone()
    presence[..., -1] = 0
    start = dataclasses.replace(start, presence=presence)
    return predict(model.prior, start, told.frames(0, NUM_CONTEXT), world.bodies, NUM_FRAMES - NUM_CONTEXT, world.law)


def rows(
    paired: WorldModel, plain: WorldModel | None, laws: dict[str, dict[str, Any]], steps: int, steered: bool
) -> dict[str, Callable[[Clip, str, int], Tensor]]:
    """Row name to a function from clip, family and seed to video."""

    def generate(
        model: WorldModel,
        law: Callable[[Clip, str], LawParameters] | None = None,
        lacks: bool = False,
        **options: Any,
    ) -> Callable[[Clip, str, int], Tensor]:
        def run(clip: Clip, family: str, seed: int) -> Tensor:
            context, new = clip.video[:, :, :NUM_CONTEXT], NUM_FRAMES - NUM_CONTEXT
            told = law(clip, family) if law else None
            return model.generate(context, clip.setups, new, seed=seed, steps=steps, law=told, **options).video

        def run_lacking(clip: Clip, family: str, seed: int) -> Tensor:
            foreseen = without_last(model, clip)
            with patch.object(model, "foresee", lambda *_, **__: foreseen):
                return run(clip, family, seed)

        return run_lacking if lacks else run

    def learned(clip: Clip, family: str) -> LawParameters:
        return learned_law(laws, clip, family)

    def raster(clip: Clip, family: str, seed: int) -> Tensor:
        world = World.of(clip.setups)
        foreseen = paired.foresee(world, clip.video[:, :, :NUM_CONTEXT], NUM_FRAMES, law=learned(clip, family))
        return draw_hint(foreseen, world.bodies, world.view, world.background, "flat")

    table: dict[str, Callable[[Clip, str, int], Tensor]] = {
        FLOOR: lambda clip, family, seed: clip.video,
        RASTER: raster,
        PAIRED: generate(paired, learned),
        "paired, law given": generate(paired),
        "paired, hint off": generate(paired, hint=False),
        "paired, wrong law": generate(paired, lambda clip, family: wrong_law(clip.law, clip)),
        "paired, hint lacks a ball": generate(paired, lacks=True),
    }
    if steered:
        table["paired, guided by the energy"] = generate(paired, learned, guidance=Guidance("energy"))
        table["paired, projected"] = generate(paired, learned, guidance=Guidance("project"))
    if plain is not None:
        table["plain twin"] = generate(plain)
    return table


def bootstrap(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """1000 means of resampled values; NaN alone where there are none."""
    values = values[np.isfinite(values)]
    return rng.choice(values, (1000, len(values))).mean(1) if len(values) else np.full(1000, np.nan)


def cell(values: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    """Mean with a 95 % bootstrap interval."""
    means = bootstrap(values, rng)
    low, high = np.quantile(means, [0.025, 0.975])
    good = values[np.isfinite(values)]
    return {"mean": float(good.mean()) if len(good) else np.nan, "low": float(low), "high": float(high), "n": len(good)}


def main() -> None:
    """Fill the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--paired", type=Path, required=True)
    parser.add_argument("--law", type=Path, required=True, help="what learn_law.py wrote")
    parser.add_argument("--plain", type=Path)
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3, help="sampling seeds of paired and plain; other rows take one")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--steered", action="store_true", help="rows of guidance too, which take four times as long")
    parser.add_argument("--only", nargs="*", default=[], help="rows to make; all that can be made where left out")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("outputs/phyworld.json"), help="rows that it has stay")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    paired = load_run(arguments.paired)
    plain, laws = load_run(arguments.plain) if arguments.plain else None, json.loads(arguments.law.read_text())
    table = rows(paired, plain, laws, arguments.steps, arguments.steered)
    for name in arguments.only:
        if name not in table:
            parser.error(f"--only: must be among {', '.join(table)}, got {name!r}")
    table = {name: run for name, run in table.items() if not arguments.only or name in arguments.only}
    options = {key: getattr(arguments, key) for key in ("clips", "seeds", "steps")}
    before = json.loads(arguments.out.read_text()) if arguments.out.exists() else None
    if before is not None and before["arguments"] != options:
        parser.error(f"--clips, --seeds, --steps: must be as in {arguments.out}, {before['arguments']}, got {options}")
    began = time.monotonic()
    found: dict[str, dict[str, dict[str, dict[str, list[np.ndarray]]]]] = {}
    for family in FAMILIES:
        for split in ("id", "ood"):
            clips = batches(ClipSet(arguments.data, family, split, "test"), arguments.clips)
            for name, run in table.items():
                for seed in range(arguments.seeds if name in (PAIRED, "plain twin") else 1):
                    for clip in clips:
                        video = run(clip, family, seed)
                        for reader in READERS:
                            got = errors(video, clip, family, reader)
                            place = (
                                found.setdefault(reader, {}).setdefault(name, {}).setdefault(f"{family} {split}", {})
                            )
                            for field in dataclasses.fields(got):
                                place.setdefault(field.name, []).append(getattr(got, field.name).numpy())
                print(f"{time.monotonic() - began:6.0f} s  {family} {split}: {name}", flush=True)
    document: dict[str, Any] = before or {"seconds": 0.0, "arguments": options, "runs": {}, "readers": {}}
    document["hardware"] = f"{platform.machine()}, {os.cpu_count()} cores, {arguments.threads} thread"
    document["seconds"] = round(document["seconds"] + time.monotonic() - began, 1)
    for key, run in (("paired", arguments.paired), ("plain", arguments.plain)):
        if run:
            document["runs"][key] = run_facts(run)
    for reader, told in found.items():
        document["readers"].setdefault(reader, {}).update(summarise(told))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(arguments.out, json.dumps(document, indent=1).encode())
    print(page(document))


def summarise(
    rows: dict[str, dict[str, dict[str, list[np.ndarray]]]],
) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """Means with intervals for each row, cell and figure, and velocity errors' ratios out of over in distribution."""
    rng = np.random.default_rng(0)
    result: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    for name, cells in rows.items():
        joined = {where: {k: np.concatenate(v) for k, v in figures.items()} for where, figures in cells.items()}
        result[name] = {where: {k: cell(v, rng) for k, v in figures.items()} for where, figures in joined.items()}
        for family in FAMILIES:
            inner, outer = (bootstrap(joined[f"{family} {s}"]["frame_velocity"], rng) for s in ("id", "ood"))
            low, middle, high = np.quantile(outer / inner, [0.025, 0.5, 0.975])
            result[name][f"{family} ood"]["ratio"] = {"median": float(middle), "low": float(low), "high": float(high)}
    return result


if __name__ == "__main__":
    main()
