"""From figures of clips to what is claimed: means, recalls, and ratios with their bootstrap intervals."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from data import FAMILIES
from measure import DEEP, ENOUGH
from numpy.typing import NDArray
from rows import CHECKS, ORDER

Floats = NDArray[np.float64]

# Each interval has draws of its own, so that it is the same on every page.
DRAWS, SEED = 2000, 0
# Figures of which more is worse: clips that cannot be measured get the worst value that any row's clip has.
WORSE = ("deepest", "overlap", "deep", "pass_through", "rigidity", "teleport")
EVENTS = ("deep", "pass_through")
PLACED = ("overlap", "deep", "pass_through")  # also given over the clips that can be placed alone
FORMED = 0.9


@dataclass(frozen=True)
class Interval:
    """A value and its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        digits = 3 if abs(self.value) < 10 else 1
        return f"{self.value:.{digits}f} ({self.low:.{digits}f}, {self.high:.{digits}f})"


# By row, then by cell such as "box id", then by figure: (clips,).
Table = dict[str, dict[str, dict[str, Floats]]]


def layout_of(family: str) -> str:
    """Which of "hoop", "box" and "space" a set belongs to."""
    if FAMILIES[family].free:
        return "space"
    return "hoop" if family == "hoop" else "box"


def gather(pieces: Iterable[dict[str, Any]], reader: str) -> Table:
    """All pieces by one reader, the sets of the box joined, clips that cannot be measured at the worst value."""
    parts: dict[str, dict[str, dict[str, list[float]]]] = {}
    for piece in pieces:
        cell = f"{layout_of(piece['family'])} {piece['split']}"
        place = parts.setdefault(piece["row"], {}).setdefault(cell, {})
        for name, values in piece["readers"][reader].items():
            place.setdefault(name, []).extend(values)
        place.setdefault("headline", []).extend(piece["headline"])
    table: Table = {
        row: {cell: {name: np.array(v, float) for name, v in figures.items()} for cell, figures in cells.items()}
        for row, cells in parts.items()
    }
    for figures in (figures for cells in table.values() for figures in cells.values()):
        placed = placeable(figures)
        figures["placed"] = placed.astype(float)
        for name in PLACED:
            figures[f"{name} placed"] = np.where(placed, figures[name], np.nan)
    for cell in {cell for cells in table.values() for cell in cells}:
        # What is made to err is no yardstick for the others, and a further row does not move those that a claim is of.
        there = {row: cells[cell] for row, cells in table.items() if cell in cells}
        claimed = [figures for row, figures in there.items() if row in ORDER and row not in CHECKS]
        fill_worst([figures for row, figures in there.items() if row not in CHECKS], claimed)
        fill_worst([figures for row, figures in there.items() if row in CHECKS])
    return table


def placeable(figures: dict[str, Floats]) -> NDArray[np.bool_]:
    """(clips,) whether enough of a clip's balls and frames can be placed."""
    enough: NDArray[np.bool_] = np.nan_to_num(figures["measured"], nan=1.0) >= ENOUGH
    return enough


def fill_worst(rows: list[dict[str, Floats]], yardstick: list[dict[str, Floats]] | None = None) -> None:
    """In place: where a clip's places cannot be told, or a figure says nothing, the worst clip of the yardstick.

    That is the worst of those that can be told, or what is seen of the clip itself where that is worse still. The
    yardstick is of the rows themselves where it is left out or empty.
    """
    if not rows:
        return
    measure = yardstick or rows
    for name in WORSE:
        seen = np.concatenate([row[name][placeable(row)] for row in measure])
        worst = np.nanmax(seen) if np.isfinite(seen).any() else np.nan
        for row in rows:
            good = placeable(row) & np.isfinite(row[name])
            row[name] = np.where(good, row[name], np.fmax(row[name], worst))


def draws(values: Floats, rng: np.random.Generator) -> Floats:
    """(DRAWS,) means of resampled clips, those with NaN left out."""
    values = values[np.isfinite(values)]
    if not len(values):
        return np.full(DRAWS, np.nan)
    return np.asarray(values[rng.integers(len(values), size=(DRAWS, len(values)))].mean(1), float)


def interval(value: float, drawn: Floats) -> Interval:
    """With the 2.5 % and 97.5 % quantiles of the draws."""
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(float(value), float(low), float(high))


def mean(values: Floats) -> Interval:
    """Over clips."""
    good = values[np.isfinite(values)]
    return interval(float(good.mean()) if len(good) else np.nan, draws(values, np.random.default_rng(SEED)))


def recall(met: Floats, due: Floats) -> Interval:
    """Share of the true contacts that occur, clips resampled."""
    pick = np.random.default_rng(SEED).integers(len(met), size=(DRAWS, len(met)))
    return interval(float(met.sum() / due.sum()), met[pick].sum(1) / due[pick].sum(1).clip(1))


def gain(first: Floats, second: Floats) -> Interval:
    """Mean of the first less that of the second, each resampled."""
    rng = np.random.default_rng(SEED)
    return interval(float(np.nanmean(first) - np.nanmean(second)), draws(first, rng) - draws(second, rng))


def least(floor: Floats, name: str) -> float:
    """What a denominator is at least: the standard error of the floor; with no event at all, the rule of three.

    Of n clips without an event, at most 3 / n have one (95 %). A depth of 0 in all n clips is taken alike: at most
    3 / n of them reach DEEP.
    """
    if np.all(floor == 0):
        return 3 / len(floor) * (1.0 if name in EVENTS else DEEP)
    return float(floor.std(ddof=1) / np.sqrt(len(floor)))


def ratio(worse: Floats, better: Floats, floor: Floats, name: str) -> Interval:
    """(worse - floor) / (better - floor), each row's clips resampled on their own."""
    bound, rng = least(floor, name), np.random.default_rng(SEED)
    drawn = [draws(x, rng) for x in (worse, better, floor)]
    value = (worse.mean() - floor.mean()) / max(better.mean() - floor.mean(), bound)
    return interval(float(value), (drawn[0] - drawn[2]) / np.maximum(drawn[1] - drawn[2], bound))


def formed(figures: dict[str, Floats]) -> bool:
    """Whether a row's videos hold bodies at all, so that ratios mean something: asked in distribution."""
    return bool(np.nanmean(figures["permanence"]) >= FORMED and np.nanmean(figures["measured"]) >= FORMED)


def load_pieces(folder: Path) -> list[dict[str, Any]]:
    """What evaluate.py wrote, in order of names."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
