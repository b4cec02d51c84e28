"""The self-test as a Markdown page: rates with intervals, what was missed and why, errors of depth, cheats."""

from __future__ import annotations

import math
import platform
from collections.abc import Sequence

import numpy as np

from worldsim.benchmarks._self_test import CheatRow, Row
from worldsim.benchmarks.wilson import wilson

BARS = {"masks": (0.95, 0.05), "tracker": (0.85, 0.10)}  # detection, false alarms
ENOUGH = 20  # twins under which a bar is neither met nor missed


def self_test_page(
    reader: str, rows: Sequence[Row], cheats: Sequence[CheatRow], families: Sequence[str], command: str
) -> str:
    """Markdown.

    Args:
        reader: "masks" or "tracker".
        rows: Of self_test by that reader.
        cheats: Of cheat_test; may be empty.
        families: That were played.
        command: That makes the page again.
    """
    lines = [
        "# The benchmark's own test",
        "",
        f"Made by `{command}`, on a CPU ({platform.machine()}), pictures by MuJoCo, lawful takes by PyBullet.",
        f"Families: {', '.join(families)}.",
        "",
        "A twin breaks one law at the strength given. *made*: twins of scenes that the law applies to; *read*: those",
        "in which the figure could be read where the law is broken; *found*: of those, above the law's one threshold.",
        "*alarms*: lawful takes of another engine above it. Intervals are Wilson's, 95 %. Of scenes with several balls",
        "up to three different pairs are broken, one a twin; they are not independent.",
    ]
    found, accused = BARS[reader]
    told = [f"- {row.kind}: {miss}" for row in rows for miss in row.misses]
    lines += [
        "",
        f"## Read by {'ground-truth masks' if reader == 'masks' else 'the built-in tracker'}",
        "",
        f"Bars: at least {found:g} found, at most {accused:g} accused, on {ENOUGH} twins or more.",
        "",
        "| twin | law | strength | made | read | found | rate | alarms | rate | bars |",
        "|---|---|---:|---:|---:|---:|---|---:|---|---|",
        *(_line(row, found, accused) for row in rows),
        "",
        "Misses, alarms and what could not be read:",
        "",
        *(told or ["- none"]),
        *_errors(rows),
    ]
    if cheats:
        lines += [
            "",
            "## Cheats, read by the built-in tracker",
            "",
            "| cheat | scenes | worse than the honest video | headline | honest |",
            "|---|---:|---:|---:|---:|",
        ]
        for row in cheats:
            means = [f"{np.mean(x):.3f}" if x else "–" for x in (row.headline, row.honest)]
            lines.append(f"| {row.cheat} | {row.scenes} | {row.worse} | {means[0]} | {means[1]} |")
        told = [f"- {row.cheat}: {miss}" for row in cheats for miss in row.misses]
        lines += ["", "Not worse:", "", *(told or ["- none"])]
    return "\n".join(lines) + "\n"


def _line(row: Row, found: float, accused: float) -> str:
    judged = [row.detection >= found] if row.measured else []
    judged += [row.false_alarm <= accused] if row.lawful else []
    verdict = "too few" if row.measured < ENOUGH else "met" if all(judged) else "missed"
    cells = (
        *(row.kind, row.law, f"{row.strength:g}", row.twins, row.measured, row.detected),
        *(_rate(row.detected, row.measured), row.alarms, _rate(row.alarms, row.lawful), verdict),
    )
    return f"| {' | '.join(map(str, cells))} |"


def _rate(hits: int, count: int) -> str:
    if not count:
        return "–"
    low, high = wilson(hits / count, count)
    return f"{hits / count:.2f} [{low:.2f}, {high:.2f}] of {count}"


def _errors(rows: Sequence[Row]) -> list[str]:
    told = []
    for row in rows:
        errors = [e for e in row.errors if math.isfinite(e)]
        if errors:
            size = np.abs(errors)
            told.append(
                f"| {row.kind} | {len(errors)} | {np.mean(errors):+.3f} | {np.median(size):.3f} | {size.max():.3f} |"
            )
    if not told:
        return []
    head = ["| twin | clips | mean error | median size | worst |", "|---|---:|---:|---:|---:|"]
    return ["", "Depth read less the simulator's, in smaller radii:", "", *head, *told]
