"""Shapes that bodies are made of, as plain data. Distances and masks live in physics and vision."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from worldsim.scene.checks import positive, require


@dataclass(frozen=True)
class Sphere:
    """A ball; in planar worlds a disc.

    Attributes:
        radius: Metres.
    """

    kind: ClassVar[str] = "sphere"
    radius: float

    def __post_init__(self) -> None:
        positive("sphere.radius", self.radius)

    @property
    def extent(self) -> float:
        """Radius of the smallest ball around the centre that holds the shape, in metres."""
        return self.radius

    @property
    def thickness(self) -> float:
        """Half of the smallest width, in metres: what a body may move in one step without tunnelling."""
        return self.radius


@dataclass(frozen=True)
class Box:
    """A cuboid with its faces across the body axes.

    Attributes:
        half_extents: Half of the lengths along the body's x, y and z, metres.
    """

    kind: ClassVar[str] = "box"
    half_extents: tuple[float, float, float]

    def __post_init__(self) -> None:
        object.__setattr__(self, "half_extents", tuple(self.half_extents))
        require("box.half_extents", "three numbers", len(self.half_extents) == 3, self.half_extents)
        for axis, value in zip("xyz", self.half_extents, strict=True):
            positive(f"box.half_extents.{axis}", value)

    @property
    def extent(self) -> float:
        """Half of the space diagonal, metres."""
        return math.sqrt(sum(h * h for h in self.half_extents))

    @property
    def thickness(self) -> float:
        """The smallest half extent, metres."""
        return min(self.half_extents)


@dataclass(frozen=True)
class Capsule:
    """A segment along the body's z axis, rounded by a radius.

    Attributes:
        radius: Metres.
        half_length: Half of the segment's length without the caps, metres.
    """

    kind: ClassVar[str] = "capsule"
    radius: float
    half_length: float

    def __post_init__(self) -> None:
        positive("capsule.radius", self.radius)
        positive("capsule.half_length", self.half_length)

    @property
    def extent(self) -> float:
        """Distance from the centre to the tip, metres."""
        return self.radius + self.half_length

    @property
    def thickness(self) -> float:
        """The radius, metres."""
        return self.radius


@dataclass(frozen=True)
class Plane:
    """The half-space under the body's local xy-plane; its outward normal is the body's z axis. Static only.

    Attributes:
        half_size: Half of the edge of the square that renderers draw, metres. Physics takes it as endless.
    """

    kind: ClassVar[str] = "plane"
    half_size: float = 20.0

    def __post_init__(self) -> None:
        positive("plane.half_size", self.half_size)

    @property
    def extent(self) -> float:
        """Endless."""
        return math.inf

    @property
    def thickness(self) -> float:
        """Endless."""
        return math.inf


@dataclass(frozen=True)
class Polygon:
    """A convex polygon in the body's xz-plane, counter-clockwise seen with x to the right and z up; planar worlds only.

    Engines in three dimensions extrude it along y by `half_depth` to both sides.

    Attributes:
        vertices: (x, z) pairs in the body frame, metres; their area centroid is the origin.
        half_depth: Metres.
    """

    kind: ClassVar[str] = "polygon"
    vertices: tuple[tuple[float, float], ...]
    half_depth: float = 0.5

    def __post_init__(self) -> None:
        vertices = tuple((float(x), float(z)) for x, z in self.vertices)
        object.__setattr__(self, "vertices", vertices)
        positive("polygon.half_depth", self.half_depth)
        require("polygon.vertices", "between 3 and 12 of them", 3 <= len(vertices) <= 12, len(vertices))
        for i, (x0, z0) in enumerate(vertices):
            require("polygon.vertices", "finite", math.isfinite(x0) and math.isfinite(z0), (x0, z0))
            x1, z1 = vertices[(i + 1) % len(vertices)]
            x2, z2 = vertices[(i + 2) % len(vertices)]
            turn = (x1 - x0) * (z2 - z1) - (z1 - z0) * (x2 - x1)
            require("polygon.vertices", "convex and counter-clockwise", turn > 0, vertices)
        cx, cz = self._centroid()
        require("polygon.vertices", "centred on their area centroid", math.hypot(cx, cz) < 1e-6 * self.extent, (cx, cz))

    def _edges(self) -> list[tuple[tuple[float, float], tuple[float, float], float]]:
        pairs = zip(self.vertices, self.vertices[1:] + self.vertices[:1], strict=True)
        return [(a, b, a[0] * b[1] - a[1] * b[0]) for a, b in pairs]

    @property
    def area(self) -> float:
        """Square metres."""
        return 0.5 * sum(cross for _, _, cross in self._edges())

    def _centroid(self) -> tuple[float, float]:
        cx = sum((a[0] + b[0]) * cross for a, b, cross in self._edges()) / (6 * self.area)
        cz = sum((a[1] + b[1]) * cross for a, b, cross in self._edges()) / (6 * self.area)
        return cx, cz

    @property
    def gyration(self) -> float:
        """Second polar moment of the area over the area, square metres: inertia about y for unit mass."""
        total = sum(
            cross * (a[0] ** 2 + a[0] * b[0] + b[0] ** 2 + a[1] ** 2 + a[1] * b[1] + b[1] ** 2)
            for a, b, cross in self._edges()
        )
        return total / (12 * self.area)

    @property
    def extent(self) -> float:
        """Distance of the farthest vertex, metres."""
        return max(math.hypot(x, z) for x, z in self.vertices)

    @property
    def thickness(self) -> float:
        """Distance of the nearest edge's line from the centroid, metres."""
        return min(cross / math.hypot(b[0] - a[0], b[1] - a[1]) for a, b, cross in self._edges())


@dataclass(frozen=True)
class Ring:
    """A torus around the body's z axis.

    Attributes:
        major_radius: From the centre to the middle of the tube, metres.
        minor_radius: Of the tube, metres; smaller than the major radius.
    """

    kind: ClassVar[str] = "ring"
    major_radius: float
    minor_radius: float

    def __post_init__(self) -> None:
        positive("ring.major_radius", self.major_radius)
        positive("ring.minor_radius", self.minor_radius)
        require(
            "ring.minor_radius", "below ring.major_radius", self.minor_radius < self.major_radius, self.minor_radius
        )

    @property
    def extent(self) -> float:
        """Outer radius, metres."""
        return self.major_radius + self.minor_radius

    @property
    def thickness(self) -> float:
        """Radius of the tube, metres."""
        return self.minor_radius


Shape = Sphere | Box | Capsule | Plane | Polygon | Ring

SHAPES: dict[str, type] = {cls.kind: cls for cls in (Sphere, Box, Capsule, Plane, Polygon, Ring)}


def unit_inertia(shape: Shape, planar: bool = False) -> tuple[float, float, float]:
    """Principal moments of inertia for unit mass about the body axes.

    Args:
        shape: A solid of even density; a plane has none.
        planar: Whether the body keeps to the xz-plane, where a sphere is a disc (m r^2 / 2 about y).

    Returns:
        Moments about x, y and z in square metres.
    """
    if isinstance(shape, Sphere):
        moment = (0.5 if planar else 0.4) * shape.radius**2
        return (moment, moment, moment)
    if isinstance(shape, Box):
        x2, y2, z2 = (h * h / 3 for h in shape.half_extents)
        return (y2 + z2, x2 + z2, x2 + y2)
    if isinstance(shape, Capsule):
        r, h = shape.radius, 2 * shape.half_length
        cylinder, caps = h, 4 / 3 * r  # volumes over pi r^2
        total = cylinder + caps
        axial = (cylinder * r * r / 2 + caps * 2 * r * r / 5) / total
        across = (cylinder * (h * h / 12 + r * r / 4) + caps * (2 * r * r / 5 + h * h / 4 + 3 * h * r / 8)) / total
        return (across, across, axial)
    if isinstance(shape, Polygon):
        about_y = shape.gyration
        x2 = z2 = about_y / 2
        y2 = shape.half_depth**2 / 3
        return (y2 + z2, about_y, y2 + x2)
    if isinstance(shape, Ring):
        big, small = shape.major_radius**2, shape.minor_radius**2
        across = big / 2 + 5 * small / 8
        return (across, across, big + 3 * small / 4)
    raise ValueError(f"shape: a plane has no inertia, got {shape}")
