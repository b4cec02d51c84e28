"""Newton's cradle: equal balls in a row on rods; as many as strike from one side leave on the other."""

from __future__ import annotations

import math

import numpy as np

from worldsim.scene import Body, Capsule, Scenario, Scene, Sphere, State, register
from worldsim.scene.checks import in_range, require
from worldsim_envs._articulation import Rig, forward_kinematics, posed
from worldsim_envs._common import (
    GREY,
    PALETTE,
    Quantity,
    background,
    ball_mass,
    block,
    colours,
    count,
    floor,
    orbit_camera,
    shifted,
    texts,
)

ROD_RADIUS, ROD_MASS, BALL_DENSITY = 0.012, 0.02, 2000.0
# Room between neighbours at rest, metres: balls strike one after another, which is what makes a cradle work.
GAP = 5e-4

QUANTITIES = {
    "radius": Quantity(((0.05, 0.065),), ((0.04, 0.05), (0.065, 0.075)), "m"),
    "length": Quantity(((0.35, 0.45),), ((0.28, 0.35), (0.45, 0.55)), "m from pivot to ball"),
    "angle": Quantity(((25.0, 45.0),), ((12.0, 25.0), (45.0, 60.0)), "degrees that the lifted balls hang off"),
}


def build(
    rng: np.random.Generator,
    split: str,
    *,
    balls: int = 5,
    lifted: int | None = None,
    pixels: int = 64,
    fps: float = 24.0,
    duration: float = 2.0,
) -> Scene:
    """Draw a scene; the lifted balls are let go at rest.

    Args:
        rng: Source of all randomness.
        split: "id" or "ood".
        balls: How many, 3 to 5.
        lifted: How many of them start lifted, 1 to balls - 1; left out, 1 or 2.
        pixels: Edge of the square picture.
        fps: Frames a second.
        duration: Seconds.
    """
    count("newtons_cradle.balls", balls, 3, 5)
    if lifted is not None:
        count("newtons_cradle.lifted", lifted, 1, balls - 1)
    require("newtons_cradle.pixels", "a whole number", isinstance(pixels, int), pixels)
    in_range("newtons_cradle.duration", duration, 0.1, 60)
    ood = shifted(rng, split, list(QUANTITIES))
    radius, length, angle = (quantity.draw(rng, name in ood) for name, quantity in QUANTITIES.items())
    drawn, left = int(rng.integers(1, 3)), bool(rng.integers(2))
    number = drawn if lifted is None else lifted
    pitch, top = 2 * radius + GAP, length + radius + 0.12
    rig, angles = Rig(), {}
    paint = colours(rng, 1)[0]
    for i in range(balls):
        x = (i - (balls - 1) / 2) * pitch
        rod = rig.add(
            Body(
                f"rod_{i + 1}",
                Capsule(ROD_RADIUS, (length - radius) / 2),
                State((x, 0.0, top - (length - radius) / 2)),
                mass=ROD_MASS,
                friction=0.0,
                restitution=1.0,
                colour=GREY,
                group=f"pendulum_{i + 1}",
            )
        )
        ball = rig.add(
            Body(
                f"ball_{i + 1}",
                Sphere(radius),
                State((x, 0.0, top - length)),
                mass=ball_mass(radius, BALL_DENSITY),
                friction=0.0,
                restitution=1.0,
                colour=paint,
                group=f"pendulum_{i + 1}",
            )
        )
        rig.join(f"pivot_{i + 1}", "hinge", rod, None, (x, 0.0, top))
        rig.join(f"mount_{i + 1}", "fixed", ball, rod, (x, 0.0, top - length))
        if i < number if left else i >= balls - number:
            # A positive turn about +y swings a hanging ball to -x.
            angles[f"pivot_{i + 1}"] = math.radians(angle if left else -angle)
    moving = posed(rig.bodies, forward_kinematics(rig.joints, angles, {}))
    beam = block("beam", (0.0, 0.0, top + 0.04 + ROD_RADIUS), ((balls + 0.5) * radius, 0.04, 0.035), PALETTE["brown"])
    camera = orbit_camera(
        (0.0, 0.0, top - length / 2),
        2.6 * (length + balls * radius / 2) + 0.4,
        float(rng.uniform(2, 12)),
        float(rng.uniform(-10, 10)),
        pixels,
    )
    return Scene(
        bodies=(floor(rng), beam, *moving),
        camera=camera,
        duration=duration,
        fps=fps,
        background=background(rng),
        joints=tuple(rig.joints),
    )


def measure(scene: Scene) -> dict[str, list[float]]:
    """The drawn quantities, read back from the scene."""
    angles = []
    ball, rod = scene.bodies[scene.index("ball_1")], scene.bodies[scene.index("rod_1")]
    for item in scene.bodies:
        if item.name.startswith("ball_"):
            assert item.state is not None
            pivot = next(j for j in scene.joints if j.child == item.name.replace("ball", "rod")).parent_anchor
            angles.append(
                abs(math.degrees(math.atan2(item.state.position[0] - pivot[0], pivot[2] - item.state.position[2])))
            )
    assert isinstance(rod.shape, Capsule)
    radius = ball.shape.extent
    return {
        "radius": [radius],
        "length": [2 * rod.shape.half_length + radius],
        "angle": [angle for angle in angles if angle > 1e-6],
    }


register(
    Scenario(
        name="newtons_cradle",
        build=build,
        summary="Newton's cradle: as many balls as strike on one side leave on the other.",
        parameters={"balls": 5, "lifted": None, "pixels": 64, "fps": 24.0, "duration": 2.0},
        ranges=texts(QUANTITIES),
        measure=measure,
    )
)
