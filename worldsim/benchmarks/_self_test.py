"""The benchmark's own test: how often violations are found on fresh scenes, and how often lawful motion is accused.

Every scene is played twice by different engines where both can: the second take is lawful and not the floor's own
pixels, so that false alarms are real ones. Each law has one threshold above the floor, in references, frozen by
benchmarks.calibrate on scenes of another role.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import resources

import numpy as np

from worldsim.benchmarks._score import score
from worldsim.benchmarks.cheats import CHEATS
from worldsim.benchmarks.result import Figure, Violations
from worldsim.benchmarks.twins import KINDS, NotApplicable, violate
from worldsim.engines import Rollout, get_engine
from worldsim.scene import make_scene

# What the self-test asks: one twin a law, at its stated strength.
TESTED = (
    "interpenetration",
    "pass_through",
    "deformation",
    "vanishing",
    "teleport",
    "wrong_gravity",
    "energy_gain",
    "frozen",
    "kick",
    "trembling",
)
FAMILIES = (
    *("uniform_motion", "parabola", "collision", "bouncing", "bouncing_balls"),
    *("looming", "hoop", "billiards", "incline", "occluder"),
)
_AT_ONCE = ("teleport", "uncaused_response")  # broken at one instant, and read there or not at all
PAIRS = ("interpenetration", "pass_through")


@dataclass
class Row:
    """One kind of twin over all scenes.

    Attributes:
        kind: Of the twins; "interpenetration, depth given" reads scenes in space with their depth.
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
    """

    cheat: str
    scenes: int = 0
    worse: int = 0
    headline: list[float] = field(default_factory=list)
    honest: list[float] = field(default_factory=list)


def self_test(
    families: Sequence[str] = FAMILIES,
    num: int = 2,
    seed: int = 0,
    pixels: int = 128,
    use_masks: bool = True,
    second_engine: str | None = "pybullet",
    role: str = "test",
    progress: Callable[[int, int], None] | None = None,
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

    Returns:
        One row a kind of twin.
    """
    rows = {kind: Row(kind, KINDS[kind].law, KINDS[kind].strength) for kind in TESTED}
    deep = "interpenetration, depth given"
    rows[deep] = Row(deep, "penetration", KINDS["interpenetration"].strength)
    jobs = [(family, seed + i) for family in families for i in range(num)]
    for done, (family, own) in enumerate(jobs):
        rollout = fresh(family, own, pixels, role)
        lawful = None if second_engine is None else second_take(rollout, second_engine)
        accused = None if lawful is None else judged(lawful, rollout, use_masks)
        for kind in TESTED:
            law, name = KINDS[kind].law, f"{family} {own}"
            if accused is not None:
                _accuse(rows[kind], accused, name)
            try:
                twin = violate(rollout, kind)
            except NotApplicable:
                continue
            _convict(rows[kind], twin, judged(twin, rollout, use_masks), name)
            if law == "penetration" and not rollout.scene.planar and use_masks:
                if lawful is not None:
                    _accuse(rows[deep], judged(lawful, rollout, True, with_depth=True), name)
                _convict(rows[deep], twin, judged(twin, rollout, True, with_depth=True), name)
        if progress is not None:
            progress(done + 1, len(jobs))
    return list(rows.values())


def _accuse(row: Row, found: Violations, name: str) -> None:
    if found.figures[row.law].applies and found.figures[row.law].measurable > 0:
        above = excess(found, row.law)
        row.lawful += 1
        row.alarms += above > thresholds()[row.law]
        if above > thresholds()[row.law]:
            row.misses.append(f"alarm: {name}, {above:.3g} over the floor")


def _convict(row: Row, twin: Rollout, found: Violations, name: str) -> None:
    figure = found.figures[row.law]
    if not figure.applies:
        return
    row.twins += 1
    kind = row.kind.partition(",")[0]
    pair = broken_pair(twin) if kind in PAIRS else None
    if not readable(figure, twin, pair):
        row.misses.append(f"unreadable: {name}, {figure.reason or 'nothing measured where the law is broken'}")
        return
    row.measured += 1
    above = excess(found, row.law)
    row.detected += above > thresholds()[row.law]
    if not above > thresholds()[row.law]:
        row.misses.append(f"missed: {name}, {above:.3g} over a floor of {figure.floor / figure.reference:.3g}")
    if kind == "interpenetration" and pair is not None:
        column, frame, depth = pair
        own = figure.entries[max(0, frame - 2) : frame + 3, figure.subjects.index(column)]
        radius = min(twin.scene.bodies[twin.scene.index(b)].shape.thickness for b in column.split(" / "))
        row.errors.append((float(np.nanmedian(own)) - depth) / radius)


def broken_pair(twin: Rollout) -> tuple[str, int, float]:
    """The pair of balls that a twin of a pair breaks: its subject's name, the deepest frame, and the depth there."""
    own = twin.scene.index(twin.info["twin"]["body"])
    best = ("", 0, -math.inf)
    for k, body in enumerate(twin.scene.bodies):
        if k == own or body.static or body.shape.kind != "sphere":
            continue
        apart = (twin.trajectory.position[:, own] - twin.trajectory.position[:, k]).norm(dim=-1).numpy()
        depth = body.shape.extent + twin.scene.bodies[own].shape.extent - apart
        if depth.max() > best[2]:
            first, second = sorted((own, k))
            names = f"{twin.scene.bodies[first].name} / {twin.scene.bodies[second].name}"
            best = (names, int(depth.argmax()), float(depth.max()))
    return best


def readable(figure: Figure, twin: Rollout, pair: tuple[str, int, float] | None) -> bool:
    """Whether the figure could be read where the twin breaks the law."""
    start = twin.info["twin"]["frame"]
    if pair is not None:
        if pair[0] not in figure.subjects:
            return False
        start = max(0, pair[1] - 2)
        own = figure.entries[start : start + 5, figure.subjects.index(pair[0])]
        return bool(np.isfinite(own).any())
    names = [name for name in figure.subjects if twin.info["twin"]["body"] in name.split(" / ")]
    columns = [figure.subjects.index(name) for name in names] or list(range(len(figure.subjects)))
    end = start + 3 if figure.law in _AT_ONCE else len(figure.entries)
    return bool(np.isfinite(figure.entries[start:end, columns]).any())


def cheat_test(
    families: Sequence[str] = FAMILIES, num: int = 1, seed: int = 0, pixels: int = 128, role: str = "test"
) -> list[CheatRow]:
    """Headlines of cheats beside those of honest videos, both read by the built-in tracker.

    Args:
        families: Of scenes.
        num: Scenes a family.
        seed: Of the first scene.
        pixels: Height of the pictures.
        role: Of the scenes' seeds.

    Returns:
        One row a cheat.
    """
    rows = {name: CheatRow(name) for name in CHEATS}
    for family in families:
        for own in range(seed, seed + num):
            rollout = fresh(family, own, pixels, role)
            honest = score(rollout.video, scene=rollout).headline
            for name, row in rows.items():
                try:
                    video = CHEATS[name](rollout)
                except NotApplicable:
                    continue
                row.scenes += 1
                row.honest.append(honest)
                row.headline.append(score(video, scene=rollout).headline)
                row.worse += row.headline[-1] < honest
    return list(rows.values())


def fresh(family: str, seed: int, pixels: int, role: str) -> Rollout:
    """A scene of the family played by MuJoCo at this height of picture."""
    scene = make_scene(family, seed=seed, split="id", role=role)
    camera = scene.camera
    return get_engine("mujoco").simulate(
        dataclasses.replace(
            scene, camera=dataclasses.replace(camera, height=pixels, width=round(pixels * camera.width / camera.height))
        )
    )


def second_take(rollout: Rollout, engine: str) -> Rollout | None:
    """The motion of another engine in the pictures of the first, or None where the engine does not play such scenes.

    Engines light their pictures differently, which is no matter of physics; so the states alone are taken over.
    """
    try:
        other = get_engine(engine).simulate(rollout.scene, render=False)
    except (ValueError, NotImplementedError):
        return None
    frames = get_engine(rollout.engine).render(rollout.scene, other.trajectory)
    return dataclasses.replace(other, video=frames.video, ids=frames.ids, depth=frames.depth)


def excess(found: Violations, law: str) -> float:
    """How far a figure lies above its floor, in references; infinite where an applying law cannot be read."""
    figure = found.figures[law]
    if figure.applies and figure.measurable == 0:
        return float("inf")
    return (figure.value - figure.floor) / figure.reference


@functools.cache
def thresholds() -> dict[str, float]:
    """By law, the excess over the floor that counts as a violation, in references; frozen by benchmarks.calibrate."""
    text = resources.files("worldsim.benchmarks").joinpath("scales.json").read_text("utf-8")
    return {law: float(value) for law, value in json.loads(text)["thresholds"].items()}


def judged(rollout: Rollout, truth: Rollout, use_masks: bool, with_depth: bool = False) -> Violations:
    """A rollout's pictures against the scene's true ones."""
    masks, depth = rollout.ids if use_masks else None, rollout.depth if with_depth else None
    return score(rollout.video, masks=masks, scene=truth, depth=depth)
