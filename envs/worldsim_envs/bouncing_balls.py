"""One to eight balls in a box: a planar square with walls, or an open tray under gravity seen from above."""

from __future__ import annotations

import math

import numpy as np

from worldsim.scene import Body, Law, Scenario, Scene, Sphere, State, planar_camera, register
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
    place,
    planar_walls,
    random_quaternion,
    shifted,
    speed,
    texts,
)

SIZE = 10.0
WALL = 0.3
TRAY = 0.95

# The tray has the same draws, scaled to metres by TRAY_RADIUS and TRAY_SPEED.
RADIUS = Quantity(((0.6, 1.0),), ((0.35, 0.5), (1.1, 1.3)), "units (tray: times 0.16 m)")
SPEED = Quantity(((1.0, 4.0),), ((0.0, 0.6), (5.0, 7.0)), "units/s (tray: times 0.4 m/s)")
RESTITUTION = Quantity(((0.9, 1.0),), ((0.6, 0.8),), "")
QUANTITIES = {"radius": RADIUS, "speed": SPEED, "restitution": RESTITUTION}
TRAY_RADIUS, TRAY_SPEED = 0.16, 0.4

PARAMETERS = {
    "num_balls": 3,
    "planar": True,
    "gravity": 2.5,
    "pixels": 64,
    "shading": "shaded",
    "duration": 2.0,
    "fps": 24.0,
}


def _velocity(rng: Rng, magnitude: float) -> tuple[float, float]:
    angle = float(rng.uniform(0, 2 * math.pi))
    return magnitude * math.cos(angle), magnitude * math.sin(angle)


def _planar_scene(rng: Rng, radii: list[float], speeds: list[float], e: float, gravity: float) -> list[Body]:
    low, high = (WALL, 0.0, WALL), (SIZE - WALL, 0.0, SIZE - WALL)
    places = place(rng, radii, low, high, gap=0.1)
    tints = colours(rng, len(radii))
    balls = []
    for i, (r, s, p) in enumerate(zip(radii, speeds, places, strict=True)):
        vx, vz = _velocity(rng, s)
        balls.append(
            Body(
                name=f"ball {i + 1}",
                shape=Sphere(r),
                state=State(p, linear_velocity=(vx, 0.0, vz)),
                mass=ball_mass(r, 1.0, planar=True),
                friction=0.0,
                restitution=e,
                colour=tints[i],
            )
        )
    return balls + planar_walls(SIZE, WALL, 0.0, e)


def _tray(e: float) -> list[Body]:
    """A floor slab and four walls, the near one low; they touch, none overlap."""
    t, near, far = 0.04, 0.13, 0.3
    walls = {
        "tray floor": ((0.0, 0.0, -t), (TRAY + 2 * t, TRAY + 2 * t, t)),
        "near wall": ((0.0, -TRAY - t, near), (TRAY + 2 * t, t, near)),
        "far wall": ((0.0, TRAY + t, far), (TRAY + 2 * t, t, far)),
        "left wall": ((-TRAY - t, 0.0, far), (t, TRAY, far)),
        "right wall": ((TRAY + t, 0.0, far), (t, TRAY, far)),
    }
    return [
        block(name, centre, half, WOOD, friction=0.0, restitution=e, group="tray")
        for name, (centre, half) in walls.items()
    ]


def _tray_scene(rng: Rng, radii: list[float], speeds: list[float], e: float) -> list[Body]:
    tall = max(radii)
    low, high = (-TRAY, -TRAY, 0.0), (TRAY, TRAY, 2 * tall + 0.22)
    places = place(rng, radii, low, high)
    tints = colours(rng, len(radii), leave_out=("brown",))
    balls = []
    for i, (r, s, p) in enumerate(zip(radii, speeds, places, strict=True)):
        vx, vy = _velocity(rng, s)
        balls.append(
            Body(
                name=f"ball {i + 1}",
                shape=Sphere(r),
                state=State(p, random_quaternion(rng), (vx, vy, 0.0)),
                mass=ball_mass(r, 200.0),
                friction=0.0,
                restitution=e,
                colour=tints[i],
            )
        )
    return balls + _tray(e)


def build(
    rng: Rng,
    split: str,
    num_balls: int | None = 3,
    planar: bool = True,
    gravity: float = 2.5,
    pixels: int = 64,
    shading: str = "shaded",
    duration: float = 2.0,
    fps: float = 24.0,
) -> Scene:
    """Frictionless balls in a box.

    Args:
        rng: Source of randomness.
        split: "id" or "ood".
        num_balls: 1 to 8; None draws it.
        planar: The 10 x 10 square with walls; otherwise a tray 2.4 m wide under 9.81 m/s^2.
        gravity: Of the planar world, units/s^2, downwards; may be 0.
        pixels: Edge of the picture.
        shading: "flat" or "shaded".
        duration: Seconds.
        fps: Frames a second.
    """
    n = int(rng.integers(1, 9)) if num_balls is None else num_balls
    count("bouncing_balls.num_balls", n, 1, 8)
    ood = shifted(rng, split, tuple(QUANTITIES))
    radii = [RADIUS.draw(rng, "radius" in ood) for _ in range(n)]
    if n > 5:
        # Eight of the largest would fill the square too densely to be placed at random.
        radii = _thin(rng, radii, "radius" in ood)
    speeds = [SPEED.draw(rng, "speed" in ood) for _ in range(n)]
    e = RESTITUTION.draw(rng, "restitution" in ood)
    if planar:
        bodies = _planar_scene(rng, radii, speeds, e, gravity)
        camera, law = planar_camera(SIZE, pixels), Law((0.0, 0.0, -gravity))
    else:
        bodies = _tray_scene(rng, [r * TRAY_RADIUS for r in radii], [s * TRAY_SPEED for s in speeds], e)
        camera = orbit_camera(
            (0.0, -0.05, 0.0), 3.5, float(rng.uniform(56, 68)), float(rng.uniform(-12, 12)), pixels, 42.0
        )
        law = Law()
    return Scene(
        bodies=tuple(bodies),
        law=law,
        camera=camera,
        duration=duration,
        fps=fps,
        planar=planar,
        shading=shading,
        background=background(rng),
    )


def _thin(rng: Rng, radii: list[float], ood: bool) -> list[float]:
    """Radii redrawn until the balls cover under a third of the square."""
    while sum(math.pi * r * r for r in radii) > (SIZE - 2 * WALL) ** 2 / 3:
        radii[int(np.argmax(radii))] = RADIUS.draw(rng, ood)
    return radii


def _measure(scene: Scene) -> dict[str, list[float]]:
    balls = moving(scene)
    size, rate = (1.0, 1.0) if scene.planar else (TRAY_RADIUS, TRAY_SPEED)
    return {
        "radius": [ball.shape.extent / size for ball in balls],
        "speed": [speed(ball) / rate for ball in balls],
        "restitution": [ball.restitution for ball in balls],
    }


register(
    Scenario(
        name="bouncing_balls",
        build=build,
        summary="One to eight frictionless balls bounce in a box (planar or 3-D)",
        parameters=PARAMETERS,
        ranges=texts(QUANTITIES),
        measure=_measure,
    )
)
