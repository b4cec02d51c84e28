"""Ask a model all scenes of a suite, score its answers, and keep each clip that is done."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from worldsim.benchmarks._score import score
from worldsim.benchmarks.result import Violations
from worldsim.benchmarks.suite.generator import Generator, Question, Reference, UInt8, Unanswered, checked, setup_text
from worldsim.benchmarks.suite.manifest import Case, draw_case, load_manifest
from worldsim.data.video import read_video, write_video
from worldsim.engines import Rollout, get_engine
from worldsim.scene.checks import require
from worldsim.scene.files import write_bytes

SETTINGS_FILE = "suite.json"
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class SuiteConfig:
    """What a leaderboard's rows have in common.

    Attributes:
        suite: Name of a frozen manifest.
        num: Scenes a family and split.
        families: Of the suite; none takes all of them.
        pixels: Height of the pictures.
        context: Frames that the model is given.
        num_frames: New frames that it is asked for.
        seed: Of the model's noise, from which each scene's follows.
    """

    suite: str = "core"
    num: int = 8
    families: tuple[str, ...] = ()
    pixels: int = 64
    context: int = 4
    num_frames: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "families", tuple(self.families))
        for name, low in (("num", 1), ("pixels", 16), ("context", 1), ("num_frames", 1), ("seed", 0)):
            value = getattr(self, name)
            whole = isinstance(value, int) and not isinstance(value, bool)
            require(name, f"a whole number of {low} or more", whole and value >= low, value)

    @property
    def cases(self) -> list[Case]:
        """The scenes to be asked."""
        return load_manifest(self.suite).cases(self.num, self.families)


@dataclass(frozen=True)
class Clip:
    """One scene's answer as scored: plain values, as they are stored.

    Attributes:
        name: Of the case.
        family: Of the scene.
        split: "id" or "ood".
        digest: Of the scene.
        answered: Whether the model answered.
        reason: Why not.
        seconds: That the model took.
        scores: Violations.summary() of the video; empty where there is no answer.
    """

    name: str
    family: str
    split: str
    digest: str
    answered: bool
    reason: str = ""
    seconds: float = 0.0
    scores: dict[str, Any] = field(default_factory=dict)

    @property
    def headline(self) -> float:
        """Of the clip; 0 where there is no answer, or nothing in it to judge: leaving out what is hard does not pay."""
        return float(self.scores["headline"] or 0.0) if self.answered else 0.0


def run_suite(
    config: SuiteConfig, model: Generator | Reference, out: Path, on_progress: Progress = lambda done, total: None
) -> list[Clip]:
    """Ask, score and store; clips that are done are kept, so that a stopped run goes on where it was.

    Args:
        config: Of the suite; a folder begun with another one is refused.
        model: That answers.
        out: Folder of the leaderboard, in which each model has a folder of its own.
        on_progress: Called with the clips done and their total.

    Returns:
        One clip a case.

    Raises:
        ValueError: Where a scene is not the frozen one, an answer has a wrong shape, or the folder holds rows of other
            settings.
    """
    note_settings(config, out)
    folder = model_folder(out, model.name)
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / "model.json", json.dumps({"name": model.name}).encode() + b"\n")
    clips = []
    cases = config.cases
    for done, case in enumerate(cases):
        on_progress(done, len(cases))
        clip = read_clip(folder, case)
        if clip is None:
            clip = _asked(config, model, case, folder)
            write_bytes(
                folder / f"{case.name}.json", json.dumps(dataclasses.asdict(clip), allow_nan=False).encode() + b"\n"
            )
        clips.append(clip)
    on_progress(len(cases), len(cases))
    return clips


def model_folder(out: Path, name: str) -> Path:
    """A model's folder: its name where that is a plain file name, else what is plain of it and a hash."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:60]
    if not plain or plain != name:
        plain = f"{plain or 'model'}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return out / plain


def note_settings(config: SuiteConfig, out: Path) -> None:
    """Write the settings into the folder, or hold them against those that are there."""
    wanted = settings_of(config)
    path = out / SETTINGS_FILE
    if not path.exists():
        out.mkdir(parents=True, exist_ok=True)
        write_bytes(path, json.dumps(wanted, indent=1).encode() + b"\n")
        return
    stored = json.loads(path.read_text("utf-8"))
    for name, value in wanted.items():
        if stored.get(name) != value:
            raise ValueError(
                f"out: {name} must be {stored.get(name)!r}, as the rows in {out} have it, got {value!r}; "
                "choose another out= for other settings"
            )


def settings_of(config: SuiteConfig) -> dict[str, Any]:
    """Plain values that rows must share to be compared."""
    manifest = load_manifest(config.suite)
    values = dataclasses.asdict(config) | {"families": list(config.families or manifest.families)}
    return values | {"version": manifest.version, "engine": f"mujoco {get_engine('mujoco').version}"}


def read_clip(folder: Path, case: Case) -> Clip | None:
    """A clip that is done; None where it is not, or was of another scene."""
    path = folder / f"{case.name}.json"
    if not path.exists():
        return None
    clip = Clip(**json.loads(path.read_text("utf-8")))
    return clip if clip.digest == case.digest else None


def truth_of(config: SuiteConfig, case: Case) -> Rollout:
    """The scene of a case as the simulator plays it."""
    scene = draw_case(case, config.pixels, config.context + config.num_frames)
    return get_engine("mujoco").simulate(scene)


def replayed(config: SuiteConfig, case: Case, folder: Path) -> tuple[UInt8, Rollout, Violations]:
    """A stored answer, the ground truth beside it, and its score with all frames: what the report shows."""
    truth = truth_of(config, case)
    video, _ = read_video(folder / f"{case.name}.mp4", truth.scene.fps)
    return video, truth, score(video, scene=truth, context=config.context)


def _asked(config: SuiteConfig, model: Generator | Reference, case: Case, folder: Path) -> Clip:
    truth = truth_of(config, case)
    context = truth.video[: config.context].copy()
    told = (case.name, case.family, case.split, case.digest)
    start = time.perf_counter()
    try:
        if isinstance(model, Reference):
            new = model.answer(Question(case.name, truth, config.context))
        else:
            setup = truth.scene.setup()
            new = model.generate(
                context.copy(), setup, config.num_frames, truth.scene.fps, _seed(config, case), setup_text(setup)
            )
    except Unanswered as reason:
        return Clip(*told, answered=False, reason=str(reason))
    seconds = time.perf_counter() - start
    video = np.concatenate([context, checked(new, config.num_frames, context, model.name)])
    write_video(folder / f"{case.name}.mp4", video, truth.scene.fps, codec="exact")
    found = score(video, scene=truth, context=config.context)
    return Clip(*told, answered=True, seconds=seconds, scores=found.summary())


def _seed(config: SuiteConfig, case: Case) -> int:
    digest = hashlib.sha256(f"{config.seed}|{case.name}".encode()).digest()
    return int.from_bytes(digest[:4], "little") >> 1


def finished_models(config: SuiteConfig, out: Path) -> Iterator[tuple[str, Path, list[Clip]]]:
    """Name, folder and clips of each model whose row in the folder is whole."""
    for path in sorted(out.glob("*/model.json")):
        clips = [read_clip(path.parent, case) for case in config.cases]
        if all(clip is not None for clip in clips):
            yield json.loads(path.read_text("utf-8"))["name"], path.parent, [c for c in clips if c is not None]
