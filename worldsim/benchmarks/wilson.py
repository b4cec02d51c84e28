"""Intervals of rates."""

from __future__ import annotations

import math

Z = 1.959964  # standard deviations on each side of the mean that hold 95 % of a normal distribution


def wilson(share: float, count: int) -> tuple[float, float]:
    """95 % interval of a share of `count` trials (Wilson 1927, J. Am. Stat. Assoc. 22, 209): 0 to 1 without trials."""
    if count == 0:
        return 0.0, 1.0
    middle = (share + Z * Z / (2 * count)) / (1 + Z * Z / count)
    half = Z * math.sqrt(share * (1 - share) / count + Z * Z / (4 * count * count)) / (1 + Z * Z / count)
    # Rounding may lead past the ends, by less than 1e-16.
    return max(0.0, middle - half), min(1.0, middle + half)
