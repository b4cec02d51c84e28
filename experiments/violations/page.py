"""The tables of the violations study.

python experiments/violations/page.py OUT [TITLE=OUT ...]

OUT is a folder that evaluate.py filled; further ones follow under their titles.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from measure import DEEP, ENOUGH, LATE, READERS
from rows import FLOOR, GHOSTS, HINT_OFF, ORDER, PAIRED, PLAIN, RASTER
from summary import FORMED, Interval, Table, formed, gain, gather, layout_of, load_pieces, mean, ratio, recall

CELLS = ("box id", "box ood", "hoop id", "hoop ood", "space id", "space ood")
RATIOS = ("overlap", "deepest", "deep", "pass_through")
TITLES = {
    "overlap": "Penetration: deepest overlap of a frame, mean over new frames, in radii of the smaller ball",
    "deepest": "Penetration: deepest overlap of a clip, in radii of the smaller ball",
    "deep": f"Share of clips with an overlap deeper than {DEEP} radii",
    "pass_through": "Pass-throughs a clip",
    "recall": f"Contact recall: share of true contacts that occur within {LATE} frames",
    "rigidity": "Rigidity: log ratio of size or axes to those in the context",
    "permanence": "Permanence: share of balls and frames that show half to twice the true area",
    "teleport": "Teleport: largest leap of a clip, in radii",
    "measured": "Measurability: share of balls and frames that can be placed",
    "placed": f"Share of clips of which at least {ENOUGH} of the balls and frames can be placed",
    "overlap placed": "Deepest overlap of a frame, over those clips alone",
    "deep placed": f"Share of clips with an overlap deeper than {DEEP} radii, over those clips alone",
    "pass_through placed": "Pass-throughs a clip, over those clips alone",
    "off": "Distance of balls from where they are in truth, in their radii",
    "headline": "Headline of the benchmark, first clips alone",
    "psnr": "PSNR against the truth over the new frames, decibels",
}
ONCE = ("headline", "psnr")  # read by the tracker, or by none
GAPS = ("overlap", "pass_through", "recall", "permanence")


def page(pieces: list[dict[str, Any]]) -> str:
    """Markdown."""
    tables = {reader: gather(pieces, reader) for reader in READERS}
    parts = [_how(pieces)]
    for reader in READERS:
        for name, title in TITLES.items():
            if reader == READERS[0] or name not in ONCE:
                parts += [f"\n{title}, reader {reader}:\n", _grid(tables[reader], name)]
    parts += ["\n### Ratios\n", _ratios(tables), "\n### Gap between the readers\n", _gaps(tables)]
    parts += ["\n### In words\n", *_words(tables[READERS[0]])]
    return "\n".join(parts)


def _figure(figures: dict[str, np.ndarray], name: str) -> Interval | None:
    if name == "recall":
        return recall(figures["met"], figures["due"])
    values = figures[name]
    return mean(values) if np.isfinite(values).any() else None


def _lines(rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [rows[0], ["---"] * len(rows[0]), *rows[1:]])


def _columns(table: Table) -> list[str]:
    """The cells that any row has."""
    return [cell for cell in CELLS if any(cell in cells for cells in table.values())]


def _grid(table: Table, name: str) -> str:
    columns = _columns(table)
    rows = [["", *columns]]
    for row, cells in table.items():
        found = [_figure(cells[cell], name) if cell in cells else None for cell in columns]
        rows.append([row, *("-" if f is None else str(f) for f in found)])
    return _lines(rows)


def _ratios(tables: dict[str, Table]) -> str:
    """Of each row against the paired one; the violating twin against the raster checks the measure."""
    columns = _columns(tables[READERS[0]])
    rows = [["", "reader", "figure", *columns]]
    whole = [(GHOSTS, RASTER), (PLAIN, PAIRED)]
    others = [(row, PAIRED) for row in tables[READERS[0]] if row not in ORDER]
    for worse, better in [*whole, *others]:
        for reader, table in tables.items():
            if worse not in table or better not in table or (reader != READERS[0] and worse not in (GHOSTS, PLAIN)):
                continue
            for name in RATIOS if worse in (GHOSTS, PLAIN) else ("overlap", "pass_through"):
                shown = []
                for cell in columns:
                    needed = [table[row].get(cell) for row in (worse, better, FLOOR)]
                    if any(figures is None for figures in needed):
                        shown.append("-")
                    elif worse != GHOSTS and not formed(tables[READERS[0]][worse][f"{cell.split()[0]} id"]):
                        shown.append("not formed")
                    else:
                        shown.append(str(ratio(*(figures[name] for figures in needed), name)))
                rows.append([f"{worse} over {better}", reader, name, *shown])
    return _lines(rows)


def _gaps(tables: dict[str, Table]) -> str:
    """The readout's figure less the tracker's."""
    first, second = (tables[reader] for reader in READERS)
    columns = _columns(first)
    rows = [["", "figure", *columns]]
    for row in first:
        for name in GAPS:
            shown = []
            for cell in columns:
                if cell not in first[row]:
                    shown.append("-")
                    continue
                one, two = (_figure(table[row][cell], name) for table in (first, second))
                shown.append("-" if one is None or two is None else f"{two.value - one.value:+.3f}")
            rows.append([row, name, *shown])
    return _lines(rows)


def _words(table: Table) -> list[str]:
    """What the transformer adds to the raster, and whether it learned physics."""
    said = []
    for cell in CELLS:
        if cell in table.get(PAIRED, {}) and cell in table.get(RASTER, {}):
            more = gain(table[PAIRED][cell]["psnr"], table[RASTER][cell]["psnr"])
            said.append(f"- {cell}: paired shows {more} decibels more of the picture than the rasterised prior.")
        if cell in table.get(HINT_OFF, {}) and cell in table.get(PLAIN, {}):
            less = gain(table[PLAIN][cell]["overlap"], table[HINT_OFF][cell]["overlap"])
            met = [recall(table[row][cell]["met"], table[row][cell]["due"]).value for row in (HINT_OFF, PLAIN)]
            # What hardly moves overlaps little: contacts must be met as well.
            told = "learned physics" if less.low > 0 and met[0] >= met[1] else "no sign of learned physics"
            said.append(
                f"- {cell}: hint off, overlap is {less} radii less than plain's, and {met[0]:.2f} of the true contacts "
                f"are met ({met[1]:.2f} by plain): {told}."
            )
    return said or [f"- Nothing: that takes {RASTER} beside {PAIRED}, or {HINT_OFF} beside {PLAIN}."]


def _how(pieces: list[dict[str, Any]]) -> str:
    clips: dict[str, dict[str, int]] = {}
    minutes: dict[str, float] = {}
    runs: dict[str, str] = {}
    for p in pieces:
        minutes[p["row"]] = minutes.get(p["row"], 0) + p["seconds"] / 60
        layout = layout_of(p["family"])
        if p["split"] == "id":
            found = clips.setdefault(layout, {})
            found[p["row"]] = found.get(p["row"], 0) + p["clips"] * p["seeds"]
        if p["run"]:
            runs[p["row"] + (", space" if layout == "space" else "")] = (
                f"{p['run']['steps']} steps, seed {p['run']['seed']}, {p['run']['minutes']:.1f} minutes"
            )
    steps = {p["row"]: p["steps"] for p in pieces if p["run"] or p["row"].startswith((PAIRED, PLAIN))}
    counts = ". ".join(f"Clips x sampling seeds in distribution, {layout}: {_list(n)}" for layout, n in clips.items())
    return (
        f"{counts}. Euler steps: {_list(steps)}. {pieces[0]['hardware']}, {sum(minutes.values()):.0f} minutes in "
        f"all. Training: {_list(runs)}. Intervals are 95 % by bootstrap over clips. Clips of which less than {ENOUGH} "
        "of the balls and frames can be placed stand at the worst clip of truth, prior, paired and plain twin; those "
        "of rows made to err (hint off, wrong law, a body missing, bodies that ignore one another) at the worst of "
        f"these. A row below permanence or measurability {FORMED} in distribution is not formed, and no ratio is "
        "claimed of it."
    )


def _list(told: Mapping[str, object]) -> str:
    return "; ".join(f"{row} {value}" for row, value in told.items()) or "none"


def main() -> None:
    """Print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="+", metavar="[TITLE=]OUT")
    arguments = parser.parse_args()
    command = "python experiments/violations/page.py OUT [TITLE=OUT ...]"
    print(f"# The violations study, all tables\n\n`{command}` printed them.\n")
    for told in arguments.out:
        title, found, folder = told.rpartition("=")
        if found:
            print(f"\n## {title}\n")
        # Those of the table of rows first and in its order, then other runs.
        pieces = sorted(load_pieces(Path(folder)), key=lambda p: [*ORDER, p["row"]].index(p["row"]))
        if not pieces:
            parser.error(f"out: must hold what evaluate.py wrote, {folder} holds no .json")
        print(page(pieces))


if __name__ == "__main__":
    main()
