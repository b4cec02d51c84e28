"""Make scales.json and floors.json: python -m worldsim.benchmarks.calibrate [num [pixels ...]].

Scales and thresholds come from twins at their stated strength and from second takes by another engine, floors from
ground-truth renders; all on scenes of role "train", which no figure is reported on.
"""

from __future__ import annotations

import json
import math
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from worldsim.benchmarks._score import score
from worldsim.benchmarks._self_test import TESTED, fresh, second_take
from worldsim.benchmarks.laws import LAWS
from worldsim.benchmarks.result import Violations
from worldsim.benchmarks.twins import KINDS, NotApplicable, violate

FAMILIES = ("parabola", "collision", "bouncing", "bouncing_balls", "hoop", "billiards", "incline")
HERE = Path(__file__).parent
# No twin is made for these alone; a wrong gravity breaks both for as long as the flight lasts.
BORROWED = {"dynamics": "wrong_gravity", "momentum": "wrong_gravity"}


def _excess(found: Violations, law: str) -> float | None:
    figure = found.figures[law]
    if not figure.applies or not math.isfinite(figure.value):
        return None
    return (figure.value - figure.floor) / figure.reference


def calibrate(num: int, sizes: tuple[int, ...]) -> tuple[dict[str, object], dict[str, object]]:
    """Scales, thresholds and floors from `num` scenes a family at each height of picture."""
    broken, lawful = defaultdict(list), defaultdict(list)
    floors: dict[str, dict[str, dict[str, list[float]]]] = {}
    for family in FAMILIES:
        for seed in range(num):
            for pixels in sizes:
                rollout = fresh(family, seed, pixels, "train")
                truth = score(rollout.video, masks=rollout.ids, scene=rollout)
                cell = floors.setdefault(truth.regime, {}).setdefault(str(pixels), {law: [] for law in LAWS})
                for law, figure in truth.figures.items():
                    if figure.applies and math.isfinite(figure.value):
                        cell[law].append(figure.value / figure.reference)
                take = second_take(rollout, "pybullet")
                found = None if take is None else score(take.video, masks=take.ids, scene=rollout)
                for law in LAWS:
                    value = None if found is None else _excess(found, law)
                    if value is not None:
                        lawful[law].append(value)
                for kind in TESTED:
                    try:
                        twin = violate(rollout, kind)
                    except NotApplicable:
                        continue
                    found = score(twin.video, masks=twin.ids, scene=rollout)
                    laws = [KINDS[kind].law, *(law for law, own in BORROWED.items() if own == kind)]
                    for law in laws:
                        value = _excess(found, law)
                        if value is not None:
                            broken[law].append(value)
            print(family, seed, flush=True)
    scales, limits = {}, {}
    for law in LAWS:
        # Twins that show, and never so fine that another engine's lawful take loses more than a third of its score.
        shown = float(np.median([x for x in broken[law] if x > 0] or [1.0]))
        scales[law] = round(max(shown, 2 * float(np.quantile([*lawful[law], 0.0], 0.9))), 4)
        limits[law] = round(_limit(lawful[law], broken[law]), 4)
    made = {"families": list(FAMILIES), "num": num, "pixels": list(sizes), "role": "train"}
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
    middle = (candidates[1:] + candidates[:-1]) / 2 if len(candidates) > 1 else candidates
    errors = [np.mean(np.array(broken) <= limit) + np.mean(np.array(lawful or [0.0]) > limit) for limit in middle]
    best = np.flatnonzero(np.isclose(errors, min(errors)))
    # In the middle of the widest choice of equals.
    return float(middle[best[len(best) // 2]])


def main() -> None:
    """Write both files beside this one."""
    num = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    sizes = tuple(map(int, sys.argv[2:])) or (64, 128)
    for name, content in zip(("scales.json", "floors.json"), calibrate(num, sizes), strict=True):
        (HERE / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
