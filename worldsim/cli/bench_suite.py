"""worldsim bench suite=core model=...: ask a model all scenes of a suite, and put its row on the leaderboard."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from worldsim.benchmarks.suite import (
    SuiteConfig,
    finished_models,
    load_generator,
    row_of,
    run_suite,
    settings_of,
    sorted_rows,
    suite_report,
    write_leaderboard,
)
from worldsim.benchmarks.suite.leaderboard import law_cells, shares
from worldsim.cli.bench import Config
from worldsim.cli.progress import progress_bar
from worldsim.cli.settings import UsageError

_WIDTH = 120  # columns that the tables need; a narrower terminal breaks the lines itself


def run(config: Config) -> None:
    """Ask, score, write leaderboard.{json,csv,md} and report.html, print the row."""
    assert config.suite is not None
    if config.model is None:
        raise UsageError("model: must be given, as suite=core model=NAME; see worldsim bench --help")
    if config.players < 1:
        raise UsageError(f"players: must be a whole number of 1 or more, got {config.players}")
    chosen = {name: value for name in ("num", "pixels") if (value := getattr(config, name)) is not None}
    settings = SuiteConfig(
        config.suite,
        families=config.families,
        context=config.context,
        num_frames=config.num_frames,
        seed=config.seed,
        **chosen,
    )
    model, out = load_generator(config.model, config.model_args), Path(config.out)
    with progress_bar(model.name) as move:
        run_suite(settings, model, out, move)
    models = list(finished_models(settings, out))
    rows = {name: row_of(name, clips) for name, _, clips in models}
    write_leaderboard(out, list(rows.values()), settings_of(settings))
    with progress_bar("report") as move:
        suite_report(settings, model.name, models, out, config.players, move)
    own = rows[model.name]
    console = Console(soft_wrap=True, width=max(_WIDTH, Console().width))
    laws = Table("law", "score", "value", "floor", "unit", "measurable", "clips", box=None, header_style="bold")
    for cells in law_cells(own):
        laws.add_row(*cells)
    console.print(laws)
    splits = list(own.by_split)
    board = Table("model", "headline", *splits, "tracked", "measurable", "answered", box=None, header_style="bold")
    for row in sorted_rows(list(rows.values())):
        style = "bold" if row.model == model.name else None
        told = (str(row.headline), *(str(row.by_split[split]) for split in splits), *shares(row))
        board.add_row(_plain(row.model), *told, style=style)
    console.print()
    console.print(board)
    for name in ("report.html", "leaderboard.md", "leaderboard.csv", "leaderboard.json"):
        console.print(str(out / name), markup=False, highlight=False)


def _plain(name: str) -> str:
    """A name that rich takes for no markup."""
    return name.replace("[", r"\[")
