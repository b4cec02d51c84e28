"""One to five balls that fly freely in a deep box, seen through its open top: motion in all three directions."""

from __future__ import annotations

import math

from worldsim.scene import Body, Law, Scenario, Scene, Sphere, State, register
from worldsim_envs._common import (
    Quantity,
    Rng,
    background,
    ball_mass,
    block,
    colours,
    count,
    moving,
    orbit_camera,
    place,
    random_quaternion,
    shifted,
    speed,
    texts,
)

HALF, HEIGHT, WALL = 1.0, 1.1, 0.06  # of the room inside, metres
DENSITY = 200.0
# The eye stands above the near wall, so that no wall hides anything inside.
DISTANCE, FOV = 3.0, 58.0

RADIUS = Quantity(((0.28, 0.36),), ((0.2, 0.25), (0.38, 0.42)), "m")
SPEED = Quantity(((0.4, 1.4),), ((0.0, 0.2), (1.6, 2.2)), "m/s")
RESTITUTION = Quantity(((0.9, 1.0),), ((0.6, 0.8),), "")
QUANTITIES = {"radius": RADIUS, "speed": SPEED, "restitution": RESTITUTION}

PARAMETERS = {"num_balls": 3, "gravity": 2.5, "pixels": 64, "shading": "shaded", "duration": 2.0, "fps": 24.0}


def _box(e: float) -> list[Body]:
    """A floor and four walls of one group; they touch, none overlap."""
    half, tall, t = HALF, HEIGHT / 2, WALL / 2
    spans = {
        "floor": ((0.0, 0.0, -t), (half + WALL, half + WALL, t)),
        "near wall": ((0.0, -half - t, tall), (half + WALL, t, tall)),
        "far wall": ((0.0, half + t, tall), (half + WALL, t, tall)),
        "left wall": ((-half - t, 0.0, tall), (t, half, tall)),
        "right wall": ((half + t, 0.0, tall), (t, half, tall)),
    }
    return [
        block(name, centre, extents, friction=0.0, restitution=e, group="room")
        for name, (centre, extents) in spans.items()
    ]


def _velocity(rng: Rng, magnitude: float) -> tuple[float, float, float]:
    """In a direction that is uniform over the sphere."""
    up, angle = float(rng.uniform(-1, 1)), float(rng.uniform(0, 2 * math.pi))
    flat = magnitude * math.sqrt(1 - up * up)
    return flat * math.cos(angle), flat * math.sin(angle), magnitude * up


def build(
    rng: Rng,
    split: str,
    num_balls: int = 3,
    gravity: float = 2.5,
    pixels: int = 64,
    shading: str = "shaded",
    duration: float = 2.0,
    fps: float = 24.0,
) -> Scene:
    """Frictionless balls in an open box 2 m wide.

    Args:
        rng: Source of randomness.
        split: "id" or "ood".
        num_balls: 1 to 5.
        gravity: m/s^2, downwards; may be 0. Much of it leaves little free flight between two pictures.
        pixels: Edge of the picture.
        shading: "flat" or "shaded".
        duration: Seconds.
        fps: Frames a second.
    """
    count("open_box.num_balls", num_balls, 1, 5)
    ood = shifted(rng, split, tuple(QUANTITIES))
    radii = [RADIUS.draw(rng, "radius" in ood) for _ in range(num_balls)]
    speeds = [SPEED.draw(rng, "speed" in ood) for _ in range(num_balls)]
    e = RESTITUTION.draw(rng, "restitution" in ood)
    # More or larger balls need a higher pile.
    top = HEIGHT + 0.15 * max(0, num_balls - 3)
    places = place(rng, radii, (-HALF, -HALF, 0.0), (HALF, HALF, top))
    tints = colours(rng, num_balls)
    balls = [
        Body(
            name=f"ball {i + 1}",
            shape=Sphere(r),
            state=State(p, random_quaternion(rng), _velocity(rng, s)),
            mass=ball_mass(r, DENSITY),
            friction=0.0,
            restitution=e,
            colour=tints[i],
        )
        for i, (r, s, p) in enumerate(zip(radii, speeds, places, strict=True))
    ]
    camera = orbit_camera(
        (0.0, 0.0, 0.1), DISTANCE, float(rng.uniform(72, 80)), float(rng.uniform(-12, 12)), pixels, FOV
    )
    return Scene(
        bodies=(*balls, *_box(e)),
        law=Law((0.0, 0.0, -gravity)),
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
        "speed": [speed(ball) for ball in balls],
        "restitution": [ball.restitution for ball in balls],
    }


register(
    Scenario(
        name="open_box",
        build=build,
        summary="One to five frictionless balls fly freely in a box with an open top",
        parameters=PARAMETERS,
        ranges=texts(QUANTITIES),
        measure=_measure,
    )
)
