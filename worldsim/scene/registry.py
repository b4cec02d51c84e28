"""Scenario families by name, found through the entry-point group `worldsim.scenarios`: others can ship theirs."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import entry_points
from typing import Any

import numpy as np

from worldsim.scene.checks import require
from worldsim.scene.scene import Scene

SPLITS = ("id", "ood")
ROLES = ("train", "val", "test")

Build = Callable[..., Scene]
Measure = Callable[[Scene], Mapping[str, Sequence[float]]]
# Of a worldsim.engines.Rollout, a type that this room does not know.
Outcome = Callable[[Any], Mapping[str, Any]]


@dataclass(frozen=True)
class Scenario:
    """A scenario family.

    Attributes:
        name: That users call it by.
        build: Function of (rng, split, **parameters) to Scene.
        summary: One line for `worldsim list`.
        parameters: Names and defaults that `build` takes beyond rng and split.
        ranges: What is drawn, in words with units: quantity -> (in distribution, out of distribution). Intervals are
            written in square brackets, "[0.3, 0.6] or [1.5, 2] m".
        measure: Reads the drawn quantities back from a scene, one or more values each, so that check_scenario can hold
            them against `ranges`; None where nobody checks.
        outcome: Reads plain values, such as success, from the Rollout of one of its scenes; ws.simulate puts them into
            Rollout.info. None where there is nothing to tell.
    """

    name: str
    build: Build
    summary: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    ranges: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    measure: Measure | None = None
    outcome: Outcome | None = None


_FAMILIES: dict[str, Scenario] = {}
_loaded = False


def register(scenario: Scenario) -> Scenario:
    """Make a family known under its name; a name is taken once."""
    taken = _FAMILIES.get(scenario.name)
    require(
        "scenario.name",
        "one not taken yet",
        taken is None or taken.build.__module__ == scenario.build.__module__,
        scenario.name,
    )
    _FAMILIES[scenario.name] = scenario
    return scenario


def scenarios() -> dict[str, Scenario]:
    """All families, by name; imports the packages that the entry points name on the first call."""
    global _loaded
    if not _loaded:
        for entry in entry_points(group="worldsim.scenarios"):
            importlib.import_module(entry.value)
        _loaded = True
    return dict(sorted(_FAMILIES.items()))


def list_scenes() -> list[str]:
    """Names of the registered families."""
    return list(scenarios())


def scene_rng(family: str, split: str, role: str, seed: int) -> np.random.Generator:
    """A generator whose stream no other (family, split, role, seed) shares, so that train and test never overlap."""
    digest = hashlib.sha256(f"{family}|{split}|{role}|{seed}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


def make_scene(name: str, seed: int = 0, split: str = "id", role: str = "test", **parameters: Any) -> Scene:
    """Draw a scene from a family.

    Args:
        name: Of a registered family.
        seed: The same seed gives the same scene.
        split: "id" draws from the in-distribution ranges, "ood" from those outside.
        role: "train", "val" or "test"; the three never share a stream.
        **parameters: Of the family; unknown ones are refused.
    """
    known = scenarios()
    require("scene", f"one of {', '.join(known)}", name in known, name)
    return build_scene(known[name], seed, split, role, **parameters)


def build_scene(scenario: Scenario, seed: int = 0, split: str = "id", role: str = "test", **parameters: Any) -> Scene:
    """Draw a scene from a family that need not be registered; arguments as of make_scene."""
    name = scenario.name
    require("split", " or ".join(SPLITS), split in SPLITS, split)
    require("role", f"one of {', '.join(ROLES)}", role in ROLES, role)
    for key in parameters:
        require(f"{name}.{key}", f"one of {', '.join(scenario.parameters) or 'none'}", key in scenario.parameters, key)
    scene = scenario.build(scene_rng(name, split, role, seed), split, **{**scenario.parameters, **parameters})
    return replace(scene, family=name, seed=seed)
