"""The frozen tables by law: what costs how much of a score, and what counts as a violation."""

from __future__ import annotations

import functools
import hashlib
import json
from importlib import resources


@functools.cache
def scales() -> dict[str, float]:
    """By law, what costs a factor e over the floor, in references: frozen from twins, by benchmarks.calibrate."""
    return {law: float(value) for law, value in json.loads(_text())["scales"].items()}


@functools.cache
def thresholds() -> dict[str, float]:
    """By law, the excess over the floor that counts as a violation, in references; frozen by benchmarks.calibrate."""
    return {law: float(value) for law, value in json.loads(_text())["thresholds"].items()}


def scales_hash() -> str:
    """Of the frozen tables, on which headlines rest."""
    return hashlib.sha256(_text().encode()).hexdigest()[:16]


@functools.cache
def _text() -> str:
    return resources.files("worldsim.benchmarks").joinpath("scales.json").read_text("utf-8")
