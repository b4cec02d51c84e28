"""Refusals at the border: every error names field, rule and value."""

from __future__ import annotations

import math
from collections.abc import Sequence


def require(field: str, rule: str, holds: bool, value: object) -> None:
    """Raise a ValueError that names field, rule and value unless the rule holds."""
    if not holds:
        raise ValueError(f"{field}: must be {rule}, got {value!r}")


def finite(field: str, value: float) -> None:
    """Refuse anything that is not a finite number."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    require(field, "a finite number", is_number and math.isfinite(value), value)


def positive(field: str, value: float) -> None:
    """Refuse anything that is not a finite number above zero."""
    finite(field, value)
    require(field, "above 0", value > 0, value)


def in_range(field: str, value: float, low: float, high: float) -> None:
    """Refuse numbers outside the closed interval from low to high."""
    finite(field, value)
    rule = f"between {low:g} and {high:g}" if high < math.inf else f"{low:g} or more"
    require(field, rule, low <= value <= high, value)


def vector(field: str, value: Sequence[float], length: int) -> tuple[float, ...]:
    """Return the value as a tuple of floats, refusing a wrong length or non-finite entries."""
    try:
        items = tuple(float(v) for v in value)
    except (TypeError, ValueError):
        raise ValueError(f"{field}: must be {length} numbers, got {value!r}") from None
    require(field, f"{length} numbers", len(items) == length, value)
    require(field, "finite", all(math.isfinite(v) for v in items), value)
    return items
