"""A row of dominoes; the first is pushed and the chain falls."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

from worldsim.scene import Body, Box, Scenario, Scene, State, register
from worldsim_envs._common import (
    REST_GAP,
    Quantity,
    Rng,
    background,
    colours,
    count,
    floor,
    moving,
    orbit_camera,
    shifted,
    texts,
)

if TYPE_CHECKING:
    from worldsim.engines import Rollout

HALF_HEIGHT, HALF_THICKNESS, HALF_WIDTH = 0.25, 0.05, 0.14
DENSITY = 600.0

SPACING = Quantity(((0.4, 0.6),), ((0.25, 0.35), (0.7, 0.85)), "of the height, from face to face")
PUSH = Quantity(((2.5, 4.0),), ((1.8, 2.2), (5.0, 6.5)), "rad/s")
QUANTITIES = {"spacing": SPACING, "push": PUSH}


def build(
    rng: Rng,
    split: str,
    num_dominoes: int = 5,
    pixels: int = 64,
    shading: str = "shaded",
    duration: float = 2.0,
    fps: float = 24.0,
) -> Scene:
    """A row along x whose first domino starts to turn about its lower right edge.

    Args:
        rng: Source of randomness.
        split: "id" or "ood".
        num_dominoes: 2 to 10.
        pixels: Edge of the picture.
        shading: "flat" or "shaded".
        duration: Seconds.
        fps: Frames a second.
    """
    count("dominoes.num_dominoes", num_dominoes, 2, 10)
    ood = shifted(rng, split, tuple(QUANTITIES))
    pitch = SPACING.draw(rng, "spacing" in ood) * 2 * HALF_HEIGHT + 2 * HALF_THICKNESS
    push = PUSH.draw(rng, "push" in ood)
    length = pitch * (num_dominoes - 1)
    tints = colours(rng, num_dominoes)
    half = (HALF_THICKNESS, HALF_WIDTH, HALF_HEIGHT)
    height = HALF_HEIGHT + REST_GAP
    bodies = []
    for i in range(num_dominoes):
        position = (i * pitch - length / 2, 0.0, height)
        # Turning about the lower edge at (+thickness, -height) from the centre: v = w x (centre - edge).
        turning = State(
            position, linear_velocity=(push * HALF_HEIGHT, 0.0, push * HALF_THICKNESS), angular_velocity=(0, push, 0)
        )
        bodies.append(
            Body(
                name=f"domino {i + 1}",
                shape=Box(half),
                state=turning if i == 0 else State(position),
                mass=DENSITY * 8 * half[0] * half[1] * half[2],
                friction=0.4,
                restitution=0.1,
                colour=tints[i],
            )
        )
    camera = orbit_camera(
        (0.1, 0.0, 0.2),
        1.0 + 0.85 * (length + 2 * HALF_HEIGHT + 0.3),
        float(rng.uniform(15, 30)),
        float(rng.uniform(-25, 25)),
        pixels,
        42.0,
    )
    return Scene(
        bodies=(*bodies, floor(rng, friction=0.6, restitution=0.1)),
        camera=camera,
        duration=duration,
        fps=fps,
        shading=shading,
        background=background(rng),
    )


def outcome(rollout: Rollout) -> dict[str, Any]:
    """How many dominoes lean by more than 45 degrees in the last frame."""
    places = [i for i, body in enumerate(rollout.scene.bodies) if not body.static]
    q = rollout.trajectory.orientation[-1, places]
    upright = 1 - 2 * (q[:, 1] ** 2 + q[:, 2] ** 2)
    return {"fallen": int((upright < math.cos(math.pi / 4)).sum()), "dominoes": len(places)}


def _measure(scene: Scene) -> dict[str, list[float]]:
    places = [body.state.position[0] for body in moving(scene) if body.state is not None]
    gaps = [b - a - 2 * HALF_THICKNESS for a, b in itertools.pairwise(places)]
    first = moving(scene)[0].state
    assert first is not None
    return {"spacing": [gap / (2 * HALF_HEIGHT) for gap in gaps], "push": [first.angular_velocity[1]]}


register(
    Scenario(
        name="dominoes",
        build=build,
        summary="A row of dominoes falls after the first is pushed",
        parameters={"num_dominoes": 5, "pixels": 64, "shading": "shaded", "duration": 2.0, "fps": 24.0},
        ranges=texts(QUANTITIES),
        measure=_measure,
        outcome=outcome,
    )
)
