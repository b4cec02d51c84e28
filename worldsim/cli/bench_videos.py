"""worldsim bench videos=DIR: score a folder of videos and show them on one page, worst first."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from worldsim.benchmarks import Violations, score
from worldsim.benchmarks.footage import shrink
from worldsim.benchmarks.report import Entry, write_report
from worldsim.benchmarks.report.sheets import shown_frames
from worldsim.benchmarks.video_files import base_of, masks_beside, videos_in
from worldsim.benchmarks.video_input import open_video
from worldsim.cli.bench import Config
from worldsim.cli.progress import progress_bar
from worldsim.scene import load_scene
from worldsim.scene.files import write_bytes


def run(config: Config) -> None:
    """Score, write report.html and scores.json, print a table."""
    assert config.videos is not None
    folder, out = Path(config.videos), Path(config.out)
    found = videos_in(folder)
    entries = []
    with progress_bar("scoring") as move:
        for done, path in enumerate(found):
            entries.append(_scored(path, folder, config))
            move(done + 1, len(found))
    entries.sort(key=lambda entry: _order(entry.violations))
    out.mkdir(parents=True, exist_ok=True)
    write_report(out / "report.html", entries)
    scores = {entry.name: entry.violations.summary() for entry in entries}
    write_bytes(out / "scores.json", (json.dumps(scores, indent=1, allow_nan=False) + "\n").encode("utf-8"))
    console = Console(soft_wrap=True)
    table = Table("video", "headline", "regime", "read by", "tracked", "worst law", box=None, header_style="bold")
    for entry in entries:
        own = entry.violations
        judged = {law: f.score for law, f in own.figures.items() if math.isfinite(f.score)}
        worst = min(judged, key=lambda law: judged[law], default="-")
        table.add_row(entry.name, own.headline_text(), own.regime, own.reader, f"{own.tracked:.0%}", worst)
    console.print(table, markup=False)
    console.print(f"{out / 'report.html'}  figures, floors and timelines", markup=False, highlight=False)


def _scored(path: Path, folder: Path, config: Config) -> Entry:
    base = base_of(path)
    own = base.with_name(base.name + ".json")
    scene_file = own if own.exists() else None if config.scene is None else Path(config.scene)
    scene = None if scene_file is None else load_scene(scene_file)
    masks = masks_beside(path)
    planar = True if config.planar and scene is None else None
    try:
        found = score(path, masks=masks, scene=scene, planar=planar, fps=config.fps)
        given = open_video(path, found.fps)
    except ValueError as error:
        told = str(error)
        raise ValueError(told if told.startswith(str(path)) else f"{path}: {told}") from error
    # Of a long video only what the page shows is kept.
    total, height, width = given.shape
    kept = shown_frames(total)
    wanted = set(kept.tolist())
    frames = np.stack([shrink(frame, height, width) for t, frame in enumerate(given.source()) if t in wanted])
    shown = dataclasses.replace(found, ids=found.ids[kept])
    return Entry(str(path.relative_to(folder)), frames, shown, bodies=() if scene is None else scene.bodies)


def _order(found: Violations) -> float:
    return found.headline if math.isfinite(found.headline) else -1.0
