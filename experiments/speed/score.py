"""Clips that the benchmark scores a second on one core, and what takes the time.

    python experiments/speed/score.py [clips]

Clips of 49 frames at 128 pixels with their masks, against the ground truth that is at hand; CPU time of this process,
one thread. The bar is 50 clips a second for all violations together (issue 4); the profile below says what stops it.
"""

from __future__ import annotations

import cProfile
import dataclasses
import pstats
import sys
import time

import torch

import worldsim as ws
from worldsim.benchmarks.track import measure_tracks, outline
from worldsim.benchmarks.world import read_motion, world_of
from worldsim.engines import Rollout, get_engine

FAMILIES = ("uniform_motion", "parabola", "collision", "bouncing_balls", "hoop", "billiards")
FRAMES, PIXELS, LINES = 49, 128, 15


def clip(family: str) -> Rollout:
    """A scene of the family at the size that is timed."""
    scene = ws.make_scene(family, seed=0, split="id", role="val")
    camera = dataclasses.replace(scene.camera, width=PIXELS, height=PIXELS)
    scene = dataclasses.replace(scene, camera=camera, duration=(FRAMES - 1) / scene.fps)
    return get_engine("mujoco").simulate(scene)


def seconds(function, repeats: int) -> float:
    """CPU seconds a call, the best of `repeats`."""
    function()
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        function()
        best = min(best, time.process_time() - start)
    return best


def read(rollout: Rollout) -> None:
    """Masks to motion, the part before the laws."""
    world, edges = world_of(rollout.scene, PIXELS, PIXELS), outline(rollout.ids)
    read_motion(measure_tracks(rollout.ids, len(world.bodies), edges), edges, world, rollout.scene.fps)


def main() -> None:
    """Print a line a family, then the profile of the slowest."""
    torch.set_num_threads(1)
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    print(f"{FRAMES} frames, {PIXELS} px, masks given, one thread, CPU time, best of {repeats}")
    print("score: with setup, so that one video is read; with the scene its ground truth is read as well\n")
    print(f"{'family':16} {'masks to motion':>16} {'score, setup':>13} {'score, scene':>13} {'clips a second':>15}")
    slowest, most = None, 0.0
    for family in FAMILIES:
        rollout = clip(family)
        setup = rollout.scene.setup()
        motion = seconds(lambda r=rollout: read(r), repeats)
        alone = seconds(lambda r=rollout, s=setup: ws.score(r.video, masks=r.ids, setup=s), repeats)
        both = seconds(lambda r=rollout: ws.score(r.video, masks=r.ids, scene=r), repeats)
        print(f"{family:16} {motion * 1e3:13.1f} ms {alone * 1e3:10.1f} ms {both * 1e3:10.1f} ms {1 / alone:15.1f}")
        if alone > most:
            slowest, most = rollout, alone
    profile = cProfile.Profile()
    profile.runcall(ws.score, slowest.video, masks=slowest.ids, setup=slowest.scene.setup())
    print(f"\nprofile of {slowest.scene.family}")
    pstats.Stats(profile).sort_stats("tottime").print_stats(LINES)


if __name__ == "__main__":
    main()
