"""The benchmark's own test: how often violations are found on fresh scenes, and how often lawful motion is accused.

Every scene is played twice by different engines where both can: the second take is lawful and not the floor's own
pixels, so that false alarms are real ones. Each law has one threshold above the floor, in references, frozen by
benchmarks.calibrate on scenes of another role.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from worldsim.benchmarks._scales import scales_hash, thresholds
from worldsim.benchmarks.book import Book, scene_of
from worldsim.benchmarks.cheats import CHEATS
from worldsim.benchmarks.trials import DEEP, LAWFUL, PAIRS, TESTED, SceneTrials, try_cheats, try_scene
from worldsim.benchmarks.twins import KINDS

FAMILIES = (
    *("uniform_motion", "parabola", "collision", "bouncing", "bouncing_balls"),
    *("looming", "hoop", "billiards", "incline", "occluder"),
)


@dataclass
class Row:
    """One kind of twin over all scenes.

    Attributes:
        kind: Of the twins, with DEEP where scenes in space are read with their depth.
        law: That they break.
        strength: Of the twins.
        twins: How many could be made of scenes that the law applies to.
        measured: In how many the figure could be read where the law is broken.
        detected: How many of those read above the threshold.
        lawful: How many lawful takes the law could be read on.
        alarms: How many of them read above the threshold.
        misses: What was not found or wrongly accused: family, seed, excess over the floor in references.
        errors: Of penetration: the depth read less the simulator's, in smaller radii.
    """

    kind: str
    law: str
    strength: float
    twins: int = 0
    measured: int = 0
    detected: int = 0
    lawful: int = 0
    alarms: int = 0
    misses: list[str] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)

    @property
    def detection(self) -> float:
        """Rate among twins that could be read, NaN without."""
        return self.detected / self.measured if self.measured else float("nan")

    @property
    def false_alarm(self) -> float:
        """Rate, NaN without lawful takes."""
        return self.alarms / self.lawful if self.lawful else float("nan")


@dataclass
class CheatRow:
    """One cheat over all scenes.

    Attributes:
        cheat: Its name.
        scenes: On how many it was tried.
        worse: On how many its headline was below the honest video's.
        headline: Of each cheat.
        honest: Of each honest video.
        misses: Scenes on which it was not worse.
    """

    cheat: str
    scenes: int = 0
    worse: int = 0
    headline: list[float] = field(default_factory=list)
    honest: list[float] = field(default_factory=list)
    misses: list[str] = field(default_factory=list)


def self_test(
    families: Sequence[str] = FAMILIES,
    num: int = 2,
    seed: int = 0,
    pixels: int = 128,
    use_masks: bool = True,
    second_engine: str | None = "pybullet",
    role: str = "test",
    progress: Callable[[int, int], None] | None = None,
    kept: Path | None = None,
) -> list[Row]:
    """Detection and false alarms a law.

    Args:
        families: Of scenes.
        num: Scenes a family.
        seed: Of the first scene.
        pixels: Height of the pictures.
        use_masks: Whether ground-truth masks are given, or the built-in tracker reads.
        second_engine: That plays the lawful take; None leaves out false alarms.
        role: Of the scenes' seeds: "val" for calibration, "test" for figures.
        progress: Takes scenes done and in all.
        kept: File that results are kept in, a scene a line, so that a run that was stopped goes on there.

    Returns:
        One row a kind of twin.
    """
    scenes = scenes_of(families, num, seed, pixels, use_masks, second_engine, role, progress, kept)
    return rows_of(scenes, thresholds())


def scenes_of(
    families: Sequence[str],
    num: int,
    seed: int,
    pixels: int,
    use_masks: bool,
    second_engine: str | None,
    role: str,
    progress: Callable[[int, int], None] | None = None,
    kept: Path | None = None,
    twins: bool = True,
) -> list[SceneTrials]:
    """The trials of all scenes, see self_test for the arguments; those that are kept are not tried again.

    Without `twins` only the ground truth is read, for its floors.
    """
    book = Book(kept)
    jobs = [(family, seed + i) for family in families for i in range(num)]
    result = []
    for done, (family, own) in enumerate(jobs):
        key = f"{family} {own} {role} {pixels} {'masks' if use_masks else 'tracker'} {second_engine} {twins}"
        if key not in book.lines:
            book.put(key, dataclasses.asdict(try_scene(family, own, pixels, role, use_masks, second_engine, twins)))
        result.append(scene_of(book.lines[key]))
        if progress is not None:
            progress(done + 1, len(jobs))
    return result


def rows_of(scenes: Iterable[SceneTrials], limits: dict[str, float]) -> list[Row]:
    """What trials come to under thresholds, by law in references over the floor."""
    rows = {kind: Row(kind, KINDS[kind].law, KINDS[kind].strength) for kind in TESTED}
    for kind in PAIRS:
        rows[kind + DEEP] = Row(kind + DEEP, KINDS[kind].law, KINDS[kind].strength)
    for scene in scenes:
        name = f"{scene.family} {scene.seed}"
        for trial in scene.trials:
            above = trial.excess > limits[trial.law]
            if trial.kind.startswith(LAWFUL):
                deep = trial.kind != LAWFUL
                for row in (r for r in rows.values() if r.law == trial.law and r.kind.endswith(DEEP) == deep):
                    row.lawful += 1
                    row.alarms += above
                    if above:
                        row.misses.append(f"alarm: {name}, {trial.excess:.3g} over the floor")
            elif trial.kind in rows and rows[trial.kind].law == trial.law:
                row = rows[trial.kind]
                row.twins += 1
                row.measured += trial.read
                row.detected += trial.read and above
                if trial.error == trial.error:
                    row.errors.append(trial.error)
                if not trial.read:
                    row.misses.append(f"unreadable: {name}, {trial.reason}")
                elif not above:
                    row.misses.append(f"missed: {name}, {trial.excess:.3g} over a floor of {trial.floor:.3g}")
    return list(rows.values())


def cheat_test(
    families: Sequence[str] = FAMILIES,
    num: int = 1,
    seed: int = 0,
    pixels: int = 128,
    role: str = "test",
    progress: Callable[[int, int], None] | None = None,
    kept: Path | None = None,
) -> list[CheatRow]:
    """Headlines of cheats beside those of honest videos, both read by the built-in tracker.

    Args:
        families: Of scenes.
        num: Scenes a family.
        seed: Of the first scene.
        pixels: Height of the pictures.
        role: Of the scenes' seeds.
        progress: Takes scenes done and in all.
        kept: File that results are kept in, see self_test.

    Returns:
        One row a cheat.
    """
    rows = {name: CheatRow(name) for name in CHEATS}
    book = Book(kept)
    jobs = [(family, seed + i) for family in families for i in range(num)]
    for done, (family, own) in enumerate(jobs):
        key = f"{family} {own} {role} {pixels} cheats {scales_hash()}"
        if key not in book.lines:
            book.put(key, try_cheats(family, own, pixels, role))
        told = book.lines[key]
        for name, row in rows.items():
            if name in told:
                row.scenes += 1
                row.honest.append(told["honest"])
                row.headline.append(told[name])
                worse = told[name] < told["honest"]
                row.worse += worse
                if not worse:
                    row.misses.append(f"{family} {own}, {told[name]:.3f} beside {told['honest']:.3f}")
        if progress is not None:
            progress(done + 1, len(jobs))
    return list(rows.values())
