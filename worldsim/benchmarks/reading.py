"""What is read of one law, before floor and headline, and how a violation of physics becomes that."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from worldsim.benchmarks.track import Floats
from worldsim.benchmarks.world import Motion, World
from worldsim.physics.violations.result import Violation
from worldsim.scene import Body


@dataclass(frozen=True)
class Reading:
    """One law's figure before floor and headline.

    Attributes:
        value: In unit; NaN where nothing can be measured.
        unit: Of value and entries.
        reference: What stands for 1 in the headline, in unit.
        measurable: Share of entries.
        entries: (T, K), NaN where not measurable.
        subjects: K names.
        reason: Why nothing is measured, where nothing is.
        regime_bars: Whether it is for want of knowledge about the geometry or the law, not for the video's sake.
    """

    value: float
    unit: str
    reference: float
    measurable: float
    entries: Floats
    subjects: tuple[str, ...]
    reason: str = ""
    regime_bars: bool = False


def barred(frames: int, unit: str, reason: str) -> Reading:
    """A law that cannot be asked for want of knowledge."""
    return Reading(float("nan"), unit, 1.0, 0.0, np.full((frames, 0), np.nan), (), reason, True)


@dataclass(frozen=True)
class Settler:
    """Turns a Violation into a Reading."""

    world: World
    motion: Motion
    frames: int
    chosen: Callable[[Body], bool] = lambda body: not body.static

    def only(self, chosen: Callable[[Body], bool]) -> Settler:
        """Of these bodies alone, static ones never."""
        return dataclasses.replace(self, chosen=lambda body: not body.static and chosen(body))

    def __call__(
        self, violation: Violation, statistic: Callable[[Floats], object], unit: str, reference: float, reason: str
    ) -> Reading:
        """Only subjects that move count; the statistic is taken over (T, K) entries, NaN where not measurable."""
        known = violation.measurable.numpy()
        entries = np.where(known, violation.values.numpy(), np.nan)
        subjects = [tuple(row) for row in violation.subjects.tolist()]
        moving = [not s or any(self.chosen(self.world.bodies[self.motion.places[i]]) for i in s) for s in subjects]
        entries, known = entries[:, moving], known[:, moving]
        names = tuple(self.motion.name(self.world, s) for s, keep in zip(subjects, moving, strict=True) if keep)
        value = float(np.asarray(statistic(entries))) if known.any() else float("nan")
        share = float(known.mean()) if known.size else 0.0
        return Reading(value, unit, reference, share, entries, names, "" if known.any() else reason)
