"""The benchmark's own test: how often violations are found on fresh scenes, and how often lawful motion is accused.

Every scene is played twice by different engines where both can: the second take is lawful and not the floor's own
pixels, so that false alarms are real ones. Each law has one threshold above the floor, in references.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources

from worldsim.benchmarks._score import score
from worldsim.benchmarks.result import Violations
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
)


@dataclass(frozen=True)
class Row:
    """One law over all scenes.

    Attributes:
        kind: Of the twins.
        law: That they break.
        strength: Of the twins.
        twins: How many could be made.
        detected: How many of them read above the threshold.
        lawful: How many lawful takes the law could be read on.
        alarms: How many of them read above the threshold.
    """

    kind: str
    law: str
    strength: float
    twins: int
    detected: int
    lawful: int
    alarms: int

    @property
    def detection(self) -> float:
        """Rate, NaN without twins."""
        return self.detected / self.twins if self.twins else float("nan")

    @property
    def false_alarm(self) -> float:
        """Rate, NaN without lawful takes."""
        return self.alarms / self.lawful if self.lawful else float("nan")


def self_test(
    families: Sequence[str],
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
        role: Of the scenes' seeds: "train" for calibration, "test" for figures.
        progress: Takes scenes done and in all.

    Returns:
        One row a kind of twin.
    """
    counts = {kind: [0, 0, 0, 0] for kind in TESTED}
    limits = thresholds()
    jobs = [(family, seed + i) for family in families for i in range(num)]
    for done, (family, own) in enumerate(jobs):
        rollout = fresh(family, own, pixels, role)
        lawful = None if second_engine is None else second_take(rollout, second_engine)
        accused = None if lawful is None else _score(lawful, rollout, use_masks)
        for kind in TESTED:
            law = KINDS[kind].law
            if accused is not None and accused.figures[law].measurable > 0:
                counts[kind][2] += 1
                counts[kind][3] += excess(accused, law) > limits[law]
            try:
                twin = violate(rollout, kind)
            except NotApplicable:
                continue
            found = _score(twin, rollout, use_masks)
            if found.figures[law].applies:
                counts[kind][0] += 1
                counts[kind][1] += excess(found, law) > limits[law]
        if progress is not None:
            progress(done + 1, len(jobs))
    return [Row(kind, KINDS[kind].law, KINDS[kind].strength, *counts[kind]) for kind in TESTED]


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


def _score(rollout: Rollout, truth: Rollout, use_masks: bool) -> Violations:
    return score(rollout.video, masks=rollout.ids if use_masks else None, scene=truth)
