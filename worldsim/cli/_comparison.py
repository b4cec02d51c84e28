"""One self-contained page: videos of a scene side by side, in step, with their violations below."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray
from PIL import Image

from worldsim.benchmarks import Figure, Violations
from worldsim.scene.files import write_bytes


@dataclass(frozen=True)
class Column:
    """A video of a scene.

    Attributes:
        title: What made it.
        told: One line below it.
        video: (T, H, W, 3) RGB.
        violations: Its score.
    """

    title: str
    told: str
    video: NDArray[np.uint8]
    violations: Violations


@dataclass(frozen=True)
class Row:
    """A scene.

    Attributes:
        title: Its family and seed.
        told: What happens in it, and what stands in for what.
        fps: Frames a second.
        num_context: Frames that the models were given.
        columns: Its videos, the ground truth first; all of one length.
    """

    title: str
    told: str
    fps: float
    num_context: int
    columns: tuple[Column, ...]


def write_comparison(path: Path, rows: Sequence[Row], title: str, told: str) -> None:
    """Write the page, whole or not at all."""
    environment = Environment(
        loader=PackageLoader("worldsim.cli"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    template = environment.get_template("comparison.html.j2")
    page = template.render(title=title, told=told, rows=[_row(row) for row in rows])
    write_bytes(path, page.encode("utf-8"))


def _row(row: Row) -> dict[str, Any]:
    height, width = row.columns[0].video.shape[1:3]
    laws = [law for law, figure in row.columns[0].violations.figures.items() if figure.applies]
    return {
        "title": row.title,
        "told": row.told,
        "fps": row.fps,
        "known": row.num_context,
        "frames": len(row.columns[0].video),
        "height": height,
        "width": width,
        "columns": [
            {
                "title": column.title,
                "told": column.told,
                "strip": _strip(column.video),
                "headline": _number(column.violations.headline),
                "score": _share(column.violations.headline),
            }
            for column in row.columns
        ],
        "laws": [
            {
                "name": law.replace("_", " "),
                "unit": row.columns[0].violations.figures[law].unit,
                "cells": [_cell(column.violations.figures[law]) for column in row.columns],
            }
            for law in laws
        ],
    }


def _cell(figure: Figure) -> dict[str, Any]:
    told = f"{figure.reason or 'measured'}; floor {_number(figure.floor)} {figure.unit}"
    return {"text": _number(figure.value), "told": told, "score": _share(figure.score)}


def _number(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "–"


def _share(score: float) -> int:
    """A score as a percentage for the colour; -1 where there is none."""
    return round(100 * score) if math.isfinite(score) else -1


def _strip(video: NDArray[np.uint8]) -> str:
    """All frames below one another as a PNG: exact pixels, and no player whose clocks drift apart."""
    buffer = io.BytesIO()
    Image.fromarray(video.reshape(-1, *video.shape[2:])).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
