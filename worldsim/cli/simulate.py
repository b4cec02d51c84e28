"""worldsim simulate: rollouts of a family into a folder, resumable at any moment."""

from __future__ import annotations

import dataclasses
import os
import time
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console

from worldsim.cli.progress import human_size, progress_bar
from worldsim.cli.settings import check_family
from worldsim.data.generate import GenerateConfig, draw_scene, generate_dataset


@dataclass(frozen=True)
class Config(GenerateConfig):
    """Settings of `worldsim simulate`.

    Attributes:
        out: Folder for the rollouts; run the same command again to go on after a stop.
        workers: Processes; the bytes do not depend on it.
        scene_args: Parameters of the family, as scene_args.NAME=VALUE; see worldsim list FAMILY.
    """

    out: str = field(default="???", metadata={"path": True})
    workers: int = 1


EXAMPLES = (
    "worldsim simulate scene=hoop num_rollouts=1000 out=data/hoop workers=2",
    "worldsim simulate scene=bouncing_balls split=ood role=test pixels=128 out=data/balls-ood",
    "worldsim simulate scene=collision pixels=32 num_rollouts=1000 rgb=exact out=data/collision",
    "worldsim simulate scene=tower scene_args.num_blocks=5 out=data/towers",
)
POSITIONAL: tuple[str, ...] = ()
CHOICES = {
    "split": ("id", "ood"),
    "role": ("train", "val", "test"),
    "engine": ("mujoco", "pybullet", "torch"),
    "preset": ("fast", "standard", "quality"),
    "rgb": ("fast", "exact"),
}


def generate_config(config: Config) -> GenerateConfig:
    """What the data set depends on: the settings without where and by whom."""
    values: dict[str, Any] = {f.name: getattr(config, f.name) for f in dataclasses.fields(GenerateConfig)}
    return GenerateConfig(**values)


def run(config: Config) -> None:
    """Make the data set and say what came of it."""
    what = generate_config(config)
    check_family(what.scene)
    draw_scene(what, 0)  # refuses unknown families and parameters before any process starts
    start = time.monotonic()
    with progress_bar(f"{what.scene} ({what.split}/{what.role})") as advance:
        folder = generate_dataset(what, config.out, config.workers, advance)
    seconds = time.monotonic() - start
    size = sum(entry.stat().st_size for entry in os.scandir(folder) if entry.is_file())
    console = Console(soft_wrap=True, markup=False, emoji=False)
    console.print(
        f"{what.num_rollouts} rollouts in {what.num_shards} shards, {human_size(size)}, {seconds:.1f} s: {folder}"
    )
    console.print(f"look at them: worldsim inspect {folder}")
