"""The page of the speed study: one table a task, from the JSON that the study keeps."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

TITLES = {"spheres4": "4 spheres, 5 planes", "spheres16": "16 spheres, 5 planes", "boxes4": "4 cubes, 5 planes"}


def write(results: dict[str, Any], file: Path) -> None:
    """Render the results as Markdown."""
    machine = results.get("machine", {})
    lines = [
        "# Speed of the prior beside other differentiable engines",
        "",
        "Made by `python experiments/speed/prior_peers`; raw figures in `prior_speed.json`.",
        "",
        "Bodies are thrown into a tray of five planes for half a second, without friction, restitution 1. The loss is "
        "mean |x_T|^2, differentiated by start positions and velocities. Each engine takes the largest time step of a "
        f"ladder at which end positions are off by at most {1e3 * results['bound']:.0f} mm on average in the sampled "
        "worlds; where none is, its most accurate step, marked *. Position and gradient errors are against the "
        "event-exact solution in float64 (gradient: central differences of it; relative error, median over worlds). "
        "Speed is simulated world-seconds a second, median of interleaved repeats with minimum and maximum, "
        "compilation and warm-up left out. Where the roll-out has more steps than were timed, the first ones were: "
        "before most impacts, which favours engines whose cost grows with contacts (MuJoCo, Newton). Each engine has "
        f"{results['budget']:.0f} s for a task, a third for errors and a third for each number of worlds, compilation "
        "included: over budget means that this was not enough, ** that it ended the ladder of time steps.",
        "",
    ]
    if machine:
        lines += [
            f"Machine: {machine['processor']}, {machine['cores']} cores, {machine['system']}; load "
            f"{machine['load']:.2f} at the start; {machine['date']}, revision {machine['revision']}.",
            "",
        ]
    for name, versions in results["versions"].items():
        lines.append(f"- {name}: " + ", ".join(f"{key} {value}" for key, value in versions.items()))
    for task, title in TITLES.items():
        lines += ["", f"## {title}", ""]
        for worlds in (64, 1024):
            rows = [row for row in results["timing"] if row["task"] == task and row["worlds"] == worlds]
            if rows:
                lines += _table(results, task, worlds, rows)
        lines += _absent(results, task)
    if results["first"]:
        lines += ["", "## Time to the first gradient", "", "64 worlds of 4 spheres, 100 steps of 5 ms (worldsim: its "]
        lines[-1] += "default, 30 steps of 1/60 s); imports left out, compilation included, nothing cached."
        lines += ["", "| engine | seconds |", "|---|---|"]
        for name, seconds in results["first"].items():
            lines.append(f"| {name} | {f'{seconds:.2f}' if isinstance(seconds, float) else seconds} |")
    lines += _extra(results)
    file.write_text("\n".join(lines) + "\n")


def _table(results: dict[str, Any], task: str, worlds: int, rows: list[dict[str, Any]]) -> list[str]:
    lines = [
        f"{worlds} worlds:",
        "",
        "| engine | step | position error | gradient error | forward | forward and backward | steps timed |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        found = results["accuracy"][row["engine"]][task]
        step = f"{1e3 * found['dt']:.3g} ms{'' if found['reached'] else '**' if found.get('ladder_cut') else '*'}"
        errors = f"{1e3 * found['position_error']:.2g} mm | {_percent(found)}"
        if "missing" in row:
            lines.append(f"| {row['engine']} | {step} | {errors} | not run: {row['missing']} | | |")
            continue
        simulated = worlds * row["dt"] * row["timed_steps"]
        both = [simulated / seconds for seconds in row["gradient"]]
        ahead = [simulated / f for f in row["forward"]]
        timed = f"{row['timed_steps']} of {row['steps']}"
        lines.append(f"| {row['engine']} | {step} | {errors} | {_spread(ahead)} | {_spread(both)} | {timed} |")
    return [*lines, ""]


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.3g} ({min(values):.3g}-{max(values):.3g})"


def _percent(found: dict[str, Any]) -> str:
    error = found["gradient_error"]
    if error is None:
        return f"none: {found['gradient_unavailable']}"
    if error != error:
        return "NaN"
    return f"{100 * error:.2g} %"


def _absent(results: dict[str, Any], task: str) -> list[str]:
    """What could not be measured at all, and why."""
    lines = []
    for name, entry in results["accuracy"].items():
        reason = entry.get("unavailable") or entry.get(task, {}).get("unavailable")
        if reason:
            lines.append(f"- {name}: {reason}")
    return lines


def _extra(results: dict[str, Any]) -> list[str]:
    lines = []
    for title, text in results.get("other", {}).items():
        made = results.get("other_machine", {}).get(title)
        lines += ["", f"## {title}", ""]
        if made:
            lines += [f"Made {made['date']} at revision {made['revision']}, load {made['load']:.2f} at the start.", ""]
        lines += _defects(text) if "defects" in title else ["```", *text.splitlines(), "```"]
    return lines


def _defects(text: str) -> list[str]:
    """The lines of prior.py as a table."""
    rows = [json.loads(line) for line in text.splitlines() if line.startswith('{"spheres"')]
    lines = [
        "Simulated seconds a second with gradient, one thread, best of the repeats (`experiments/speed/prior.py`); the "
        "bar is a ratio of 5. First gradient: seconds in this process, imports left out.",
        "",
        "| spheres | worlds | frame | roll-out | one-step defects | ratio | first gradient |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        slow, fast = row["sim_s_per_s_gradient"], row["sim_s_per_s_defects_gradient"]
        cells = (row["spheres"], row["worlds"], f"{500 / row['frames']:.3g} ms", f"{slow:.3g}", f"{fast:.3g}")
        lines.append(
            f"| {' | '.join(str(cell) for cell in cells)} | {fast / slow:.2g} | {row['first_gradient_s']:.2g} |"
        )
    return lines if rows else ["```", text.strip(), "```"]
