"""A small arm pushes a cube over a table to a target zone; the expert is a Cartesian script, played open loop."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np

from worldsim.scene import Body, Box, Robot, Scenario, Scene, State, register
from worldsim.scene.body import Vector
from worldsim.scene.checks import in_range, require
from worldsim_envs._articulation import about, rotate
from worldsim_envs._common import (
    PALETTE,
    REST_GAP,
    WOOD,
    Quantity,
    background,
    block,
    floor,
    orbit_camera,
    shifted,
    texts,
)
from worldsim_envs.arm import FINGER_RADIUS, Pose, actuators, build_arm, script

if TYPE_CHECKING:
    from worldsim.engines import Rollout
    from worldsim.physics.trajectory import Trajectory

# The cube's centre within this distance of the target's, in the plane, at the end is success, metres.
TOLERANCE = 0.03
# Table's sides as (low, high) in x and y, its depth, and half the edge of the target zone, metres.
TABLE_X, TABLE_Y, TABLE_DEPTH = (-0.15, 0.62), (-0.45, 0.45), 0.04
TARGET_HALF = 0.06
# The hand's path stays in this ring around the base, metres, and this sector, radians.
NEAREST, FARTHEST, SECTOR = 0.17, 0.44, 0.9
HOME = Pose((0.2, 0.0, 0.22), 0.0, 0.008)

QUANTITIES = {
    "half_edge": Quantity(((0.032, 0.04),), ((0.027, 0.032), (0.04, 0.045)), "m"),
    "mass": Quantity(((0.1, 0.3),), ((0.05, 0.1), (0.3, 0.6)), "kg"),
    "friction": Quantity(((0.4, 0.7),), ((0.2, 0.4), (0.7, 1.0)), "of cube and table"),
    "distance": Quantity(((0.1, 0.16),), ((0.16, 0.2),), "m from cube to target"),
    "twist": Quantity(((0.0, 20.0),), ((20.0, 40.0),), "degrees of the cube's faces off the push"),
}


def _table(target: Vector, friction: float, colour: Vector, zone: Vector) -> list[Body]:
    """Five static tiles with one flat top at z = 0; the fifth, inlaid so that nothing catches on it, is the target."""
    (x0, x1), (y0, y1), x, y, h = TABLE_X, TABLE_Y, target[0], target[1], TARGET_HALF
    spans = {
        "table_near": ((x0, x - h), (y0, y1)),
        "table_far": ((x + h, x1), (y0, y1)),
        "table_right": ((x - h, x + h), (y0, y - h)),
        "table_left": ((x - h, x + h), (y + h, y1)),
        "target": ((x - h, x + h), (y - h, y + h)),
    }
    return [
        block(
            name,
            ((a0 + a1) / 2, (b0 + b1) / 2, -TABLE_DEPTH / 2),
            ((a1 - a0) / 2, (b1 - b0) / 2, TABLE_DEPTH / 2),
            zone if name == "target" else colour,
            friction=friction,
            restitution=0.0,
            group=None if name == "target" else "table",
        )
        for name, ((a0, a1), (b0, b1)) in spans.items()
    ]


def _reachable(point: np.ndarray) -> bool:
    radius, angle = float(np.hypot(*point)), math.atan2(point[1], point[0])
    return NEAREST <= radius <= FARTHEST and abs(angle) <= SECTOR


def expert(
    cube: Vector, target: Vector, half_edge: float, fps: float, rows: int, duration: float
) -> tuple[tuple[float, ...], ...]:
    """Servo targets that push a cube to a target: over it, down behind it, straight on, a step back.

    Args:
        cube: Start of its centre, metres.
        target: Where its centre is to go, metres.
        half_edge: Of the cube, metres.
        fps: Rows a second.
        rows: How many.
        duration: Seconds that the whole script takes.
    """
    start, goal = np.array(cube[:2]), np.array(target[:2])
    push = (goal - start) / np.linalg.norm(goal - start)
    facing = math.atan2(push[1], push[0])
    behind, touch = start - push * _clearance(half_edge), goal - push * (half_edge + FINGER_RADIUS)
    low, high = 0.02, 0.13

    def at(point: np.ndarray, height: float) -> Pose:
        return Pose((float(point[0]), float(point[1]), height), facing, 0.006)

    shares = (
        (0.0, HOME),
        (0.25, at(behind, high)),
        (0.38, at(behind, low)),
        (0.82, at(touch, low)),
        (0.88, at(touch + 1e-4 * push, low)),
        (1.0, at(touch - 0.03 * push, low)),
    )
    return script([(duration * share, pose) for share, pose in shares], fps, rows)


def _clearance(half_edge: float) -> float:
    """Distance behind the cube's centre at which the fingers come down, whatever the cube's twist."""
    return math.sqrt(2) * half_edge + FINGER_RADIUS + 0.015


def build(rng: np.random.Generator, split: str, *, pixels: int = 64, fps: float = 24.0, duration: float = 3.0) -> Scene:
    """Draw a scene with the expert's program as the robot's controls.

    Args:
        rng: Source of all randomness.
        split: "id" or "ood".
        pixels: Edge of the square picture.
        fps: Frames and control rows a second, 10 to 120.
        duration: Seconds, 2 to 20; the expert takes it whole.
    """
    require("robot_push.pixels", "a whole number", isinstance(pixels, int), pixels)
    in_range("robot_push.fps", fps, 10, 120)
    in_range("robot_push.duration", duration, 2, 20)
    ood = shifted(rng, split, list(QUANTITIES))
    drawn = {name: quantity.draw(rng, name in ood) for name, quantity in QUANTITIES.items()}
    half = drawn["half_edge"]
    while True:
        radius, angle = rng.uniform(0.2, 0.4), rng.uniform(-0.8, 0.8)
        start = radius * np.array([math.cos(angle), math.sin(angle)])
        heading = rng.uniform(-math.pi, math.pi)
        push = np.array([math.cos(heading), math.sin(heading)])
        goal = start + drawn["distance"] * push
        if all(map(_reachable, (start, goal, start - (_clearance(half) + 0.01) * push))):
            break
    twist = math.radians(drawn["twist"]) * float(rng.choice((-1.0, 1.0)))
    paints = rng.permutation([name for name in PALETTE if name not in ("brown", "orange")])
    cube = Body(
        name="cube",
        shape=Box((half, half, half)),
        state=State((float(start[0]), float(start[1]), half + REST_GAP), about((0.0, 0.0, 1.0), heading + twist)),
        mass=drawn["mass"],
        friction=drawn["friction"],
        restitution=0.05,
        colour=PALETTE[str(paints[0])],
    )
    target = (float(goal[0]), float(goal[1]), 0.0)
    arm, joints = build_arm(HOME, colour=PALETTE["orange"])
    ground = replace(floor(rng), state=State((0.0, 0.0, -TABLE_DEPTH)))
    rows = math.ceil(duration * fps - 1e-9)
    program = expert(cube.state.position, target, half, fps, rows, duration)  # type: ignore[union-attr]
    camera = orbit_camera(
        (0.21, 0.0, 0.1), 1.05, float(rng.uniform(36, 46)), float(rng.uniform(15, 50)), pixels, fov=42.0
    )
    return Scene(
        bodies=(ground, *_table(target, drawn["friction"], WOOD, PALETTE[str(paints[1])]), cube, *arm),
        camera=camera,
        duration=duration,
        fps=fps,
        background=background(rng),
        joints=joints,
        robot=Robot(actuators(), program),
    )


def distance_to_target(scene: Scene, position: Any) -> Any:
    """Distance in the plane from the cube's centre to the target's.

    Args:
        scene: Of this family.
        position: (..., 3) of the cube's centre, metres; array or tensor.

    Returns:
        (...) metres.
    """
    target = scene.bodies[scene.index("target")].state
    assert target is not None
    return ((position[..., 0] - target.position[0]) ** 2 + (position[..., 1] - target.position[1]) ** 2) ** 0.5


def success(scene: Scene, trajectory: Trajectory) -> bool:
    """Whether the cube ends within TOLERANCE of the target.

    Args:
        scene: Of this family.
        trajectory: (T, N, ...), played from it.
    """
    return bool(distance_to_target(scene, trajectory.position[-1, scene.index("cube")]) <= TOLERANCE)


def outcome(rollout: Rollout) -> dict[str, Any]:
    """What Rollout.info holds: success, and the final distance of the cube from the target in metres."""
    cube = rollout.trajectory.position[-1, rollout.scene.index("cube")]
    return {
        "success": success(rollout.scene, rollout.trajectory),
        "distance": float(distance_to_target(rollout.scene, cube)),
    }


def measure(scene: Scene) -> dict[str, list[float]]:
    """The drawn quantities, read back from the scene."""
    cube, target = (scene.bodies[scene.index(name)] for name in ("cube", "target"))
    assert cube.state is not None
    assert target.state is not None
    assert isinstance(cube.shape, Box)
    push = np.subtract(target.state.position, cube.state.position)[:2]
    face = rotate(cube.state.orientation, (1.0, 0.0, 0.0))
    twist = math.remainder(math.atan2(face[1], face[0]) - math.atan2(push[1], push[0]), math.pi / 2)
    return {
        "half_edge": [cube.shape.half_extents[0]],
        "mass": [cube.mass],
        "friction": [cube.friction, target.friction],
        "distance": [float(np.hypot(*push))],
        "twist": [abs(math.degrees(twist))],
    }


register(
    Scenario(
        name="robot_push",
        build=build,
        summary="A small arm pushes a cube over a table to a coloured target zone; the expert's actions come with it.",
        parameters={"pixels": 64, "fps": 24.0, "duration": 3.0},
        ranges=texts(QUANTITIES),
        measure=measure,
        outcome=outcome,
    )
)
# The entry point is a string: the engine is imported only when an environment is made.
gymnasium.register(id="worldsim/RobotPush-v0", entry_point="worldsim_envs.robot_push_env:RobotPushEnv")
