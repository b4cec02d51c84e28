"""worldsim's own prior: tuning is the longest step in seconds; flights and impacts are exact at any step."""

from __future__ import annotations

import os
import platform
from typing import Any

import numpy as np
import torch
from task import GRAVITY, MASS, PLANES, RADIUS, Array, Start, Task

from worldsim.physics import Bodies, LawParameters, PhysicsPrior, PriorConfig, Trajectory
from worldsim.scene import Body, Box, Plane, Scene, Sphere, State

torch.set_num_threads(int(os.environ.get("WORLDSIM_THREADS", "1")))


def versions() -> dict[str, str]:
    return {"torch": torch.__version__, "python": platform.python_version(), "threads": str(torch.get_num_threads())}


class Run:
    """Roll-outs of one batch, float32."""

    def __init__(self, task: Task, start: Start, dt: float, steps: int, tuning: Any) -> None:
        h = 0.5**0.5
        turns = ((1, 0, 0, 0), (h, 0, h, 0), (h, 0, -h, 0), (h, -h, 0, 0), (h, h, 0, 0))
        shape = Sphere(RADIUS) if task.shape == "sphere" else Box((RADIUS,) * 3)
        smooth: dict[str, Any] = {"restitution": 1.0, "friction": 0.0}
        bodies = [Body(f"body{i}", shape, State((0, 0, i + 1)), MASS, **smooth) for i in range(task.count)]
        for k, ((normal, offset), q) in enumerate(zip(PLANES, turns, strict=True)):
            place = State(tuple(offset * n for n in normal), q)
            bodies.append(Body(f"plane{k}", Plane(), place, static=True, **smooth))
        scene = Scene(tuple(bodies))
        self.bodies = Bodies.from_scenes([scene])
        self.law = LawParameters(torch.tensor([0.0, 0.0, -GRAVITY]))
        self.count, self.time = task.count, dt * steps
        base = Trajectory.start_of([scene])
        batch = len(start.position)

        def full(name: str, values: Array) -> torch.Tensor:
            wide = getattr(base, name).repeat(batch, *[1] * (getattr(base, name).dim() - 1))
            wide[:, 0, : task.count] = torch.from_numpy(values.astype(np.float32))
            return wide

        self.leaves = [full("position", start.position), full("linear_velocity", start.velocity)]
        self.rest = full("orientation", start.orientation), full("angular_velocity", start.spin)
        self.presence = torch.ones(self.leaves[0].shape[:-1])
        self.prior = PhysicsPrior(config=PriorConfig(max_step=dt))

    def _end(self, x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        begin = Trajectory(x, self.rest[0], v, self.rest[1], self.presence, self.time)
        played = self.prior(begin, self.bodies, 1, self.time, law=self.law, check=False)
        return played.position[:, -1, : self.count]

    def forward(self) -> Array:
        """End positions, (B, N, 3)."""
        with torch.no_grad():
            return self._end(*self.leaves).numpy()

    def gradient(self) -> tuple[Array, Array]:
        """Gradients by start positions and velocities, (B, N, 3) each."""
        leaves = [leaf.detach().requires_grad_() for leaf in self.leaves]
        loss = self._end(*leaves).square().sum(-1).mean()
        by_x, by_v = (g[:, 0, : self.count].numpy() for g in torch.autograd.grad(loss, leaves))
        return by_x, by_v


def build(task: Task, start: Start, dt: float, steps: int, tuning: Any) -> Run:
    """`steps` steps of dt as one frame; nothing to tune."""
    return Run(task, start, dt, steps, tuning)


def final(task: Task, start: Start, dt: float, steps: int, tuning: Any) -> Array:
    return Run(task, start, dt, steps, tuning).forward()
