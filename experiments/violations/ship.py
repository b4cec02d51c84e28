"""Make a checkpoint to ship of a run and what was measured.

python experiments/violations/ship.py RUN PIECES OUT --readout READOUT [--plain] [--before FIRST ...]

PIECES is the folder that evaluate.py filled, READOUT the run's readout with the floor that experiments/readout/floor.py
measured; --before names the runs that RUN went on from by --start, in order.
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path
from typing import Any

import numpy as np
from data import FAMILIES, FPS, OVERSAMPLING, PIXELS, families
from measure import READERS
from page import CELLS, RATIOS
from rows import FLOOR, PAIRED, PLAIN, RASTER
from summary import Table, formed, gather, load_pieces, ratio

from worldsim.models import ModelCard
from worldsim.training import export, load_run, stage_commands, stage_minutes

FIGURES = ("overlap", "deep", "pass_through", "permanence", "rigidity", "headline", "psnr")


def metrics(table: Table) -> dict[str, Any]:
    """Means by row and set, contact recall, and ratios of the plain twin where it holds bodies."""
    shown: dict[str, Any] = {}
    for name in (FLOOR, RASTER, PAIRED, PLAIN):
        for cell, figures in table.get(name, {}).items():
            known = [key for key in FIGURES if np.isfinite(figures[key]).any()]
            row = {key: round(float(np.nanmean(figures[key])), 4) for key in known}
            row["recall"] = round(float(figures["met"].sum() / figures["due"].sum()), 4)
            shown[f"{name}, {cell}"] = row
    for cell in CELLS:
        needed = [table.get(name, {}).get(cell) for name in (PLAIN, PAIRED, FLOOR)]
        if None not in needed and formed(table[PLAIN][f"{cell.split()[0]} id"]):
            found = {key: ratio(*(figures[key] for figures in needed if figures), key) for key in RATIOS}
            shown[f"plain over paired, {cell}"] = {key: str(value) for key, value in found.items()}
    return shown


def floor(readout: Path) -> dict[str, dict[str, float]]:
    """What the learned readout errs on ground-truth pictures, by set: pixels off, and overlap of masks."""
    told = json.loads((readout / "readout.json").read_text(encoding="utf-8")).get("floor")
    if not told:
        raise SystemExit(f"--readout: must hold the floor that experiments/readout/floor.py writes, {readout} does not")
    end = " learned"
    return {
        f"readout on ground truth, {name.removesuffix(end)}": {key: round(row[key], 4) for key in ("pixels", "iou")}
        for name, row in told.items()
        if name.endswith(end)
    }


def main() -> None:
    """Export the averaged weights with a card that says what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("pieces", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--readout", type=Path, required=True)
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--before", type=Path, nargs="*", default=[])
    arguments = parser.parse_args()
    pieces = load_pieces(arguments.pieces)
    steps = next(piece["steps"] for piece in pieces if piece["row"] == (PLAIN if arguments.plain else PAIRED))
    scenes: dict[str, dict[str, Any]] = {}
    for family in (FAMILIES[name] for name in families(free=False)):
        scenes.setdefault(family.scene, {**family.parameters, "fps": FPS})

    def flags(run: Path) -> str:
        sharp = load_run(run).config.dit.sharp
        return f"--readout READOUT{' --levers' * arguments.plain}{' --sharp' * sharp}"

    earlier = stage_minutes(arguments.before)
    card = ModelCard(
        scenes=scenes,
        size=(PIXELS, PIXELS),
        num_frames=load_run(arguments.run).config.clip_frames,
        oversampling=OVERSAMPLING,
        data="clips of MuJoCo by experiments/violations/data.py, 3,000 id/train seeds of the box, as many of the hoop",
        command=stage_commands([*arguments.before, arguments.run], "experiments/violations/train.py", flags),
        hardware=f"{platform.machine()}, two shared cores, no GPU",
        metrics=metrics(gather(pieces, READERS[0])) | floor(arguments.readout),
        notes=f"{earlier}Read by the tracker, {steps} Euler steps; overlaps in radii of the smaller ball; "
        "experiments/violations has the rest. 32 x 32 pixels of shaded balls that move in one vertical plane, for "
        "study and demonstration alone.",
    )
    print(export(arguments.run, arguments.out, card))


if __name__ == "__main__":
    main()
