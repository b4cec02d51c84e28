"""Seconds to sample one video with a shipped checkpoint, and memory while a long one grows.

    python experiments/speed/sampling.py [--model phyworld-small] [--scene collision] [--threads 2] [--out PAGE.md]

The scene is drawn, and its pictures are made, as the checkpoint's card says. Bar: 16 frames of 32 px in 2 s.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from score import machine

import worldsim
from worldsim.cli._generation import draw_scene, play
from worldsim.models import WorldModel
from worldsim.models.pretrained import read_config

FRAMES, BAR = 16, 2.0
PAGE = """# Speed of sampling

Written by `python experiments/speed/sampling.py {words}`.

{cpu}, {cores} cores, no GPU, threads {threads}, load {load:.2f} at the start; {versions}.

`{model}` goes on from {context} frames of {scene} (seed 0, split id, role test), {pixels} px: {frames} new frames by
{steps} Euler steps, {repeats} times after one that warms up, wall-clock. Then one video of {long} frames by 2 steps,
chunk by chunk; peak memory is that of the whole process. Bar: {bar:g} s.

| | |
|---|---|
| seconds, median (least to most) | {median:.2f} ({least:.2f} to {most:.2f}), bar {verdict} |
| seconds of the first call | {first:.2f} |
| peak memory after {few} new frames | {start} MiB |
| peak memory after {half} | {middle} MiB |
| peak memory after {all} | {end} MiB |
"""


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """The figures that are printed, and that the page is made of."""
    load = os.getloadavg()[0]
    model = WorldModel.from_pretrained(arguments.model)
    _, card = read_config(arguments.model)
    scene = draw_scene(arguments.scene, 0, "id", {}, card)
    known = max(model.config.context_lengths)
    context, setup = play(scene, card).video[:known], scene.setup()
    seconds = []
    for repeat in range(arguments.repeats + 1):
        began = time.perf_counter()
        model.generate(context, setup, FRAMES, seed=repeat, steps=arguments.steps)
        seconds.append(time.perf_counter() - began)
    peaks, frames = [], 0
    for chunk in model.stream(context, setup, arguments.long, steps=2):
        frames += chunk.video.shape[2] - chunk.num_context
        peaks.append((frames, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024))
    return {
        "machine": {**machine(), "worldsim": worldsim.__version__, "threads": arguments.threads, "load": load},
        "model": arguments.model,
        "scene": arguments.scene,
        "pixels": scene.camera.height,
        "context": known,
        "frames": FRAMES,
        "steps": arguments.steps,
        "repeats": arguments.repeats,
        "long": arguments.long,
        "seconds, median min max": [f(seconds[1:]) for f in (statistics.median, min, max)],
        "first call": seconds[0],
        "peak MiB by frame": [peaks[0], peaks[len(peaks) // 2], peaks[-1]],
    }


def page(found: Mapping[str, Any], words: str) -> str:
    """Markdown of the figures; `words` are the options that repeat them."""
    place, (median, least, most) = found["machine"], found["seconds, median min max"]
    (few, start), (half, middle), (whole, end) = found["peak MiB by frame"]
    told = {name: found[name] for name in ("model", "scene", "pixels", "context", "frames", "steps", "repeats", "long")}
    return PAGE.format(
        **told,
        **{name: place[name] for name in ("cpu", "cores", "threads", "load")},
        words=words,
        versions=", ".join(f"{name} {place[name]}" for name in ("worldsim", "torch", "numpy", "python")),
        bar=BAR,
        verdict="met" if median <= BAR else "missed",
        median=median,
        least=least,
        most=most,
        first=found["first call"],
        few=few,
        half=half,
        all=whole,
        start=start,
        middle=middle,
        end=end,
    )


def main() -> None:
    """Time, weigh, print, and write the page where asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="phyworld-small")
    parser.add_argument("--scene", default="collision")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--long", type=int, default=600, help="frames of the long video")
    parser.add_argument("--out", type=Path, help="page to write, ending in .md")
    arguments = parser.parse_args()
    for name in ("repeats", "steps", "long", "threads"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name}: must be 1 or above, got {getattr(arguments, name)}")
    if arguments.out is not None and arguments.out.suffix != ".md":
        parser.error(f"--out: must end in .md, got {arguments.out}")
    torch.set_num_threads(arguments.threads)
    found = measure(arguments)
    print(json.dumps(found, indent=1))
    if arguments.out is not None:
        names = ("model", "scene", "threads", "repeats", "steps", "long")
        words = " ".join(f"--{name} {getattr(arguments, name)}" for name in names)
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(page(found, f"{words} --out {arguments.out.name}"), encoding="utf-8")


if __name__ == "__main__":
    main()
