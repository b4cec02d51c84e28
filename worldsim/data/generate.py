"""Rollouts onto disk: a shard is a pure function of (config, shard number), and a data set is all of its shards.

Any launcher may call generate_shard; generate_dataset is the local one. It can be killed at any moment and run again.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worldsim.data.encode import RGB, encode_rollout
from worldsim.data.errors import GenerationError
from worldsim.data.shards import ShardWriter, read_index
from worldsim.engines import PRESETS, Rollout, get_engine
from worldsim.scene import Scene, make_scene
from worldsim.scene.checks import require
from worldsim.scene.errors import DataError
from worldsim.scene.files import PathLike, remove_stale, write_bytes

DATASET_VERSION = 1
DATASET_FILE = "dataset.json"


@dataclass(frozen=True)
class GenerateConfig:
    """What a data set holds; where it goes and who works on it is said elsewhere.

    Attributes:
        scene: Name of a scenario family.
        num_rollouts: How many.
        split: "id" or "ood".
        role: "train", "val" or "test"; the three never share a random stream.
        seed: Of the first rollout; the others follow by ones.
        engine: "mujoco", "pybullet" or "torch".
        preset: Rendering, "fast", "standard" or "quality".
        pixels: Height of the picture, the width following the camera's aspect; None keeps the family's.
        num_frames: Of each rollout; None keeps the family's duration.
        rgb: "fast" (H.264 crf 18) or "exact" (lossless).
        shard_size: Rollouts a shard.
        scene_args: Parameters of the family.
    """

    scene: str = "hoop"
    num_rollouts: int = 100
    split: str = "id"
    role: str = "train"
    seed: int = 0
    engine: str = "mujoco"
    preset: str = "fast"
    pixels: int | None = None
    num_frames: int | None = None
    rgb: str = "fast"
    shard_size: int = 50
    scene_args: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, low in (("num_rollouts", 1), ("shard_size", 1), ("seed", 0), ("pixels", 8), ("num_frames", 2)):
            value = getattr(self, name)
            if value is None and name in ("pixels", "num_frames"):
                continue
            whole = isinstance(value, int) and not isinstance(value, bool)
            require(name, f"a whole number of {low} or more", whole and value >= low, value)
        require("split", "id or ood", self.split in ("id", "ood"), self.split)
        require("role", "train, val or test", self.role in ("train", "val", "test"), self.role)
        require("preset", f"one of {', '.join(PRESETS)}", self.preset in PRESETS, self.preset)
        require("rgb", f"one of {', '.join(RGB)}", self.rgb in RGB, self.rgb)

    @property
    def num_shards(self) -> int:
        """How many shards the rollouts fill."""
        return -(-self.num_rollouts // self.shard_size)

    def rollouts_of(self, shard: int) -> range:
        """Numbers of the rollouts in a shard."""
        return range(shard * self.shard_size, min((shard + 1) * self.shard_size, self.num_rollouts))


def shard_name(shard: int) -> str:
    """File name of a shard's tar."""
    return f"shard-{shard:05d}.tar"


def with_pixels(scene: Scene, pixels: int) -> Scene:
    """The scene seen in pictures of that height; the width follows the camera's aspect."""
    width = max(8, round(scene.camera.width * pixels / scene.camera.height))
    return dataclasses.replace(scene, camera=dataclasses.replace(scene.camera, width=width, height=pixels))


def draw_scene(config: GenerateConfig, number: int) -> Scene:
    """The scene of one rollout, with the config's picture size and length."""
    scene = make_scene(config.scene, config.seed + number, config.split, config.role, **config.scene_args)
    if config.pixels is not None:
        scene = with_pixels(scene, config.pixels)
    if config.num_frames is not None:
        scene = dataclasses.replace(scene, duration=(config.num_frames - 1) / scene.fps)
    return scene


def generate_rollout(config: GenerateConfig, number: int) -> Rollout:
    """One rollout of the data set; nothing but its arguments bears on it."""
    from worldsim._simulate import simulate

    return simulate(draw_scene(config, number), engine=config.engine, preset=config.preset)


def _facts(config: GenerateConfig, number: int, rollout: Rollout) -> dict[str, Any]:
    scene = rollout.scene
    return {
        "family": scene.family,
        "seed": config.seed + number,
        "split": config.split,
        "role": config.role,
        "engine": rollout.engine,
        "engine_version": rollout.engine_version,
        "frames": len(rollout.video),
        "size": [scene.camera.height, scene.camera.width],
        "layout": layout(scene),
    }


def layout(scene: Scene) -> str:
    """What scenes must share to be batched: kinds, static flags and groups of the bodies, planarity."""
    objects: dict[str, int] = {}
    bodies = [
        f"{b.shape.kind}{'!' if b.static else ''}{objects.setdefault(b.object_name, len(objects))}"
        for b in scene.bodies
    ]
    return ("planar " if scene.planar else "") + " ".join(bodies)


def generate_shard(
    config: GenerateConfig, out: PathLike, shard: int, on_rollout: Callable[[int], None] = lambda number: None
) -> Path:
    """Make one shard, whole or not at all.

    Args:
        config: Of the data set.
        out: Folder, which exists.
        shard: From 0 to config.num_shards - 1.
        on_rollout: Called with the number of each rollout once it is encoded.

    Returns:
        Path of the tar.

    Raises:
        GenerationError: Where a scene cannot be drawn or played: names family, seed and reason.
        DataError: Where the disk is full.
    """
    require("shard", f"between 0 and {config.num_shards - 1}", 0 <= shard < config.num_shards, shard)
    source = {"split": config.split, "role": config.role, "preset": config.preset}
    path = Path(out) / shard_name(shard)
    with ShardWriter(path) as writer:
        for number in config.rollouts_of(shard):
            try:
                rollout = generate_rollout(config, number)
                members = encode_rollout(rollout, rgb=config.rgb, source=source)
            except Exception as error:
                if os.environ.get("WORLDSIM_DEBUG") == "1":
                    raise
                reason = " ".join(str(error).split()) or type(error).__name__
                raise GenerationError(
                    f"{config.scene}, seed {config.seed + number} ({config.split}/{config.role}): {reason}"
                ) from None
            writer.add(f"{number:09d}", members, _facts(config, number, rollout))
            on_rollout(number)
    return path


def finished(config: GenerateConfig, out: PathLike, shard: int) -> bool:
    """Whether a shard is there, of the size that its index says and with the rollouts that it should hold."""
    path = Path(out) / shard_name(shard)
    if not path.exists():
        return False
    try:
        index = read_index(path)
    except DataError:
        return False
    return len(index.samples) == len(config.rollouts_of(shard))


def write_config(config: GenerateConfig, out: PathLike) -> None:
    """Note the config in the folder, or hold it against the one that is noted there.

    Raises:
        DataError: Where the folder holds another config or another engine version's rollouts: names the field.
    """
    from worldsim import __version__

    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    values = {"worldsim": __version__, "engine_version": get_engine(config.engine).version}
    document = {
        "schema": "worldsim.dataset",
        "version": DATASET_VERSION,
        **values,
        "num_shards": config.num_shards,
        "config": dataclasses.asdict(config),
    }
    data = json.dumps(document, indent=1, allow_nan=False).encode() + b"\n"
    path = folder / DATASET_FILE
    if not path.exists():
        write_bytes(path, data)
        return
    stored = read_dataset_file(folder)
    wanted = json.loads(data)
    pairs = {f"config.{name}": (stored["config"].get(name), value) for name, value in wanted["config"].items()}
    pairs |= {name: (stored.get(name), value) for name, value in values.items()}
    for name, (old, new) in pairs.items():
        if old != new:
            raise DataError(
                f"{path}: {name} must be {old!r}, as the folder was begun with, got {new!r}; "
                "choose another out=, or delete the folder to start anew"
            )


def read_dataset_file(out: PathLike) -> dict[str, Any]:
    """The dataset.json of a folder.

    Raises:
        FileNotFoundError: Where the folder has none.
        DataError: Where it is damaged or of a newer version.
    """
    path = Path(out) / DATASET_FILE
    if not path.exists():
        raise FileNotFoundError(f"{path}: must be there, is missing; {out} is no folder made by worldsim simulate")
    try:
        document = json.loads(path.read_bytes())
        config = document["config"]
        complete = document["schema"] == "worldsim.dataset" and isinstance(config["num_rollouts"], int)
        complete = complete and isinstance(config["shard_size"], int) and isinstance(document["num_shards"], int)
    except (ValueError, KeyError, TypeError):
        complete = False
    if not complete:
        raise DataError(
            f"{path}: must be a worldsim.dataset document, is damaged; "
            "delete it and run worldsim simulate again with the same settings"
        )
    if document["version"] > DATASET_VERSION:
        raise DataError(
            f"{path}: version must be at most {DATASET_VERSION}, got {document['version']}; "
            "a newer worldsim wrote it, upgrade to read it"
        )
    return dict(document)


@contextmanager
def _sole_writer(out: Path) -> Iterator[None]:
    """Hold the folder against a second generator; the lock falls with the process, however it ends."""
    descriptor = os.open(out, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DataError(
            f"{out}: must have one writer, another worldsim simulate is at work here; wait for it"
        ) from None
    else:
        yield
    finally:
        os.close(descriptor)


def generate_dataset(
    config: GenerateConfig,
    out: PathLike,
    workers: int = 1,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Make all shards that are not there yet. The bytes depend on the config alone.

    Args:
        config: Of the data set; a folder begun with another one is refused.
        out: Folder, made where missing.
        workers: Processes; 1 works in this one. Scripts that ask for more guard their main module
            (`if __name__ == "__main__":`), since workers are spawned.
        on_progress: Called with the rollouts done, those of finished shards included, and their total.

    Returns:
        The folder.

    Raises:
        GenerationError: Where a rollout fails or a worker dies; finished shards stay, a later run goes on.
        DataError: Where the folder holds something else, or the disk is full.
    """
    from worldsim.data.workers import run_shards

    require("workers", "a whole number of 1 or more", isinstance(workers, int) and workers >= 1, workers)
    folder = Path(out)
    write_config(config, folder)
    with _sole_writer(folder):
        remove_stale(folder)
        todo = [shard for shard in range(config.num_shards) if not finished(config, folder, shard)]
        done = config.num_rollouts - sum(len(config.rollouts_of(shard)) for shard in todo)
        on_progress(done, config.num_rollouts)

        def count(_: int) -> None:
            nonlocal done
            done += 1
            on_progress(done, config.num_rollouts)

        if workers == 1 or len(todo) <= 1:
            for shard in todo:
                generate_shard(config, folder, shard, count)
        else:
            run_shards(config, folder, todo, min(workers, len(todo)), count)
    return folder
