"""Two four-legged walkers trot on crossing paths and bump into each other: dogs must not walk through one another."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from worldsim.scene import Actuator, Body, Capsule, Joint, Robot, Scenario, Scene, register
from worldsim.scene.body import Vector
from worldsim.scene.checks import in_range, require
from worldsim_envs._common import Quantity, background, floor, orbit_camera, shifted, texts
from worldsim_envs.walker import BODY_LENGTH, NOSE, TAIL, TORSO_RADIUS, Walker, trot

if TYPE_CHECKING:
    from worldsim.engines import Rollout

# Apart from each other and from the floors at 64 pixels.
COATS: tuple[Vector, ...] = (
    (0.85, 0.50, 0.12),
    (0.40, 0.22, 0.10),
    (0.14, 0.14, 0.17),
    (0.97, 0.93, 0.84),
    (0.72, 0.20, 0.08),
)
# The soft servos lag behind the script: walkers cover this share of the distance that the feet are told.
TRACTION = 0.88

QUANTITIES = {
    "size": Quantity(((0.9, 1.1),), ((0.8, 0.9), (1.1, 1.2)), "of the 0.45 m trunk"),
    "speed": Quantity(((1.1, 1.6),), ((0.8, 1.1), (1.6, 1.9)), "body lengths/s"),
    "angle": Quantity(((140.0, 180.0),), ((75.0, 140.0),), "degrees between the headings, 180 is head-on"),
    "meeting": Quantity(((0.5, 0.8),), ((0.8, 1.2),), "s until the noses are due"),
    "offset": Quantity(((-0.03, 0.03),), ((-0.06, -0.03), (0.03, 0.06)), "m by which the paths miss, sideways"),
}


def build(rng: np.random.Generator, split: str, *, pixels: int = 64, fps: float = 24.0, duration: float = 2.0) -> Scene:
    """Draw a scene: walker_a comes from the left, walker_b from the right, their noses due at one point at one time.

    Args:
        rng: Source of all randomness.
        split: "id" or "ood".
        pixels: Edge of the square picture.
        fps: Frames and control rows a second, 16 to 120.
        duration: Seconds, 0.5 to 10.
    """
    require("crossing_quadrupeds.pixels", "a whole number", isinstance(pixels, int), pixels)
    in_range("crossing_quadrupeds.fps", fps, 16, 120)
    in_range("crossing_quadrupeds.duration", duration, 0.5, 10)
    ood = shifted(rng, split, list(QUANTITIES))

    def draw(name: str) -> float:
        return QUANTITIES[name].draw(rng, name in ood)

    meeting, offset = draw("meeting"), draw("offset")
    turn = math.radians(180 - draw("angle")) / 2 * float(rng.choice((-1.0, 1.0)))
    coats = rng.permutation(len(COATS))
    bodies: list[Body] = [floor(rng, friction=1.0, restitution=0.1)]
    joints: list[Joint] = []
    actuators: list[Actuator] = []
    programs = []
    reach = 0.0
    for i, (name, heading) in enumerate((("walker_a", turn), ("walker_b", math.pi - turn))):
        size = draw("size")
        speed = draw("speed") * BODY_LENGTH * size
        gait = trot(size, speed, fps)
        walker = Walker(name, size, gait, COATS[int(coats[i])])
        # Either diagonal may step first.
        start = float(rng.integers(2)) / (2 * gait.frequency)
        back = TRACTION * speed * meeting + NOSE * size
        # Each keeps half of the offset to its own left, so that head-on paths lie `offset` apart.
        x = -back * math.cos(heading) - offset / 2 * math.sin(heading)
        y = -back * math.sin(heading) + offset / 2 * math.cos(heading)
        reach = max(reach, abs(x) + TAIL * size)
        links, hinges = walker.placed(x, y, heading, start)
        bodies += links
        joints += hinges
        actuators += walker.actuators()
        programs.append(walker.controls(fps, math.ceil(duration * fps), start))
    rows = tuple(a + b for a, b in zip(*programs, strict=True))
    # Near enough to fill the picture's width with the start, and never so near that the fight is cropped.
    distance = max(0.85, reach + 0.05) / math.tan(math.radians(20)) + 0.1
    elevation, azimuth = float(rng.uniform(12, 25)), float(rng.uniform(-12, 12))
    camera = orbit_camera((0.0, 0.0, 0.22), distance, elevation, azimuth, pixels)
    return Scene(
        bodies=tuple(bodies),
        camera=camera,
        duration=duration,
        fps=fps,
        background=background(rng),
        joints=tuple(joints),
        robot=Robot(tuple(actuators), rows),
    )


def first_meeting(rollout: Rollout) -> float | None:
    """Seconds until the two walkers first touch, None where they never do."""
    group = [body.group for body in rollout.scene.bodies]
    onsets = [
        float(onset)
        for onset, (a, b) in zip(rollout.contacts.onset, rollout.contacts.pair, strict=True)
        if {group[a - 1], group[b - 1]} == {"walker_a", "walker_b"}
    ]
    return min(onsets, default=None)


def outcome(rollout: Rollout) -> dict[str, Any]:
    """What Rollout.info holds: when the walkers first touch, seconds or None."""
    return {"first_meeting": first_meeting(rollout)}


def measure(scene: Scene) -> dict[str, list[float]]:
    """The drawn quantities, read back from the scene."""
    found: dict[str, list[float]] = {name: [] for name in QUANTITIES}
    offset, headings = 0.0, []
    for name in ("walker_a", "walker_b"):
        torso = scene.bodies[scene.index(f"{name}_torso")]
        assert torso.state is not None
        assert isinstance(torso.shape, Capsule)
        size = torso.shape.radius / TORSO_RADIUS
        speed = math.hypot(*torso.state.linear_velocity)
        heading = np.array(torso.state.linear_velocity[:2]) / speed
        back = -float(heading @ torso.state.position[:2])
        headings.append(heading)
        offset += float(heading[0] * torso.state.position[1] - heading[1] * torso.state.position[0])
        found["size"].append(size)
        found["speed"].append(speed / (BODY_LENGTH * size))
        found["meeting"].append((back - NOSE * size) / (TRACTION * speed))
    found["offset"].append(offset)
    found["angle"].append(math.degrees(math.acos(max(-1.0, min(1.0, float(headings[0] @ headings[1]))))))
    return found


register(
    Scenario(
        name="crossing_quadrupeds",
        build=build,
        summary="Two four-legged walkers trot on a collision course and bump into each other.",
        parameters={"pixels": 64, "fps": 24.0, "duration": 2.0},
        ranges=texts(QUANTITIES),
        measure=measure,
        outcome=outcome,
    )
)
