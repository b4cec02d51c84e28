"""worldsim demo: futures of simulated scenes by the plain and by the paired model, scored, side by side on one page."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from worldsim.benchmarks import score
from worldsim.cli._comparison import Column, Row, write_comparison
from worldsim.cli._generation import PRIOR, Chosen, choose, draw_scene, play, trained_on
from worldsim.cli.progress import progress_bar
from worldsim.cli.settings import check_family
from worldsim.data import write_video
from worldsim.engines import Rollout
from worldsim.models.model_card import ModelCard
from worldsim.models.pretrained import read_config
from worldsim.models.prior_alone import prior_alone
from worldsim.scene.files import write_bytes
from worldsim.vision.learned_readout import LearnedReadout

FAMILIES = ("collision", "bouncing_balls", "hoop")


@dataclass(frozen=True)
class Config:
    """Settings of `worldsim demo`.

    Attributes:
        out: Folder for the page, the videos and the scores.
        scenes: Families to simulate, as scenes=[collision,hoop].
        seed: Of the scenes and of the starting noise.
        steps: Of the sampler.
        paired: Checkpoint paired with the prior, a shipped name or a folder; none takes the one shipped for each scene.
        plain: Its plain twin; none takes the one shipped for each scene.
    """

    out: str = field(default="outputs/demo", metadata={"path": True})
    scenes: tuple[str, ...] = FAMILIES
    seed: int = 0
    steps: int = 10
    paired: str | None = field(default=None, metadata={"path": True})
    plain: str | None = field(default=None, metadata={"path": True})


EXAMPLES = ("worldsim demo", "worldsim demo out=outputs/demo seed=3", "worldsim demo scenes=[collision,parabola]")
POSITIONAL: tuple[str, ...] = ()
CHOICES: dict[str, tuple[str, ...]] = {}


@dataclass(frozen=True)
class Part:
    """A scene with the models that go on with it: by title, what made the video."""

    truth: Rollout
    models: dict[str, Chosen]
    told: str


def run(config: Config) -> None:
    """Simulate, generate, score, write, and print what was made."""
    for family in config.scenes:
        check_family(family)
    out, console = Path(config.out), Console(soft_wrap=True)
    out.mkdir(parents=True, exist_ok=True)
    rows, left = [], []
    with progress_bar("scenes") as advance:
        for done, family in enumerate(config.scenes):
            advance(done, len(config.scenes))
            part = _part(family, config)
            if part is None:
                left.append(family)
            else:
                rows.append(_row(part, config, out))
        advance(len(config.scenes), len(config.scenes))
    if not rows:
        raise ValueError(
            f"scenes: must hold a family of a shipped checkpoint, or one that an orthographic camera sees, "
            f"got {', '.join(config.scenes)}"
        )
    page = out / "index.html"
    write_comparison(page, rows, "worldsim demo", "The future of simulated scenes, from their first frames.")
    scores = {row.title: {c.title: c.violations.summary() for c in row.columns} for row in rows}
    write_bytes(out / "scores.json", (json.dumps(scores, indent=1, allow_nan=False) + "\n").encode("utf-8"))
    table = Table("scene", "video", "headline", box=None, header_style="bold")
    for row in rows:
        for column in row.columns:
            table.add_row(row.title, column.title, column.violations.headline_text())
    console.print(table, markup=False)
    for row in rows:
        if row.told:
            console.print(f"{row.title}: {row.told}", markup=False, highlight=False)
    for family in left:
        told = "no shipped checkpoint was trained on it, and the prior alone reads orthographic pictures only"
        console.print(f"{family}: left out, {told}", markup=False, highlight=False)
    console.print(f"{page}  open it in a browser", markup=False, highlight=False)


def _part(family: str, config: Config) -> Part | None:
    """The scene, its pictures, and plain, paired and prior-alone models, as far as there are; None where none is."""
    plain, paired = config.plain or trained_on(family, plain=True), config.paired or trained_on(family)
    name = paired or plain
    card = choose(PRIOR, 1.0, "").card if name is None else read_config(name)[1]
    scene = draw_scene(family, config.seed, "id", {}, card)
    models: dict[str, Chosen] = {}
    if plain is not None:
        models["plain transformer"] = choose(plain, scene.fps, "")
    if paired is not None:
        models["paired with the prior"] = choose(paired, scene.fps, "")
    readout = models["paired with the prior"].model.readout if paired is not None else None
    if scene.camera.kind == "orthographic" or isinstance(readout, LearnedReadout):
        models["rasterised prior alone"] = Chosen(PRIOR, prior_alone(scene.fps, readout=readout), ModelCard())
    if not models:
        return None
    missing = [told for told, found in (("plain", plain), ("paired", paired)) if found is None]
    told = ""
    if missing:
        told = f"no shipped {' and no shipped '.join(missing)} checkpoint was trained on {family}; "
        told += "the rasterised prior stands in" if PRIOR in {c.name for c in models.values()} else "it is left out"
    clip = max(chosen.model.config.clip_frames for chosen in models.values())
    frames = min(clip, scene.num_frames)
    scene = dataclasses.replace(scene, duration=(frames - 1) / scene.fps)
    return Part(play(scene, card), models, told)


def _row(part: Part, config: Config, out: Path) -> Row:
    scene, truth, frames = part.truth.scene, part.truth.video, len(part.truth.video)
    known = max(max(chosen.model.config.context_lengths) for chosen in part.models.values())
    videos = {"ground truth": (truth, "simulated by MuJoCo")}
    for title, chosen in part.models.items():
        steps = 1 if chosen.name == PRIOR else config.steps
        made = chosen.model.generate(truth[:known], scene.setup(), frames - known, seed=config.seed, steps=steps).video
        told = "no transformer: what the prior foresees, drawn" if chosen.name == PRIOR else chosen.name
        # A model that takes a shorter context leaves out the first frames.
        videos[title] = (np.concatenate([truth[: frames - len(made)], made]), told)
    columns = []
    for title, (video, told) in videos.items():
        write_video(out / f"{scene.family}-{title.replace(' ', '-')}.mp4", video, scene.fps)
        columns.append(Column(title, told, video, score(video, scene=part.truth, context=known)))
    return Row(f"{scene.family}, seed {config.seed}", part.told, scene.fps, known, tuple(columns))
