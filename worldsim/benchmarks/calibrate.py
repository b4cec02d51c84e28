"""Make scales.json and floors.json: python -m worldsim.benchmarks.calibrate [num [pixels ...]].

Scales and thresholds come from twins at their stated strength and from second takes by another engine at the largest
of the heights, floors from ground-truth renders at all of them; all on scenes of role "val", which no figure is
reported on.
"""

from __future__ import annotations

import json
import math
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from worldsim.benchmarks._self_test import FAMILIES, PAIRS, TESTED, broken_pair, fresh, judged, readable, second_take
from worldsim.benchmarks.laws import LAWS
from worldsim.benchmarks.result import Violations
from worldsim.benchmarks.twins import KINDS, NotApplicable, violate

ROLE = "val"
HERE = Path(__file__).parent
# No twin is made for these alone: a wrong gravity breaks the first two for as long as the flight lasts, a body that
# goes through another keeps on where it should part.
BORROWED = {"dynamics": "wrong_gravity", "momentum": "wrong_gravity", "unanswered_contact": "pass_through"}


@dataclass(frozen=True)
class Sample:
    """What one scene tells: excesses over the floor of twins and of the lawful take, and the floor, in references."""

    regime: str
    pixels: int
    floor: dict[str, float]
    lawful: dict[str, float] = field(default_factory=dict)
    broken: dict[str, float] = field(default_factory=dict)


def sample(family: str, seed: int, pixels: int, twins: bool) -> Sample:
    """Read one scene, and with `twins` its twins and second take."""
    rollout = fresh(family, seed, pixels, ROLE)
    truth = judged(rollout, rollout, True)
    figures = {law: f for law, f in truth.figures.items() if f.applies and math.isfinite(f.value)}
    result = Sample(truth.regime, pixels, {law: f.value / f.reference for law, f in figures.items()})
    if not twins:
        return result
    take = second_take(rollout, "pybullet")
    if take is not None:
        found = judged(take, rollout, True)
        result.lawful.update({law: x for law in LAWS if (x := _excess(found, law)) is not None})
    for kind in TESTED:
        try:
            twin = violate(rollout, kind)
        except NotApplicable:
            continue
        found = judged(twin, rollout, True)
        own = KINDS[kind].law
        pair = broken_pair(twin) if kind in PAIRS else None
        for law in (own, *(law for law, borrowed in BORROWED.items() if borrowed == kind)):
            value = _excess(found, law)
            if value is not None and (law != own or readable(found.figures[law], twin, pair)):
                result.broken[law] = value
    return result


def _excess(found: Violations, law: str) -> float | None:
    figure = found.figures[law]
    if not figure.applies or not math.isfinite(figure.value):
        return None
    return (figure.value - figure.floor) / figure.reference


def fit(samples: Iterable[Sample], num: int, sizes: tuple[int, ...]) -> tuple[dict[str, object], dict[str, object]]:
    """Contents of scales.json and floors.json."""
    broken, lawful = defaultdict(list), defaultdict(list)
    floors: dict[str, dict[str, dict[str, list[float]]]] = {}
    for one in samples:
        cell = floors.setdefault(one.regime, {}).setdefault(str(one.pixels), {law: [] for law in LAWS})
        for law, value in one.floor.items():
            cell[law].append(value)
        for law, value in one.lawful.items():
            lawful[law].append(value)
        for law, value in one.broken.items():
            broken[law].append(value)
    scales, limits = {}, {}
    for law in LAWS:
        # Twins that show, and never so fine that another engine's lawful take loses more than a third of its score.
        shown = float(np.median([x for x in broken[law] if x > 0] or [_strength(law)]))
        scales[law] = round(max(shown, 2 * float(np.quantile([*lawful[law], 0.0], 0.9))), 4)
        limits[law] = round(_limit(lawful[law], broken[law] or [_strength(law)]), 4)
    made = {"families": list(FAMILIES), "num": num, "pixels": list(sizes), "role": ROLE}
    table = {
        regime: {
            height: {law: round(float(np.median(values)), 4) for law, values in cell.items() if values}
            for height, cell in rows.items()
        }
        for regime, rows in floors.items()
    }
    return {"made": made, "scales": scales, "thresholds": limits}, {"made": made, "floors": table}


def _limit(lawful: list[float], broken: list[float]) -> float:
    """The threshold with the fewest errors: misses as a share of twins plus alarms as a share of lawful takes."""
    candidates = np.unique([1e-3, *(x for x in [*lawful, *broken] if x > 0)])
    if len(candidates) < 2:
        return float(candidates[0])
    middle = (candidates[1:] + candidates[:-1]) / 2
    errors = [np.mean(np.array(broken) <= x) + np.mean(np.array(lawful or [0.0]) > x) for x in middle]
    best = np.flatnonzero(np.isclose(errors, min(errors)))
    # Of equals the middle of the widest.
    room = (candidates[1:] - candidates[:-1])[best]
    return float(middle[best][int(np.argmax(room))])


def _strength(law: str) -> float:
    """What stands for twins where no scene could be broken so: the strength at which they would be made."""
    return max((KINDS[kind].strength for kind in TESTED if KINDS[kind].law == law), default=1.0)


def main() -> None:
    """Write both files beside this one."""
    num = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    sizes = tuple(map(int, sys.argv[2:])) or (64, 128)
    samples = []
    for family in FAMILIES:
        for seed in range(num):
            samples += [sample(family, seed, pixels, pixels == max(sizes)) for pixels in sizes]
            print(family, seed, flush=True)
    for name, content in zip(("scales.json", "floors.json"), fit(samples, num, sizes), strict=True):
        (HERE / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
