"""Distributions law by law as small pictures: a dot a clip, its place the excess over what the ground truth reads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from worldsim.benchmarks.laws import LAWS

WIDTH, ROW, FOOT = 340, 20, 16
_EDGE = 6  # left and right of the axis
_LETTER = 5.2  # width of a letter of a row's name
_LONGEST = 22  # letters of a name, of which longer ones are cut
_BELOW = 0.3  # of the axis above the floor, how much is drawn below it
_SPREAD = (0, 3, -3, 5, -5, 1.5, -1.5, 4, -4)  # heights of dots in turn, so that equal ones are not one


@dataclass(frozen=True)
class Sample:
    """One clip's figure of one law.

    Attributes:
        law: Its name.
        group: The row that the dot stands in, such as a model and split.
        name: Of the clip.
        excess: Over the floor, in unit; NaN where the law applies but cannot be read.
        unit: Of excess.
        broken: Whether the clip breaks the law.
    """

    law: str
    group: str
    name: str
    excess: float
    unit: str
    broken: bool


def panels(samples: Sequence[Sample]) -> list[dict[str, Any]]:
    """One panel a law: dots, axis and rows as plain values for the template."""
    present = {sample.law for sample in samples}
    laws = [law for law in LAWS if law in present]
    groups = list(dict.fromkeys(sample.group for sample in samples))
    return [_panel(law, groups, [s for s in samples if s.law == law]) for law in laws]


def _panel(law: str, groups: Sequence[str], samples: Sequence[Sample]) -> dict[str, Any]:
    known = [s.excess for s in samples if math.isfinite(s.excess)]
    top = max([0.0, *known])
    high = top or 1.0
    low = max(min([0.0, *known]), -_BELOW * high)  # how far below its floor a clip reads matters little
    names = [group if len(group) <= _LONGEST else group[: _LONGEST - 1] + "…" for group in groups]
    left = _EDGE + (max(map(len, names)) * _LETTER + _EDGE if len(groups) > 1 else 0.0)
    wide = WIDTH - left - _EDGE

    def place(value: float) -> float:
        return round(left + wide * (max(value, low) - low) / (high - low), 1)

    rows = []
    for i, (group, name) in enumerate(zip(groups, names, strict=True)):
        own = [s for s in samples if s.group == group]
        middle = ROW * i + ROW / 2
        seen = [s for s in own if math.isfinite(s.excess)]
        dots = [
            {
                "x": place(s.excess),
                "y": round(middle + _SPREAD[j % len(_SPREAD)], 1),
                "broken": s.broken,
                "text": f"{s.name}: {s.excess:.3g} {s.unit} over the floor",
            }
            for j, s in enumerate(seen)
        ]
        broken = sum(s.broken for s in own)
        told = f"{broken} of {len(own)} broken" if own else "does not apply"
        if len(own) > len(seen):
            told += f", {len(own) - len(seen)} not readable"
        rows.append(
            {"group": group, "name": name if len(groups) > 1 else "", "dots": dots, "told": told, "line": middle}
        )
    unit = next((s.unit for s in samples if s.unit), "").removeprefix("1")
    return {
        "law": law.replace("_", " "),
        "unit": unit,
        "rows": rows,
        "zero": place(0.0),
        "high": f"{top:.2g} {unit}",
        "width": WIDTH,
        "height": ROW * len(groups) + FOOT,
        "row": ROW,
        "left": round(left, 1),
    }
