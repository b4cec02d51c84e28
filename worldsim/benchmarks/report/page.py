"""Build the page: everything it shows is inside it, and nothing that a file name says is taken as HTML."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray

from worldsim.benchmarks.result import Figure, Violations
from worldsim.data.files import PathLike, atomic_path
from worldsim.data.video import encode_video

UInt8 = NDArray[np.uint8]
_SHOWN = 128  # pixels of height below which pictures are enlarged by whole steps, so that encoding keeps their edges
# Of ids in overlays: Okabe and Ito's colours, which stay apart under colour blindness.
_COLOURS = np.array(
    [(230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167)],
    np.uint8,
)


@dataclass(frozen=True)
class Entry:
    """A video on the page.

    Attributes:
        name: Shown above it; any text.
        frames: (T, H, W, 3) RGB.
        violations: Its score.
    """

    name: str
    frames: UInt8
    violations: Violations


def write_report(path: PathLike, entries: Sequence[Entry], title: str = "Physical violations") -> None:
    """Write the page, whole or not at all.

    Args:
        path: Of the HTML file.
        entries: In order of show.
        title: Of the page.

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
    laws = list(entries[0].violations.figures)
    page = environment.get_template("page.html.j2").render(
        title=title, laws=laws, cards=[_card(entry) for entry in entries]
    )
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _card(entry: Entry) -> dict[str, Any]:
    found = entry.violations
    return {
        "name": entry.name,
        "headline": _number(found.headline),
        "regime": found.regime,
        "reader": found.reader,
        "tracked": f"{found.tracked:.0%}",
        "notes": found.notes,
        "fps": found.fps,
        "frames": len(entry.frames),
        "plain": _embedded(entry.frames, found.fps),
        "masks": _embedded(outlined(entry.frames, found.ids), found.fps),
        "figures": [_row(figure, len(entry.frames)) for figure in found.figures.values()],
    }


def _row(figure: Figure, frames: int) -> dict[str, Any]:
    """A line of the table with its strip of the timeline: one bar a frame, as tall as the excess over the floor."""
    floor = figure.floor if math.isfinite(figure.floor) else 0.0
    bars = []
    for t, value in enumerate(figure.per_frame):
        if math.isfinite(value):
            size = min(1.0, max(0.0, float(value) - floor) / figure.reference)
            bars.append({"t": t, "strength": round(size, 3), "text": f"frame {t}: {value:.3g} {figure.unit}"})
        else:
            bars.append({"t": t, "strength": -1, "text": f"frame {t}: not measurable"})
    worst = max(bars, key=lambda bar: float(str(bar["strength"])), default=None)
    return {
        "law": figure.law,
        "applies": figure.applies,
        "value": _number(figure.value),
        "unit": figure.unit,
        "floor": _number(figure.floor),
        "source": figure.floor_source,
        "measurable": f"{figure.measurable:.0%}",
        "score": _number(figure.score),
        "reason": figure.reason,
        "bars": bars,
        "worst": worst["t"] if worst is not None and float(str(worst["strength"])) > 0 else None,
        "frames": frames,
    }


def _number(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "–"


def outlined(frames: UInt8, ids: UInt8) -> UInt8:
    """The frames dimmed, with each mask filled in a colour of its own."""
    if ids.shape != frames.shape[:3]:
        raise ValueError(f"ids: must have shape {frames.shape[:3]}, got {ids.shape}")
    result = (frames // 2 + 100).astype(np.uint8)
    seen = ids > 0
    result[seen] = _COLOURS[(ids[seen] - 1) % len(_COLOURS)] // 4 * 3 + frames[seen] // 4
    return result


def _embedded(frames: UInt8, fps: float) -> str:
    factor = max(1, math.ceil(_SHOWN / frames.shape[1]))
    large = frames.repeat(factor, 1).repeat(factor, 2)
    even = large[:, : large.shape[1] // 2 * 2, : large.shape[2] // 2 * 2]  # players want 4:2:0
    return base64.b64encode(encode_video(np.ascontiguousarray(even), fps)).decode("ascii")
