"""A linear model whose training the tests follow: batches by number, short runs, and their logged losses."""

import json

import torch
from torch import nn

from worldsim.training import (
    TrainConfig,
)


class Line(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(4, 1)

    def loss(self, batch, generator):
        noise = 0.1 * torch.randn(batch.shape[0], generator=generator)
        error = self.layer(batch)[:, 0] - batch.sum(-1) + noise
        return {"square": error.square().mean(), "decay": 1e-3 * self.layer.weight.square().sum()}


def batch_for(step):
    return torch.randn(16, 4, generator=torch.Generator().manual_seed(step))


def config(path, **changes):
    return TrainConfig(
        str(path), **{"steps": 30, "checkpoint_every": 5, "log_every": 1, "tensorboard": False, **changes}
    )


def losses(path):
    lines = [json.loads(line) for line in (path / "log.jsonl").read_text().splitlines()]
    return {line["step"]: line["square"] for line in lines}
