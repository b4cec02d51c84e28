"""Clips out of a data set, epoch after epoch, with a state that resumes after the last clip that was taken."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader

from worldsim.data.clip import Clip, collate
from worldsim.data.dataset import RolloutDataset
from worldsim.data.sampler import ResumableBatchSampler, layouts


class ClipLoader:
    """Iterates over one epoch of Clips at a time, shuffled by (seed, epoch).

    Args:
        dataset: To draw from; parts of video, ids, trajectory, actions and caption are enough.
        batch_size: Videos a clip.
        num_context: Frames at the start that a model is given.
        num_frames: Of each clip; None is all.
        seed: Of the order.
        shuffle: Without it, rollouts come in order.
        drop_last: Leave out batches that are not full.
        workers: Processes that read ahead; 0 reads in this one.
        caption_level: Which caption is the clip's text.
    """

    def __init__(
        self,
        dataset: RolloutDataset,
        batch_size: int,
        num_context: int,
        num_frames: int | None = None,
        seed: int = 0,
        shuffle: bool = True,
        drop_last: bool = True,
        workers: int = 0,
        caption_level: str = "prompt",
    ) -> None:
        self.dataset = dataset
        self.sampler = ResumableBatchSampler(layouts(dataset), batch_size, seed, shuffle, drop_last)
        self._collate = functools.partial(
            collate, num_context=num_context, num_frames=num_frames, caption_level=caption_level
        )
        self._workers = workers
        self._consumed = 0

    def __len__(self) -> int:
        """Clips an epoch."""
        return len(self.sampler)

    def batch(self, step: int) -> Clip:
        """The clip of a step, counted from 0 through all epochs: a pure function of seed and step."""
        return self._collate([self.dataset[i] for i in self.sampler.batch(step)])

    def __iter__(self) -> Iterator[Clip]:
        """The rest of the present epoch."""
        self.sampler.load_state_dict(self.state_dict())
        loader: DataLoader[Any] = DataLoader(
            self.dataset, batch_sampler=self.sampler, collate_fn=self._collate, num_workers=self._workers
        )
        for clip in loader:
            self._consumed += 1
            yield clip

    def state_dict(self) -> dict[str, Any]:
        """The place after the last clip that was taken, whatever the workers have read ahead."""
        return self.sampler.state_dict(self._consumed)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a place; refuses the state of another order by a ValueError that names the field."""
        self.sampler.load_state_dict(state)
        self._consumed = state["epoch"] * len(self) + state["dealt"]
