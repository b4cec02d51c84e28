"""Time the score: clips a second of one core, masks given, and where the time goes.

Run: OMP_NUM_THREADS=1 python experiments/speed/score.py [--clips 4] [--repeats 5] [--profile]. The bar is 50 clips of
49 frames at 128 px a second. Seconds are processor time of this process, so that other work disturbs them less.

Each family's clips are its test scenes 0, 1, ... played by MuJoCo. "score" is ws.score with the setup: all violations,
no floors. "with floors" is ws.score with the Rollout, which reads the ground truth as well. The stages are those of
"score", each the median over repeats of its time a clip; "headline" is the rest: figures, scores, report.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import platform
import pstats
import statistics
import time
from typing import Any

import numpy as np
import torch

import worldsim as ws
from worldsim.benchmarks.ground_truth import ground_truth
from worldsim.benchmarks.laws import read_laws
from worldsim.benchmarks.track import measure_tracks, outline
from worldsim.benchmarks.masks_input import load_masks
from worldsim.benchmarks.video_input import load_video
from worldsim.benchmarks.world import read_motion, world_of
from worldsim.engines import Rollout

FAMILIES = ("parabola", "collision", "bouncing_balls", "billiards", "hoop", "incline")
STAGES = ("load", "outline and moments", "registration", "laws", "headline")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", nargs="+", default=FAMILIES)
    parser.add_argument("--clips", type=int, default=4)
    parser.add_argument("--frames", type=int, default=49)
    parser.add_argument("--pixels", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--profile", action="store_true", help="print the functions that take longest")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(
        f"torch {torch.__version__}, numpy {np.__version__}, {platform.processor() or platform.machine()}, one thread,"
    )
    print(f"load {os.getloadavg()[0]:.2f}; {arguments.clips} clips a family, {arguments.frames} frames,", end=" ")
    print(f"{arguments.pixels} px, masks given; median of {arguments.repeats} repeats")
    print(
        f"{'family':16}{'score/s':>9}{'range':>14}{'with floors/s':>15}" + "".join(f"{s + ' ms':>24}" for s in STAGES)
    )
    totals = []
    for family in arguments.families:
        clips = [clip(family, seed, arguments.frames, arguments.pixels) for seed in range(arguments.clips)]
        told, floors, stages = measure(clips, arguments.repeats)
        totals.append(statistics.median(told) / len(clips))
        rates = [len(clips) / seconds for seconds in told]
        line = f"{family:16}{statistics.median(rates):9.1f}{f'{min(rates):.0f} to {max(rates):.0f}':>14}"
        line += f"{len(clips) / statistics.median(floors):15.1f}"
        print(line + "".join(f"{1000 * stages[s] / len(clips):24.2f}" for s in STAGES), flush=True)
        if arguments.profile:
            profile(clips)
    print(f"{'all':16}{1 / statistics.mean(totals):9.1f}")


def clip(family: str, seed: int, frames: int, pixels: int) -> Rollout:
    """A test scene of the family, played for so many frames at this height of picture."""
    scene = ws.make_scene(family, seed=seed, split="id", role="test")
    width = round(pixels * scene.camera.width / scene.camera.height)
    return ground_truth(scene, pixels, width, frames, scene.fps)


def measure(clips: list[Rollout], repeats: int) -> tuple[list[float], list[float], dict[str, float]]:
    """Seconds for all clips: scored with setup, by repeat; with floors, by repeat; and by stage, the median."""
    setups = [rollout.scene.setup() for rollout in clips]
    told, floors = [], []
    parts: dict[str, list[float]] = {stage: [] for stage in STAGES}
    for repeat in range(repeats + 1):
        spent = [seconds(rollout, setup=setup) for rollout, setup in zip(clips, setups, strict=True)]
        judged = [seconds(rollout, scene=rollout) for rollout in clips]
        own = [stages(rollout) for rollout in clips]
        if repeat == 0:
            continue  # warms up
        told.append(sum(spent))
        floors.append(sum(judged))
        for stage in STAGES[:-1]:
            parts[stage].append(sum(row[stage] for row in own))
        parts["headline"].append(told[-1] - sum(parts[stage][-1] for stage in STAGES[:-1]))
    return told, floors, {stage: statistics.median(values) for stage, values in parts.items()}


def stages(rollout: Rollout) -> dict[str, float]:
    """Seconds of each stage of one clip's score."""
    frames, height, width = rollout.ids.shape
    clock = [time.process_time()]

    def tick() -> None:
        clock.append(time.process_time())

    world = world_of(rollout.scene.setup(), height, width)
    load_video(rollout.video)
    ids = load_masks(rollout.ids, (frames, height, width), len(world.bodies))
    tick()
    edges = outline(ids)
    tracks = measure_tracks(ids, len(world.bodies), edges)
    tick()
    motion = read_motion(tracks, edges, world, rollout.scene.fps) if world.balls else None
    tick()
    read_laws(tracks, world, motion, None, "planar" if world.planar else "scene")
    tick()
    return dict(zip(STAGES[:-1], np.diff(clock).tolist(), strict=True))


def seconds(rollout: Rollout, **told: Any) -> float:
    """Processor time of a score with the ground truth's own masks."""
    start = time.process_time()
    ws.score(rollout.video, masks=rollout.ids, **told)
    return time.process_time() - start


def profile(clips: list[Rollout]) -> None:
    """Print the functions that take longest themselves."""
    with cProfile.Profile() as profiler:
        for rollout in clips:
            ws.score(rollout.video, masks=rollout.ids, setup=rollout.scene.setup())
    pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    main()
