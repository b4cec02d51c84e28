"""Loss on held-out batches while training runs, and whether it still falls."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from worldsim.training.trainer import Trainer, step_generator

FILE = "validation.jsonl"


class Validation:
    """A Trainer's callback: the loss of the averaged weights on batches that stay the same, a line a checkpoint.

    Attributes:
        calls_model: Tells the Trainer, which refuses it where no process holds the whole model.
    """

    calls_model = True

    def __init__(self, batches: Sequence[Any], term: str = "diffusion", seed: int = 0) -> None:
        """Keep what is asked at each checkpoint.

        Args:
            batches: Of clips that are not trained on.
            term: Which of the loss's terms is taken.
            seed: Of noise and times, which are the same at each checkpoint.
        """
        self.batches, self.term, self.seed = batches, term, seed

    def __call__(self, trainer: Trainer, step: int) -> None:
        """Add a line to validation.jsonl in the run's folder, and a point to TensorBoard."""
        with torch.no_grad(), averaged(trainer):
            losses = [self._loss(trainer, i) for i in range(len(self.batches))]
        loss = sum(losses) / len(losses)
        with (trainer.folder / FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, self.term: loss}) + "\n")
        if trainer.writer is not None:
            trainer.writer.add_scalar(f"validation/{self.term}", loss, step)

    def _loss(self, trainer: Trainer, i: int) -> float:
        terms = trainer.model.loss(trainer.moved(self.batches[i]), step_generator(self.seed, i))  # type: ignore[operator]
        return float(terms[self.term])


@contextmanager
def averaged(trainer: Trainer) -> Iterator[None]:
    """The trainer's model with its averaged weights, for as long as the block lasts."""
    kept = {name: value.detach().clone() for name, value in trainer.model.state_dict().items()}
    trainer.model.load_state_dict(trainer.average.weights)
    try:
        yield
    finally:
        trainer.model.load_state_dict(kept)


def last_fall(folder: Path, share: float = 0.1, term: str = "diffusion") -> float:
    """By which share the validation loss fell over the last tenth of a run's steps; below 0 where it rose.

    A resumed run may have written a step twice: the later line counts. NaN where no line lies before that tenth.
    """
    lines = [json.loads(line) for line in (folder / FILE).read_text(encoding="utf-8").splitlines()]
    losses = {int(line["step"]): float(line[term]) for line in lines}
    last = max(losses)
    before = [step for step in losses if step <= (1 - share) * last]
    return 1 - losses[last] / losses[max(before)] if before else math.nan
