"""Trials of the benchmark: what it reads of a fresh scene's twins, and of a lawful take by another engine.

Trials say how far a figure lies above its floor, not what counts as a violation, so that thresholds are fitted to them
and held against them alike. They are kept by benchmarks.book.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from worldsim.benchmarks._score import score
from worldsim.benchmarks.cheats import CHEATS
from worldsim.benchmarks.laws import LAWS
from worldsim.benchmarks.result import Figure, Violations
from worldsim.benchmarks.twin_frames import NotApplicable, movers
from worldsim.benchmarks.twins import KINDS, violate
from worldsim.engines import Rollout, get_engine
from worldsim.scene import make_scene

# What is asked of each scene: one twin a law, at its stated strength.
TESTED = (
    *("interpenetration", "pass_through", "deformation", "vanishing", "teleport"),
    *("wrong_gravity", "energy_gain", "frozen", "kick", "trembling"),
)
PAIRS = ("interpenetration", "pass_through")
DEEP = ", depth given"  # of kinds that are read in space with their depth as well
LAWFUL, TRUTH = "lawful", "truth"
EACH = ("trembling",)  # kinds of which a scene has a twin for each of several bodies
_TWINS_A_SCENE = 3  # of PAIRS and EACH, where a scene has so many balls or bodies
_AT_ONCE = ("teleport", "uncaused_response")  # broken at one instant, and read there or not at all


@dataclass(frozen=True)
class Trial:
    """One law read of one take.

    Attributes:
        kind: Of the twin, with DEEP where depth was given; LAWFUL (with DEEP likewise), or TRUTH for the floor itself.
        law: That is read.
        read: Whether the figure could be read, of a twin where it breaks the law.
        excess: Of the figure over its floor, in references; of TRUTH the floor.
        floor: In references.
        reason: Why it could not be read.
        error: Of an overlap: the depth read less the true one, in smaller radii; NaN elsewhere.
    """

    kind: str
    law: str
    read: bool
    excess: float
    floor: float
    reason: str = ""
    error: float = float("nan")


@dataclass(frozen=True)
class SceneTrials:
    """All trials of one scene by one reader.

    Attributes:
        family: Of the scene.
        seed: Of the scene.
        regime: That it was judged in.
        trials: Of its takes.
    """

    family: str
    seed: int
    regime: str
    trials: tuple[Trial, ...]


def try_scene(
    family: str, seed: int, pixels: int, role: str, use_masks: bool, second_engine: str | None, twins: bool = True
) -> SceneTrials:
    """Play a scene, break it in all ways, and read every take.

    Args:
        family: Of the scene.
        seed: Of the scene.
        pixels: Height of the pictures.
        role: Of the seed.
        use_masks: Whether ground-truth masks are given, or the built-in tracker reads.
        second_engine: That plays the lawful take; None leaves it out.
        twins: Whether the scene is broken and played again; else the ground truth alone is read.

    Returns:
        SceneTrials.
    """
    rollout = fresh(family, seed, pixels, role)
    truth = judged(rollout, rollout, use_masks)
    trials = [Trial(TRUTH, law, True, _floor(f), _floor(f)) for law, f in _asked(truth)]
    if not twins:
        return SceneTrials(family, seed, truth.regime, tuple(trials))
    lawful = None if second_engine is None else second_take(rollout, second_engine)
    deep = use_masks and not rollout.scene.planar
    if lawful is not None:
        found = judged(lawful, rollout, use_masks)
        trials += [Trial(LAWFUL, law, True, excess(found, law), _floor(f)) for law, f in _asked(found)]
        if deep:
            found = judged(lawful, rollout, True, with_depth=True)
            laws = {KINDS[kind].law for kind in PAIRS}
            asked = [(law, f) for law, f in _asked(found) if law in laws]
            trials += [Trial(LAWFUL + DEEP, law, True, excess(found, law), _floor(f)) for law, f in asked]
    for kind in TESTED:
        for twin in twins_of(rollout, kind):
            found = judged(twin, rollout, use_masks)
            trials += [trial for law in LAWS if (trial := _trial(kind, law, twin, found)) is not None]
            if deep and kind in PAIRS:
                own = _trial(kind, KINDS[kind].law, twin, judged(twin, rollout, True, with_depth=True))
                trials += [] if own is None else [dataclasses.replace(own, kind=kind + DEEP)]
    return SceneTrials(family, seed, truth.regime, tuple(trials))


def twins_of(rollout: Rollout, kind: str) -> Iterator[Rollout]:
    """The twin of a kind, or up to three: of PAIRS of different pairs of balls, of EACH of different bodies.

    None where the scene cannot be broken so.
    """
    if kind not in (*PAIRS, *EACH):
        with contextlib.suppress(NotApplicable):
            yield violate(rollout, kind)
        return
    done: set[str] = set()
    for body in movers(rollout):
        try:
            twin = violate(rollout, kind, body=rollout.scene.bodies[body].name)
        except NotApplicable:
            continue
        broken = broken_pair(twin).name if kind in PAIRS else twin.info["twin"]["body"]
        if broken not in done:
            done.add(broken)
            yield twin
        if len(done) == _TWINS_A_SCENE:
            return


def _asked(found: Violations) -> list[tuple[str, Figure]]:
    """Laws that apply and were read."""
    return [(law, f) for law, f in found.figures.items() if f.applies and f.measurable > 0 and math.isfinite(f.value)]


def excess(found: Violations, law: str) -> float:
    """Of a law's figure, see Figure.excess."""
    return found.figures[law].excess


def _floor(figure: Figure) -> float:
    """In references."""
    return float(figure.floor / figure.reference)


def _trial(kind: str, law: str, twin: Rollout, found: Violations) -> Trial | None:
    """A twin's law; None where it does not apply. Of laws that are not the twin's own none need be readable."""
    figure = found.figures[law]
    if not figure.applies or (law != KINDS[kind].law and figure.measurable == 0):
        return None
    floor = _floor(figure)
    pair = broken_pair(twin) if kind in PAIRS else None
    if law == KINDS[kind].law and not readable(figure, twin, pair):
        why = figure.reason or "nothing measured where the law is broken"
        return Trial(kind, law, False, float("nan"), floor, why)
    error = float("nan")
    if kind == "interpenetration" and law == "penetration" and pair is not None:
        own = figure.entries[max(0, pair.frame - 2) : pair.frame + 3, figure.subjects.index(pair.name)]
        radius = min(twin.scene.bodies[twin.scene.index(b)].shape.thickness for b in pair.name.split(" / "))
        error = (float(np.nanmedian(own)) - pair.depth) / radius
    return Trial(kind, law, True, excess(found, law), floor, error=error)


@dataclass(frozen=True)
class Pair:
    """The pair of balls that a twin breaks.

    Attributes:
        name: Of the subject.
        frame: In which the overlap is deepest.
        depth: Then, metres.
        begin: First frame of that overlap.
        end: Last frame of it.
    """

    name: str
    frame: int
    depth: float
    begin: int
    end: int


def broken_pair(twin: Rollout) -> Pair:
    """The pair of a twin of PAIRS, from its states."""
    own = twin.scene.index(twin.info["twin"]["body"])
    best: Pair | None = None
    for k, body in enumerate(twin.scene.bodies):
        if k == own or body.static or body.shape.kind != "sphere":
            continue
        apart = (twin.trajectory.position[:, own] - twin.trajectory.position[:, k]).norm(dim=-1).numpy()
        depth = body.shape.extent + twin.scene.bodies[own].shape.extent - apart
        if best is None or depth.max() > best.depth:
            first, second = sorted((own, k))
            names = f"{twin.scene.bodies[first].name} / {twin.scene.bodies[second].name}"
            frame = int(depth.argmax())
            free = np.flatnonzero(np.concatenate([[True], depth <= 0, [True]])) - 1
            begin, end = int(free[free < frame][-1]) + 1, int(free[free > frame][0]) - 1
            best = Pair(names, frame, float(depth.max()), begin, end)
    if best is None:
        raise ValueError("twin: must have a second ball that moves")
    return best


def readable(figure: Figure, twin: Rollout, pair: Pair | None) -> bool:
    """Whether the figure could be read where the twin breaks the law: of a pass-through, all along."""
    start = twin.info["twin"]["frame"]
    if pair is not None:
        if pair.name not in figure.subjects:
            return False
        own = np.isfinite(figure.entries[:, figure.subjects.index(pair.name)])
        if figure.law == "pass_through":
            return bool(own[pair.begin : pair.end + 2].all())
        return bool(own[max(0, pair.frame - 2) : pair.frame + 3].any())
    names = [name for name in figure.subjects if twin.info["twin"]["body"] in name.split(" / ")]
    columns = [figure.subjects.index(name) for name in names] or list(range(len(figure.subjects)))
    end = start + 3 if figure.law in _AT_ONCE else len(figure.entries)
    return bool(np.isfinite(figure.entries[start:end, columns]).any())


def try_cheats(family: str, seed: int, pixels: int, role: str) -> dict[str, float]:
    """Headlines of a scene's honest video, under "honest", and of its cheats, all read by the built-in tracker."""
    rollout = fresh(family, seed, pixels, role)
    result = {"honest": score(rollout.video, scene=rollout).headline}
    for name, cheat in CHEATS.items():
        try:
            video = cheat(rollout)
        except NotApplicable:
            continue
        result[name] = score(video, scene=rollout).headline
    return result


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
    except ValueError:
        return None
    frames = get_engine(rollout.engine).render(rollout.scene, other.trajectory)
    return dataclasses.replace(other, video=frames.video, ids=frames.ids, depth=frames.depth)


def judged(rollout: Rollout, truth: Rollout, use_masks: bool, with_depth: bool = False) -> Violations:
    """A rollout's pictures against the scene's true ones."""
    masks, depth = rollout.ids if use_masks else None, rollout.depth if with_depth else None
    return score(rollout.video, masks=masks, scene=truth, depth=depth)
