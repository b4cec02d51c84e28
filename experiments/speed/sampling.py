"""Seconds to sample one video with a shipped checkpoint, and memory while a long one grows.

python experiments/speed/sampling.py [--model phyworld-small] [--threads 2]. Bar: 16 frames of 32 px in 2 s.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import time

import numpy as np
import torch

import worldsim as ws
from worldsim.models import WorldModel


def main() -> None:
    """Time and weigh."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="phyworld-small")
    parser.add_argument("--scene", default="collision")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--long", type=int, default=600, help="frames of the long video")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = WorldModel.from_pretrained(arguments.model)
    scene = ws.make_scene(arguments.scene, seed=0, split="id", role="test", pixels=32)
    context = np.asarray(ws.simulate(scene).video[:4])
    seconds = []
    for repeat in range(arguments.repeats + 1):
        began = time.perf_counter()
        made = model.generate(context, scene.setup(), 16, seed=repeat, steps=arguments.steps)
        seconds.append(time.perf_counter() - began)
    peaks, frames = [], 0
    for chunk in model.stream(context, scene.setup(), arguments.long, steps=2):
        frames += chunk.video.shape[2] - chunk.num_context
        peaks.append((frames, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024))
    print(
        json.dumps(
            {
                "machine": f"{platform.machine()}, {os.cpu_count()} cores, {arguments.threads} threads",
                "load": os.getloadavg()[0],
                "frames": int(made.video.shape[0]) - 4,
                "steps": arguments.steps,
                "seconds, median min max": [round(f(seconds[1:]), 3) for f in (statistics.median, min, max)],
                "first call": round(seconds[0], 3),
                "peak MiB by frame": [peaks[0], peaks[len(peaks) // 2], peaks[-1]],
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
