"""Build the page: everything it shows is inside it, and nothing that a name says is taken as HTML."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray

from worldsim.benchmarks._headline import GROUPS
from worldsim.benchmarks.report.distribution import Sample, panels
from worldsim.benchmarks.report.sheets import COLOURS, frame_sheets, mask_sheets, shown_frames, shown_size
from worldsim.benchmarks.report.timeline import is_broken, marks, severity, told, worst_frames
from worldsim.benchmarks.result import Figure, Violations, over_floor
from worldsim.scene import Body
from worldsim.scene.files import PathLike, atomic_path

UInt8 = NDArray[np.uint8]


@dataclass(frozen=True)
class Entry:
    """A video on the page.

    Attributes:
        name: Shown above it; any text.
        frames: (T, H, W, 3) RGB, or of a long video those that shown_frames(T) names, and with them its ids.
        violations: Its score.
        truth: What the simulator shows of the same scene, as frames, played in step beside it; None where not known.
        context: How many frames the model was given; 0 where not known.
        bodies: With ids 1, 2 and on; none where no scene is known, whose objects are "object 1" and on.
    """

    name: str
    frames: UInt8
    violations: Violations
    truth: UInt8 | None = None
    context: int = 0
    bodies: tuple[Body, ...] = ()

    def __post_init__(self) -> None:
        if self.violations.ids.shape != self.frames.shape[:3]:
            raise ValueError(f"ids: must have shape {self.frames.shape[:3]}, got {self.violations.ids.shape}")
        if len(self.frames) not in (self.total, len(shown_frames(self.total))):
            raise ValueError(f"frames: must be {self.total}, as the figures have, got {len(self.frames)}")
        count = int(self.violations.ids.max(initial=0))
        if self.bodies and len(self.bodies) < count:
            raise ValueError(f"bodies: must be one for each of {count} ids, got {len(self.bodies)}")
        if self.truth is not None and self.truth.shape != self.frames.shape:
            raise ValueError(f"truth: must have shape {self.frames.shape}, got {self.truth.shape}")

    @property
    def total(self) -> int:
        """How many frames the video has."""
        return len(next(iter(self.violations.figures.values())).per_frame)

    def shown(self, frames: UInt8) -> UInt8:
        """Those of the frames, or ids, that are on the page."""
        kept = shown_frames(self.total)
        return frames if len(frames) == len(kept) else frames[kept]

    @property
    def names(self) -> tuple[str, ...]:
        """Of ids 1, 2 and on, as the figures' subjects have them."""
        count = int(self.violations.ids.max(initial=0))
        return tuple(body.name for body in self.bodies) or tuple(f"object {k}" for k in range(1, count + 1))

    @property
    def static(self) -> tuple[int, ...]:
        """Ids of bodies that do not move."""
        return tuple(k + 1 for k, body in enumerate(self.bodies) if body.static)


@dataclass(frozen=True)
class Board:
    """The table at the top.

    Attributes:
        columns: Heads.
        rows: One cell a column: text, or text and a score from 0 to 1 that gives it a colour.
        note: Below the table.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str | tuple[str, float], ...], ...]
    note: str = ""


def write_report(
    path: PathLike,
    entries: Sequence[Entry],
    title: str = "Physical violations",
    board: Board | None = None,
    samples: Sequence[Sample] | None = None,
) -> None:
    """Write the page, whole or not at all.

    Args:
        path: Of the HTML file.
        entries: The videos that are shown, in this order.
        title: Of the page.
        board: Left out, a line for each entry.
        samples: Of the distributions; left out, those of the entries.

    Raises:
        ValueError: Where there is no entry.
    """
    if not entries:
        raise ValueError("entries: must be at least one video, got none")
    environment = Environment(
        loader=PackageLoader("worldsim.benchmarks.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    own = board_of(entries) if board is None else board
    page = environment.get_template("page.html.j2").render(
        title=title,
        head=own.columns,
        rows=[[_cell(cell) for cell in row] for row in own.rows],
        linked=board is None,
        note=own.note,
        panels=panels(samples_of(entries) if samples is None else samples),
        cards=[_card(entry) for entry in entries],
        groups=GROUPS,
    )
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def board_of(entries: Sequence[Entry]) -> Board:
    """A line for each video."""
    laws = list(entries[0].violations.figures)
    rows: list[tuple[str | tuple[str, float], ...]] = []
    for entry in entries:
        found = entry.violations
        cells = [_scored(f.score) if f.applies else "–" for f in found.figures.values()]
        rows.append((entry.name, _headline(found), f"{found.tracked:.0%}", *cells))
    return Board(("video", "headline", "tracked", *(law.replace("_", " ") for law in laws)), tuple(rows))


def samples_of(entries: Sequence[Entry]) -> list[Sample]:
    """A dot for each law that applies, of each video."""
    return [
        Sample(law, "", entry.name, over_floor(figure.value, figure.floor), figure.unit, is_broken(figure))
        for entry in entries
        for law, figure in entry.violations.figures.items()
        if figure.applies
    ]


def _scored(value: float) -> tuple[str, float]:
    return (f"{value:.2f}", value) if math.isfinite(value) else ("–", 1.0)


def _headline(found: Violations) -> str | tuple[str, float]:
    told = found.headline_text(2)
    return (told, found.headline) if math.isfinite(found.headline) else told


def _cell(cell: str | tuple[str, float]) -> dict[str, Any]:
    if isinstance(cell, str):
        return {"text": cell, "bad": None}
    return {"text": cell[0], "bad": round(100 * min(1.0, max(0.0, 1 - cell[1])))}


def _card(entry: Entry) -> dict[str, Any]:
    found = entry.violations
    kept = shown_frames(entry.total)
    ids = entry.shown(found.ids)
    height, width = shown_size(*entry.frames.shape[1:3])
    scale = (width / entry.frames.shape[2], height / entry.frames.shape[1])
    figures = [_row(figure, kept) for figure in found.figures.values()]
    worst = [(int(np.searchsorted(kept, frame, "right")) - 1, text) for frame, text in worst_frames(found)]
    marked = marks(found, ids, kept, entry.names, entry.static)
    notes = list(found.notes)
    if len(kept) < entry.total:
        notes.append(f"{len(kept)} of {entry.total} frames are on this page; the figures are of all of them")
    player = {
        "name": entry.name,
        "frames": [int(frame) for frame in kept],
        "fps": found.fps,
        "context": entry.context,
        "video": frame_sheets(entry.shown(entry.frames)).summary(),
        "masks": mask_sheets(np.where(np.isin(ids, entry.static), 0, ids).astype(np.uint8)).summary(),
        "truth": None if entry.truth is None else frame_sheets(entry.shown(entry.truth)).summary(),
        "marks": [
            [[round(m.u * scale[0], 1), round(m.v * scale[1], 1), m.law, m.text] for m in part] for part in marked
        ],
        "start": worst[0][0] if worst else 0,
    }
    seen = np.unique(ids)
    return {
        "name": entry.name,
        "headline": _cell(_headline(found)),
        "regime": found.regime,
        "reader": found.reader,
        "tracked": f"{found.tracked:.0%}",
        "notes": notes,
        "fps": f"{found.fps:g}",
        "frames": len(kept),
        "total": entry.total,
        "figures": figures,
        "worst": [{"at": at, "frame": int(kept[at]), "text": text} for at, text in worst],
        "player": player,
        "has_truth": entry.truth is not None,
        "legend": [
            {"name": name, "colour": "#{:02x}{:02x}{:02x}".format(*COLOURS[k % len(COLOURS)])}
            for k, name in enumerate(entry.names)
            if k + 1 in seen and k + 1 not in entry.static
        ],
    }


def _row(figure: Figure, kept: NDArray[np.int64]) -> dict[str, Any]:
    """A line of the table with its strip of the timeline: one bar a shown frame, as tall as the law is broken there."""
    bars = []
    strength = severity(figure)
    ends = [*kept[1:], len(figure.per_frame)]
    for at, (start, end) in enumerate(zip(kept, ends, strict=True)):
        part = strength[start:end]
        if np.isfinite(part).any():
            worst = int(start + np.nanargmax(part))
            size = round(max(0.0, float(strength[worst])), 2)
            bars.append({"t": at, "strength": size, "text": f"frame {worst}: {told(figure, worst)}"})
    return {
        "law": figure.law.replace("_", " "),
        "applies": figure.applies,
        "broken": is_broken(figure),
        "value": _number(figure.value),
        "unit": "" if figure.unit == "1" else figure.unit,
        "floor": _number(figure.floor),
        "source": {"scene": "ground truth", "table": "table", "none": "not known"}[figure.floor_source],
        "measurable": f"{figure.measurable:.0%}",
        "score": f"{figure.score:.2f}" if math.isfinite(figure.score) else "–",
        "bad": _cell(_scored(figure.score))["bad"],
        "reason": figure.reason,
        "bars": bars,
    }


def _number(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "–"
