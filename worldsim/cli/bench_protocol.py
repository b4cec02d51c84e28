"""worldsim bench protocol=NAME: judge videos, or a denoiser, by a named protocol of the field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from worldsim.benchmarks.protocols import PROTOCOLS, run_protocol
from worldsim.cli.bench import Config

# Settings that a protocol may take, which says so by its own arguments; unset ones are left to it.
_SETTINGS = ("videos", "reference", "model", "fps", "families", "num", "pixels", "seed")


def run(config: Config) -> None:
    """Run it, write NAME.json, NAME.csv and NAME.md, print the figures."""
    assert config.protocol is not None
    unset = Config()
    arguments: dict[str, Any] = {
        name: value for name in _SETTINGS if (value := getattr(config, name)) != getattr(unset, name)
    }
    result = run_protocol(config.protocol, **(arguments | config.protocol_args))
    target = result.write(Path(config.out))
    table = Table("figure", "value", "±", "unit", "clips", box=None, header_style="bold")
    for name, figure in result.figures.items():
        spread = f"{figure.error:.2g}" if figure.error == figure.error else ""
        table.add_row(name, f"{figure.value:.4g}", spread, figure.unit, str(figure.count))
    console = Console(soft_wrap=True)
    console.print(f"{config.protocol}: {PROTOCOLS[config.protocol].summary}", markup=False, highlight=False)
    console.print(table, markup=False)
    for note in result.notes:
        console.print(note, markup=False, highlight=False)
    console.print(f"{target}  figures and clips; beside it .csv and .md", markup=False, highlight=False)
