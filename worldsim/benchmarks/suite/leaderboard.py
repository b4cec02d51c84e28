"""From scored clips to rows: means with bootstrap intervals, and the files that hold them."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from worldsim.benchmarks.laws import LAWS
from worldsim.benchmarks.result import plain
from worldsim.benchmarks.suite.run import Clip
from worldsim.scene.files import write_bytes

_DRAWS = 2000


@dataclass(frozen=True)
class Interval:
    """A mean over clips.

    Attributes:
        mean: NaN without clips.
        low: 2.5 % bound; NaN for a single clip, which tells nothing of spread.
        high: 97.5 % bound.
        clips: How many bear on it.
    """

    mean: float
    low: float
    high: float
    clips: int

    def __str__(self) -> str:
        if not math.isfinite(self.mean):
            return "–"
        if not math.isfinite(self.low):
            return f"{self.mean:.3f}"
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class LawRow:
    """One law of one model.

    Attributes:
        law: Its name.
        score: exp(-excess over the floor / scale), 1 is lawful; of the answered clips that the law applies to.
        value: Mean in unit.
        floor: Mean of what the ground truth of the same scenes reads, in unit.
        unit: Of both; units of planar and spatial worlds are the same.
        measurable: Mean share of the entries that can be judged.
    """

    law: str
    score: Interval
    value: float
    floor: float
    unit: str
    measurable: float


@dataclass(frozen=True)
class LeaderboardRow:
    """One model.

    Attributes:
        model: Its name.
        headline: Over all clips; unanswered ones count 0.
        by_split: The headline of "id" and of "ood".
        by_family: The headline of each family.
        laws: In the order of LAWS, those that apply to any clip.
        tracked: Mean share of the context's objects that stay tracked, of answered clips.
        measurable: Mean over answered clips and laws that apply of the share that can be judged.
        answered: Share of clips with an answer.
        seconds: Mean that an answer took.
    """

    model: str
    headline: Interval
    by_split: dict[str, Interval]
    by_family: dict[str, Interval]
    laws: tuple[LawRow, ...]
    tracked: float
    measurable: float
    answered: float
    seconds: float


def row_of(model: str, clips: Sequence[Clip]) -> LeaderboardRow:
    """The row of a model's clips."""
    answered = [clip for clip in clips if clip.answered]
    laws = tuple(row for law in LAWS if (row := _law_row(law, answered)) is not None)
    splits = sorted({clip.split for clip in clips})
    families = list(dict.fromkeys(clip.family for clip in clips))
    shares = [f["measurable"] for clip in answered for f in clip.scores["figures"].values() if f["applies"]]
    return LeaderboardRow(
        model,
        bootstrap(clips, lambda clip: clip.headline),
        {split: bootstrap([c for c in clips if c.split == split], lambda c: c.headline) for split in splits},
        {family: bootstrap([c for c in clips if c.family == family], lambda c: c.headline) for family in families},
        laws,
        _mean([clip.scores["tracked"] for clip in answered]),
        _mean(shares),
        len(answered) / len(clips),
        _mean([clip.seconds for clip in answered]),
    )


def bootstrap(clips: Sequence[Clip], value: Callable[[Clip], float], seed: int = 0) -> Interval:
    """Mean and 95 % percentile interval, scenes drawn anew within each family and split.

    Families and splits are fixed, not drawn; so only the spread within a cell counts. A cell of n scenes understates it
    by (n - 1) / n, which the draws' deviations make good (rescaling bootstrap, Rao and Wu 1988, JASA 83, 231).
    """
    if not clips:
        return Interval(float("nan"), float("nan"), float("nan"), 0)
    cells: dict[tuple[str, str], list[float]] = {}
    for clip in clips:
        cells.setdefault((clip.family, clip.split), []).append(value(clip))
    mean = _mean([x for cell in cells.values() for x in cell])
    # A cell of one scene, which a law may leave, has no spread of its own and is drawn together with others like it.
    lone = [cell[0] for cell in cells.values() if len(cell) == 1]
    drawn_from = [cell for cell in cells.values() if len(cell) > 1]
    if len(lone) == 1 and drawn_from:
        drawn_from[-1] = drawn_from[-1] + lone
    elif len(lone) > 1:
        drawn_from.append(lone)
    if not drawn_from:
        return Interval(mean, float("nan"), float("nan"), len(clips))
    rng = np.random.default_rng(seed)
    off = np.zeros(_DRAWS)
    for cell in drawn_from:
        values = np.array(cell)
        n = len(values)
        drawn = rng.choice(values, (_DRAWS, n)).mean(1) - values.mean()
        off += math.sqrt(n / (n - 1)) * drawn * n / len(clips)
    low, high = np.quantile(mean + off, [0.025, 0.975])
    return Interval(mean, max(0.0, float(low)), min(1.0, float(high)), len(clips))


def _law_row(law: str, answered: Sequence[Clip]) -> LawRow | None:
    asked = [clip for clip in answered if clip.scores["figures"][law]["applies"]]
    if not asked:
        return None
    figures = [clip.scores["figures"][law] for clip in asked]
    known = [f for f in figures if f["value"] is not None and f["floor"] is not None]
    return LawRow(
        law,
        bootstrap(asked, lambda clip: float(clip.scores["figures"][law]["score"] or 0.0)),
        _mean([f["value"] for f in known]),
        _mean([f["floor"] for f in known]),
        next((f["unit"] for f in figures if f["unit"]), ""),
        _mean([f["measurable"] for f in figures]),
    )


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else float("nan")


def sorted_rows(rows: Sequence[LeaderboardRow]) -> list[LeaderboardRow]:
    """Best first."""
    return sorted(rows, key=lambda row: (-row.headline.mean, row.model))


def write_leaderboard(out: Path, rows: Sequence[LeaderboardRow], settings: dict[str, Any]) -> None:
    """Write leaderboard.json, .csv and .md."""
    best = sorted_rows(rows)
    document = {"settings": settings, "rows": [_finite(asdict(row)) for row in best]}
    write_bytes(out / "leaderboard.json", json.dumps(document, indent=1, allow_nan=False).encode() + b"\n")
    write_bytes(out / "leaderboard.csv", _csv(best).encode())
    write_bytes(out / "leaderboard.md", markdown(best, settings).encode())


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return plain(value)


def _csv(rows: Sequence[LeaderboardRow]) -> str:
    """One line a model, three columns an interval."""
    lines = []
    for row in rows:
        line: dict[str, Any] = {"model": row.model, "clips": row.headline.clips, "answered": row.answered}
        intervals = {"headline": row.headline}
        intervals |= {f"headline {key}": cell for key, cell in {**row.by_split, **row.by_family}.items()}
        laws = {law.law: law for law in row.laws}
        for law in LAWS:
            intervals[law] = laws[law].score if law in laws else bootstrap([], lambda clip: clip.headline)
        for key, cell in intervals.items():
            line |= {key: cell.mean, f"{key} low": cell.low, f"{key} high": cell.high}
        for law in LAWS:
            own = laws.get(law)
            line |= {f"{law} value": own.value if own else "", f"{law} floor": own.floor if own else ""}
            line |= {f"{law} unit": own.unit if own else "", f"{law} measurable": own.measurable if own else ""}
        line |= {"tracked": row.tracked, "measurable": row.measurable, "seconds": row.seconds}
        lines.append({key: "" if isinstance(v, float) and not math.isfinite(v) else v for key, v in line.items()})
    text = io.StringIO()
    writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    for line in lines:
        # A spreadsheet takes cells that begin so for formulas.
        name = str(line["model"])
        writer.writerow(line | {"model": "'" + name if name[:1] in tuple("=+-@\t\r") else name})
    return text.getvalue()


def markdown(rows: Sequence[LeaderboardRow], settings: dict[str, Any]) -> str:
    """The leaderboard, then each model's laws beside the floor, as Markdown tables."""
    splits = sorted({split for row in rows for split in row.by_split})
    families = list(dict.fromkeys(family for row in rows for family in row.by_family))
    head = ["model", "headline", *splits, "tracked", "measurable", "answered"]
    lines = [describe_settings(settings), "", *_table(head, [_cells(row, splits) for row in rows])]
    lines += ["", "Headline by family:", ""]
    lines += _table(["model", *families], [[_safe(r.model), *(str(r.by_family[f]) for f in families)] for r in rows])
    for row in rows:
        lines += ["", f"{_safe(row.model)}, law by law:", ""]
        lines += _table(
            ["law", "score", "value", "floor of the ground truth", "unit", "measurable", "clips"], law_cells(row)
        )
    return "\n".join(lines) + "\n"


def describe_settings(settings: dict[str, Any]) -> str:
    """One sentence of what the rows have in common."""
    s = settings
    return (
        f"Suite {s['suite']} version {s['version']}: {s['num']} scenes a family and split "
        f"({', '.join(s['families'])}; id and ood), {s['pixels']} px high, {s['context']} context and "
        f"{s['num_frames']} new frames, read by the built-in tracker; ground truth {s['engine']}; 95 % bootstrap "
        "intervals over scenes. 1 is as lawful as the ground truth."
    )


def law_cells(row: LeaderboardRow) -> list[list[str]]:
    """Rows of a table of laws."""
    return [
        [
            law.law,
            str(law.score),
            _plain(law.value),
            _plain(law.floor),
            law.unit,
            f"{law.measurable:.0%}",
            str(law.score.clips),
        ]
        for law in row.laws
    ]


def _cells(row: LeaderboardRow, splits: Sequence[str]) -> list[str]:
    return [_safe(row.model), str(row.headline), *(str(row.by_split[split]) for split in splits), *shares(row)]


def shares(row: LeaderboardRow) -> list[str]:
    """Tracked, measurable and answered, in words."""
    return [_percent(row.tracked), _percent(row.measurable), _percent(row.answered)]


def _percent(value: float) -> str:
    return f"{value:.0%}" if math.isfinite(value) else "–"


def _plain(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "–"


def _safe(name: str) -> str:
    """A model's name that breaks no Markdown table and is taken for no HTML."""
    flat = " ".join(name.split())
    for sign in ("\\", "|", "`", "*", "[", "]", "_"):
        flat = flat.replace(sign, "\\" + sign)
    return flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        "| " + " | ".join(head) + " |",
        "|" + "---|" * len(head),
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
