"""MuJoCo's C engine with mjd_transitionFD chained, through MujocoDynamics; tuning is the steps of an impact."""

from __future__ import annotations

import os
from typing import Any

import mujoco
import numpy as np
import torch
from task import Array, Start, Task, impact_time, mjcf

from worldsim.physics import rotation
from worldsim.physics.mujoco_derivatives import MujocoDynamics

torch.set_num_threads(1)


def versions() -> dict[str, str]:
    return {"mujoco": mujoco.__version__, "threads": os.environ.get("MUJOCO_THREADS", "2")}


class Run:
    """Roll-outs of one batch, float64."""

    def __init__(self, task: Task, start: Start, dt: float, steps: int, tuning: Any) -> None:
        model = mujoco.MjModel.from_xml_string(mjcf(task, dt, impact_time(tuning, dt)))
        model.opt.iterations, model.opt.ls_iterations = 100, 50  # the C engine stops early by itself
        self.dynamics = MujocoDynamics(model, int(os.environ.get("MUJOCO_THREADS", "2")))
        self.steps, self.count = steps, task.count
        self.state = torch.from_numpy(state_of(start))

    def _end(self, state: torch.Tensor) -> torch.Tensor:
        played = self.dynamics.rollout(state, state.new_zeros(len(state), self.steps, 0))[:, -1]
        return played[:, : 7 * self.count].view(-1, self.count, 7)[..., :3]

    def forward(self) -> Array:
        """End positions, (B, N, 3)."""
        with torch.no_grad():
            return np.asarray(self._end(self.state).numpy())

    def gradient(self) -> tuple[Array, Array]:
        """Gradients by start positions and velocities, (B, N, 3) each."""
        leaf = self.state.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(self._end(leaf).square().sum(-1).mean(), leaf)
        poses = gradient[:, : 7 * self.count].reshape(-1, self.count, 7)
        speeds = gradient[:, 7 * self.count :].reshape(-1, self.count, 6)
        return poses[..., :3].numpy(), speeds[..., :3].numpy()


def state_of(start: Start) -> Array:
    """(B, nq + nv): poses, then linear velocities (world axes) and spins (body axes) of free joints."""
    turn = torch.from_numpy(start.orientation)
    spin = rotation.rotate_inverse(turn, torch.from_numpy(start.spin)).numpy()
    batch = len(start.position)
    poses = np.concatenate([start.position, start.orientation], -1).reshape(batch, -1)
    return np.concatenate([poses, np.concatenate([start.velocity, spin], -1).reshape(batch, -1)], -1)


def build(task: Task, start: Start, dt: float, steps: int, tuning: Any) -> Run:
    """`tuning` is how many steps a contact lasts."""
    return Run(task, start, dt, steps, tuning)


def final(task: Task, start: Start, dt: float, steps: int, tuning: Any) -> Array:
    return Run(task, start, dt, steps, tuning).forward()
