"""The page of a suite: leaderboard of all models in the folder, their distributions, and the worst clips of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from worldsim.benchmarks._scales import thresholds
from worldsim.benchmarks.laws import LAWS
from worldsim.benchmarks.report import Board, Entry, Sample, write_report
from worldsim.benchmarks.result import over_floor
from worldsim.benchmarks.suite.leaderboard import describe_settings, row_of, shares, sorted_rows
from worldsim.benchmarks.suite.run import Clip, SuiteConfig, replayed, settings_of

Model = tuple[str, Path, list[Clip]]


def suite_report(
    config: SuiteConfig,
    shown: str,
    models: Sequence[Model],
    out: Path,
    players: int,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Write report.html.

    Args:
        config: Of the suite.
        shown: The model whose worst clips get players.
        models: Name, folder and clips of each, as finished_models gives them.
        out: Folder of the leaderboard.
        players: How many clips.
        on_progress: Called with the clips done and their total.
    """
    folder, clips = next((folder, clips) for name, folder, clips in models if name == shown)
    cases = {case.name: case for case in config.cases}
    worst = sorted((clip for clip in clips if clip.answered), key=lambda clip: clip.headline)[:players]
    if not worst:
        raise ValueError(f"model: {shown} must answer at least one scene, it answers none: {clips[0].reason}")
    entries = []
    for done, clip in enumerate(worst):
        on_progress(done, len(worst))
        video, truth, found = replayed(config, cases[clip.name], folder)
        entries.append(Entry(clip.name, video, found, truth.video, config.context, truth.scene.bodies))
    on_progress(len(worst), len(worst))
    ranked = {row.model: rank for rank, row in enumerate(sorted_rows([row_of(name, own) for name, _, own in models]))}
    samples = [
        sample
        for name, _, own in sorted(models, key=lambda model: ranked[model[0]])
        for clip in sorted(own, key=lambda clip: clip.split)
        if clip.answered
        for sample in _samples(name, clip)
    ]
    write_report(out / "report.html", entries, f"Suite {config.suite}: {shown}", _board(config, models), samples)


def _board(config: SuiteConfig, models: Sequence[Model]) -> Board:
    rows = sorted_rows([row_of(name, clips) for name, _, clips in models])
    splits = list(rows[0].by_split)
    columns = (
        "model",
        "headline",
        *splits,
        "tracked",
        "measurable",
        "answered",
        *(law.replace("_", " ") for law in LAWS),
    )
    lines: list[tuple[str | tuple[str, float], ...]] = []
    for row in rows:
        laws = {law.law: law.score.mean for law in row.laws}
        heads = [(str(row.headline), row.headline.mean), *((str(c), c.mean) for c in row.by_split.values())]
        scores: list[str | tuple[str, float]] = [
            (f"{laws[law]:.2f}", laws[law]) if law in laws else "–" for law in LAWS
        ]
        lines.append((row.model, *heads, *shares(row), *scores))
    note = describe_settings(settings_of(config)) + " Scenes that a model does not answer count 0 in its headline."
    return Board(columns, tuple(lines), note)


def _samples(model: str, clip: Clip) -> list[Sample]:
    result = []
    for law, figure in clip.scores["figures"].items():
        if figure["applies"]:
            result.append(_sample(law, f"{model}, {clip.split}", clip.name, figure))
    return result


def _sample(law: str, group: str, name: str, figure: dict[str, Any]) -> Sample:
    if figure["value"] is None:
        return Sample(law, group, name, float("nan"), figure["unit"], broken=True)
    excess = over_floor(figure["value"], float("nan") if figure["floor"] is None else figure["floor"])
    return Sample(law, group, name, excess, figure["unit"], excess / figure["reference"] > thresholds()[law])
