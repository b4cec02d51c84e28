"""What a protocol gives back: named means with spread, one row a clip, and what was done on the way, in words."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from worldsim.benchmarks.result import plain
from worldsim.scene.files import write_bytes

Row = dict[str, Any]


@dataclass(frozen=True)
class Measured:
    """A mean over clips.

    Attributes:
        value: In `unit`; NaN where no clip could be measured.
        unit: Of value and error, empty for a pure number.
        count: Clips it is the mean of.
        error: Standard error of the mean over clips; NaN below two clips and for figures that are no mean.
    """

    value: float
    unit: str
    count: int
    error: float = math.nan


@dataclass(frozen=True)
class ProtocolResult:
    """Figures of one protocol over a set of clips.

    Attributes:
        protocol: Its name.
        figures: By name, in the order in which they are printed.
        rows: One dict of plain values a clip.
        notes: What a reader must know, such as clips that were left out and why.
    """

    protocol: str
    figures: dict[str, Measured]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    def summary(self) -> dict[str, Any]:
        """Plain JSON values; None for what is not known."""
        figures = {
            name: {"value": plain(f.value), "unit": f.unit, "clips": f.count, "standard_error": plain(f.error)}
            for name, f in self.figures.items()
        }
        rows = [{key: plain(value) for key, value in row.items()} for row in self.rows]
        return {"protocol": self.protocol, "figures": figures, "clips": rows, "notes": list(self.notes)}

    def markdown(self) -> str:
        """The figures as a table, the notes below it."""
        lines = [f"# {self.protocol}", "", "| figure | value | unit | clips |", "|---|---|---|---|"]
        for name, f in self.figures.items():
            spread = f" ± {f.error:.2g}" if math.isfinite(f.error) else ""
            lines.append(f"| {name} | {f.value:.4g}{spread} | {f.unit} | {f.count} |")
        return "\n".join([*lines, "", *self.notes]).rstrip() + "\n"

    def table(self) -> str:
        """The rows as CSV, a column for every key that occurs."""
        names = list(dict.fromkeys(key for row in self.rows for key in row))
        out = io.StringIO()
        writer = csv.DictWriter(out, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: plain(value) for key, value in row.items()} for row in self.rows)
        return out.getvalue()

    def write(self, folder: Path) -> Path:
        """Write PROTOCOL.json, .csv and .md into a folder; gives the JSON's path."""
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / f"{self.protocol}.json"
        document = json.dumps(self.summary(), indent=1, allow_nan=False) + "\n"
        for path, text in (
            (target, document),
            (target.with_suffix(".csv"), self.table()),
            (target.with_suffix(".md"), self.markdown()),
        ):
            write_bytes(path, text.encode("utf-8"))
        return target


def mean_of(values: Iterable[float], unit: str) -> Measured:
    """The mean of what is finite, with its standard error."""
    known = np.array([value for value in values if math.isfinite(value)], np.float64)
    if not len(known):
        return Measured(math.nan, unit, 0)
    error = float(known.std(ddof=1) / math.sqrt(len(known))) if len(known) > 1 else math.nan
    return Measured(float(known.mean()), unit, len(known), error)


def means(rows: Sequence[Row], names: dict[str, str], keep: Callable[[Row], bool] | None = None) -> dict[str, Measured]:
    """Means of columns.

    Args:
        rows: One a clip; a row without the column does not count.
        names: Column to unit.
        keep: Which rows count; all where left out.
    """
    chosen = [row for row in rows if keep is None or keep(row)]
    return {name: mean_of((row[name] for row in chosen if name in row), unit) for name, unit in names.items()}
