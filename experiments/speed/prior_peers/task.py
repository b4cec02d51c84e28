"""The common task: bodies thrown into a tray of five planes for half a second, without friction, restitution 1.

Numbers only (numpy), so that every engine in every environment reads the same worlds. Random numbers are drawn world by
world: the first worlds of a large batch are those of a small one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

DURATION = 0.5
GRAVITY = 9.81
RADIUS = 0.1  # of a sphere, and half the edge of a cube, metres
MASS = 1.0
INERTIA = {"sphere": 0.4 * MASS * RADIUS**2, "box": MASS * (2 * RADIUS) ** 2 / 6}
# Floor and four walls, 1 m from the middle: outward normal and offset, normal . x = offset on the plane.
PLANES = (((0, 0, 1), 0.0), ((1, 0, 0), -1.0), ((-1, 0, 0), -1.0), ((0, 1, 0), -1.0), ((0, -1, 0), -1.0))


@dataclass(frozen=True)
class Task:
    """One kind of world: `count` bodies of one shape ("sphere" or "box", which are cubes)."""

    name: str
    shape: str
    count: int


TASKS = {
    task.name: task
    for task in (Task("spheres4", "sphere", 4), Task("spheres16", "sphere", 16), Task("boxes4", "box", 4))
}


@dataclass(frozen=True)
class Start:
    """(B, N, 3) positions, (B, N, 4) quaternions w x y z, (B, N, 3) velocities, (B, N, 3) spins, world frame."""

    position: Array
    orientation: Array
    velocity: Array
    spin: Array

    def first(self, count: int) -> Start:
        """The first worlds."""
        return self.take(np.arange(count))

    def take(self, worlds: NDArray[np.int64]) -> Start:
        """Some of the worlds."""
        return Start(self.position[worlds], self.orientation[worlds], self.velocity[worlds], self.spin[worlds])


def draw(task: Task, worlds: int) -> Start:
    """Start states of `worlds` worlds: bodies on a loose grid, thrown at random, cubes turned and spinning."""
    side = round(task.count**0.5)
    spacing = 0.4 if task.shape == "sphere" else 0.8
    grid = (np.arange(side) - (side - 1) / 2) * spacing
    rows = []
    for world in range(worlds):
        rng = np.random.default_rng([world, task.count, task.shape == "box"])
        position = np.stack([np.repeat(grid, side), np.tile(grid, side), rng.uniform(0.35, 0.6, task.count)], -1)
        if task.shape == "sphere":
            velocity = rng.normal(0, 1.0, (task.count, 3))
            turn = np.tile([1.0, 0, 0, 0], (task.count, 1))
            spin = np.zeros((task.count, 3))
        else:
            velocity = rng.normal(0, 0.7, (task.count, 3))
            turn = rng.normal(size=(task.count, 4))
            turn /= np.linalg.norm(turn, axis=-1, keepdims=True)
            spin = rng.normal(0, 1, (task.count, 3))
        rows.append((position, turn, velocity, spin))
    return Start(*(np.stack(part) for part in zip(*rows, strict=True)))


def impact_time(steps: float, dt: float) -> float:
    """Stiffness, 1/s^2, of an undamped contact spring that throws a body back within `steps` time steps."""
    return (np.pi / (steps * dt)) ** 2


def mjcf(task: Task, dt: float, stiffness: float, spring_step: float = 0.1) -> str:
    """The task for engines that read MJCF: contact without friction, an undamped spring of given stiffness a mass.

    Args:
        task: Bodies.
        dt: Timestep, seconds.
        stiffness: 1/s^2, of MuJoCo's contact as direct solref, at constant impedance near 1.
        spring_step: Share of an overlap that Brax removes a step (its baumgarte_erp).
    """
    shape = "sphere" if task.shape == "sphere" else "box"
    size = f"{RADIUS}" if shape == "sphere" else f"{RADIUS} {RADIUS} {RADIUS}"
    inertia = " ".join([f"{INERTIA[task.shape]:.9g}"] * 3)
    turns = ("1 0 0 0", "1 0 1 0", "1 0 -1 0", "1 -1 0 0", "1 1 0 0")
    planes = "".join(
        f'<geom type="plane" size="0 0 1" quat="{turn}" pos="{" ".join(str(offset * n) for n in normal)}"/>'
        for (normal, offset), turn in zip(PLANES, turns, strict=True)
    )
    bodies = "".join(
        f'<body pos="0 0 {i + 1}"><freejoint/><inertial pos="0 0 0" mass="{MASS}" diaginertia="{inertia}"/>'
        f'<geom type="{shape}" size="{size}"/></body>'
        for i in range(task.count)
    )
    return (
        f'<mujoco><option timestep="{dt!r}" gravity="0 0 -{GRAVITY}" iterations="1" ls_iterations="4"/>'
        f'<custom><numeric name="elasticity" data="1"/><numeric name="baumgarte_erp" data="{spring_step}"/></custom>'
        f'<default><geom condim="1" friction="0 0 0" solref="{-stiffness!r} 0" solimp=".9999 .9999 .001 .5 2"/>'
        f"</default><worldbody>{planes}{bodies}</worldbody></mujoco>"
    )
