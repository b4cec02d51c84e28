"""worldsim inspect: counts, sizes, integrity and a contact sheet of a folder of rollouts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.console import Console

from worldsim.cli.progress import human_size, progress_bar
from worldsim.data import DataError, RolloutDataset, Survey, survey
from worldsim.data.sheet import Tile, colour_depth, colour_ids, draw_sheet, spread


@dataclass(frozen=True)
class Config:
    """Settings of `worldsim inspect`.

    Attributes:
        folder: Made by worldsim simulate.
        verify: Hash every byte and hold it against the index.
        sheet: PNG to draw; left out, FOLDER/sheet.png; none draws nothing.
        rollouts: How many the sheet shows, at even distances.
        frames: Of each rollout on the sheet.
    """

    folder: str = field(default="???", metadata={"path": True})
    verify: bool = True
    sheet: str | None = field(default="", metadata={"path": True})
    rollouts: int = 8
    frames: int = 6


EXAMPLES = (
    "worldsim inspect data/hoop",
    "worldsim inspect data/hoop sheet=hoop.png rollouts=16",
    "worldsim inspect data/hoop verify=false sheet=none",
)
POSITIONAL = ("folder",)
CHOICES = {"verify": ("true", "false")}


def run(config: Config) -> None:
    """Print the survey, draw the sheet, and raise where a shard is damaged."""
    if config.rollouts < 1 or config.frames < 1:
        raise ValueError(f"rollouts, frames: must be 1 or more, got {config.rollouts} and {config.frames}")
    console = Console(soft_wrap=True, markup=False, emoji=False)
    with progress_bar("checking" if config.verify else "counting") as advance:
        found = survey(config.folder, config.verify, advance)
    _print(console, found, config.verify)
    if config.sheet not in (None, "none") and found.rollouts:
        path = Path(config.sheet) if config.sheet else found.folder / "sheet.png"
        _draw(found, config, path)
        console.print(f"sheet       {path}")
    if found.problems:
        for problem in found.problems:
            console.print(problem, highlight=False)
        raise DataError(
            f"{config.folder}: must be whole, {len(found.problems)} of {found.config.num_shards} shards are damaged "
            "(listed above); the others are readable"
        )


def _print(console: Console, found: Survey, verified: bool) -> None:
    config = found.config
    console.print(f"folder      {found.folder}")
    console.print(f"begun by    worldsim {found.worldsim}, {config.engine} {found.engine_version}")
    console.print(
        f"rollouts    {found.rollouts} of {config.num_rollouts}, in {found.shards} of {config.num_shards} shards"
    )
    console.print(f"frames      {found.frames}")
    console.print(
        f"size        {human_size(found.size)}"
        + (f", {human_size(found.size / found.rollouts)} a rollout" if found.rollouts else "")
    )
    for name, counter in found.counts.items():
        console.print(f"{name:11} " + ", ".join(f"{value}: {count}" for value, count in sorted(counter.items())))
    total = sum(found.members.values())
    shares = ", ".join(f"{name} {100 * size / total:.0f} %" for name, size in found.members.most_common())
    console.print(f"members     {shares}")
    how = "every sha256 agrees" if verified else "sizes agree (verify=true hashes every byte)"
    console.print(f"integrity   {how if not found.problems else f'{len(found.problems)} shards damaged'}")
    if found.missing:
        console.print(
            f"missing     {len(found.missing)} shards from {found.missing[0]} on: run the same worldsim simulate again"
        )
    if found.leftovers:
        console.print(f"leftovers   {len(found.leftovers)} unfinished files of killed runs, which the next run removes")


def _draw(found: Survey, config: Config, path: Path) -> None:
    bad = [line.split(":")[0] for line in found.problems]
    exclude = [Path(name).stem for name in (*found.missing, *bad)]
    dataset = RolloutDataset(config.folder, parts=("video", "ids", "depth", "caption"), exclude=exclude)
    tiles = []
    for i in np.unique(np.linspace(0, len(dataset) - 1, config.rollouts).round().astype(int)):
        rollout = dataset[int(i)]
        if not len(rollout.video):
            continue
        middle = len(rollout.video) // 2
        depth = colour_depth(rollout.depth[middle], rollout.scene.camera.far)
        pictures = [*spread(rollout.video, config.frames), colour_ids(rollout.ids[middle]), depth]
        said = rollout.caption.get("prompt", "")
        label = f"{i}: {rollout.scene.family}, seed {rollout.scene.seed}. {said}"
        tiles.append(Tile(label, pictures))
    title = f"{config.folder}: {config.frames} frames of each, then ids and depth of the middle one"
    draw_sheet(path, tiles, columns=1, height=112, title=title)
