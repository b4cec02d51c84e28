"""A break shot: the cue ball runs into a triangle of balls on a table with rails, seen from above at an angle."""

from __future__ import annotations

import math

from worldsim.scene import Body, Scenario, Scene, Sphere, State, register
from worldsim.scene.body import Vector
from worldsim.scene.checks import in_range
from worldsim_envs._common import (
    WOOD,
    Quantity,
    Rng,
    background,
    ball_mass,
    block,
    colours,
    count,
    moving,
    orbit_camera,
    random_quaternion,
    shifted,
    speed,
    texts,
)

HALF_LENGTH, HALF_WIDTH = 0.75, 0.48
RAIL = 0.05
CLOTHS: tuple[Vector, ...] = ((0.10, 0.45, 0.28), (0.12, 0.36, 0.52), (0.40, 0.20, 0.24))
CUE: Vector = (0.97, 0.97, 0.94)
DENSITY = 1700.0

RADIUS = Quantity(((0.065, 0.08),), ((0.045, 0.055), (0.09, 0.1)), "m")
SPEED = Quantity(((1.5, 3.5),), ((0.5, 1.2), (4.0, 5.5)), "m/s")
RESTITUTION = Quantity(((0.88, 0.97),), ((0.6, 0.8),), "")
QUANTITIES = {"radius": RADIUS, "cue speed": SPEED, "restitution": RESTITUTION}


def table(rng: Rng, radius: float, friction: float, restitution: float) -> list[Body]:
    """Bed and four rails higher than a ball's centre; the bed gives back nothing of a fall."""
    cloth = CLOTHS[int(rng.integers(len(CLOTHS)))]
    high = 0.65 * radius
    length, width = HALF_LENGTH, HALF_WIDTH
    rails = {
        "near rail": ((0.0, -width - RAIL, high), (length + 2 * RAIL, RAIL, high)),
        "far rail": ((0.0, width + RAIL, high), (length + 2 * RAIL, RAIL, high)),
        "left rail": ((-length - RAIL, 0.0, high), (RAIL, width, high)),
        "right rail": ((length + RAIL, 0.0, high), (RAIL, width, high)),
    }
    bed = block(
        "bed",
        (0.0, 0.0, -0.05),
        (length + 2 * RAIL, width + 2 * RAIL, 0.05),
        cloth,
        friction=friction,
        restitution=0.0,
        group="table",
    )
    sides = [
        block(name, centre, half, WOOD, friction=friction, restitution=restitution * 0.8, group="table")
        for name, (centre, half) in rails.items()
    ]
    return [bed, *sides]


def _triangle(rng: Rng, number: int, radius: float) -> list[tuple[float, float]]:
    """Places of a rack whose apex points to the cue ball; gaps of a few thousandths make every break another one."""
    places: list[tuple[float, float]] = []
    row, pitch = 0, 2 * radius * 1.01
    rows = math.ceil((math.sqrt(8 * number + 1) - 1) / 2)
    # A long rack moves towards the cue ball, so that its last row clears the rail.
    apex = min(0.15, HALF_LENGTH - 2 * radius - (rows - 1) * pitch * math.sqrt(3) / 2)
    while len(places) < number:
        for k in range(row + 1):
            jitter = rng.uniform(-0.002, 0.002, size=2) * radius
            x = apex + row * pitch * math.sqrt(3) / 2 + float(jitter[0])
            y = (k - row / 2) * pitch + float(jitter[1])
            places.append((x, y))
        row += 1
    return places[:number]


def build(
    rng: Rng,
    split: str,
    num_balls: int = 6,
    friction: float = 0.15,
    pixels: int = 64,
    shading: str = "shaded",
    duration: float = 2.0,
    fps: float = 24.0,
) -> Scene:
    """A break shot.

    Args:
        rng: Source of randomness.
        split: "id" or "ood".
        num_balls: In the rack, 1 to 10.
        friction: Of all pairs; 0 makes balls slide without rolling, which the closed form can follow.
        pixels: Edge of the picture.
        shading: "flat" or "shaded".
        duration: Seconds.
        fps: Frames a second.
    """
    count("billiards.num_balls", num_balls, 1, 10)
    in_range("billiards.friction", friction, 0, 2)
    ood = shifted(rng, split, tuple(QUANTITIES))
    radius = RADIUS.draw(rng, "radius" in ood)
    velocity = SPEED.draw(rng, "cue speed" in ood)
    restitution = RESTITUTION.draw(rng, "restitution" in ood)

    start = (float(rng.uniform(-0.62, -0.4)), float(rng.uniform(-0.25, 0.25)))
    rack = _triangle(rng, num_balls, radius)
    # Aimed within a ball's half radius of the apex, so that it always hits, seldom full.
    target = (rack[0][0], rack[0][1] + float(rng.uniform(-0.6, 0.6)) * radius)
    heading = math.atan2(target[1] - start[1], target[0] - start[0])
    v = (velocity * math.cos(heading), velocity * math.sin(heading))
    # A rolling ball turns about (-vy, vx) / r; without friction nothing would make it roll.
    spin = (-v[1] / radius, v[0] / radius, 0.0) if friction > 0 else (0.0, 0.0, 0.0)

    def ball(name: str, place: tuple[float, float], colour: Vector, moves: bool) -> Body:
        state = State(
            position=(place[0], place[1], radius),
            orientation=random_quaternion(rng),
            linear_velocity=(v[0], v[1], 0.0) if moves else (0.0, 0.0, 0.0),
            angular_velocity=spin if moves else (0.0, 0.0, 0.0),
        )
        return Body(
            name=name,
            shape=Sphere(radius),
            state=state,
            mass=ball_mass(radius, DENSITY),
            friction=friction,
            restitution=restitution,
            colour=colour,
        )

    tints = colours(rng, num_balls, leave_out=("brown", "green"))
    balls = [ball("cue ball", start, CUE, True)]
    balls += [ball(f"ball {i + 1}", place, tints[i], False) for i, place in enumerate(rack)]
    camera = orbit_camera((0.0, -0.03, 0.0), 2.5, float(rng.uniform(50, 65)), float(rng.uniform(-10, 10)), pixels, 42.0)
    return Scene(
        bodies=(*balls, *table(rng, radius, friction, restitution)),
        camera=camera,
        duration=duration,
        fps=fps,
        shading=shading,
        background=background(rng),
    )


def _measure(scene: Scene) -> dict[str, list[float]]:
    balls = moving(scene)
    return {
        "radius": [ball.shape.extent for ball in balls],
        "cue speed": [speed(balls[0])],
        "restitution": [ball.restitution for ball in balls],
    }


register(
    Scenario(
        name="billiards",
        build=build,
        summary="Break shot on a table with rails",
        parameters={
            "num_balls": 6,
            "friction": 0.15,
            "pixels": 64,
            "shading": "shaded",
            "duration": 2.0,
            "fps": 24.0,
        },
        ranges=texts(QUANTITIES),
        measure=_measure,
    )
)
