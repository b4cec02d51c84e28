"""Train a paired or a plain model on PhyWorld's worlds.

python experiments/phyworld/train.py DATA OUT [--plain] [--steps 1500] [--minutes 0] [--resume]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import torch
from data import FAMILIES, ClipSet

from worldsim.models.config import WorldModelConfig, preset
from worldsim.models.world_model import WorldModel
from worldsim.training import TrainConfig, Trainer, Validation, last_fall, step_generator

NUM_FRAMES, NUM_CONTEXT, BATCH, HELD_OUT = 16, 4, 32, 32
# Every ball is in view for at least 24 of the 32 frames.
LAST_START = 8


def model_config(plain: bool) -> WorldModelConfig:
    """The twins: one network, one size, the same Setup tokens; the plain one is never given the prior's hint."""
    dit = preset("tiny", width=160, patch=(2, 8, 8), stem=16)
    levers = {"hint": not plain, "hint_drop": 0.1, "consistency": 0.0 if plain else 0.02}
    return WorldModelConfig(dit=dit, fps=10.0, **levers)


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
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    sets = [ClipSet(arguments.data, family, "id", "train") for family in FAMILIES]
    config = model_config(arguments.plain)
    model = WorldModel(config)

    def batch_for(step: int) -> object:
        generator = step_generator(arguments.seed + 1, step)
        clips = sets[step % len(sets)]
        indices = torch.randint(len(clips), (BATCH,), generator=generator).tolist()
        start = int(torch.randint(LAST_START + 1, (1,), generator=generator))
        return clips.clip(indices, start, NUM_FRAMES, NUM_CONTEXT)

    held_out = [
        ClipSet(arguments.data, family, "id", "val").clip(range(HELD_OUT), 0, NUM_FRAMES, NUM_CONTEXT)
        for family in FAMILIES
    ]
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "config.json").write_text(json.dumps(dataclasses.asdict(config), indent=1), encoding="utf-8")
    train = TrainConfig(
        str(arguments.out),
        steps=arguments.steps,
        learning_rate=arguments.learning_rate,
        seed=arguments.seed,
        compile=arguments.compile,
        checkpoint_every=100,
        max_minutes=arguments.minutes,
    )
    Trainer(model, batch_for, train, Validation(held_out)).train(resume=arguments.resume)
    print(f"over the last tenth of the steps the validation loss fell by {last_fall(arguments.out):.2%}")


if __name__ == "__main__":
    main()
