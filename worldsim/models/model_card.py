"""The model card: where a checkpoint comes from and what it is good for, as a record and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from worldsim.scene.checks import require


@dataclass(frozen=True)
class ModelCard:
    """Where a checkpoint comes from and what it is good for.

    Attributes:
        scenes: Families that it was trained on, with the parameters that they were made with.
        size: Height and width of its pictures.
        num_frames: Of its training clips, context included.
        preset: Of the pictures it was trained on: fast, standard or quality.
        oversampling: How many times finer the pictures were drawn before they were averaged down.
        data: What it was trained on, in words.
        command: That trained it.
        seed: Of the training.
        steps: Of the training.
        minutes: Wall-clock of the training.
        hardware: It was trained on.
        metrics: Figures by name; tables as nested mappings, row by row.
        notes: Limits and misses, in words.
    """

    scenes: dict[str, dict[str, Any]] = field(default_factory=dict)
    size: tuple[int, ...] = ()
    num_frames: int = 16
    preset: str = "fast"
    oversampling: int = 1
    data: str = ""
    command: str = ""
    seed: int = 0
    steps: int = 0
    minutes: float = 0.0
    hardware: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)
    notes: str = ""

    def __post_init__(self) -> None:
        for name in ("scenes", "metrics"):
            require(f"card.{name}", "a mapping", isinstance(getattr(self, name), dict), getattr(self, name))
        object.__setattr__(self, "size", tuple(self.size))
        require("card.size", "height and width, or left out", len(self.size) in (0, 2), self.size)
        require("card.num_frames", "1 or more", self.num_frames >= 1, self.num_frames)
        require("card.oversampling", "1 or more", self.oversampling >= 1, self.oversampling)


def card_text(name: str, card: ModelCard, numbers: int) -> str:
    """The model card as Markdown."""
    size = f"{card.size[0]} x {card.size[1]} pixels, " if card.size else ""
    scenes = [f"{family} {_told(given)}".strip() for family, given in card.scenes.items()]
    rows = [
        ("parameters", f"{numbers:,}"),
        ("clips", f"{size}{card.num_frames} frames"),
        ("scenes", "; ".join(scenes)),
        ("data", card.data),
        ("command", f"`{card.command}`" if card.command else ""),
        ("seed, steps", f"{card.seed}, {card.steps}"),
        ("wall-clock", f"{card.minutes:g} minutes" if card.minutes else ""),
        ("hardware", card.hardware),
    ]
    lines = [f"# {name}", "", f'    worldsim.WorldModel.from_pretrained("{name}")', "", "| | |", "|---|---|"]
    lines += [f"| {key} | {value} |" for key, value in rows if value]
    if card.metrics:
        lines += ["", "## Figures", "", *_table(card.metrics)]
    if card.notes:
        lines += ["", "## Limits", "", card.notes]
    return "\n".join([*lines, ""])


def _told(values: Mapping[str, Any]) -> str:
    return f"({', '.join(f'{key}={value}' for key, value in values.items())})" if values else ""


def _table(metrics: Mapping[str, Any]) -> list[str]:
    """Markdown of figures: nested mappings as rows and columns, the rest as name and value."""
    nested = {name: row for name, row in metrics.items() if isinstance(row, Mapping)}
    flat = {name: value for name, value in metrics.items() if name not in nested}
    lines = ["| | |", "|---|---|", *(f"| {name} | {_cell(value)} |" for name, value in flat.items())] if flat else []
    columns = list(dict.fromkeys(key for row in nested.values() for key in row))
    if nested:
        lines += [""] if lines else []
        lines += ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
        lines += [
            f"| {name} | " + " | ".join(_cell(row.get(key, "")) for key in columns) + " |"
            for name, row in nested.items()
        ]
    return lines


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(map(_cell, value)) if isinstance(value, list | tuple) else str(value)
