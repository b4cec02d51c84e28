"""Figure and Violations: what the benchmark says of one video."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

Values = TypeVar("Values", float, Floats)


def plain(value: Any) -> Any:
    """A value as JSON can hold it: None for a float that is not finite."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def over_floor(values: Values, floor: float) -> Values:
    """How far figures lie above a floor, in their unit; above 0 where no floor is known."""
    return values - (floor if math.isfinite(floor) else 0.0)


@dataclass(frozen=True)
class Figure:
    """One law's figure for one video.

    Attributes:
        law: Its name.
        value: In `unit`; NaN where nothing could be measured.
        unit: Of value and floor.
        reference: What one stands for 1 in the headline's scale, such as the smaller radius, in `unit`.
        floor: What a lawful video of this scene and size reads, in `unit`; NaN where not known.
        floor_source: "scene" (ground-truth render), "table" or "none".
        measurable: Share of the entries that can be judged, from 0 to 1.
        applies: Whether the law can be asked of such a video at all.
        reason: Why not, where it does not apply or nothing could be measured.
        score: exp(-(value - floor) / scale) in the headline; NaN where the law does not apply.
        per_frame: (T,) worst entry of each frame in `unit`, NaN where none can be judged.
        subjects: Names of the entries' subjects: a body, or two joined by " / ".
        entries: (T, K) in `unit`, NaN where not measurable.
    """

    law: str
    value: float
    unit: str
    reference: float
    floor: float
    floor_source: str
    measurable: float
    applies: bool
    reason: str
    score: float
    per_frame: Floats
    subjects: tuple[str, ...]
    entries: Floats

    @property
    def excess(self) -> float:
        """Of the value over the floor, in references; infinite where the law applies and nothing could be measured."""
        if self.applies and self.measurable == 0:
            return math.inf
        return float(over_floor(self.value, self.floor) / self.reference)

    def summary(self) -> dict[str, Any]:
        """Plain values, without the frames; None for what is not known."""
        names = (
            "law",
            "value",
            "unit",
            "reference",
            "floor",
            "floor_source",
            "measurable",
            "applies",
            "reason",
            "score",
        )
        return {name: plain(getattr(self, name)) for name in names}


@dataclass(frozen=True)
class Violations:
    """What the benchmark says of one video.

    Attributes:
        figures: By law.
        headline: From 0 (worst) to 1 (as lawful as the ground truth); NaN where no law can be asked, as of a
            video without any object.
        regime: "planar", "scene" or "unknown": what is known of the geometry, which decides what can be measured.
        reader: "masks" (given) or "tracker".
        tracked: Share of the context's objects that stay tracked.
        fps: Frames a second that were assumed.
        notes: What else the reader of the figures should know.
        ids: (T, H, W) the masks that were judged.
    """

    figures: dict[str, Figure]
    headline: float
    regime: str
    reader: str
    tracked: float
    fps: float
    notes: tuple[str, ...] = ()
    ids: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 0, 0), np.uint8), repr=False)

    def summary(self) -> dict[str, Any]:
        """Plain values for JSON, without frames and masks; None for what is not known."""
        return {
            "headline": plain(self.headline),
            "regime": self.regime,
            "reader": self.reader,
            "tracked": self.tracked,
            "fps": self.fps,
            "notes": list(self.notes),
            "figures": {law: figure.summary() for law, figure in self.figures.items()},
        }

    def to_json(self) -> str:
        """The summary as JSON text."""
        return json.dumps(self.summary(), indent=2, allow_nan=False)

    def headline_text(self, digits: int = 3) -> str:
        """The headline for a reader: so many digits, or that it cannot be measured."""
        return f"{self.headline:.{digits}f}" if math.isfinite(self.headline) else "cannot be measured"

    def __str__(self) -> str:
        lines = [f"headline {self.headline_text()}   regime {self.regime}   read by {self.reader}"]
        for law, f in self.figures.items():
            if not f.applies:
                lines.append(f"{law:14} -            {f.reason}")
            elif f.measurable == 0:
                lines.append(f"{law:14} unmeasurable {f.reason}")
            else:
                floor = "not known" if math.isnan(f.floor) else f"{f.floor:.3g}"
                told = f"{f.value:.3g} {f.unit}, floor {floor}, measurable {f.measurable:.0%}, score {f.score:.2f}"
                lines.append(f"{law:14} {told}")
        return "\n".join([*lines, *self.notes])
