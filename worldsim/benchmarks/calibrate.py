"""Make scales.json and floors.json: python -m worldsim.benchmarks.calibrate [num [pixels ...]].

Scales and thresholds come from twins at their stated strength and from second takes by another engine, read by masks
and by the built-in tracker at the largest of the heights, floors from ground-truth renders at all of them; all on
scenes of role "val", which no figure is reported on. Trials are kept in runs/calibration/ under the working directory:
a run that was stopped goes on there, and one with a larger num adds to them.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from worldsim.benchmarks._self_test import FAMILIES, scenes_of
from worldsim.benchmarks.laws import LAWS
from worldsim.benchmarks.trials import DEEP, LAWFUL, TESTED, TRUTH, SceneTrials
from worldsim.benchmarks.twins import KINDS

ROLE = "val"
HERE = Path(__file__).parent
KEPT = Path("runs/calibration")
_LEAST = 0.2  # of the scale: the lowest threshold
# No twin is made for these alone: a wrong gravity breaks the first two for as long as the flight lasts, a body that
# goes through another keeps on where it should part.
BORROWED = {"dynamics": "wrong_gravity", "momentum": "wrong_gravity", "unanswered_contact": "pass_through"}


def fit(scenes: Sequence[SceneTrials]) -> dict[str, dict[str, float]]:
    """Scales and thresholds, by law."""
    broken, lawful = defaultdict(list), defaultdict(list)
    for trial in (trial for scene in scenes for trial in scene.trials if trial.read and np.isfinite(trial.excess)):
        kind = trial.kind.removesuffix(DEEP)
        if kind == LAWFUL:
            lawful[trial.law].append(trial.excess)
        elif kind != TRUTH and (KINDS[kind].law == trial.law or BORROWED.get(trial.law) == kind):
            broken[trial.law].append(trial.excess)
    scales, limits = {}, {}
    for law in LAWS:
        # Twins that show, and never so fine that another engine's lawful take loses more than a third of its score.
        shown = float(np.median([x for x in broken[law] if x > 0] or [_strength(law)]))
        scales[law] = round(max(shown, 2 * float(np.quantile([*lawful[law], 0.0], 0.9))), 4)
        # A law that few twins break must not accuse what hardly costs anything.
        limits[law] = round(max(_LEAST * scales[law], _limit(lawful[law], broken[law] or [_strength(law)])), 4)
    return {"scales": scales, "thresholds": limits}


def floors(scenes: Sequence[SceneTrials]) -> dict[str, dict[str, float]]:
    """Medians of the ground truth's own figures, by regime and law, in references."""
    cells: dict[str, dict[str, list[float]]] = {}
    for scene in scenes:
        cell = cells.setdefault(scene.regime, {law: [] for law in LAWS})
        for trial in scene.trials:
            if trial.kind == TRUTH:
                cell[trial.law].append(trial.floor)
    return {
        regime: {law: round(float(np.median(values)), 4) for law, values in cell.items() if values}
        for regime, cell in cells.items()
    }


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

    def tried(pixels: int, use_masks: bool) -> list[SceneTrials]:
        def told(done: int, of: int) -> None:
            print(f"{pixels} px, {'masks' if use_masks else 'tracker'}: {done} of {of}", flush=True)

        whole = pixels == max(sizes)
        kept = KEPT / "trials.jsonl"
        return scenes_of(FAMILIES, num, 0, pixels, use_masks, "pybullet", ROLE, told, kept, twins=whole)

    masked = {pixels: tried(pixels, True) for pixels in sizes}
    read = [*masked[max(sizes)], *tried(max(sizes), False)]
    fitted = fit(read)
    table: dict[str, dict[str, dict[str, float]]] = {}
    for pixels, scenes in masked.items():
        for regime, row in floors(scenes).items():
            table.setdefault(regime, {})[str(pixels)] = row
    made = {"families": list(FAMILIES), "num": num, "pixels": list(sizes), "role": ROLE, "readings": len(read)}
    for name, content in (("scales.json", fitted), ("floors.json", {"floors": table})):
        (HERE / name).write_text(json.dumps({"made": made, **content}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
