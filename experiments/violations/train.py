"""Train the transformer on shaded balls in a box and on the hoop, with any of the levers or as a plain twin.

python experiments/violations/train.py DATA OUT --readout READOUT [--levers hint state consistency | --levers]
    [--families balls3 balls4 balls5 hoop] [--steps 600] [--minutes 0] [--resume]

DATA comes from data.py, READOUT from experiments/readout/train.py. --levers alone trains the plain twin: the same
network, Setup tokens and readout (which only reads what it generates). Lever 4, guidance, belongs to sampling.
--families space3, with a readout trained with --space, is for balls that move freely in space.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import torch
from data import FAMILIES, FPS, NUM_CONTEXT, families

from worldsim.data import ClipSet
from worldsim.models.config import WorldModelConfig, preset
from worldsim.models.world_model import WorldModel
from worldsim.training import TrainConfig, Trainer, Validation, last_fall, step_generator
from worldsim.vision.learned_readout import LearnedReadout

LEVERS = ("hint", "state", "consistency")
CLIP_FRAMES, BATCH = 16, 24
# The hoop's ball hits the ring early: a window that starts later has no flight in its context.
LAST_START = {"hoop": 1}


def turns_of(names: list[str]) -> list[str]:
    """The sets that batches are of, one after the other: as many of the hoop as of the box, whose sets are three."""
    others = [name for name in names if name != "hoop"]
    if not others or len(others) == len(names):
        return names if len(names) > 1 else names * 3
    return [turn for name in others for turn in ("hoop", name)]


def model_config(levers: list[str], free: bool) -> WorldModelConfig:
    """The same network for all; levers change what it is told and what it is trained for."""
    state = "state" in levers
    return WorldModelConfig(
        dit=preset("tiny", width=160, patch=(2, 8, 8), stem=16, state_head_layer=3 if state else -1),
        context_lengths=(NUM_CONTEXT,),
        clip_frames=CLIP_FRAMES,
        fps=FPS,
        readout="learned_space" if free else "learned",
        hint="hint" in levers,
        hint_drop=0.1,
        # Where balls are is settled at high noise: more of it than the usual mean of 0.
        time_mean=0.6,
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
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    free = FAMILIES[arguments.families[0]].free
    for name in arguments.families:
        if FAMILIES[name].free != free:
            parser.error(f"--families: must all be among {', '.join(families(free))}, got {name!r}")
    sets = {family: ClipSet(arguments.data, family, "id", "train") for family in arguments.families}
    turns = turns_of(arguments.families)
    config = model_config(arguments.levers, free)
    model = WorldModel(config)
    readout = LearnedReadout.load(arguments.readout)
    assert isinstance(model.readout, LearnedReadout)
    if readout.config != model.readout.config:
        parser.error(f"--readout: must be one trained with{'' if free else 'out'} --space, got {readout.config}")
    model.readout.load_state_dict(readout.state_dict())

    def batch_for(step: int) -> object:
        generator = step_generator(arguments.seed + 1, step)
        family = turns[step % len(turns)]
        clips = sets[family]
        indices = torch.randint(len(clips), (BATCH,), generator=generator).tolist()
        last = LAST_START.get(family, clips.num_frames - CLIP_FRAMES)
        start = int(torch.randint(last + 1, (1,), generator=generator))
        return clips.clip(indices, start, CLIP_FRAMES, NUM_CONTEXT)

    held_out = [
        ClipSet(arguments.data, family, "id", "val").clip(range(first, first + 16), 0, CLIP_FRAMES, NUM_CONTEXT)
        for family, first in ((turn, 16 * turns[:k].count(turn)) for k, turn in enumerate(turns))
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
