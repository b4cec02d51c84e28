"""Batches by number for the trainer: from folders of rollouts, or from a folder of videos alone.

Both are pure functions of (seed, number), so that a resumed run repeats an unbroken one; what has been read stays in
memory up to a bound.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from worldsim.data import ClipLoader, DataError, RolloutDataset, collate, read_video
from worldsim.data.clip import Clip, of_videos
from worldsim.engines import Rollout
from worldsim.models.config import WorldModelConfig
from worldsim.models.inputs import FPS_TOLERANCE
from worldsim.scene.checks import require
from worldsim.training.trainer import step_generator

PARTS = ("video", "ids", "trajectory", "actions", "caption")
SUFFIXES = (".mp4", ".gif", ".webm", ".mov", ".avi", ".mkv")
MEMORY = 1 << 30  # bytes of pictures that stay


def draw(generator: torch.Generator, choices: int) -> int:
    """A whole number below `choices`."""
    return int(torch.randint(choices, (1,), generator=generator))


class Kept:
    """Items by number that are read once, as long as they fit into MEMORY."""

    def __init__(self, read: Callable[[int], Any], size: Callable[[Any], int]) -> None:
        self._read, self._size, self._left = read, size, MEMORY
        self._items: dict[int, Any] = {}

    def __getitem__(self, i: int) -> Any:
        if i in self._items:
            return self._items[i]
        item = self._read(i)
        if self._size(item) <= self._left:
            self._items[i] = item
            self._left -= self._size(item)
        return item


class RolloutBatches:
    """Clips of the model's lengths from folders that `worldsim simulate` made, one folder a batch in turn.

    Args:
        folders: To draw from.
        model: Whose clips they are.
        batch_size: Videos a batch.
        seed: Of the order, the starts, the lengths of clips and of contexts.

    Raises:
        ValueError: Where rate or length of the rollouts does not suit the model: names folder, rule and value.
    """

    def __init__(self, folders: Sequence[str], model: WorldModelConfig, batch_size: int, seed: int) -> None:
        self.model, self.seed = model, seed
        self.loaders = [ClipLoader(RolloutDataset(f, PARTS), batch_size, 0, seed=seed) for f in folders]
        self._kept = [Kept(loader.dataset.__getitem__, _bytes_of) for loader in self.loaders]
        for folder, kept in zip(folders, self._kept, strict=True):
            _check(folder, len(kept[0].video), kept[0].scene.fps, model)

    def __call__(self, number: int) -> Clip:
        """The batch of a number from 0."""
        generator = step_generator(self.seed + 1, number)
        which = number % len(self.loaders)
        rollouts = [self._kept[which][i] for i in self.loaders[which].sampler.batch(number // len(self.loaders))]
        frames = _length(generator, self.model)
        start = draw(generator, min(len(r.video) for r in rollouts) - frames + 1)
        known = self.model.context_lengths[draw(generator, len(self.model.context_lengths))]
        return collate(rollouts, known, frames, start)


class VideoBatches:
    """Clips of videos without Setups, so that only the diffusion loss applies: fine-tuning on MP4s.

    Args:
        folder: Of videos of one size.
        model: Whose clips they are.
        batch_size: Videos a batch.
        seed: Of the draws.

    Raises:
        ValueError: Where there are none, or their rate, length or size does not suit.
    """

    def __init__(self, folder: str, model: WorldModelConfig, batch_size: int, seed: int) -> None:
        self.model, self.batch_size, self.seed = model, batch_size, seed
        if not Path(folder).is_dir():
            raise FileNotFoundError(f"{folder}: must be a folder of videos, there is no such folder")
        self.files = sorted(path for path in Path(folder).iterdir() if path.suffix.lower() in SUFFIXES)
        if not self.files:
            raise DataError(f"{folder}: must hold videos ({', '.join(SUFFIXES)}), holds none")
        self._kept = Kept(self._read, lambda video: int(video.nbytes))
        self._size = self._kept[0].shape[1:3]

    def _read(self, i: int) -> NDArray[np.uint8]:
        video, fps = read_video(self.files[i])
        _check(str(self.files[i]), len(video), fps, self.model)
        return video

    def __call__(self, number: int) -> Clip:
        """The batch of a number from 0."""
        generator = step_generator(self.seed + 1, number)
        frames, cuts = _length(generator, self.model), []
        for _ in range(self.batch_size):
            i = draw(generator, len(self.files))
            video = self._kept[i]
            require(f"{self.files[i]}", f"of the first video's size, {self._size}", video.shape[1:3] == self._size,
                    video.shape[1:3])  # fmt: skip
            start = draw(generator, len(video) - frames + 1)
            cuts.append(video[start : start + frames])
        known = self.model.context_lengths[draw(generator, len(self.model.context_lengths))]
        return of_videos(np.stack(cuts), self.model.fps, known)


def _length(generator: torch.Generator, model: WorldModelConfig) -> int:
    """Frames of a batch's clips."""
    lengths = model.clip_lengths
    return lengths[draw(generator, len(lengths))] if lengths else model.clip_frames


def _bytes_of(rollout: Rollout) -> int:
    return int(rollout.video.nbytes + rollout.ids.nbytes)


def _check(where: str, frames: int, fps: float, model: WorldModelConfig) -> None:
    if abs(fps - model.fps) > FPS_TOLERANCE:
        raise ValueError(f"model.fps: must be {fps:g} as {where} is, got {model.fps:g}")
    if frames < model.clip_frames:
        raise ValueError(f"model.clip_frames: must be at most the {frames} frames of {where}, got {model.clip_frames}")
