"""worldsim bench: score videos for physical violations and show them on one page, or test the benchmark itself."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from worldsim.benchmarks import Violations, score, self_test
from worldsim.benchmarks.report import Entry, write_report
from worldsim.benchmarks.video_input import load_video
from worldsim.cli.progress import progress_bar
from worldsim.cli.settings import UsageError, check_family
from worldsim.data.video import IMAGE_SUFFIXES
from worldsim.scene import load_scene

VIDEO_SUFFIXES = (".mp4", ".gif", ".webm", ".mov", ".avi", ".mkv")


@dataclass(frozen=True)
class Config:
    """Settings of `worldsim bench`.

    Attributes:
        videos: Folder of videos, GIFs and folders of frames. Beside clip.mp4, clip.json is its scene and clip.npz (or a
            folder clip_masks of PNG) its masks, where they are there.
        out: Folder for report.html and scores.json.
        scene: Scene as JSON, of all videos without one of their own.
        planar: Whether videos without a scene are orthographic pictures of planar worlds.
        fps: Frames a second; none takes the scene's or the file's.
        self_test: Test the benchmark itself on fresh scenes in place of scoring videos.
        families: Of the self-test's scenes.
        num: Scenes a family of the self-test.
        seed: Of its first scene.
        pixels: Height of its pictures.
        masks: Whether the self-test reads ground-truth masks; the built-in tracker otherwise.
    """

    videos: str | None = field(default=None, metadata={"path": True})
    out: str = field(default="bench", metadata={"path": True})
    scene: str | None = field(default=None, metadata={"path": True})
    planar: bool = False
    fps: float | None = None
    self_test: bool = False
    families: tuple[str, ...] = ("parabola", "collision", "bouncing", "bouncing_balls", "hoop", "incline")
    num: int = 2
    seed: int = 0
    pixels: int = 128
    masks: bool = True


EXAMPLES = (
    "worldsim bench videos=clips out=scores",
    "worldsim bench videos=clips scene=scene.json out=scores",
    "worldsim bench self_test=true families=[collision,hoop] num=1",
)
POSITIONAL = ("videos",)
CHOICES: dict[str, tuple[str, ...]] = {}


def run(config: Config) -> None:
    """Score the videos, or test the benchmark."""
    if config.self_test:
        _test(config)
        return
    if config.videos is None:
        raise UsageError("videos: must be given, as videos=DIR, unless self_test=true; see worldsim bench --help")
    folder, out = Path(config.videos), Path(config.out)
    found = find_videos(folder)
    entries = []
    with progress_bar("scoring") as move:
        for done, path in enumerate(found):
            entries.append(_scored(path, folder, config))
            move(done + 1, len(found))
    entries.sort(key=lambda entry: _order(entry.violations))
    out.mkdir(parents=True, exist_ok=True)
    write_report(out / "report.html", entries)
    scores = {entry.name: entry.violations.summary() for entry in entries}
    (out / "scores.json").write_text(json.dumps(scores, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    console = Console(soft_wrap=True)
    table = Table("video", "headline", "regime", "read by", "tracked", "worst law", box=None, header_style="bold")
    for entry in entries:
        own = entry.violations
        judged = {law: f.score for law, f in own.figures.items() if math.isfinite(f.score)}
        worst = min(judged, key=lambda law: judged[law], default="-")
        table.add_row(entry.name, f"{own.headline:.3f}", own.regime, own.reader, f"{own.tracked:.0%}", worst)
    console.print(table, markup=False)
    console.print(f"{out / 'report.html'}  figures, floors and timelines", markup=False, highlight=False)


def find_videos(folder: Path) -> list[Path]:
    """Videos and folders of frames in a folder, in order of their names; mask folders are none."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: must be a folder of videos, there is no such folder")
    found = []
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.name.endswith("_masks"):
            if any(file.suffix.lower() in IMAGE_SUFFIXES for file in path.iterdir()):
                found.append(path)
        elif path.suffix.lower() in VIDEO_SUFFIXES:
            found.append(path)
    if not found:
        raise ValueError(f"videos: must be a folder that holds videos ({', '.join(VIDEO_SUFFIXES)}), {folder} has none")
    return found


def _scored(path: Path, folder: Path, config: Config) -> Entry:
    base = path.with_suffix("") if path.is_file() else path
    own = base.with_name(base.name + ".json")
    scene_file = own if own.exists() else None if config.scene is None else Path(config.scene)
    scene = None if scene_file is None else load_scene(scene_file)
    beside = (base.with_name(base.name + ".npz"), base.with_name(base.name + "_masks"))
    masks = next((candidate for candidate in beside if candidate.exists()), None)
    planar = True if config.planar and scene is None else None
    try:
        given = load_video(path, config.fps)
        fps = config.fps if config.fps is not None else None if scene is not None else given.fps
        found = score(given.frames, masks=masks, scene=scene, planar=planar, fps=fps)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return Entry(str(path.relative_to(folder)), given.frames, found)


def _order(found: Violations) -> float:
    return found.headline if math.isfinite(found.headline) else -1.0


def _test(config: Config) -> None:
    for family in config.families:
        check_family(family)
    with progress_bar("scenes") as move:
        rows = self_test(config.families, config.num, config.seed, config.pixels, use_masks=config.masks, progress=move)
    table = Table("twin", "law", "strength", "detected", "false alarms", box=None, header_style="bold")
    for row in rows:
        told = (f"{row.detected} of {row.twins}", f"{row.alarms} of {row.lawful}")
        table.add_row(row.kind, row.law, f"{row.strength:g}", *told)
    Console().print(table)
