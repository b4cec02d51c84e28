"""A rod with a bob that swings on a stand, or two, one under the other: motion that repeats, motion that does not."""

from __future__ import annotations

import math

import numpy as np

from worldsim.scene import Body, Capsule, Scenario, Scene, Sphere, State, register
from worldsim.scene.checks import in_range, require
from worldsim_envs._articulation import Numbers, Rig, forward_kinematics, from_z, posed, triple
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

ROD_RADIUS, ROD_MASS, BOB_DENSITY = 0.018, 0.05, 1000.0
# The lower link is this share of the upper one, so that its bob never reaches the axle.
LOWER = 0.65

QUANTITIES = {
    "length": Quantity(((0.35, 0.55),), ((0.25, 0.35), (0.55, 0.7)), "m from pivot to bob"),
    "amplitude": Quantity(((20.0, 70.0),), ((70.0, 150.0),), "degrees from hanging"),
    "bob_radius": Quantity(((0.05, 0.075),), ((0.04, 0.05), (0.075, 0.09)), "m"),
}


def _link(
    rig: Rig, number: int, pivot: Numbers, length: float, radius: float, colour: tuple[float, float, float]
) -> None:
    """Add a hanging rod and its bob, the bob fixed to the rod."""
    parent = f"bob_{number - 1}" if number > 1 else None
    end = np.asarray(pivot) - (0, 0, length)
    common = {"friction": 0.3, "restitution": 0.5, "group": "pendulum"}
    rod = rig.add(
        Body(
            f"rod_{number}",
            Capsule(ROD_RADIUS, length / 2),
            State(triple((np.asarray(pivot) + end) / 2)),
            mass=ROD_MASS,
            colour=GREY,
            **common,  # type: ignore[arg-type]
        )
    )
    mass = ball_mass(radius, BOB_DENSITY)
    bob = rig.add(
        Body(f"bob_{number}", Sphere(radius), State(triple(end)), mass=mass, colour=colour, **common)  # type: ignore[arg-type]
    )
    rig.join(f"pivot_{number}", "hinge", rod, parent, pivot)
    rig.join(f"mount_{number}", "fixed", bob, rod, end)


def build(
    rng: np.random.Generator, split: str, *, links: int = 1, pixels: int = 64, fps: float = 24.0, duration: float = 2.0
) -> Scene:
    """Draw a scene; the pendulum starts at rest, so that the start angle is the amplitude.

    Args:
        rng: Source of all randomness.
        split: "id" or "ood".
        links: 1, or 2 for a double pendulum.
        pixels: Edge of the square picture.
        fps: Frames a second.
        duration: Seconds.
    """
    count("pendulum.links", links, 1, 2)
    require("pendulum.pixels", "a whole number", isinstance(pixels, int), pixels)
    in_range("pendulum.duration", duration, 0.1, 60)
    ood = shifted(rng, split, list(QUANTITIES))
    length = QUANTITIES["length"].draw(rng, "length" in ood)
    reach = length * (1 + LOWER * (links - 1))
    pivot = np.array([0.0, 0.0, reach + 0.3])
    rig, angles = Rig(), {}
    paints = colours(rng, links)
    radii = [QUANTITIES["bob_radius"].draw(rng, "bob_radius" in ood) for _ in range(links)]
    for number in range(1, links + 1):
        _link(rig, number, pivot, length, radii[number - 1], paints[number - 1])
        angles[f"pivot_{number}"] = math.radians(
            QUANTITIES["amplitude"].draw(rng, "amplitude" in ood) * float(rng.choice((-1.0, 1.0)))
        )
        # The lower link swings in front of the upper one, clear of its bob.
        pivot, length = pivot - np.array([0.0, sum(radii) + 0.005, length]), length * LOWER
    if links == 2:
        angles["pivot_2"] -= angles["pivot_1"]
    moving = posed(rig.bodies, forward_kinematics(rig.joints, angles, {}))
    top = reach + 0.3
    stand = (
        block("post", (0.0, 0.22, (top + 0.06) / 2), (0.03, 0.03, (top + 0.06) / 2), PALETTE["brown"], group="stand"),
        Body(
            "axle",
            Capsule(0.02, 0.07),
            State((0.0, 0.12, top), from_z((0, 1, 0))),
            colour=PALETTE["brown"],
            group="stand",
            static=True,
        ),
    )
    camera = orbit_camera(
        (0.0, 0.0, top - 0.3 * reach), 3.1 * reach + 0.6, float(rng.uniform(0, 8)), float(rng.uniform(-10, 10)), pixels
    )
    return Scene(
        bodies=(floor(rng), *stand, *moving),
        camera=camera,
        duration=duration,
        fps=fps,
        background=background(rng),
        joints=tuple(rig.joints),
    )


def measure(scene: Scene) -> dict[str, list[float]]:
    """The drawn quantities, read back from the scene."""
    found: dict[str, list[float]] = {name: [] for name in QUANTITIES}
    for rod, bob in zip(scene.bodies[3::2], scene.bodies[4::2], strict=True):
        assert rod.state is not None
        assert bob.state is not None
        assert isinstance(rod.shape, Capsule)
        down = np.subtract(bob.state.position, rod.state.position)
        found["amplitude"].append(math.degrees(math.atan2(abs(down[0]), -down[2])))
        found["bob_radius"].append(bob.shape.extent)
        if rod.name == "rod_1":
            found["length"].append(2 * rod.shape.half_length)
    return found


register(
    Scenario(
        name="pendulum",
        build=build,
        summary="A bob on a rod swings on a stand; links=2 hangs a second one below it.",
        parameters={"links": 1, "pixels": 64, "fps": 24.0, "duration": 2.0},
        ranges=texts(QUANTITIES),
        measure=measure,
    )
)
