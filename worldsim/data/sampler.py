"""Batches of numbers in an order drawn from (seed, epoch), which a saved state resumes mid-epoch exactly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from torch.utils.data import Sampler

from worldsim.data.dataset import RolloutDataset
from worldsim.scene.checks import require
from worldsim.scene.errors import DataError


class ResumableBatchSampler(Sampler[list[int]]):
    """Deals out every number once an epoch, in batches whose members can share a Clip.

    The order depends on (seed, epoch) alone. state_dict is the place of the next batch that the sampler deals; a
    DataLoader with workers deals ahead of what has been trained on, so state_dict takes the batches that were consumed.

    Args:
        groups: One label a number; a batch never mixes labels (see layouts).
        batch_size: Numbers a batch.
        seed: Of the shuffles.
        shuffle: Without it, numbers come in order.
        drop_last: Leave out batches that are not full, at most one a label and epoch.
    """

    def __init__(
        self, groups: Sequence[str], batch_size: int, seed: int = 0, shuffle: bool = True, drop_last: bool = True
    ) -> None:
        require(
            "batch_size", "a whole number of 1 or more", isinstance(batch_size, int) and batch_size >= 1, batch_size
        )
        labels: dict[str, list[int]] = {}
        for i, label in enumerate(groups):
            labels.setdefault(label, []).append(i)
        self._labels = [np.array(labels[name]) for name in sorted(labels)]
        self.batch_size, self.seed, self.shuffle, self.drop_last = batch_size, seed, shuffle, drop_last
        require(
            "batch_size",
            f"at most {max(map(len, self._labels), default=0)}, the numbers that can share a batch",
            len(self) > 0,
            batch_size,
        )
        self.epoch, self._dealt = 0, 0
        self._drawn: tuple[int, list[list[int]]] | None = None

    def _batches(self, epoch: int) -> list[list[int]]:
        if self._drawn is not None and self._drawn[0] == epoch:
            return self._drawn[1]
        rng = np.random.default_rng([self.seed, epoch])
        batches: list[list[int]] = []
        for numbers in self._labels:
            order = rng.permutation(numbers) if self.shuffle else numbers
            cuts = [order[i : i + self.batch_size].tolist() for i in range(0, len(order), self.batch_size)]
            batches += [cut for cut in cuts if len(cut) == self.batch_size or not self.drop_last]
        if self.shuffle:
            batches = [batches[i] for i in rng.permutation(len(batches))]
        self._drawn = (epoch, batches)
        return batches

    def __len__(self) -> int:
        """Batches an epoch."""
        if self.drop_last:
            return sum(len(numbers) // self.batch_size for numbers in self._labels)
        return sum(-(-len(numbers) // self.batch_size) for numbers in self._labels)

    def batch(self, step: int) -> list[int]:
        """The numbers of a step, counted from 0 through all epochs: a pure function of seed and step."""
        epoch, place = divmod(step, len(self))
        return self._batches(epoch)[place]

    def __iter__(self) -> Iterator[list[int]]:
        """The rest of the present epoch; the epoch after it follows on the next call."""
        batches = self._batches(self.epoch)
        while self._dealt < len(batches):
            self._dealt += 1
            yield batches[self._dealt - 1]
        self.epoch, self._dealt = self.epoch + 1, 0

    def state_dict(self, consumed: int | None = None) -> dict[str, Any]:
        """The place to go on from.

        Args:
            consumed: Batches that have been trained on, counted through all epochs; None is those dealt, which is the
                same for a DataLoader without workers.
        """
        epoch, dealt = (self.epoch, self._dealt) if consumed is None else divmod(consumed, len(self))
        facts = {"seed": self.seed, "batch_size": self.batch_size, "size": sum(map(len, self._labels))}
        return {"epoch": epoch, "dealt": dealt, "shuffle": self.shuffle, "drop_last": self.drop_last, **facts}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a place.

        Raises:
            ValueError: Where the state is that of another order: names the field.
        """
        own = self.state_dict()
        for name in ("seed", "batch_size", "size", "shuffle", "drop_last"):
            require(
                f"sampler.{name}", f"{own[name]!r}, as this sampler has", state.get(name) == own[name], state.get(name)
            )
        require("sampler.dealt", f"between 0 and {len(self)}", 0 <= state["dealt"] <= len(self), state["dealt"])
        self.epoch, self._dealt = state["epoch"], state["dealt"]


def layouts(dataset: RolloutDataset) -> list[str]:
    """One label a rollout: those with equal labels can share a Clip. Reads the indices only."""
    labels = []
    for i in range(len(dataset)):
        path, sample = dataset.sample(i)
        if "layout" not in sample.facts:
            raise DataError(
                f"{path}: the index must tell the layout of {sample.key}, it does not; make the shard again"
            )
        labels.append(f"{sample.facts['layout']} {sample.facts.get('size')}")
    return labels
