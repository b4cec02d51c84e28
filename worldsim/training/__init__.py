"""The trainer: accelerate, averages of weights, checkpoints that resume."""

from worldsim.training.checkpoint import checkpoints, load_checkpoint, save_checkpoint
from worldsim.training.ema import PowerAverage
from worldsim.training.trainer import Trainable, TrainConfig, Trainer, step_generator

__all__ = [
    "PowerAverage",
    "TrainConfig",
    "Trainable",
    "Trainer",
    "checkpoints",
    "load_checkpoint",
    "save_checkpoint",
    "step_generator",
]
