"""worldsim replay: play a stored rollout again and compare, or draw its very motion at another quality."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.console import Console

from worldsim.data import DataError, RolloutDataset, decode_rollout, write_video
from worldsim.data.encode import wanted_members
from worldsim.data.generate import DATASET_FILE, with_pixels
from worldsim.data.shards import read_members, scan_tar
from worldsim.engines import Rollout, get_engine
from worldsim.scene import load_scene


@dataclass(frozen=True)
class Config:
    """Settings of `worldsim replay`.

    Attributes:
        path: A folder made by worldsim simulate, one of its tar shards, or a scene as JSON.
        index: Which rollout of the folder or shard.
        engine: That plays it again; none is the one that made it (mujoco for a scene).
        out: MP4 to draw the stored motion (the scene's, for a scene) into; none draws nothing.
        preset: Of the MP4: fast, standard or quality.
        pixels: Height of the MP4's picture; none keeps the camera's.
    """

    path: str = field(default="???", metadata={"path": True})
    index: int = 0
    engine: str | None = None
    out: str | None = field(default=None, metadata={"path": True})
    preset: str = "standard"
    pixels: int | None = None


EXAMPLES = (
    "worldsim replay data/hoop index=3",
    "worldsim replay data/hoop index=3 out=hoop.mp4 preset=quality pixels=512",
    "worldsim replay scene.json engine=pybullet out=scene.mp4",
)
POSITIONAL = ("path",)
CHOICES = {"engine": ("mujoco", "pybullet", "torch"), "preset": ("fast", "standard", "quality")}


def stored_rollout(path: Path, index: int) -> Rollout:
    """The rollout of that number in a folder or a tar shard."""
    if path.is_dir():
        if not (path / DATASET_FILE).exists():
            raise FileNotFoundError(f"{path}: must be a folder made by worldsim simulate, it has no {DATASET_FILE}")
        dataset = RolloutDataset(path)
        if not 0 <= index < len(dataset):
            raise ValueError(f"index: must be between 0 and {len(dataset) - 1}, got {index}")
        return dataset[index]
    samples = scan_tar(path).samples
    if not 0 <= index < len(samples):
        raise ValueError(f"index: must be between 0 and {len(samples) - 1}, got {index}")
    members = read_members(path, samples[index], wanted_members(None))
    return decode_rollout(members, where=f"{path}:{samples[index].key}")


def run(config: Config) -> None:
    """Play again, compare, draw."""
    path = Path(config.path)
    if not path.exists():
        raise FileNotFoundError(
            f"{path}: must be a folder of rollouts, a tar shard or a scene file, there is no such file"
        )
    console = Console(soft_wrap=True, markup=False, emoji=False)
    if path.suffix == ".json":
        scene = load_scene(path)
        rollout = get_engine(config.engine or "mujoco").simulate(scene, render=False)
        console.print(
            f"played      {path}: {len(scene.bodies)} bodies, {scene.num_frames} frames, "
            f"{len(rollout.contacts)} contacts, by {rollout.engine} {rollout.engine_version}"
        )
    elif path.is_dir() or path.suffix == ".tar":
        rollout = stored_rollout(path, config.index)
        _compare(console, rollout, config)
    else:
        raise DataError(f"{path}: must be a folder of rollouts, a .tar shard or a .json scene; give one of these")
    if config.out is not None:
        _draw(console, rollout, config)


def _compare(console: Console, rollout: Rollout, config: Config) -> None:
    scene = rollout.scene
    engine = get_engine(config.engine or rollout.engine)
    again = engine.simulate(scene, rollout.actions if scene.robot is not None else None, render=False)
    console.print(
        f"stored      {scene.family or 'scene'}, seed {scene.seed}, by {rollout.engine} {rollout.engine_version}"
    )
    console.print(f"played by   {engine.name} {engine.version}")
    apart = (again.trajectory.position - rollout.trajectory.position).norm(dim=-1).amax(dim=-1).numpy()
    if not apart.max():
        console.print("positions   identical on every frame")
        return
    first = int(np.argmax(apart > 1e-3)) if (apart > 1e-3).any() else None
    told = f"first beyond 1 mm on frame {first}" if first is not None else "never beyond 1 mm"
    console.print(f"positions   apart by at most {apart.max():.3g} m, {told}, of {len(apart)} frames")


def _draw(console: Console, rollout: Rollout, config: Config) -> None:
    assert config.out is not None
    scene = rollout.scene if config.pixels is None else with_pixels(rollout.scene, config.pixels)
    name = rollout.engine if rollout.engine in ("mujoco", "pybullet") else "mujoco"
    frames = get_engine(name).render(scene, rollout.trajectory, preset=config.preset)
    write_video(config.out, frames.video, scene.fps)
    console.print(
        f"drew        {config.out}: {scene.camera.width} x {scene.camera.height}, "
        f"{len(frames.video)} frames, {config.preset}"
    )
