"""Violations against time over long roll-outs, chunk by chunk, with the memory that they take.

python experiments/violations/long_rollout.py OUT --readout READOUT [--paired RUN] [--plain RUN] [--clips 4]
    [--frames 600] [--bin 60] [--steps 6]

Boxes of three balls of role test, in distribution, from places that the study's own clips do not reach, played by
MuJoCo for as long. Each row is a file of its own in OUT and is not made again where it is there; table and figure
(OUT/long_rollout.png) are of all that are there. Read by the independent tracker, chunk by chunk as they come.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from data import FIRST_TEST, FPS, NUM_CONTEXT, NUM_FRAMES, PIXELS, make_scene
from measure import DEEP, motion_of, overlaps, radii
from reader import moving, read
from rows import FLOOR, PAIRED, PLAIN, RASTER
from torch import Tensor

import worldsim as ws
from worldsim.data import average_down
from worldsim.data.clip import to_float, to_uint8
from worldsim.models.prior_alone import prior_alone
from worldsim.models.world import World
from worldsim.models.world_model import WorldModel
from worldsim.physics import Bodies, violations
from worldsim.scene import Scene, Setup
from worldsim.scene.files import write_bytes
from worldsim.training import load_run
from worldsim.vision.learned_readout import LearnedReadout

FAMILY, FIRST = "balls3", FIRST_TEST + 3000
CHUNK = 12  # new frames


def scenes(count: int, frames: int) -> list[Scene]:
    """Scenes that go on for all frames, with the camera that the engine draws with."""
    found = (make_scene(FAMILY, "id", "test", FIRST + i) for i in range(count))
    return [dataclasses.replace(scene, duration=(frames - 1) / FPS) for scene in found]


def small(scene: Scene) -> Scene:
    """With the camera of the clips."""
    return dataclasses.replace(scene, camera=dataclasses.replace(scene.camera, width=PIXELS, height=PIXELS))


def truth(fine: list[Scene], frames: int) -> Iterator[Tensor]:
    """(B, 3, n, H, W) chunks of the simulator's videos, drawn as clips are; the first holds the context."""
    engine = ws.get_engine("mujoco")
    played = [engine.simulate(scene, render=False) for scene in fine]
    begin = 0
    while begin < frames:
        end = min(frames, begin + (NUM_CONTEXT if not begin else 0) + CHUNK)
        videos = []
        for scene, rollout in zip(fine, played, strict=True):
            part = rollout.trajectory.map(lambda x, a=begin, b=end: x[a:b])
            drawn = engine.render(scene, part)
            shown = dataclasses.replace(rollout, video=drawn.video, ids=drawn.ids, depth=drawn.depth, trajectory=part)
            videos.append(average_down(shown, small(scene)).video)
        yield to_float(torch.from_numpy(np.stack(videos)))
        begin = end


def made(model: WorldModel, context: Tensor, setups: list[Setup], frames: int, steps: int) -> Iterator[Tensor]:
    """(B, 3, n, H, W) chunks of a model's videos; the context comes with the first."""
    for k, chunk in enumerate(model.stream(context, setups, frames - NUM_CONTEXT, seed=0, steps=steps)):
        yield chunk.video if k == 0 else chunk.video[:, :, chunk.num_context :]


def watch(chunks: Iterator[Tensor], setups: list[Setup]) -> dict[str, Any]:
    """Of each frame, mean over clips: deepest overlap in radii, whether it is deep, pass-throughs, balls seen."""
    bodies, places = Bodies.from_scenes(setups, dtype=torch.float64), moving(setups[0])
    size, rest = radii(bodies, places), World.of(setups).fixed
    found: dict[str, list[float]] = {"overlap": [], "deep": [], "pass_through": [], "seen": []}
    memory: list[float] = []
    before = None
    for chunk in chunks:
        # The last frame before goes along: a ball may pass through another between chunks.
        video = chunk if before is None else torch.cat([before, chunk], 2)
        sights = [read(to_uint8(v).numpy(), setup) for v, setup in zip(video, setups, strict=True)]
        position, measured = (
            torch.from_numpy(np.stack([getattr(s, n) for s in sights])) for n in ("position", "measured")
        )
        still = rest.map(lambda x, n=video.shape[2]: x.expand(-1, n, *x.shape[2:]))
        motion = motion_of(position, measured, still, places)
        depth = overlaps(motion, bodies, size).amax(-1)
        through = violations.pass_through(motion, bodies).values.sum(-1)
        new = slice(video.shape[2] - chunk.shape[2], None)
        for name, values in (
            ("overlap", depth),
            ("deep", (depth > DEEP).double()),
            ("pass_through", through),
            ("seen", measured.double().mean(-1)),
        ):
            found[name] += values[:, new].mean(0).tolist()
        memory.append(resident())
        before = chunk[:, :, -1:]
    return {**found, "memory": memory}


def resident() -> float:
    """MiB that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def binned(values: list[float], size: int) -> list[float]:
    """Means over bins of frames, those of the context left out."""
    new = values[NUM_CONTEXT:]
    return [float(np.mean(new[i : i + size])) for i in range(0, len(new), size)]


def page(out: Path, size: int) -> str:
    """Markdown of all rows, and the figure."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    titles = {
        "deep": f"Share of frames with an overlap deeper than {DEEP} radii",
        "overlap": "Deepest overlap of a frame, radii",
        "pass_through": "Pass-throughs a frame",
        "seen": "Share of balls that the tracker can place",
    }
    rows = [json.loads(path.read_text()) for path in sorted(out.glob("*.json"), key=lambda p: p.stat().st_mtime)]
    figure, axes = pyplot.subplots(1, len(titles), figsize=(4 * len(titles), 3))
    parts = []
    for axis, (name, title) in zip(axes, titles.items(), strict=True):
        bins = max(len(binned(row[name], size)) for row in rows)
        heads = [f"{k * size}-{(k + 1) * size}" for k in range(bins)]
        parts += [f"\n{title}, by new frames:\n", "| | " + " | ".join(heads) + " |", "|---" * (bins + 1) + "|"]
        for row in rows:
            shown = binned(row[name], size)
            parts.append(f"| {row['row']} | " + " | ".join(f"{v:.3f}" for v in shown) + " |")
            axis.plot([(k + 0.5) * size for k in range(len(shown))], shown, label=row["row"])
        axis.set_title(title, fontsize=8)
        axis.set_xlabel("new frames", fontsize=8)
    axes[0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(out / "long_rollout.png", dpi=110)
    parts.append("\nMemory of the process, MiB, after a fifth of the chunks and after the last one:\n")
    for row in rows:
        early, last = row["memory"][len(row["memory"]) // 5], row["memory"][-1]
        told = f"{early:.0f}, {last:.0f}; {row['clips']} clips, {row['minutes']} minutes"
        parts.append(f"- {row['row']}: {told}")
    return "\n".join(parts)


def main() -> None:
    """Make the rows that are missing, then print all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--readout", type=Path, required=True)
    parser.add_argument("--paired", type=Path)
    parser.add_argument("--plain", type=Path)
    parser.add_argument("--clips", type=int, default=4)
    parser.add_argument("--frames", type=int, default=600)
    parser.add_argument("--bin", type=int, default=60)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    frames = arguments.frames + NUM_CONTEXT
    fine = scenes(arguments.clips, frames)
    setups = [small(scene).setup() for scene in fine]
    context = next(truth([dataclasses.replace(s, duration=(NUM_FRAMES - 1) / FPS) for s in fine], NUM_FRAMES))
    context = context[:, :, :NUM_CONTEXT]
    models: dict[str, WorldModel | None] = {
        FLOOR: None,
        RASTER: prior_alone(FPS, NUM_CONTEXT, LearnedReadout.load(arguments.readout)),
    }
    models |= {name: load_run(run) for name, run in ((PAIRED, arguments.paired), (PLAIN, arguments.plain)) if run}
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, model in models.items():
        path = arguments.out / f"{name.replace(' ', '-')}.json"
        if path.exists():
            continue
        began = time.monotonic()
        chunks = truth(fine, frames) if model is None else made(model, context, setups, frames, arguments.steps)
        found = watch(chunks, setups)
        minutes = round((time.monotonic() - began) / 60, 1)
        document = {"row": name, "clips": arguments.clips, "minutes": minutes, **found}
        write_bytes(path, json.dumps(document).encode())
        print(f"{name}: {minutes} minutes", flush=True)
    print(page(arguments.out, arguments.bin))


if __name__ == "__main__":
    main()
