"""Violations of every row that a claim needs, read by two readers, in and out of distribution.

python experiments/violations/evaluate.py DATA OUT --readout READOUT [--paired RUN] [--plain RUN] [--row NAME=RUN ...]
    [--only NAME ...] [--families NAME ...] [--clips 200] [--seeds 1] [--steps 6] [--headline 25]

Each row of each set of clips is a file of its own in OUT, and is not made again where it is there: rows can be added
one at a time; one OUT is for one role and number of clips. page.py OUT prints the page. Without runs, the rows that
need none are made: the ground truth (the readers' floor), the rasterised prior, and a violating twin. A readout trained
with --space is asked about the sets in which motion is free, any other one about those in one plane; the same OUT may
hold both.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from data import FAMILIES, PIXELS, families
from measure import READERS, Sample, by_readout, by_tracker, figures, sample, sharpness
from reader import ENLARGE, enlarged, tracker_for
from rows import PAIRED, PLAIN, Row, table
from torch import Tensor

import worldsim as ws
from worldsim.data import ClipSet
from worldsim.data.clip import to_uint8
from worldsim.engines import Rollout
from worldsim.engines.rollout import Contacts
from worldsim.scene.files import write_bytes
from worldsim.training import run_facts
from worldsim.vision.learned_readout import LearnedReadout

BATCH = 25
Values = dict[str, list[float]]


def piece(out: Path, row: str, family: str, split: str) -> Path:
    """The file of one row of one set."""
    return out / f"{re.sub('[^a-z0-9]+', '-', row.lower())}_{family}_{split}.json"


def judge(video: Tensor, given: Sample, readout: LearnedReadout) -> dict[str, Values]:
    """Figures of each clip by reader; PSNR under both, since it needs none."""
    free = not readout.config.in_plane
    readings = {"tracker": by_tracker(video, given.clip, free), "readout": by_readout(video, given.clip, readout)}
    psnr = sharpness(video, given.clip.video).tolist()
    return {
        reader: {name: value.tolist() for name, value in figures(readings[reader], given).items()} | {"psnr": psnr}
        for reader in READERS
    }


def headlines(video: Tensor, given: Sample, clips: ClipSet, indices: list[int]) -> list[float]:
    """The benchmark's headline of each clip by the independent tracker, whose reading of the truth is the floor."""
    clip, found = given.clip, []
    for b, i in enumerate(indices):
        frames, truth = (enlarged(to_uint8(v[b]).cpu().numpy()) for v in (video, clip.video))
        ids = clip.ids[b].numpy().repeat(ENLARGE, 1).repeat(ENLARGE, 2)
        played = Rollout(
            scene=clips.scenes[i],
            video=truth,
            ids=ids,
            depth=np.ones(ids.shape, np.float32),
            trajectory=clip.trajectory.map(lambda x, b=b: x[b].double()),
            contacts=Contacts.empty(),
            actions=np.zeros((len(truth) - 1, 0), np.float32),
            engine="mujoco",
            engine_version="",
        )
        scored = ws.score(frames, scene=played, tracker=tracker_for(clip.setups[b]), context=clip.num_context)
        found.append(scored.headline)
    return found


def evaluate(
    row: Row, clips: ClipSet, readout: LearnedReadout, count: int, seeds: int, headline: int
) -> dict[str, Any]:
    """A row on one set: figures of all clips, seeds one after the other, and headlines of the first ones."""
    found: dict[str, Values] = {reader: {} for reader in READERS}
    scores: list[float] = []
    for seed in range(seeds):
        for first in range(0, min(count, len(clips)), BATCH):
            indices = list(range(first, min(first + BATCH, count, len(clips))))
            given = sample(clips, indices)
            video = row(given.clip, seed)
            for reader, values in judge(video, given, readout).items():
                for name, value in values.items():
                    found[reader].setdefault(name, []).extend(value)
            # The benchmark places what moves freely by outlines, which at this size do not tell depth.
            if seed == 0 and readout.config.in_plane:
                scores += headlines(video, given, clips, [i for i in indices if i < headline])
    return {"readers": found, "headline": scores}


def same(path: Path, asked: dict[str, Any]) -> None:
    """Refuse to let a row that was made with other settings stand for the one that is asked for."""
    stored = json.loads(path.read_text(encoding="utf-8"))
    for key, value in asked.items():
        if stored.get(key) != value:
            raise ValueError(f"--{key}: must be {stored.get(key)!r} as in {path}, or OUT another folder; got {value!r}")


def named(text: str) -> tuple[str, Path]:
    """NAME=RUN."""
    name, found, run = text.partition("=")
    if not found:
        raise argparse.ArgumentTypeError(f"--row: must be NAME=RUN, got {text!r}")
    return name, Path(run)


def main() -> None:
    """Make what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--readout", type=Path, required=True)
    parser.add_argument("--paired", type=Path)
    parser.add_argument("--plain", type=Path)
    parser.add_argument("--row", type=named, action="append", default=[], help="another run, such as of one lever")
    parser.add_argument("--only", nargs="*", default=[], help="rows to make; all that can be made where left out")
    parser.add_argument("--role", default="test", help="of the clips; val for trials, in distribution alone")
    parser.add_argument("--families", nargs="*", default=[], help="sets to judge; all where left out")
    parser.add_argument("--splits", nargs="*", default=["id", "ood"])
    parser.add_argument("--clips", type=int, default=200, help="of each layout; the box has three sets")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--headline", type=int, default=25, help="clips of box and hoop, each, that are scored")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    readout = LearnedReadout.load(arguments.readout)
    rows = table(readout, arguments.paired, arguments.plain, dict(arguments.row), arguments.steps)
    judged = families(not readout.config.in_plane)
    for option, known in (("only", rows), ("families", judged)):
        for name in getattr(arguments, option):
            if name not in known:
                parser.error(f"--{option}: must be among {', '.join(known)}, got {name!r}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    runs = {PAIRED: arguments.paired, PLAIN: arguments.plain, **dict(arguments.row)}
    began = time.monotonic()
    for name, row in rows.items():
        if arguments.only and name not in arguments.only:
            continue
        for split in arguments.splits:
            for family in arguments.families or judged:
                told = FAMILIES[family]
                path = piece(arguments.out, name, family, split)
                clips = ClipSet(arguments.data, family, split, arguments.role)
                seeds = arguments.seeds if name in runs or name.startswith((PAIRED, PLAIN)) else 1
                share = [math.ceil(n * told.share) for n in (arguments.clips, arguments.headline)]
                asked = {
                    "role": arguments.role,
                    "clips": min(share[0], len(clips)),
                    "seeds": seeds,
                    "steps": arguments.steps,
                }
                if path.exists():
                    same(path, asked)
                    continue
                start = time.monotonic()
                document = evaluate(row, clips, readout, share[0], seeds, share[1])
                document |= {
                    "row": name,
                    "family": family,
                    "split": split,
                    **asked,
                    "pixels": PIXELS,
                    "seconds": round(time.monotonic() - start, 1),
                    "hardware": f"{platform.machine()}, {os.cpu_count()} cores, {arguments.threads} thread",
                    "run": run_facts(runs[name]) if runs.get(name) else None,
                }
                write_bytes(path, json.dumps(document).encode())
                print(f"{(time.monotonic() - began) / 60:6.1f} min  {name}: {family} {split}", flush=True)


if __name__ == "__main__":
    main()
