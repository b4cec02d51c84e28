"""A small arm with a two-finger gripper in primitives, its closed-form inverse kinematics and Cartesian scripts.

Five hinges (yaw, shoulder, elbow, wrist, roll) and two finger slides, all under position servos. At rest the arm stands
straight up; in use the hand points straight down and the roll turns the line of the two fingers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worldsim.scene import Actuator, Body, Box, Capsule, Joint, State
from worldsim.scene.body import Vector
from worldsim.scene.checks import require
from worldsim_envs._articulation import Rig, forward_kinematics, posed, triple

GROUP = "arm"
# Heights at rest, metres: of the shoulder's hinge and, above it, the lengths of the links.
SHOULDER, UPPER, FORE, HAND = 0.14, 0.26, 0.24, 0.149
FINGER_RADIUS, FINGER_HALF_LENGTH = 0.009, 0.03
# Distance of each finger's axis from the hand's middle when closed, and how far a finger opens.
FINGER_REST, FINGER_TRAVEL = 0.012, 0.03
JOINTS = ("yaw", "shoulder", "elbow", "wrist", "roll", "finger_left", "finger_right")
LIMITS: dict[str, tuple[float, float]] = {
    "yaw": (-2.6, 2.6),
    "shoulder": (-1.2, 2.2),
    "elbow": (0.0, 2.9),
    "wrist": (-1.6, 2.9),
    "roll": (-3.1, 3.1),
    "finger_left": (0.0, FINGER_TRAVEL),
    "finger_right": (0.0, FINGER_TRAVEL),
}


@dataclass(frozen=True)
class Pose:
    """Where the hand is, pointing straight down.

    Attributes:
        tip: Midpoint between the fingertips, metres, in the frame of the arm's base.
        facing: Direction that the fingers' line lies across, radians from +x about +z; of period pi.
        opening: How far each finger is open, metres.
    """

    tip: Vector
    facing: float
    opening: float = 0.0


def inverse_kinematics(pose: Pose, roll: float = 0.0) -> dict[str, float]:
    """Joint coordinates that bring the hand to a pose, elbow up.

    Yaw turns the arm's plane to the tip; in that plane shoulder and elbow are a two-link chain (law of cosines) and the
    wrist makes up the rest of the half turn that points the hand down.

    Args:
        pose: Of the hand.
        roll: Out of the rolls half a turn apart that serve the pose alike, the one nearest to this is taken, radians.

    Raises:
        ValueError: Where the pose is out of reach or out of a joint's limits.
    """
    x, y, z = pose.tip
    forward, up = math.hypot(x, y), z + HAND - SHOULDER
    reach = math.hypot(forward, up)
    rule = f"at a distance of the wrist from the shoulder between {abs(UPPER - FORE):g} and {UPPER + FORE:g}"
    require("arm.tip", rule, abs(UPPER - FORE) < reach < UPPER + FORE, pose.tip)
    yaw = math.atan2(y, x)
    lean = math.atan2(forward, up)  # of the wrist, from the vertical
    shoulder = lean - math.acos((UPPER**2 + reach**2 - FORE**2) / (2 * UPPER * reach))
    elbow = math.acos((reach**2 - UPPER**2 - FORE**2) / (2 * UPPER * FORE))
    # With the hand upside down a positive roll turns the fingers' line clockwise seen from above.
    roll += math.remainder(yaw - pose.facing - roll, math.pi)
    values = (yaw, shoulder, elbow, math.pi - shoulder - elbow, roll, pose.opening, pose.opening)
    coordinates = dict(zip(JOINTS, values, strict=True))
    for name, value in coordinates.items():
        low, high = LIMITS[name]
        require(f"arm.{name}", f"between {low:g} and {high:g}", low <= value <= high, value)
    return coordinates


def script(waypoints: Sequence[tuple[float, Pose]], fps: float, rows: int) -> tuple[tuple[float, ...], ...]:
    """Servo targets for each frame interval along a Cartesian path.

    Between waypoints the hand moves in a straight line with the minimum-jerk profile 10 s^3 - 15 s^4 + 6 s^5 (Flash
    and Hogan, 1985) and its facing turns the short way; it stays at the last one.

    Args:
        waypoints: (seconds, pose), in order of time, the first at 0.
        fps: Rows a second.
        rows: How many; row k is the target for the end of the interval k.
    """
    times = [time for time, _ in waypoints]
    require("script.waypoints", "from 0 and increasing in time", times[0] == 0 and times == sorted(set(times)), times)
    found: list[tuple[float, ...]] = []
    roll = inverse_kinematics(waypoints[0][1])["roll"]
    for row in range(rows):
        time = (row + 1) / fps
        after = next((i for i, t in enumerate(times) if t > time), len(times) - 1)
        (t0, a), (t1, b) = waypoints[max(after - 1, 0)], waypoints[after]
        s = min(1.0, (time - t0) / (t1 - t0)) if t1 > t0 else 1.0
        s = s**3 * (10 - 15 * s + 6 * s * s)
        tip = (1 - s) * np.array(a.tip) + s * np.array(b.tip)
        facing = a.facing + s * math.remainder(b.facing - a.facing, math.pi)
        pose = Pose(triple(tip), facing, (1 - s) * a.opening + s * b.opening)
        coordinates = inverse_kinematics(pose, roll)
        roll = coordinates["roll"]
        found.append(tuple(coordinates[name] for name in JOINTS))
    return tuple(found)


def _rig(colour: Vector, dark: Vector, friction: float) -> Rig:
    """The arm at rest, straight up from the origin."""
    rig = Rig()

    def link(name: str, shape: Box | Capsule, at: Vector, mass: float, paint: Vector) -> str:
        return rig.add(
            Body(
                name=f"{GROUP}_{name}",
                shape=shape,
                state=State(at),
                mass=mass,
                friction=friction,
                restitution=0.0,
                colour=paint,
                group=GROUP,
            )
        )

    def hinge(name: str, child: str, parent: str | None, height: float, axis: Vector, armature: float) -> None:
        rig.join(
            name, "hinge", child, parent, (0, 0, height), axis, limits=LIMITS[name], damping=0.2, armature=armature
        )

    elbow, wrist = SHOULDER + UPPER, SHOULDER + UPPER + FORE
    up, across = (0.0, 0.0, 1.0), (0.0, 1.0, 0.0)
    turret = link("turret", Capsule(0.045, 0.03), (0, 0, 0.09), 0.6, dark)
    hinge("yaw", turret, None, 0.04, up, 0.02)
    upper = link("upper", Capsule(0.032, UPPER / 2), (0, 0, SHOULDER + UPPER / 2), 0.35, colour)
    hinge("shoulder", upper, turret, SHOULDER, across, 0.02)
    fore = link("fore", Capsule(0.026, FORE / 2), (0, 0, elbow + FORE / 2), 0.25, colour)
    hinge("elbow", fore, upper, elbow, across, 0.02)
    joint = link("wrist", Capsule(0.022, 0.022), (0, 0, wrist + 0.025), 0.08, dark)
    hinge("wrist", joint, fore, wrist, across, 0.005)
    hand = link("hand", Box((0.018, 0.055, 0.012)), (0, 0, wrist + 0.06), 0.08, dark)
    hinge("roll", hand, joint, wrist + 0.05, up, 0.005)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        height = wrist + HAND - FINGER_RADIUS - FINGER_HALF_LENGTH
        shape = Capsule(FINGER_RADIUS, FINGER_HALF_LENGTH)
        finger = link(f"finger_{side}", shape, (0, sign * FINGER_REST, height), 0.03, dark)
        name = f"finger_{side}"
        rig.join(
            name, "slide", finger, hand, (0, 0, height), (0, sign, 0), limits=LIMITS[name], damping=2.0, armature=0.1
        )
    return rig


def build_arm(
    pose: Pose, colour: Vector, dark: Vector = (0.2, 0.21, 0.24), friction: float = 0.6
) -> tuple[tuple[Body, ...], tuple[Joint, ...]]:
    """Bodies in a pose at rest, the base at the origin on z = 0, and the joints.

    Args:
        pose: Of the hand.
        colour: Of the two long links.
        dark: Of the rest.
        friction: Of all links.
    """
    rig = _rig(colour, dark, friction)
    states = forward_kinematics(rig.joints, inverse_kinematics(pose), {})
    base = Body(
        name=f"{GROUP}_base",
        shape=Box((0.07, 0.07, 0.02)),
        state=State((0.0, 0.0, 0.02)),
        friction=friction,
        restitution=0.0,
        colour=dark,
        group=GROUP,
        static=True,
    )
    return (base, *posed(rig.bodies, states)), tuple(rig.joints)


def actuators() -> tuple[Actuator, ...]:
    """Position servos in the order of JOINTS."""
    gains = {"yaw": 300.0, "shoulder": 500.0, "elbow": 300.0, "wrist": 60.0, "roll": 30.0}
    return tuple(
        Actuator(
            name,
            gain=gains.get(name, 800.0),
            damping=0.06 * gains.get(name, 800.0),
            limits=LIMITS[name],
            force_limit=60.0 if name in ("yaw", "shoulder", "elbow") else 20.0,
        )
        for name in JOINTS
    )
