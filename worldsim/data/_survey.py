"""What a folder of rollouts holds, and whether every byte of it is as it was written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from worldsim.data.generate import GenerateConfig, read_dataset_file, shard_name
from worldsim.data.shards import REMEDY, file_hash, read_index
from worldsim.scene import from_dict
from worldsim.scene.errors import DataError
from worldsim.scene.files import TEMPORARY_PREFIX, PathLike


@dataclass(frozen=True)
class Survey:
    """Counts over the readable shards of a folder, and what is wrong with the others.

    Attributes:
        folder: Looked at.
        config: That the folder was begun with.
        worldsim: Version that began it.
        engine_version: Of the config's engine, when it was begun.
        shards: Readable ones.
        rollouts: In readable shards.
        frames: In readable shards.
        size: Of all files, bytes.
        counts: Of rollouts, by fact ("family", "engine", "split" and so on) and value.
        members: Bytes by member name.
        missing: Shards that are not there yet.
        problems: One line for each damaged shard.
        leftovers: Files that killed writers left behind.
    """

    folder: Path
    config: GenerateConfig
    worldsim: str
    engine_version: str
    shards: int
    rollouts: int
    frames: int
    size: int
    counts: dict[str, Counter[str]]
    members: Counter[str]
    missing: list[str]
    problems: list[str]
    leftovers: list[str]


def survey(
    folder: PathLike, verify: bool = True, on_shard: Callable[[int, int], None] = lambda done, total: None
) -> Survey:
    """Count what a folder holds and check it.

    Args:
        folder: Made by generate_dataset.
        verify: Hash every byte; without it, only sizes are compared.
        on_shard: Called with the shards looked at and their total.
    """
    root = Path(folder)
    document = read_dataset_file(root)
    config = from_dict(GenerateConfig, document["config"], f"{root}/dataset.json")
    counts: dict[str, Counter[str]] = {name: Counter() for name in ("family", "split", "role", "engine", "size")}
    members: Counter[str] = Counter()
    missing, problems = [], []
    shards = rollouts = frames = 0
    for shard in range(config.num_shards):
        path = root / shard_name(shard)
        on_shard(shard, config.num_shards)
        if not path.exists():
            missing.append(path.name)
            continue
        try:
            index = read_index(path)
            if len(index.samples) != len(config.rollouts_of(shard)):
                expected = len(config.rollouts_of(shard))
                raise DataError(
                    f"{path}: must hold {expected} rollouts, its index lists {len(index.samples)}; "
                    + REMEDY.format(name=path.stem)
                )
            if verify and file_hash(path) != index.sha256:
                raise DataError(
                    f"{path}: must have the sha256 of its index, the shard has changed since it was "
                    f"written; {REMEDY.format(name=path.stem)}"
                )
        except DataError as error:
            problems.append(str(error))
            continue
        shards += 1
        rollouts += len(index.samples)
        for sample in index.samples:
            facts = sample.facts
            frames += int(facts.get("frames", 0))
            told = {**facts, "engine": f"{facts.get('engine')} {facts.get('engine_version')}"}
            told["size"] = " x ".join(str(edge) for edge in facts.get("size", ()))
            for name in counts:
                counts[name][str(told.get(name))] += 1
            for name, place in sample.members.items():
                members[name] += place.size
    on_shard(config.num_shards, config.num_shards)
    return Survey(
        folder=root,
        config=config,
        worldsim=str(document.get("worldsim")),
        engine_version=str(document.get("engine_version")),
        shards=shards,
        rollouts=rollouts,
        frames=frames,
        size=sum(path.stat().st_size for path in root.iterdir() if path.is_file()),
        counts=counts,
        members=members,
        missing=missing,
        problems=problems,
        leftovers=[path.name for path in root.glob(f"{TEMPORARY_PREFIX}*")],
    )
