"""Rollouts of a folder by number: random access over shards, reading only what is asked for."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from worldsim.data.encode import decode_rollout, wanted_members
from worldsim.data.generate import GenerateConfig, read_dataset_file, shard_name
from worldsim.data.shards import REMEDY, Sample, ShardIndex, read_index, read_members
from worldsim.engines import Rollout
from worldsim.scene import from_dict
from worldsim.scene.errors import DataError
from worldsim.scene.files import PathLike

_KEPT_INDICES = 64  # parsed indices held at once: bounds memory however large the data set is


class RolloutDataset(Dataset[Rollout]):
    """The rollouts that `worldsim simulate` put into a folder, by number.

    Shards are opened when one of their rollouts is asked for: a damaged one raises a DataError then, and the others
    stay readable. Every byte that is read is checked against its hash.

    Args:
        folder: Made by generate_dataset.
        parts: Of video, ids, depth, trajectory, contacts, actions, caption, events: what to read; None is everything.
            What is left out is neither read nor decoded and comes back empty.
        exclude: Names of shards to leave out, such as "shard-00003".

    Raises:
        FileNotFoundError: Where the folder is none of ours.
        DataError: Where its dataset.json is damaged or too new, or shards are missing.
    """

    def __init__(self, folder: PathLike, parts: Collection[str] | None = None, exclude: Sequence[str] = ()) -> None:
        self.folder = Path(folder)
        document = read_dataset_file(self.folder)
        try:
            self.config = from_dict(GenerateConfig, document["config"], f"{self.folder}/dataset.json")
        except ValueError as error:
            raise DataError(
                f"{error}; delete the file and run worldsim simulate again with the same settings"
            ) from None
        self.parts = None if parts is None else tuple(parts)
        self._members = wanted_members(self.parts)
        self.shards = self._present(exclude)
        self._numbers = [number for shard in self.shards for number in self.config.rollouts_of(shard)]
        self._indices: OrderedDict[int, ShardIndex] = OrderedDict()

    def _present(self, exclude: Sequence[str]) -> list[int]:
        names = {Path(shard_name(shard)).stem: shard for shard in range(self.config.num_shards)}
        for name in exclude:
            if name not in names:
                raise ValueError(f"exclude: must name shards from shard-00000 to {list(names)[-1]}, got {name!r}")
        shards = [shard for name, shard in names.items() if name not in exclude]
        missing = [shard for shard in shards if not (self.folder / shard_name(shard)).exists()]
        if missing:
            raise DataError(
                f"{self.folder / shard_name(missing[0])}: must be there, {len(missing)} of {len(names)} shards "
                "are missing; run the worldsim simulate command that began the folder again to make them, "
                f"or leave them out with exclude={[Path(shard_name(s)).stem for s in missing[:3]]}"
                f"{'...' if len(missing) > 3 else ''}"
            )
        return shards

    def __len__(self) -> int:
        return len(self._numbers)

    def _index(self, shard: int) -> ShardIndex:
        if shard in self._indices:
            self._indices.move_to_end(shard)
            return self._indices[shard]
        index = read_index(self.folder / shard_name(shard))
        if index.shard != shard_name(shard):
            raise DataError(
                f"{self.folder / index.shard}: must be indexed as {shard_name(shard)} in its index; "
                + REMEDY.format(name=Path(shard_name(shard)).stem)
            )
        self._indices[shard] = index
        if len(self._indices) > _KEPT_INDICES:
            self._indices.popitem(last=False)
        return index

    def sample(self, i: int) -> tuple[Path, Sample]:
        """Where rollout i lies: its tar and its line of the index."""
        if not -len(self) <= i < len(self):
            raise IndexError(f"index: must be between {-len(self)} and {len(self) - 1}, got {i}")
        number = self._numbers[i]
        shard = number // self.config.shard_size
        path = self.folder / shard_name(shard)
        place = number - shard * self.config.shard_size
        samples = self._index(shard).samples
        if place < len(samples) and samples[place].key == f"{number:09d}":
            return path, samples[place]
        raise DataError(
            f"{path}: must hold rollout {number:09d}, its index does not list it; " + REMEDY.format(name=path.stem)
        )

    def facts(self, i: int) -> dict[str, Any]:
        """What the index says of rollout i: family, seed, split, role, engine, layout and so on; opens no shard."""
        return self.sample(i)[1].facts

    def __getitem__(self, i: int) -> Rollout:
        path, sample = self.sample(i)
        members = read_members(path, sample, self._members)
        return decode_rollout(members, where=f"{path}:{sample.key}", parts=self.parts)
