"""The headline: one number between 0 and 1 from all laws, floors and scales."""

from __future__ import annotations

import math
from collections.abc import Mapping

from worldsim.benchmarks._scales import scales
from worldsim.benchmarks.reading import Reading
from worldsim.benchmarks.result import over_floor

# Laws of one group stand for one kind of failure; the headline is the mean over groups, so that a kind with more laws
# does not weigh more.
GROUPS: dict[str, tuple[str, ...]] = {
    "contact": ("penetration", "pass_through", "unanswered_contact"),
    "body": ("rigidity", "permanence"),
    "motion": ("teleport", "dynamics", "gravity", "energy", "momentum", "uncaused_response", "jitter"),
}
# Every law of the groups says how things move, if they do: a picture in which nothing happens obeys them all, as one
# without objects would. So the motion that is due multiplies, as the objects that are due do, and is no group.
FACTOR = "stillness"


def law_score(law: str, reading: Reading, floor: float, share_expected: float) -> float:
    """exp(-max(0, value - floor) / scale) in references; nothing for what cannot be measured.

    Where less than half of what a lawful video lets measure can be measured, the score falls in proportion, so that
    hiding from the reader does not pay.
    """
    if reading.measurable == 0 or not math.isfinite(reading.value):
        return 0.0
    excess = max(0.0, over_floor(reading.value, floor)) / reading.reference
    hidden = min(1.0, 2 * reading.measurable / share_expected) if share_expected > 0 else 1.0
    return math.exp(-excess / scales()[law]) * hidden


def headline(scores: Mapping[str, float], tracked: float) -> float:
    """Mean over groups of the mean over laws that apply, times the share of objects and the score of motion shown.

    Args:
        scores: By law; NaN for laws that do not apply.
        tracked: Share of the objects of the context that stay tracked.

    Returns:
        From 0 to 1; NaN where no law of a group applies.
    """
    means = []
    for laws in GROUPS.values():
        applying = [scores[law] for law in laws if law in scores and math.isfinite(scores[law])]
        if applying:
            means.append(sum(applying) / len(applying))
    shown = scores.get(FACTOR, float("nan"))
    factor = tracked * (shown if math.isfinite(shown) else 1.0)
    return factor * sum(means) / len(means) if means else float("nan")
