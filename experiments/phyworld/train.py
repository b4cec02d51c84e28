"""Train a paired or a plain model on PhyWorld's worlds.

python experiments/phyworld/train.py DATA OUT [--plain] [--steps 1500] [--minutes 0] [--resume] [--start RUN]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from data import FAMILIES, ClipSet

from worldsim.models.config import WorldModelConfig, preset
from worldsim.models.world_model import WorldModel
from worldsim.training import TrainConfig, Trainer, Validation, begin_run, last_fall, start_from, step_generator

NUM_CONTEXT, BATCH, HELD_OUT = 4, 12, 32
# With the hint all new frames are made at once; without it two at a time, from which on bodies form many times sooner.
HINTED_FRAMES, PLAIN_FRAMES = 16, 6
# Every ball is in view for at least 24 of the 32 frames.
IN_VIEW = 24


def model_config(plain: bool) -> WorldModelConfig:
    """The twins: one network, one size, the same Setup tokens; the plain one is never given the prior's hint."""
    return WorldModelConfig(
        dit=preset("tiny", width=160, patch=(2, 4, 4), stem=16),
        context_lengths=(NUM_CONTEXT,),
        clip_frames=PLAIN_FRAMES if plain else HINTED_FRAMES,
        fps=10.0,
        hint=not plain,
        hint_drop=0.1,
        consistency=0.0 if plain else 0.02,
        # What is made two frames at a time becomes context: with noise on it, the model learns to clean it.
        context_noise=0.02 if plain else 0.0,
        # Where balls are is settled at high noise, and sampling begins at 1: most times are near it.
        time_mean=2.0,
        time_std=1.5,
        time_floor=1.0,
    )


def main() -> None:
    """Train, or go on training."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--minutes", type=float, default=0.0)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument(
        "--start",
        type=Path,
        help="a run of the same kind, or a checkpoint by name or folder, whose weights to go on from",
    )
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    sets = [ClipSet(arguments.data, family, "id", "train") for family in FAMILIES]
    config = model_config(arguments.plain)
    model, frames = WorldModel(config), config.clip_frames
    if arguments.start is not None:
        start_from(model, arguments.start)

    def batch_for(step: int) -> object:
        generator = step_generator(arguments.seed + 1, step)
        clips = sets[step % len(sets)]
        indices = torch.randint(len(clips), (BATCH,), generator=generator).tolist()
        start = int(torch.randint(IN_VIEW - frames + 1, (1,), generator=generator))
        return clips.clip(indices, start, frames, NUM_CONTEXT)

    held_out = [
        ClipSet(arguments.data, family, "id", "val").clip(range(HELD_OUT), 0, frames, NUM_CONTEXT)
        for family in FAMILIES
    ]
    train = TrainConfig(
        str(arguments.out),
        steps=arguments.steps,
        learning_rate=arguments.learning_rate,
        seed=arguments.seed,
        compile=arguments.compile,
        checkpoint_every=100,
        max_minutes=arguments.minutes,
    )
    trainer = Trainer(model, batch_for, train, Validation(held_out))
    facts = {"data": str(arguments.data), "start": None if arguments.start is None else str(arguments.start)}
    begin_run(trainer, config, facts, arguments.resume)
    trainer.train(resume=arguments.resume)
    print(f"over the last tenth of the steps the validation loss fell by {last_fall(arguments.out):.2%}")


if __name__ == "__main__":
    main()
