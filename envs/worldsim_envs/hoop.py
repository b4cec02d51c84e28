"""A ball shot at a basketball hoop: at the rim, the board, through the ring, or at the side of the ring.

The launch velocity follows in closed form from start, target and time of flight; the flight is then followed to its
first touch, and drawn again unless it is the event that was aimed at. The world: ring (torus) around the origin's
vertical at a height, board to its right, a bracket between them, a post behind, a floor.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from worldsim.scene import Body, Box, Camera, Capsule, Law, Ring, Scenario, Scene, Sphere, State, register
from worldsim.scene.body import Vector
from worldsim_envs._common import (
    GREY,
    Quantity,
    Rng,
    background,
    ball_mass,
    choice,
    floor,
    moving,
    orbit_camera,
    random_quaternion,
    shifted,
    texts,
)
from worldsim_envs._flight import Touch, first_touch, launch_velocity, position_at

if TYPE_CHECKING:
    from worldsim.engines import Rollout

Array = NDArray[np.float64]

AIMS = ("any", "rim", "board", "through", "side")
FRAMINGS = ("wide", "close")
RIM_HEIGHT, MAJOR, MINOR = 1.35, 0.3, 0.025
RIM_COLOUR: Vector = (0.93, 0.30, 0.10)
BALL_COLOURS: tuple[Vector, ...] = ((0.96, 0.52, 0.10), (0.15, 0.35, 0.85), (0.55, 0.25, 0.75), (0.20, 0.65, 0.25))
GRAVITY = np.array([0.0, 0.0, -9.81])

RADIUS = Quantity(((0.11, 0.14),), ((0.08, 0.1), (0.155, 0.17)), "m")
DISTANCE = Quantity(((1.0, 1.3),), ((0.7, 0.85), (1.45, 1.6)), "m from the ring's middle")
RESTITUTION = Quantity(((0.6, 0.8),), ((0.3, 0.5), (0.88, 0.95)), "")
CLOSE = 1.4  # metres from the ring's middle; starts beyond may lie outside the close framing
QUANTITIES = {"radius": RADIUS, "distance": DISTANCE, "restitution": RESTITUTION}


def fixtures(restitution: float) -> list[Body]:
    """Ring, board, bracket and post, which form one object."""
    shared = {"friction": 0.4, "restitution": restitution, "group": "hoop", "static": True}
    behind = MAJOR + 0.1
    ring = Body("ring", Ring(MAJOR, MINOR), State((0.0, 0.0, RIM_HEIGHT)), colour=RIM_COLOUR, **shared)  # type: ignore[arg-type]
    board_half = (0.025, 0.45, 0.32)
    board = Body(
        "board",
        Box(board_half),
        State((behind + board_half[0], 0.0, RIM_HEIGHT + 0.22)),
        colour=(0.95, 0.95, 0.97),
        **shared,  # type: ignore[arg-type]
    )
    reach = (behind - MAJOR - MINOR) / 2
    bracket = Body(
        "bracket",
        Box((reach, 0.06, 0.015)),
        State((MAJOR + MINOR + reach, 0.0, RIM_HEIGHT)),
        colour=RIM_COLOUR,
        **shared,  # type: ignore[arg-type]
    )
    radius, half = 0.05, 0.7
    post = Body(
        "post",
        Capsule(radius, half),
        State((behind + 2 * board_half[0] + radius, 0.0, radius + half)),
        colour=GREY,
        **shared,  # type: ignore[arg-type]
    )
    return [ring, board, bracket, post]


def _target(rng: Rng, aim: str, radius: float, planar_motion: bool) -> Array:
    """Where the ball's centre is to be at the event."""
    across = 0.0 if planar_motion else float(rng.uniform(-0.08, 0.08))
    tube = radius + MINOR
    if aim == "through":
        slack = max(MAJOR - MINOR - radius, 0.0) * 0.5
        return np.array([float(rng.uniform(-slack, slack)), across * 0.5, RIM_HEIGHT])
    if aim == "board":
        return np.array([MAJOR + 0.1 - radius, across * 3, RIM_HEIGHT + float(rng.uniform(0.15, 0.45))])
    # On the tube's cross-section: 90 degrees is straight above the near rim, 180 its outside.
    angle = math.radians(float(rng.uniform(60, 125) if aim == "rim" else rng.uniform(182, 225)))
    return np.array([-MAJOR + tube * math.cos(angle), across, RIM_HEIGHT + tube * math.sin(angle)])


def _flight_time(rng: Rng, aim: str, start: Array, target: Array) -> float:
    """Seconds, from a drawn height of the apex above the higher of start and target, or a flat shot at the side."""
    if aim == "side":
        return float(np.linalg.norm(target - start)) / float(rng.uniform(2.0, 3.2))
    lift = float(rng.uniform(0.3, 0.65) if aim == "through" else rng.uniform(0.12, 0.45))
    apex = max(start[2], target[2]) + lift
    g = -GRAVITY[2]
    return float(math.sqrt(2 * (apex - start[2]) / g) + math.sqrt(2 * (apex - target[2]) / g))


def flight_event(touch: Touch | None, start: Array, velocity: Array, radius: float, horizon: float) -> str | None:
    """Which of rim, board, through, side a flight comes to before anything else, None for none of them."""
    end = horizon if touch is None else touch.time
    # Downward crossing of the ring's plane, and half a radius under it, both before any touch.
    vz, height = float(velocity[2]), float(start[2])
    crossing = vz * vz + 2 * 9.81 * (height - RIM_HEIGHT)
    leaving = vz * vz + 2 * 9.81 * (height - RIM_HEIGHT + radius)
    if crossing > 0 and (vz + math.sqrt(leaving)) / 9.81 < end:
        at = position_at(start, velocity, GRAVITY, (vz + math.sqrt(crossing)) / 9.81)
        if math.hypot(float(at[0]), float(at[1])) < MAJOR - MINOR - radius:
            return "through"
    if touch is None:
        return None
    if touch.body == "board":
        return "board"
    if touch.body != "ring":
        return None
    if touch.normal[2] > 0.2:
        return "rim"
    outside = math.hypot(float(touch.position[0]), float(touch.position[1])) > MAJOR
    return "side" if outside and touch.position[2] <= RIM_HEIGHT else None


def build(
    rng: Rng,
    split: str,
    aim: str = "any",
    planar_motion: bool = True,
    framing: str = "wide",
    pixels: int = 64,
    shading: str = "shaded",
    duration: float = 2.0,
    fps: float = 24.0,
) -> Scene:
    """A shot at the hoop.

    Args:
        rng: Source of randomness.
        split: "id" or "ood".
        aim: "rim" (first touch on the ring from above), "board", "through" (falls through untouched), "side" (hits
            the ring from outside, at or below its height) or "any".
        planar_motion: Whether the ball starts and flies in the vertical plane y = 0 through the ring's middle.
        framing: "wide" shows the flight and the floor; "close" the ring and flights from at most 1.4 m away, for small
            pictures.
        pixels: Edge of the picture.
        shading: "flat" or "shaded".
        duration: Seconds.
        fps: Frames a second.
    """
    choice("hoop.aim", aim, AIMS)
    choice("hoop.framing", framing, FRAMINGS)
    goal = AIMS[1 + int(rng.integers(4))] if aim == "any" else aim
    ood = shifted(rng, split, tuple(QUANTITIES))
    restitution = RESTITUTION.draw(rng, "restitution" in ood)
    parts = fixtures(restitution)
    ground = floor(rng, friction=0.5, restitution=restitution)
    for _ in range(500):
        radius = RADIUS.draw(rng, "radius" in ood)
        distance = DISTANCE.draw(rng, "distance" in ood)
        if framing == "close" and distance > CLOSE:
            continue
        bearing = 0.0 if planar_motion else float(rng.uniform(-0.5, 0.5))
        height = RIM_HEIGHT + (float(rng.uniform(-0.45, 0.0)) if goal == "side" else float(rng.uniform(-0.5, 0.15)))
        start = np.array([-distance * math.cos(bearing), distance * math.sin(bearing), height])
        target = _target(rng, goal, radius, planar_motion)
        time = _flight_time(rng, goal, start, target)
        velocity = launch_velocity(start, target, GRAVITY, time)
        touch = first_touch(parts, start, velocity, GRAVITY, radius, min(time + 0.15, duration))
        if flight_event(touch, start, velocity, radius, min(time + 0.15, duration)) == goal:
            break
    else:
        raise ValueError(f"hoop: must find a shot at {goal!r} within {duration} s, got none in 500 draws")

    spin = float(rng.uniform(-6, 2))
    ball = Body(
        name="ball",
        shape=Sphere(radius),
        state=State(
            (float(start[0]), float(start[1]), float(start[2])),
            (1.0, 0.0, 0.0, 0.0) if planar_motion else random_quaternion(rng),
            (float(velocity[0]), float(velocity[1]), float(velocity[2])),
            (0.0, spin, 0.0),
        ),
        mass=ball_mass(radius, 85.0),
        friction=0.4,
        restitution=restitution,
        colour=BALL_COLOURS[int(rng.integers(len(BALL_COLOURS)))],
    )
    return Scene(
        bodies=(ball, *parts, ground),
        law=Law((0.0, 0.0, float(GRAVITY[2]))),
        camera=_camera(rng, framing, pixels),
        duration=duration,
        fps=fps,
        shading=shading,
        background=background(rng),
    )


def _camera(rng: Rng, framing: str, pixels: int) -> Camera:
    target, distance = ((-0.58, 0.0, 1.12), 3.7) if framing == "wide" else ((-0.56, 0.0, 1.05), 2.5)
    return orbit_camera(target, distance, float(rng.uniform(10, 18)), float(rng.uniform(-12, 12)), pixels, 42.0)


def planned_event(scene: Scene) -> str | None:
    """What the ball of a hoop scene comes to first, by free flight from its start state."""
    ball = moving(scene)[0]
    assert ball.state is not None
    parts = [body for body in scene.bodies if body.static]
    start, velocity = np.array(ball.state.position), np.array(ball.state.linear_velocity)
    touch = first_touch(parts, start, velocity, GRAVITY, ball.shape.extent, scene.duration)
    return flight_event(touch, start, velocity, ball.shape.extent, scene.duration)


def outcome(rollout: Rollout) -> dict[str, Any]:
    """Which event the shot was aimed at."""
    return {"aim": planned_event(rollout.scene)}


def _measure(scene: Scene) -> dict[str, list[float]]:
    (ball,) = moving(scene)
    assert ball.state is not None
    return {
        "radius": [ball.shape.extent],
        "distance": [math.hypot(*ball.state.position[:2])],
        "restitution": [ball.restitution],
    }


register(
    Scenario(
        name="hoop",
        build=build,
        summary="A ball shot at a hoop: rim, board, through, or the side of the ring",
        parameters={
            "aim": "any",
            "planar_motion": True,
            "framing": "wide",
            "pixels": 64,
            "shading": "shaded",
            "duration": 2.0,
            "fps": 24.0,
        },
        ranges=texts(QUANTITIES),
        measure=_measure,
        outcome=outcome,
    )
)
