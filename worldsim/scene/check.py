"""check_scenario: what a scenario family owes to those who use it, for people who ship their own.

Overlapping starts are refused by the engines, which know distances; they are not looked for here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from worldsim.scene.checks import require
from worldsim.scene.registry import SPLITS, Scenario, build_scene
from worldsim.scene.scene import Scene
from worldsim.scene.serialise import dumps, loads_scene

Interval = tuple[float, float]

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_INTERVAL = re.compile(rf"\[\s*({_NUMBER})\s*,\s*({_NUMBER})\s*\]")


def parse_intervals(text: str) -> tuple[Interval, ...]:
    """The closed intervals that a range text names, such as ((0.3, 0.6), (1.5, 2)) of "[0.3, 0.6] or [1.5, 2] m"."""
    return tuple((float(low), float(high)) for low, high in _INTERVAL.findall(text))


def _inside(value: float, intervals: tuple[Interval, ...]) -> bool:
    slack = 1e-6 * max(1.0, abs(value))
    return any(low - slack <= value <= high + slack for low, high in intervals)


def _check_view(where: str, scene: Scene) -> None:
    moving = [body.state.position for body in scene.bodies if not body.static and body.state is not None]
    require(f"{where}.bodies", "at least one that moves", len(moving) > 0, [b.name for b in scene.bodies])
    seen = float(scene.camera.sees(np.array(moving)).mean())
    require(f"{where}.camera", "one that sees at least half of the moving bodies at the start", seen >= 0.5, seen)


def _check_ranges(scenario: Scenario, where: str, scene: Scene, split: str) -> None:
    if scenario.measure is None:
        return
    measured = scenario.measure(scene)
    shifted = False
    for name, values in measured.items():
        field = f"{where}.{name}"
        require(field, f"one of the quantities in ranges: {', '.join(scenario.ranges)}", name in scenario.ranges, name)
        inner, outer = (parse_intervals(text) for text in scenario.ranges[name])
        allowed = inner if split == "id" else inner + outer
        for value in values:
            require(field, f"inside {allowed}", _inside(value, allowed), value)
            shifted = shifted or (_inside(value, outer) and not _inside(value, inner))
    if split == "ood":
        require(where, "out of distribution in at least one quantity", shifted, dict(measured))


def check_scenario(scenario: Scenario, seeds: int = 8, parameters: Mapping[str, Any] | None = None) -> None:
    """Hold a scenario family to its contract.

    The same seed gives the same scene and another seed another one; scenes survive the JSON round trip exactly; most
    moving bodies are in view at the start; with `measure` given, scenes of split "id" lie inside the
    in-distribution ranges and those of split "ood" leave them in at least one quantity; an unknown parameter and an
    unknown split are refused.

    Args:
        scenario: To be checked; it need not be registered.
        seeds: How many scenes of each split are drawn.
        parameters: Of the family, where other than the defaults are to be checked.

    Raises:
        ValueError: That names the family, the split and seed, the rule and the value.
    """
    chosen = dict(parameters or {})
    require("scenario.name", "a lower-case identifier", scenario.name.isidentifier(), scenario.name)
    require(
        f"{scenario.name}.summary",
        "one line",
        bool(scenario.summary) and "\n" not in scenario.summary,
        scenario.summary,
    )
    for name, texts in scenario.ranges.items():
        require(f"{scenario.name}.ranges[{name}]", "(in, out) of distribution", len(texts) == 2, texts)
    for split in SPLITS:
        scenes = []
        for seed in range(seeds):
            where = f"{scenario.name}({split}, seed {seed})"
            scene = build_scene(scenario, seed, split, **chosen)
            again = build_scene(scenario, seed, split, **chosen)
            require(where, "the same scene for the same seed", scene == again, seed)
            require(where, "equal to its JSON round trip", loads_scene(dumps(scene)) == scene, seed)
            _check_view(where, scene)
            _check_ranges(scenario, where, scene, split)
            scenes.append(scene.bodies)
        distinct = sum(a != b for i, a in enumerate(scenes) for b in scenes[:i])
        require(
            f"{scenario.name}({split})", "a new scene for each seed", distinct == seeds * (seeds - 1) // 2, distinct
        )
    _check_refusals(scenario)


def _check_refusals(scenario: Scenario) -> None:
    unknown: dict[str, dict[str, Any]] = {
        "an unknown parameter": {"parameter_that_no_family_has": 1},
        "an unknown split": {"split": "nowhere"},
        "an unknown role": {"role": "nobody"},
    }
    for what, arguments in unknown.items():
        try:
            build_scene(scenario, 0, **arguments)
        except ValueError:
            continue
        raise ValueError(f"{scenario.name}: must refuse {what}, got a scene for {arguments}")
