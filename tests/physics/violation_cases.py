"""Small worlds with known motion for the tests of violations, in double precision."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from worldsim.physics import Bodies, Trajectory
from worldsim.scene import Body, Box, Law, Plane, Ring, Scene, Shape, Sphere, State

G = 9.81


def world(shapes: Sequence[tuple[Shape, bool, str | None]], planar: bool = False, mass: float = 1.0) -> Bodies:
    """Bodies from (shape, static, group)."""
    bodies = tuple(
        Body(f"b{i}", shape, State((0.0, 0.0, 0.0)), mass=mass, static=static, group=group)
        for i, (shape, static, group) in enumerate(shapes)
    )
    return Bodies.from_scenes([Scene(bodies, Law(), planar=planar)], dtype=torch.float64)


def balls(count: int, radius: float = 0.1) -> Bodies:
    return world([(Sphere(radius), False, None)] * count)


def motion(paths: Sequence[Sequence[tuple[float, float, float]] | Tensor], dt: float) -> Trajectory:
    """A trajectory of one world from (T, 3) paths, upright, with velocities from differences."""
    position = torch.stack([torch.as_tensor(path, dtype=torch.float64) for path in paths], -2)
    return Trajectory.from_positions(position, dt)


def flight(start: Sequence[float], velocity: Sequence[float], frames: int, dt: float, g: float = G) -> Tensor:
    """(T, 3) closed-form parabola."""
    time = dt * torch.arange(frames, dtype=torch.float64)[:, None]
    x, v = (torch.tensor(value, dtype=torch.float64) for value in (start, velocity))
    return x + v * time + torch.tensor([0.0, 0.0, -g / 2], dtype=torch.float64) * time.square()


def bouncing(height: float, restitution: float, frames: int, dt: float, radius: float, vx: float = 0.0) -> Tensor:
    """(T, 3) a ball dropped on the floor z = 0, event-exact."""
    rows, start, z, vz = [], 0.0, height, 0.0
    for k in range(frames):
        now = k * dt
        while True:
            drop = z - radius
            hit = start + (vz + (vz * vz + 2 * G * drop) ** 0.5) / G
            if hit > now:
                break
            speed = (vz * vz + 2 * G * drop) ** 0.5
            start, z, vz = hit, radius, restitution * speed
        t = now - start
        rows.append((vx * now, 0.0, z + vz * t - G * t * t / 2))
    return torch.tensor(rows, dtype=torch.float64)


__all__ = ["Box", "G", "Plane", "Ring", "Sphere", "balls", "bouncing", "flight", "motion", "world"]
