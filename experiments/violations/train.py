"""Train the transformer on shaded balls in a box and on the hoop, with any of the levers or as a plain twin.

python experiments/violations/train.py DATA OUT --readout READOUT [--levers hint state consistency | --levers]
    [--families balls3 balls4 balls5 hoop] [--steps 600] [--minutes 0] [--resume] [--start RUN] [--sharp]

DATA comes from data.py, READOUT from experiments/readout/train.py. --levers alone trains the plain twin: the same
network, Setup tokens and readout (which only reads what it generates). Lever 4, guidance, belongs to sampling.
--start goes on from RUN's averaged weights, of any levers; --sharp cuts copies sharp (worldsim/models/copying.py).
--families space3, with a readout trained with --space, is for balls that move freely in space.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from data import FAMILIES, FPS, NUM_CONTEXT, families

from worldsim.data import ClipSet
from worldsim.models.config import WorldModelConfig, preset
from worldsim.models.world_model import WorldModel
from worldsim.training import TrainConfig, Trainer, Validation, begin_run, last_fall, start_from, step_generator
from worldsim.vision.learned_readout import LearnedReadout

LEVERS = ("hint", "state", "consistency")
BATCH = 12
# With the hint all new frames are made at once; without it two at a time, from which on bodies form many times sooner.
HINTED_FRAMES, PLAIN_FRAMES = 16, 6
# The hoop's ball hits the ring early: a long window that starts later has no flight in its context.
LAST_START = {("hoop", HINTED_FRAMES): 1}


def turns_of(names: list[str]) -> list[str]:
    """The sets that batches are of, one after the other: as many of the hoop as of the box, whose sets are three."""
    others = [name for name in names if name != "hoop"]
    if not others or len(others) == len(names):
        return names if len(names) > 1 else names * 3
    return [turn for name in others for turn in ("hoop", name)]


def model_config(levers: list[str], free: bool, sharp: bool) -> WorldModelConfig:
    """The same network for all; levers change what it is told and what it is trained for."""
    state = "state" in levers
    return WorldModelConfig(
        dit=preset(
            "tiny", width=160, patch=(2, 4, 4), stem=16, reach=8, sharp=sharp, state_head_layer=3 if state else -1
        ),
        context_lengths=(NUM_CONTEXT,),
        clip_frames=HINTED_FRAMES if "hint" in levers else PLAIN_FRAMES,
        fps=FPS,
        readout="learned_space" if free else "learned",
        hint="hint" in levers,
        hint_drop=0.1,
        # What is made two frames at a time becomes context: with noise on it, the model learns to clean it.
        context_noise=0.0 if "hint" in levers else 0.02,
        # Where balls are is settled at high noise, and sampling begins at 1: most times are near it.
        time_mean=2.0,
        time_std=1.5,
        time_floor=1.0,
        state=0.1 if state else 0.0,
        consistency=0.03 if "consistency" in levers else 0.0,
    )


def main() -> None:
    """Train, or go on training."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--readout", type=Path, required=True)
    parser.add_argument("--levers", nargs="*", choices=LEVERS, default=list(LEVERS))
    parser.add_argument("--families", nargs="+", choices=list(FAMILIES), default=list(families(free=False)))
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--minutes", type=float, default=0.0)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument(
        "--start", type=Path, help="a run, or a checkpoint by name or folder, whose averaged weights to go on from"
    )
    parser.add_argument("--sharp", action="store_true", help="cut copies sharp")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    free = FAMILIES[arguments.families[0]].free
    for name in arguments.families:
        if FAMILIES[name].free != free:
            parser.error(f"--families: must all be among {', '.join(families(free))}, got {name!r}")
    sets = {family: ClipSet(arguments.data, family, "id", "train") for family in arguments.families}
    turns = turns_of(arguments.families)
    config = model_config(arguments.levers, free, arguments.sharp)
    model, frames = WorldModel(config), config.clip_frames
    if arguments.start is not None:
        start_from(model, arguments.start, new=("state_head.",))
    model.take_readout(LearnedReadout.load(arguments.readout))

    def batch_for(step: int) -> object:
        generator = step_generator(arguments.seed + 1, step)
        family = turns[step % len(turns)]
        clips = sets[family]
        indices = torch.randint(len(clips), (BATCH,), generator=generator).tolist()
        last = LAST_START.get((family, frames), clips.num_frames - frames)
        start = int(torch.randint(last + 1, (1,), generator=generator))
        return clips.clip(indices, start, frames, NUM_CONTEXT)

    held_out = [
        ClipSet(arguments.data, family, "id", "val").clip(range(first, first + 16), 0, frames, NUM_CONTEXT)
        for family, first in ((turn, 16 * turns[:k].count(turn)) for k, turn in enumerate(turns))
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
    facts = {
        "data": str(arguments.data),
        "families": arguments.families,
        "readout": str(arguments.readout),
        "start": None if arguments.start is None else str(arguments.start),
    }
    begin_run(trainer, config, facts, arguments.resume)
    trainer.train(resume=arguments.resume)
    print(f"over the last tenth of the steps the validation loss fell by {last_fall(arguments.out):.2%}")


if __name__ == "__main__":
    main()
