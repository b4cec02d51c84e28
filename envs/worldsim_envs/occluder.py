"""An object passes behind a wall and must come out again: object permanence with full occlusion."""

from __future__ import annotations

import math

from worldsim.scene import Body, Box, Camera, Scenario, Scene, Sphere, State, register
from worldsim_envs._common import (
    REST_GAP,
    Quantity,
    Rng,
    background,
    ball_mass,
    block,
    choice,
    colours,
    floor,
    moving,
    shifted,
    speed,
    texts,
)

SHAPES = ("any", "sphere", "box")
DENSITY = 300.0
HIDDEN_SECONDS = 0.2

RADIUS = Quantity(((0.2, 0.3),), ((0.13, 0.17), (0.33, 0.38)), "m")
SPEED = Quantity(((1.0, 2.0),), ((2.3, 2.8),), "m/s")
QUANTITIES = {"radius": RADIUS, "speed": SPEED}

CAMERA_DISTANCE, CAMERA_HEIGHT, FOV = 5.0, 1.1, 36.0
BEHIND = 0.7  # from the wall's middle to the object's path, metres


def hidden_half_length(half_width: float, radius: float) -> float:
    """Half of the stretch of the path on which a ball is wholly hidden, metres.

    The wall's near edge casts its shadow from the camera onto the path; the ball's own tangent to that line of sight
    takes radius / cos off it.
    """
    sight = half_width / CAMERA_DISTANCE
    return sight * (CAMERA_DISTANCE + BEHIND) - radius * math.sqrt(1 + sight * sight)


def build(
    rng: Rng,
    split: str,
    shape: str = "any",
    pixels: int = 64,
    shading: str = "shaded",
    duration: float = 2.0,
    fps: float = 24.0,
) -> Scene:
    """A rolling ball or a sliding box crosses the picture behind a wall at constant speed.

    Args:
        rng: Source of randomness.
        split: "id" or "ood".
        shape: Of the object: "sphere", "box" or "any".
        pixels: Edge of the picture.
        shading: "flat" or "shaded".
        duration: Seconds.
        fps: Frames a second.
    """
    choice("occluder.shape", shape, SHAPES)
    form = SHAPES[1 + int(rng.integers(2))] if shape == "any" else shape
    ood = shifted(rng, split, tuple(QUANTITIES))
    for _ in range(1000):
        radius, velocity = RADIUS.draw(rng, "radius" in ood), SPEED.draw(rng, "speed" in ood)
        path = velocity * duration
        middle = float(rng.uniform(0.45, 0.55)) * path
        # The wall covers about a third of the path, and the ball shows whole before and after.
        half_width = float(rng.uniform(0.3, 0.55)) * path / 2
        hidden = hidden_half_length(half_width, radius)
        shown = half_width / CAMERA_DISTANCE * (CAMERA_DISTANCE + BEHIND) + 1.2 * radius
        if hidden > HIDDEN_SECONDS * velocity / 2 and shown + 0.1 * velocity < min(middle, path - middle):
            break
    else:
        raise ValueError(
            f"occluder: must find a wall that hides the object within {duration} s, got none in 1000 draws"
        )

    side = 1.0 if rng.integers(2) else -1.0
    # The line of sight over the wall must pass above the object.
    rise = CAMERA_DISTANCE / (CAMERA_DISTANCE + BEHIND + radius)
    top = CAMERA_HEIGHT - (CAMERA_HEIGHT - 2 * radius) * rise + 0.12
    tints = colours(rng, 2)
    start = (-side * middle, BEHIND, radius + REST_GAP)
    rolls = form == "sphere"
    half = radius / math.sqrt(1.5)
    if not rolls:
        start = (start[0], start[1], half + REST_GAP)
    body = Body(
        name="ball" if rolls else "box",
        shape=Sphere(radius) if rolls else Box((half, half, half)),
        state=State(
            start,
            linear_velocity=(side * velocity, 0.0, 0.0),
            angular_velocity=(0.0, side * velocity / radius if rolls else 0.0, 0.0),
        ),
        mass=ball_mass(radius, DENSITY) if rolls else DENSITY * 8 * half**3,
        # A sliding box keeps its speed on a floor without friction, a rolling ball on any.
        friction=0.5 if rolls else 0.0,
        restitution=0.0,
        colour=tints[0],
    )
    wall = block("wall", (0.0, 0.0, top / 2), (half_width, 0.04, top / 2), tints[1])
    # Fast objects need a wider view to be seen whole at both ends.
    widest = max(middle, path - middle) + 1.2 * radius
    camera = Camera(
        position=(0.0, -CAMERA_DISTANCE, CAMERA_HEIGHT),
        target=(0.0, 0.0, 0.45),
        fov=max(FOV, 2 * math.degrees(math.atan2(widest, CAMERA_DISTANCE + BEHIND))),
        width=pixels,
        height=pixels,
    )
    return Scene(
        bodies=(body, wall, floor(rng, friction=0.5, restitution=0.0)),
        camera=camera,
        duration=duration,
        fps=fps,
        shading=shading,
        background=background(rng),
    )


def _measure(scene: Scene) -> dict[str, list[float]]:
    (body,) = moving(scene)
    return {
        "radius": [body.shape.extent if isinstance(body.shape, Sphere) else body.shape.extent / math.sqrt(2)],
        "speed": [speed(body)],
    }


register(
    Scenario(
        name="occluder",
        build=build,
        summary="An object passes behind a wall and comes out again",
        parameters={"shape": "any", "pixels": 64, "shading": "shaded", "duration": 2.0, "fps": 24.0},
        ranges=texts(QUANTITIES),
        measure=_measure,
    )
)
