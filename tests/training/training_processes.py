"""One of several processes that train together; started by test_processes.py with what torchrun would set.

python training_processes.py KIND OUT STEPS
"""

import dataclasses
import json
import os
import sys
import time
from pathlib import Path

import torch
from torch import nn

from worldsim.training import TrainConfig, Trainer

BATCH = 8


class Line(nn.Module):
    """A loss without noise, so that two processes can be held against one with the doubled batch."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1))
        self.unused = nn.Linear(2, 2)
        self.drawn = []

    def loss(self, batch, generator):
        self.drawn.append(float(torch.rand(1, generator=generator)))
        error = self.layer(batch)[:, 0] - batch.sum(-1)
        return {"square": error.square().mean()}


def batch_for(number):
    return torch.randn(BATCH, 4, generator=torch.Generator().manual_seed(number))


def doubled(number):
    return torch.cat([batch_for(2 * number), batch_for(2 * number + 1)])


def config(out, steps):
    return TrainConfig(
        str(out), steps=steps, learning_rate=0.03, warmup=2, checkpoint_every=5, log_every=1, tensorboard=False
    )


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(16, 16)

    def forward(self, x):
        return x + torch.tanh(self.layer(x))


class Stack(Line):
    """With blocks in a list, which are gathered one at a time, and something frozen."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(Residual() for _ in range(3))
        self.frozen = nn.Linear(4, 4).requires_grad_(False)
        self.register_buffer("counted", torch.tensor(True))

    def loss(self, batch, generator):
        self.drawn.append(float(torch.rand(1, generator=generator)))
        x = self.layer[1](self.layer[0](batch + 0.1 * self.frozen(batch)))
        for block in self.blocks:
            x = block(x)
        error = self.layer[2](x)[:, 0] - batch.sum(-1)
        return {"square": error.square().mean()}


class Slow(Line):
    """Only the second process is out of time."""

    def loss(self, batch, generator):
        time.sleep(0.02 if os.environ["RANK"] == "0" else 0.3)
        return super().loss(batch, generator)


def main() -> None:
    kind, out, steps = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)
    if kind == "timed":
        trainer = Trainer(Slow(), batch_for, dataclasses.replace(config(out, steps), max_minutes=1 / 60))
        trainer.train()
    elif kind.startswith("shard"):
        torch.manual_seed(0)
        trainer = Trainer(Stack(), batch_for, dataclasses.replace(config(out, steps), shard=True))
        trainer.train(resume=kind == "shard-resume")
        parameters, states = dict(trainer.model.named_parameters()), trainer.optimizer.state
        local = {name: list(p.to_local().shape) for name, p in parameters.items()}
        held = {n: list(states[p]["exp_avg"].to_local().shape) for n, p in parameters.items() if p in states}
        (out / f"shapes{trainer.accelerator.process_index}.json").write_text(json.dumps([local, held]))
    else:
        model = Line()
        trainer = Trainer(model, batch_for, config(out, steps))
        trainer.train(resume=kind == "resume")
    rank = trainer.accelerator.process_index
    told = {"step": trainer.step, "drawn": trainer.model.drawn, "processes": trainer.accelerator.num_processes}
    (out / f"rank{rank}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main()
