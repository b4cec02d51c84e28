"""Clips that the benchmark scores a second on one core, and what takes the time.

    python experiments/speed/score.py [--out docs/measured] [--rounds 7]

Clips of 49 frames at 128 pixels with their masks, judged with their setup: processor time of this process, one thread.
The bar is 50 clips a second for all violations together. Writes score_speed.json and the page made of it.
"""

from __future__ import annotations

import argparse
import cProfile
import dataclasses
import json
import os
import platform
import pstats
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

import worldsim as ws
from worldsim.benchmarks.laws import read_laws
from worldsim.benchmarks.masks_input import load_masks
from worldsim.benchmarks.track import measure_tracks, outline
from worldsim.benchmarks.video_input import open_video
from worldsim.benchmarks.world import read_motion, world_of
from worldsim.engines import Rollout, get_engine

FAMILIES = ("uniform_motion", "parabola", "collision", "bouncing_balls", "looming", "hoop", "billiards")
FRAMES, PIXELS, BAR = 49, 128, 50.0
SEEDS = range(500, 503)
STAGES = ("video and masks checked", "outlines and moments", "places and velocities", "laws", "floors and score")
HEAD = """# Speed of the score

Written by `python experiments/speed/score.py`; raw figures in `score_speed.json`.

Clips of {frames} frames at {pixels} px with masks given, judged with their setup by all violations that apply
(`ws.score(video, masks=ids, setup=setup)`); {scenes} scenes a family (seeds {first} to {last}, split id, role val),
{rounds} rounds over all families in turn after one that warms up. Clips a second of processor time on one thread: the
median over rounds with the range. {cpu}, {cores} cores, no GPU, load {load:.2f} at the start; {versions}. Bar: {bar:g}.

| family | world | moving bodies | clips a second | milliseconds a clip | bar |
|---|---|---|---|---|---|
"""
PROFILE = """
## Where the time goes

Each stage timed by itself, median over rounds, milliseconds a clip; the last one is the rest of the whole.

"""
CALLS = """
Calls that a clip makes, by the profiler, and what one of torch's takes on average while it watches:

| family | Python calls | of them into torch | microseconds a torch call |
|---|---|---|---|
"""
TAIL = """
Tensors of one clip are small ({frames} frames by a few bodies), so that a torch call costs what calling it costs,
whatever it does: the laws are as fast as their number of calls. The same functions take any number of clips in front
(`violations` work over leading axes), which is what training uses.
"""


def clip(family: str, seed: int) -> Rollout:
    """A scene of the family at the size that is timed."""
    scene = ws.make_scene(family, seed=seed, split="id", role="val")
    camera = dataclasses.replace(scene.camera, width=PIXELS, height=PIXELS)
    scene = dataclasses.replace(scene, camera=camera, duration=(FRAMES - 1) / scene.fps)
    return get_engine("mujoco").simulate(scene)


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Processor seconds of a call, and what it gives."""
    start = time.process_time()
    result = function()
    return time.process_time() - start, result


def score(rollout: Rollout) -> Any:
    """All violations of one clip."""
    return ws.score(rollout.video, masks=rollout.ids, setup=rollout.scene.setup())


def stages(rollout: Rollout) -> list[float]:
    """Seconds of the stages but the last one, each by itself."""
    scene = rollout.scene
    world = world_of(scene, PIXELS, PIXELS)

    def enter() -> Any:
        footage = open_video(rollout.video, scene.fps)
        return load_masks(rollout.ids, footage.shape, len(world.bodies), footage.size)

    def look() -> Any:
        edges = outline(rollout.ids)
        return edges, measure_tracks(rollout.ids, len(world.bodies), edges)

    entering, _ = timed(enter)
    looking, (edges, tracks) = timed(look)
    placing, motion = timed(lambda: read_motion(tracks, edges, world, scene.fps))
    judging, _ = timed(lambda: read_laws(tracks, world, motion, None, "planar" if scene.planar else "scene"))
    return [entering, looking, placing, judging]


def calls(rollout: Rollout) -> dict[str, float]:
    """Calls of one clip by the profiler."""
    profile = cProfile.Profile(time.process_time)
    profile.runcall(score, rollout)
    rows: Mapping[Any, Any] = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    inside = [(count, own) for (_, _, name), (_, count, own, *_) in rows.items() if "torch" in name or "Tensor" in name]
    total = sum(count for count, _ in inside)
    return {
        "calls": sum(count for _, count, *_ in rows.values()),
        "torch_calls": total,
        "torch_call_us": 1e6 * sum(own for _, own in inside) / max(total, 1),
    }


def measure(rounds: int) -> dict[str, Any]:
    """The document that the page is made of."""
    clips = {family: [clip(family, seed) for seed in SEEDS] for family in FAMILIES}
    whole: dict[str, list[float]] = {family: [] for family in FAMILIES}
    parts: dict[str, list[list[float]]] = {family: [] for family in FAMILIES}
    load = os.getloadavg()[0]
    for number in range(rounds + 1):
        for family, rollouts in clips.items():
            spent = [timed(lambda r=rollout: score(r))[0] for rollout in rollouts]
            of_stages = [stages(rollout) for rollout in rollouts]
            if number:
                whole[family].append(statistics.mean(spent))
                parts[family].append(np.mean(of_stages, 0).tolist())
    results = {}
    for family, rollouts in clips.items():
        seconds = statistics.median(whole[family])
        known = np.median(parts[family], 0).tolist()
        results[family] = {
            "planar": rollouts[0].scene.planar,
            "moving": [sum(not body.static for body in rollout.scene.bodies) for rollout in rollouts],
            "seconds": whole[family],
            "clips_a_second": 1 / seconds,
            "stages": dict(zip(STAGES, [*known, max(0.0, seconds - sum(known))], strict=True)),
            **calls(rollouts[0]),
        }
    settings = {"frames": FRAMES, "pixels": PIXELS, "seeds": list(SEEDS), "rounds": rounds, "bar": BAR}
    return {"settings": settings, "machine": {**machine(), "load": load}, "results": results}


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    info = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


def page(document: Mapping[str, Any]) -> str:
    """Markdown of the measured document."""
    settings, results = document["settings"], document["results"]
    versions = ", ".join(f"{name} {document['machine'][name]}" for name in ("torch", "numpy", "python"))
    told = {name: document["machine"][name] for name in ("cpu", "cores", "load")}
    seeds = settings["seeds"]
    given = {name: settings[name] for name in ("frames", "pixels", "rounds", "bar")}
    text = HEAD.format(**given, **told, versions=versions, scenes=len(seeds), first=seeds[0], last=seeds[-1])
    for family, row in results.items():
        low, high = 1 / max(row["seconds"]), 1 / min(row["seconds"])
        moving = sorted(set(row["moving"]))
        bodies = str(moving[0]) if len(moving) == 1 else f"{moving[0]} to {moving[-1]}"
        rate, world = row["clips_a_second"], "planar" if row["planar"] else "in space"
        text += f"| {family} | {world} | {bodies} | {rate:.1f} ({low:.1f} to {high:.1f}) | {1e3 / rate:.1f} "
        text += f"| {'met' if rate >= settings['bar'] else 'missed'} |\n"
    text += PROFILE + f"| family | {' | '.join(STAGES)} |\n|---{'|---' * len(STAGES)}|\n"
    for family, row in results.items():
        cells = " | ".join(f"{1e3 * row['stages'][stage]:.1f}" for stage in STAGES)
        text += f"| {family} | {cells} |\n"
    text += CALLS
    for family, row in results.items():
        text += f"| {family} | {row['calls']:,.0f} | {row['torch_calls']:,.0f} | {row['torch_call_us']:.1f} |\n"
    return text + TAIL.format(frames=settings["frames"])


def main() -> None:
    """Measure, print the page and write it beside its figures."""
    parser = argparse.ArgumentParser(description="Clips that ws.score judges a second on one core.")
    parser.add_argument("--out", type=Path, default=Path("docs/measured"), help="folder for the page and its figures")
    parser.add_argument("--rounds", type=int, default=7, help="rounds over all families that count")
    args = parser.parse_args()
    if args.rounds < 1:
        parser.error(f"--rounds: must be 1 or above, got {args.rounds}")
    torch.set_num_threads(1)
    document = measure(args.rounds)
    text = page(document)
    print(text)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "score_speed.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    (args.out / "score_speed.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
