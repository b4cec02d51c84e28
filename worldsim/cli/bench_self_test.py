"""worldsim bench self_test=true: how often the benchmark finds violations, and how often it accuses lawful motion."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from worldsim.benchmarks._self_test import FAMILIES, cheat_test, self_test
from worldsim.benchmarks.self_test_page import self_test_page
from worldsim.cli.bench import Config
from worldsim.cli.progress import progress_bar
from worldsim.cli.settings import check_family
from worldsim.scene.files import write_bytes


def run(config: Config) -> None:
    """Test on fresh scenes, print a table, and write it as a page with intervals and misses.

    With the built-in tracker as the reader, cheats are tried as well. What each scene told is kept in the folder, so
    that a run that was stopped goes on there, as does one of more families or scenes.
    """
    families = config.families or FAMILIES
    for family in families:
        check_family(family)
    num, pixels = (2 if config.num is None else config.num), (128 if config.pixels is None else config.pixels)
    folder = Path(config.out)
    kept = folder / "self_test.jsonl"
    with progress_bar("scenes") as move:
        rows = self_test(families, num, config.seed, pixels, use_masks=config.masks, progress=move, kept=kept)
    cheats = []
    if not config.masks:
        with progress_bar("cheats") as move:
            cheats = cheat_test(families, num, config.seed, pixels, progress=move, kept=kept)
    table = Table("twin", "law", "strength", "made", "read", "detected", "false alarms", box=None, header_style="bold")
    for row in rows:
        told = (f"{row.detected} of {row.measured}", f"{row.alarms} of {row.lawful}")
        table.add_row(row.kind, row.law, f"{row.strength:g}", str(row.twins), str(row.measured), *told)
    for cheat in cheats:
        found = f"{cheat.worse} of {cheat.scenes}"
        table.add_row(f"cheat: {cheat.cheat}", "headline", "", str(cheat.scenes), "", found, "")
    console = Console()
    console.print(table)
    reader = "masks" if config.masks else "tracker"
    command = (
        f"worldsim bench self_test=true families=[{','.join(families)}] num={num} seed={config.seed} pixels={pixels} "
        f"masks={str(config.masks).lower()}"
    )
    page = folder / f"self_test_{reader}.md"
    page.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(page, self_test_page(reader, rows, cheats, families, command).encode("utf-8"))
    console.print(f"{page}  intervals, misses and their reason", markup=False, highlight=False)
