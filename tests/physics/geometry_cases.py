"""Random posed shapes for the geometry tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
import torch
from torch import Tensor

from worldsim.physics import rotation
from worldsim.physics.geometry import PairDistance, pair_distance

ROUND = ("sphere", "capsule", "box", "ring")
SPATIAL_PAIRS = [
    *(("plane", kind) for kind in ROUND),
    *((a, b) for i, a in enumerate(ROUND) for b in ROUND[i:]),
]
FLAT = ("sphere", "capsule", "box", "polygon")
PLANAR_PAIRS = [*(("plane", kind) for kind in FLAT), *((a, b) for i, a in enumerate(FLAT) for b in FLAT[i:])]
ALL_PAIRS = [(a, b, False) for a, b in SPATIAL_PAIRS] + [(a, b, True) for a, b in PLANAR_PAIRS]


@dataclass
class Case:
    """K posed shapes of one kind."""

    kind: str
    size: Tensor
    vertices: Tensor
    position: Tensor
    orientation: Tensor

    @property
    def arguments(self) -> tuple[object, ...]:
        return self.kind, self.size, self.vertices, self.position, self.orientation

    def moved(self, shift: Tensor, turn: Tensor) -> Case:
        """After a rigid motion x -> turn x + shift of the world."""
        return Case(
            self.kind,
            self.size,
            self.vertices,
            rotation.rotate(turn, self.position) + shift,
            rotation.multiply(turn, self.orientation),
        )

    def to(self, dtype: torch.dtype) -> Case:
        tensors = (self.size, self.vertices, self.position, self.orientation)
        return Case(self.kind, *(t.to(dtype) for t in tensors))


def outline(rng: np.random.Generator) -> np.ndarray:
    """A convex polygon about its centroid, of 3 to 12 vertices, counter-clockwise, padded to 12."""
    while True:
        count = rng.integers(3, 13)
        angle = np.sort(rng.uniform(0, 2 * np.pi, count))
        gaps = np.diff(np.r_[angle, angle[0] + 2 * np.pi])
        if gaps.min() > 0.02 and gaps.max() < 0.95 * np.pi:
            break
    corners = np.c_[np.cos(angle) * rng.uniform(0.2, 0.6), np.sin(angle) * rng.uniform(0.2, 0.6)]
    corners = corners - np.array(shapely.Polygon(corners).centroid.coords[0])
    return np.r_[corners, np.repeat(corners[-1:], 12 - count, 0)]


def cases(kind: str, count: int, seed: int, planar: bool = False) -> Case:
    """Shapes of .1 to .6 m within 1 m of the origin, so that about a third of pairs overlap."""
    rng = np.random.default_rng(seed)
    size = rng.uniform(0.1, 0.6, (count, 3))
    keep = {"sphere": 1, "capsule": 2, "ring": 2, "box": 3, "plane": 0, "polygon": 1}[kind]
    size[:, keep:] = 0
    if kind == "ring":
        size[:, 0] += 0.15
        size[:, 1] *= 0.3
    position = rng.uniform(-1, 1, (count, 3))
    orientation = torch.tensor(rng.normal(size=(count, 4)))
    vertices = np.zeros((count, 12, 2))
    if planar:
        position[:, 1] = 0
        turn = np.zeros((count, 3))
        turn[:, 1] = rng.uniform(0, 2 * np.pi, count)
        orientation = rotation.exponential(torch.tensor(turn))
    if kind == "polygon":
        vertices = np.stack([outline(rng) for _ in range(count)])
    return Case(
        kind,
        torch.tensor(size),
        torch.tensor(vertices),
        torch.tensor(position),
        rotation.normalise(orientation),
    )


def measure(a: Case, b: Case, planar: bool = False, rounding: float = 0.0) -> PairDistance:
    return pair_distance(*a.arguments, *b.arguments, planar=planar, rounding=rounding)
