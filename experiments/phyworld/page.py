"""The tables of the PhyWorld experiment from its results: python experiments/phyworld/page.py results.json."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

CELLS = tuple(f"{family} {split}" for family in ("uniform_motion", "parabola", "collision") for split in ("id", "ood"))
HEAD = "| | uniform ID | uniform OOD | parabola ID | parabola OOD | collision ID | collision OOD |\n" + "|---" * 7 + "|"
TABLES = (
    ("frame_velocity", "Velocity error, mean over frames and axes, units a second"),
    ("mean_velocity", "Velocity error as PhyWorld takes it, of the mean over time, units a second"),
    ("position", "Position error, units of a world of 10"),
    ("psnr", "Peak signal to noise ratio against the true pictures, decibels, at most 86"),
    ("kept", "Share of balls shown with half to twice their area"),
)
# By figure and cell. Read from 128 px videos by other readers: the velocity by PhyWorld's own, whose bias alone makes
# .01 (arXiv 2411.02385), the position in arXiv 2608.09926, whose ranges of speed and size differ a little.
PUBLISHED: dict[str, dict[str, tuple[str, ...]]] = {
    "mean_velocity": {
        "published: PhyWorld's parser on ground truth": (".010", ".011", ".021", "-", ".012", ".008"),
        "published: DiT-S, 30K clips": (".022", ".435", "-", "-", ".027", ".187"),
        "published: DiT-S, 3M clips": (".015", ".288", "-", "-", ".023", ".153"),
        "published: DiT-B, 3M clips": (".014", ".358", "-", "-", ".018", ".211"),
        "published: DiT-L, 3M clips": (".012", ".427", "-", "-", ".015", ".161"),
    },
    "position": {
        "published: DiT-S, 128 px": (".148", ".381", ".166", ".388", ".104", ".240"),
        "published: LDR, 128 px": (".088", ".087", ".081", ".080", ".085", ".100"),
    },
}


def page(document: dict[str, Any]) -> str:
    """Markdown tables."""
    options, runs = document["arguments"], document["runs"]
    told = "; ".join(f"{k}: {v['steps']} steps, seed {v['seed']}, {v['minutes']:.1f} minutes" for k, v in runs.items())
    parts = [
        f"{options['clips']} clips a cell, {options['seeds']} sampling seeds for paired and plain and one for the "
        f"rest, {options['steps']} Euler steps; {document['hardware']}, {document['seconds'] / 60:.0f} minutes. {told}."
    ]
    for reader, rows in document["readers"].items():
        for figure, title in TABLES:
            if figure != "frame_velocity" and reader != "difference":
                continue
            parts += [f'\n{title}, reader "{reader}":\n', HEAD]
            for name, cells in rows.items():
                shown = [_interval(cells[where][figure]) for where in CELLS]
                parts.append(f"| {name} | " + " | ".join(shown) + " |")
            parts += [f"| {name} | " + " | ".join(shown) + " |" for name, shown in PUBLISHED.get(figure, {}).items()]
    rows = document["readers"]["difference"]
    parts += ["\nOut over in distribution, velocity error over frames, median of the bootstrap:\n"]
    parts += ["| | uniform | parabola | collision | fitted gravity ID | fitted gravity OOD |\n" + "|---" * 6 + "|"]
    for name, cells in rows.items():
        ratios = [cells[where]["ratio"] for where in CELLS if where.endswith("ood")]
        shown = [f"{r['median']:.2f} ({r['low']:.2f}-{r['high']:.2f})" for r in ratios]
        shown += [_interval(cells[f"parabola {split}"]["gravity"]) for split in ("id", "ood")]
        parts.append(f"| {name} | " + " | ".join(shown) + " |")
    return "\n".join(parts)


def _interval(value: dict[str, float]) -> str:
    return f"{value['mean']:.3f} ({value['low']:.3f}-{value['high']:.3f})"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    print(page(json.loads(parser.parse_args().results.read_text())))
