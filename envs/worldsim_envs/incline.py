"""A box that slides or sticks and a ball that rolls on an incline, above a floor with a stop."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from worldsim.scene import Body, Box, Scenario, Scene, Sphere, State, register
from worldsim.scene.body import Vector
from worldsim.scene.checks import require
from worldsim_envs._common import (
    GREY,
    REST_GAP,
    WOOD,
    Quantity,
    Rng,
    background,
    ball_mass,
    block,
    colours,
    floor,
    moving,
    orbit_camera,
    quaternion,
    shifted,
    texts,
)

if TYPE_CHECKING:
    from worldsim.engines import Rollout

HALF_LENGTH, HALF_WIDTH, HALF_THICKNESS = 1.2, 0.5, 0.05
DENSITY = 500.0

ANGLE = Quantity(((15.0, 28.0),), ((8.0, 12.0), (32.0, 38.0)), "degrees")
SLIP_RATIO = Quantity(((0.3, 0.7),), ((0.05, 0.2),), "")
STICK_RATIO = Quantity(((1.4, 2.0),), ((2.4, 3.0),), "")
SPEED = Quantity(((0.0, 0.4),), ((0.7, 1.2),), "m/s")
RATIO = Quantity(SLIP_RATIO.inside + STICK_RATIO.inside, SLIP_RATIO.outside + STICK_RATIO.outside, "of tan(angle)")
QUANTITIES = {"angle": ANGLE, "friction": RATIO, "speed": SPEED}


def build(
    rng: Rng,
    split: str,
    slip: bool | None = None,
    pixels: int = 64,
    shading: str = "shaded",
    duration: float = 2.0,
    fps: float = 24.0,
) -> Scene:
    """A box and a ball side by side on an incline that falls to the right, towards a low wall.

    Args:
        rng: Source of randomness.
        split: "id" or "ood".
        slip: Whether friction is too small to hold the box (below tan of the angle); None draws it.
        pixels: Edge of the picture.
        shading: "flat" or "shaded".
        duration: Seconds.
        fps: Frames a second.
    """
    require("incline.slip", "true, false or None", slip in (True, False, None), slip)
    slips = bool(rng.integers(2)) if slip is None else slip
    ood = shifted(rng, split, tuple(QUANTITIES))
    angle = math.radians(ANGLE.draw(rng, "angle" in ood))
    ratio = (SLIP_RATIO if slips else STICK_RATIO).draw(rng, "friction" in ood)
    friction = ratio * math.tan(angle)
    velocity = SPEED.draw(rng, "speed" in ood)

    # A positive turn about +y lowers the +x side: down the slope is +x of the turned axes.
    turn = quaternion((0.0, 1.0, 0.0), angle)
    down = (math.cos(angle), 0.0, -math.sin(angle))
    normal = (math.sin(angle), 0.0, math.cos(angle))
    # The lower edge of the slab clears the floor by a finger's breadth.
    height = HALF_LENGTH * math.sin(angle) + HALF_THICKNESS * math.cos(angle) + 0.01
    middle = (-0.7, 0.0, height)

    def on_slope(along: float, across: float, above: float) -> Vector:
        rise = HALF_THICKNESS + above + REST_GAP
        return (
            middle[0] + down[0] * along + normal[0] * rise,
            across,
            middle[2] + down[2] * along + normal[2] * rise,
        )

    half = (float(rng.uniform(0.16, 0.22)), float(rng.uniform(0.13, 0.17)), float(rng.uniform(0.12, 0.17)))
    radius = float(rng.uniform(0.14, 0.19))
    lanes = (-0.24, 0.24) if rng.integers(2) else (0.24, -0.24)
    tints = colours(rng, 2, leave_out=("brown",))
    v = (down[0] * velocity, 0.0, down[2] * velocity)
    box = Body(
        name="box",
        shape=Box(half),
        state=State(on_slope(float(rng.uniform(-0.9, -0.5)), lanes[0], half[2]), turn, v),
        mass=DENSITY * 8 * half[0] * half[1] * half[2],
        friction=friction,
        restitution=0.1,
        colour=tints[0],
    )
    ball = Body(
        name="ball",
        shape=Sphere(radius),
        # Rolling without slipping down +x is a positive turn about +y.
        state=State(on_slope(float(rng.uniform(-0.9, -0.5)), lanes[1], radius), turn, v, (0.0, velocity / radius, 0.0)),
        mass=ball_mass(radius, DENSITY),
        friction=friction,
        restitution=0.1,
        colour=tints[1],
    )
    slab = block(
        "incline",
        middle,
        (HALF_LENGTH, HALF_WIDTH, HALF_THICKNESS),
        WOOD,
        friction=friction,
        restitution=0.1,
        orientation=turn,
    )
    # A low wall keeps what has slid down in the picture.
    stop = block("stop", (1.45, 0.0, 0.12), (0.04, 0.7, 0.12), GREY, friction=friction, restitution=0.1)
    camera = orbit_camera((-0.1, 0.0, 0.55), 4.8, float(rng.uniform(15, 28)), float(rng.uniform(-12, 12)), pixels, 42.0)
    return Scene(
        bodies=(box, ball, slab, stop, floor(rng, friction=friction, restitution=0.1)),
        camera=camera,
        duration=duration,
        fps=fps,
        shading=shading,
        background=background(rng),
    )


def slope_angle(scene: Scene) -> float:
    """Of an incline scene, radians."""
    state = scene.bodies[scene.index("incline")].state
    assert state is not None
    return 2 * math.asin(state.orientation[2])


def outcome(rollout: Rollout) -> dict[str, Any]:
    """Whether friction is too small to hold the box."""
    box = rollout.scene.bodies[rollout.scene.index("box")]
    return {"slips": box.friction < math.tan(slope_angle(rollout.scene))}


def _measure(scene: Scene) -> dict[str, list[float]]:
    angle = slope_angle(scene)
    return {
        "angle": [math.degrees(angle)],
        "friction": [body.friction / math.tan(angle) for body in moving(scene)],
        "speed": [math.hypot(*body.state.linear_velocity) for body in moving(scene) if body.state is not None],
    }


register(
    Scenario(
        name="incline",
        build=build,
        summary="A box slides or sticks and a ball rolls on an incline",
        parameters={"slip": None, "pixels": 64, "shading": "shaded", "duration": 2.0, "fps": 24.0},
        ranges=texts(QUANTITIES),
        measure=_measure,
        outcome=outcome,
    )
)
