"""Bodies as tensors: what the prior, the rasteriser and the violations need to know of N bodies in B worlds."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from worldsim.scene import Box, Capsule, Plane, Polygon, Ring, Scene, Setup, Sphere

MAX_VERTICES = 12


@dataclass(frozen=True)
class Bodies:
    """Shapes and matter of N bodies in B worlds. All worlds of a batch share the kinds, body by body.

    Attributes:
        kinds: N names out of sphere, box, capsule, plane, polygon, ring.
        size: (B, N, 3) metres. sphere: radius, 0, 0. box: half extents. capsule: radius, half length, 0.
            ring: major radius, minor radius, 0. plane: half edge of the drawn square (physics takes it as endless),
            0, 0. polygon: half depth, 0, 0.
        vertices: (B, N, 12, 2) metres, x and z in the body frame, counter-clockwise, the last one repeated as
            padding; zeros for all but polygons.
        mass: (B, N) kg.
        inertia: (B, N, 3) principal moments about the body axes, kg m^2; ones for planes.
        friction: (B, N) Coulomb coefficients; a pair has the geometric mean.
        restitution: (B, N) from 0 to 1; a pair has the geometric mean.
        colour: (B, N, 3) from 0 to 1.
        static: N flags.
        groups: N whole numbers; bodies of equal number are one object.
        planar: Whether bodies keep to the xz-plane.
    """

    kinds: tuple[str, ...]
    size: Tensor
    vertices: Tensor
    mass: Tensor
    inertia: Tensor
    friction: Tensor
    restitution: Tensor
    colour: Tensor
    static: tuple[bool, ...]
    groups: tuple[int, ...]
    planar: bool = False

    @property
    def num_bodies(self) -> int:
        """How many bodies a world has."""
        return len(self.kinds)

    def map(self, function: Any) -> Bodies:
        """Apply a function to every tensor."""
        tensors = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return dataclasses.replace(self, **{k: function(v) for k, v in tensors.items() if isinstance(v, Tensor)})

    def to(self, *args: Any, **kwargs: Any) -> Bodies:
        """Move or cast every tensor, as torch.Tensor.to."""
        return self.map(lambda tensor: tensor.to(*args, **kwargs))

    @staticmethod
    def from_scenes(scenes: Sequence[Scene | Setup], dtype: torch.dtype = torch.float32) -> Bodies:
        """Gather the bodies of worlds that share their kinds, static flags, groups and planarity.

        Raises:
            ValueError: Where the worlds differ in one of those.
        """
        first = scenes[0]
        layout = _layout(first)
        for i, scene in enumerate(scenes):
            if _layout(scene) != layout:
                raise ValueError(
                    f"scenes[{i}]: must share kinds, static flags and groups with scenes[0], got {_layout(scene)}"
                )

        def tensor(rows: list[list[Any]]) -> Tensor:
            return torch.tensor(rows, dtype=dtype)

        return Bodies(
            kinds=layout[0],
            size=tensor([[_size(b.shape) for b in s.bodies] for s in scenes]),
            vertices=tensor([[_vertices(b.shape) for b in s.bodies] for s in scenes]),
            mass=tensor([[b.mass for b in s.bodies] for s in scenes]),
            inertia=tensor(
                [
                    [(1.0, 1.0, 1.0) if b.shape.kind == "plane" else b.inertia(s.planar) for b in s.bodies]
                    for s in scenes
                ]
            ),
            friction=tensor([[b.friction for b in s.bodies] for s in scenes]),
            restitution=tensor([[b.restitution for b in s.bodies] for s in scenes]),
            colour=tensor([[b.colour for b in s.bodies] for s in scenes]),
            static=layout[1],
            groups=layout[2],
            planar=first.planar,
        )


def _layout(scene: Scene | Setup) -> tuple[tuple[str, ...], tuple[bool, ...], tuple[int, ...], bool]:
    objects: dict[str, int] = {}
    groups = tuple(objects.setdefault(body.object_name, len(objects)) for body in scene.bodies)
    return tuple(b.shape.kind for b in scene.bodies), tuple(b.static for b in scene.bodies), groups, scene.planar


def _size(shape: Any) -> tuple[float, float, float]:
    if isinstance(shape, Sphere):
        return (shape.radius, 0.0, 0.0)
    if isinstance(shape, Box):
        return shape.half_extents
    if isinstance(shape, Capsule):
        return (shape.radius, shape.half_length, 0.0)
    if isinstance(shape, Ring):
        return (shape.major_radius, shape.minor_radius, 0.0)
    if isinstance(shape, Polygon):
        return (shape.half_depth, 0.0, 0.0)
    if isinstance(shape, Plane):
        return (shape.half_size, 0.0, 0.0)
    return (0.0, 0.0, 0.0)


def _vertices(shape: Any) -> list[tuple[float, float]]:
    if not isinstance(shape, Polygon):
        return [(0.0, 0.0)] * MAX_VERTICES
    return list(shape.vertices) + [shape.vertices[-1]] * (MAX_VERTICES - len(shape.vertices))
