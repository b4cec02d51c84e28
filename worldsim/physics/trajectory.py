"""Trajectory: where bodies are over time. The one type that engines, prior, readouts and violations exchange."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from worldsim.scene import Scene


@dataclass(frozen=True)
class Trajectory:
    """Motion of N bodies over T instants, with any leading axes.

    Attributes:
        position: (..., T, N, 3) centres of mass, metres, world frame.
        orientation: (..., T, N, 4) unit quaternions w x y z from body to world axes.
        linear_velocity: (..., T, N, 3) metres a second, world frame.
        angular_velocity: (..., T, N, 3) radians a second, world frame.
        presence: (..., T, N) 1 where the body exists at all, 0 where it does not; says nothing about visibility.
        dt: Seconds between instants.
    """

    position: Tensor
    orientation: Tensor
    linear_velocity: Tensor
    angular_velocity: Tensor
    presence: Tensor
    dt: float

    def __post_init__(self) -> None:
        shape = self.position.shape[:-1]
        widths = {"position": 3, "orientation": 4, "linear_velocity": 3, "angular_velocity": 3}
        for name, width in widths.items():
            tensor = getattr(self, name)
            if tensor.shape != (*shape, width):
                raise ValueError(f"trajectory.{name}: must have shape {(*shape, width)}, got {tuple(tensor.shape)}")
        if len(shape) < 2 or self.presence.shape != shape:
            raise ValueError(
                f"trajectory.presence: must have shape (..., T, N) = {shape}, got {tuple(self.presence.shape)}"
            )
        if not self.dt > 0:
            raise ValueError(f"trajectory.dt: must be above 0, got {self.dt!r}")

    @property
    def num_frames(self) -> int:
        """How many instants."""
        return self.position.shape[-3]

    @property
    def num_bodies(self) -> int:
        """How many bodies."""
        return self.position.shape[-2]

    def map(self, function: Any) -> Trajectory:
        """Apply a function to every tensor, such as indexing over leading axes or a cast."""
        tensors = {f.name: function(getattr(self, f.name)) for f in dataclasses.fields(self) if f.name != "dt"}
        return Trajectory(**tensors, dt=self.dt)

    def to(self, *args: Any, **kwargs: Any) -> Trajectory:
        """Move or cast every tensor, as torch.Tensor.to."""
        return self.map(lambda tensor: tensor.to(*args, **kwargs))

    def frames(self, start: int, stop: int | None = None) -> Trajectory:
        """The instants from start to stop (exclusive)."""

        def cut(tensor: Tensor, time_axis: int) -> Tensor:
            index: list[Any] = [slice(None)] * tensor.dim()
            index[time_axis] = slice(start, stop)
            return tensor[tuple(index)]

        vectors = ("position", "orientation", "linear_velocity", "angular_velocity")
        tensors = {name: cut(getattr(self, name), -3) for name in vectors}
        return Trajectory(**tensors, presence=cut(self.presence, -2), dt=self.dt)

    @staticmethod
    def from_positions(position: Tensor, dt: float) -> Trajectory:
        """A trajectory from (..., T, N, 3) positions alone: upright, with central-difference velocities.

        The velocity at the two ends comes from the second-order one-sided difference, exact under constant
        acceleration; it needs three frames, with two it is the mean over the interval.
        """
        velocity = torch.zeros_like(position)
        frames = position.shape[-3]
        if frames > 2:
            p = position
            velocity[..., 1:-1, :, :] = (p[..., 2:, :, :] - p[..., :-2, :, :]) / (2 * dt)
            velocity[..., 0, :, :] = (-3 * p[..., 0, :, :] + 4 * p[..., 1, :, :] - p[..., 2, :, :]) / (2 * dt)
            velocity[..., -1, :, :] = (3 * p[..., -1, :, :] - 4 * p[..., -2, :, :] + p[..., -3, :, :]) / (2 * dt)
        elif frames == 2:
            velocity = ((position[..., 1:, :, :] - position[..., :1, :, :]) / dt).expand_as(position).clone()
        orientation = torch.zeros(*position.shape[:-1], 4, dtype=position.dtype, device=position.device)
        orientation[..., 0] = 1
        return Trajectory(
            position, orientation, velocity, torch.zeros_like(position), torch.ones_like(position[..., 0]), dt
        )

    @staticmethod
    def start_of(scenes: Sequence[Scene], dtype: torch.dtype = torch.float32) -> Trajectory:
        """The start states of scenes of equal body count as a (B, 1, N, ...) trajectory."""

        def gather(name: str) -> Tensor:
            rows = [[getattr(body.state, name) for body in scene.bodies] for scene in scenes]
            return torch.tensor(rows, dtype=dtype)[:, None]

        vectors = ("position", "orientation", "linear_velocity", "angular_velocity")
        tensors = {name: gather(name) for name in vectors}
        return Trajectory(**tensors, presence=torch.ones_like(tensors["position"][..., 0]), dt=1.0 / scenes[0].fps)


def concatenate(parts: Sequence[Trajectory], axis: str = "time") -> Trajectory:
    """Join trajectories along "time", or stack them along a new leading "batch" axis."""
    if axis not in ("time", "batch"):
        raise ValueError(f"axis: must be time or batch, got {axis!r}")

    def join(name: str) -> Tensor:
        tensors = [getattr(part, name) for part in parts]
        if axis == "batch":
            return torch.stack(tensors)
        return torch.cat(tensors, dim=-2 if name == "presence" else -3)

    names = [f.name for f in dataclasses.fields(Trajectory) if f.name != "dt"]
    return Trajectory(**{name: join(name) for name in names}, dt=parts[0].dt)
