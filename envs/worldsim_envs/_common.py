"""What scenario families share: ranges, colours, cameras, walls and placement."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from worldsim.scene import Body, Box, Camera, Plane, Scene, State
from worldsim.scene.body import Quaternion, Vector
from worldsim.scene.checks import require

Interval = tuple[float, float]
Rng = np.random.Generator

# Chosen to stay apart from each other and from the backgrounds at 64 pixels, and to have plain names.
PALETTE: dict[str, Vector] = {
    "red": (0.86, 0.15, 0.15),
    "orange": (0.96, 0.52, 0.10),
    "yellow": (0.95, 0.80, 0.15),
    "green": (0.20, 0.65, 0.25),
    "cyan": (0.15, 0.70, 0.75),
    "blue": (0.15, 0.35, 0.85),
    "purple": (0.55, 0.25, 0.75),
    "pink": (0.93, 0.45, 0.68),
    "brown": (0.50, 0.30, 0.15),
}
WHITE: Vector = (1.0, 1.0, 1.0)
RED: Vector = (1.0, 0.0, 0.0)
BLUE: Vector = (0.0, 0.0, 1.0)
WOOD: Vector = (0.62, 0.45, 0.28)
GREY: Vector = (0.55, 0.57, 0.60)
BACKGROUNDS: tuple[Vector, ...] = (
    (0.93, 0.95, 0.98),
    (0.78, 0.86, 0.94),
    (0.90, 0.87, 0.80),
    (0.82, 0.90, 0.82),
    (0.88, 0.83, 0.90),
)
FLOORS: tuple[Vector, ...] = (
    (0.72, 0.72, 0.70),
    (0.66, 0.58, 0.48),
    (0.58, 0.64, 0.70),
    (0.62, 0.68, 0.58),
)

# Room between bodies that lie upon each other at the start, metres: below what a picture shows, above rounding.
REST_GAP = 2e-4


@dataclass(frozen=True)
class Quantity:
    """A quantity that a family draws: the one source of its documented ranges and of its draws.

    Attributes:
        inside: Intervals in distribution.
        outside: Intervals out of distribution.
        unit: As printed, empty for a pure number.
    """

    inside: tuple[Interval, ...]
    outside: tuple[Interval, ...]
    unit: str = ""

    def draw(self, rng: Rng, ood: bool) -> float:
        """Uniform over the intervals of one side, each interval as likely as another."""
        intervals = self.outside if ood else self.inside
        low, high = intervals[int(rng.integers(len(intervals)))]
        return float(rng.uniform(low, high))

    @property
    def texts(self) -> tuple[str, str]:
        """What Scenario.ranges holds."""

        def text(intervals: tuple[Interval, ...]) -> str:
            return (" or ".join(f"[{low:g}, {high:g}]" for low, high in intervals) + " " + self.unit).strip()

        return text(self.inside), text(self.outside)


def texts(quantities: dict[str, Quantity]) -> dict[str, tuple[str, str]]:
    """Scenario.ranges of a family's quantities."""
    return {name: quantity.texts for name, quantity in quantities.items()}


def shifted(rng: Rng, split: str, names: Sequence[str]) -> set[str]:
    """Which quantities are drawn out of distribution: none of split "id", a random non-empty subset of "ood"."""
    if split == "id":
        return set()
    chosen = int(rng.integers(1, 2 ** len(names)))
    return {name for i, name in enumerate(names) if chosen >> i & 1}


def choice(field: str, value: object, options: Sequence[object]) -> None:
    """Refuse a value that is not among the options."""
    require(field, f"one of {', '.join(map(str, options))}", value in options, value)


def count(field: str, value: object, low: int, high: int) -> None:
    """Refuse anything that is not a whole number from low to high."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    require(field, f"a whole number from {low} to {high}", whole and low <= value <= high, value)  # type: ignore[operator]


def colours(rng: Rng, number: int, leave_out: Sequence[str] = ()) -> list[Vector]:
    """Colours of the palette without repetition; beyond the palette's size they come again, a little darker."""
    names = [name for name in PALETTE if name not in leave_out]
    found: list[Vector] = []
    shade = 1.0
    while len(found) < number:
        for i in rng.permutation(len(names)):
            r, g, b = PALETTE[names[int(i)]]
            found.append((r * shade, g * shade, b * shade))
        shade *= 0.7
    return found[:number]


def background(rng: Rng) -> Vector:
    """A pale background."""
    return BACKGROUNDS[int(rng.integers(len(BACKGROUNDS)))]


def ball_mass(radius: float, density: float, planar: bool = False) -> float:
    """Kilograms of a ball (density in kg/m^3) or, in a planar world, of a disc (kg/m^2)."""
    return density * math.pi * (radius**2 if planar else 4 / 3 * radius**3)


def quaternion(axis: Vector, angle: float) -> Quaternion:
    """The rotation by `angle` radians about `axis`, right-handed, as w x y z."""
    norm = math.hypot(*axis)
    s = math.sin(angle / 2) / norm
    return (math.cos(angle / 2), axis[0] * s, axis[1] * s, axis[2] * s)


def random_quaternion(rng: Rng) -> Quaternion:
    """Uniform over all orientations."""
    q = rng.normal(size=4)
    w, x, y, z = (float(v) for v in q / np.linalg.norm(q))
    return (w, x, y, z)


def block(
    name: str,
    centre: Vector,
    half_extents: Vector,
    colour: Vector = GREY,
    *,
    friction: float = 0.5,
    restitution: float = 0.5,
    group: str | None = None,
    orientation: Quaternion = (1.0, 0.0, 0.0, 0.0),
) -> Body:
    """A static box."""
    return Body(
        name=name,
        shape=Box(half_extents),
        state=State(centre, orientation),
        friction=friction,
        restitution=restitution,
        colour=colour,
        group=group,
        static=True,
    )


def floor(rng: Rng, friction: float = 0.5, restitution: float = 0.5, half_size: float = 40.0) -> Body:
    """The ground z = 0 in a muted colour."""
    return Body(
        name="floor",
        shape=Plane(half_size),
        state=State((0.0, 0.0, 0.0)),
        friction=friction,
        restitution=restitution,
        colour=FLOORS[int(rng.integers(len(FLOORS)))],
        static=True,
    )


def planar_walls(
    size: float, thickness: float, friction: float, restitution: float, colour: Vector = GREY
) -> list[Body]:
    """Four walls around the free square [thickness, size - thickness] on x and z; they touch, none overlap.

    All are of one group, since the violations pair objects and a room is one.
    """
    half, t = size / 2, thickness / 2
    spans = {
        "floor": ((half, 0.0, t), (half, 0.5, t)),
        "ceiling": ((half, 0.0, size - t), (half, 0.5, t)),
        "left wall": ((t, 0.0, half), (t, 0.5, half - thickness)),
        "right wall": ((size - t, 0.0, half), (t, 0.5, half - thickness)),
    }
    return [
        block(name, centre, extents, colour, friction=friction, restitution=restitution, group="room")
        for name, (centre, extents) in spans.items()
    ]


def place(
    rng: Rng, radii: Sequence[float], low: Sequence[float], high: Sequence[float], gap: float = 0.02
) -> list[Vector]:
    """Centres of balls that keep `gap` from each other and from the sides of a cuboid.

    Args:
        rng: Source of randomness.
        radii: Metres; the large ones are placed first.
        low: Corner of the cuboid, three numbers; an axis where low equals high is left out of the sides' check.
        high: The opposite corner.
        gap: Metres.

    Raises:
        ValueError: Where no arrangement was found.
    """
    order = sorted(range(len(radii)), key=lambda i: -radii[i])
    a, b = np.array(low, float), np.array(high, float)
    for _ in range(200):
        centres: dict[int, np.ndarray] = {}
        for i in order:
            inset = np.where(a == b, 0.0, radii[i] + gap)
            if np.any(a + inset > b - inset):
                break
            for _ in range(200):
                point = rng.uniform(a + inset, b - inset)
                if all(np.linalg.norm(point - c) > radii[i] + radii[j] + gap for j, c in centres.items()):
                    centres[i] = point
                    break
            else:
                break
        if len(centres) == len(radii):
            return [(float(c[0]), float(c[1]), float(c[2])) for c in (centres[i] for i in range(len(radii)))]
    raise ValueError(f"place: must fit into {tuple(low)} to {tuple(high)}, got balls of radii {list(radii)}")


def orbit_camera(
    target: Vector, distance: float, elevation: float, azimuth: float, pixels: int, fov: float = 40.0
) -> Camera:
    """A perspective camera that looks at a point from a direction.

    Args:
        target: What falls on the picture's centre, metres.
        distance: Metres.
        elevation: Degrees above the horizon.
        azimuth: Degrees to the right of the view along +y.
        pixels: Edge of the picture.
        fov: Vertical field of view, degrees.
    """
    e, a = math.radians(elevation), math.radians(azimuth)
    x = target[0] + distance * math.cos(e) * math.sin(a)
    y = target[1] - distance * math.cos(e) * math.cos(a)
    z = target[2] + distance * math.sin(e)
    return Camera(position=(x, y, z), target=target, fov=fov, width=pixels, height=pixels)


def moving(scene: Scene) -> list[Body]:
    """The bodies that are not static, in order."""
    return [body for body in scene.bodies if not body.static]


def speed(body: Body) -> float:
    """Of the centre of mass at the start, metres a second."""
    assert body.state is not None
    return math.hypot(*body.state.linear_velocity)


def advance(body: Body, time: float, gravity: Vector) -> Body:
    """The body after `time` seconds of free flight without spin."""
    assert body.state is not None
    p, v = body.state.position, body.state.linear_velocity
    x, y, z = (x + u * time + g * time * time / 2 for x, u, g in zip(p, v, gravity, strict=True))
    velocity = (v[0] + gravity[0] * time, v[1] + gravity[1] * time, v[2] + gravity[2] * time)
    return replace(body, state=replace(body.state, position=(x, y, z), linear_velocity=velocity))
