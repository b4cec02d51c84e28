"""worldsim bench self_test=true: how often the benchmark finds violations, and how often it accuses lawful motion."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from worldsim.benchmarks import self_test
from worldsim.cli.bench import Config
from worldsim.cli.progress import progress_bar
from worldsim.cli.settings import check_family

FAMILIES = ("parabola", "collision", "bouncing", "bouncing_balls", "hoop", "incline")


def run(config: Config) -> None:
    """Test on fresh scenes and print a table."""
    families = config.families or FAMILIES
    for family in families:
        check_family(family)
    num, pixels = config.num or 2, config.pixels or 128
    with progress_bar("scenes") as move:
        rows = self_test(families, num, config.seed, pixels, use_masks=config.masks, progress=move)
    table = Table("twin", "law", "strength", "detected", "false alarms", box=None, header_style="bold")
    for row in rows:
        told = (f"{row.detected} of {row.twins}", f"{row.alarms} of {row.lawful}")
        table.add_row(row.kind, row.law, f"{row.strength:g}", *told)
    Console().print(table)
