"""The trainer: accelerate, averages of weights, checkpoints that resume."""
