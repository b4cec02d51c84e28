"""The trainer: accelerate, averages of weights, checkpoints that resume."""

from worldsim.training.checkpoint import (
    averaged_weights,
    checkpoints,
    load_checkpoint,
    newest_checkpoint,
    save_checkpoint,
    start_from,
)
from worldsim.training.ema import PowerAverage
from worldsim.training.run_folder import begin_run, export, load_run, run_facts, stage_commands, stage_minutes
from worldsim.training.trainer import Trainable, TrainConfig, Trainer, step_generator
from worldsim.training.validation import Validation, last_fall

__all__ = [
    "PowerAverage",
    "TrainConfig",
    "Trainable",
    "Trainer",
    "Validation",
    "averaged_weights",
    "begin_run",
    "checkpoints",
    "export",
    "last_fall",
    "load_checkpoint",
    "load_run",
    "newest_checkpoint",
    "run_facts",
    "save_checkpoint",
    "stage_commands",
    "stage_minutes",
    "start_from",
    "step_generator",
]
