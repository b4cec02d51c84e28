"""A small four-legged walker in primitives and its open-loop trot.

Twelve links (torso, neck, head, tail, four legs of two), eight hinges under position servos. The gait is a script of
foot paths under the hips, turned into joint angles by two-link inverse kinematics; nothing is fed back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from worldsim.scene import Actuator, Body, Box, Capsule, Joint, Sphere, State
from worldsim.scene.checks import in_range
from worldsim_envs._articulation import (
    Numbers,
    Rig,
    Vector,
    about,
    forward_kinematics,
    from_z,
    lowest_point,
    multiply,
    posed,
    rotate,
    triple,
)

# Legs by name: forward and sideways place of the hip in units of the offsets below, which way the middle joint points
# (1 forward, -1 back), phase in cycles.
LEGS: dict[str, tuple[float, float, float, float]] = {
    "fore_left": (1.0, 1.0, -1.0, 0.0),
    "fore_right": (1.0, -1.0, -1.0, 0.5),
    "hind_left": (-1.0, 1.0, 1.0, 0.5),
    "hind_right": (-1.0, -1.0, 1.0, 0.0),
}
# Metres at size 1.
TORSO_RADIUS, TORSO_HALF_LENGTH = 0.075, 0.15
HIP_FORWARD, HIP_SIDE, HIP_DROP = 0.15, 0.075, 0.03
UPPER, LOWER = 0.14, 0.14
UPPER_RADIUS, LOWER_RADIUS = 0.034, 0.027
BODY_LENGTH = 2 * (TORSO_RADIUS + TORSO_HALF_LENGTH)
NOSE, TAIL = 0.36, 0.33  # from the torso's centre to the tips of head and tail
LINKS = 12


@dataclass(frozen=True)
class Gait:
    """A trot: diagonal legs together, half a cycle apart.

    Attributes:
        speed: At which the feet in stance move back under the hips, m/s.
        frequency: Cycles a second.
        lift: Height of the swing, metres.
        height: Of the hips over the feet, metres.
        duty: Share of the cycle that a foot spends in stance.
    """

    speed: float
    frequency: float
    lift: float
    height: float
    duty: float = 0.5

    def foot(self, phase: float) -> tuple[float, float]:
        """Foot under the hip at a phase of the cycle: (forward, up) in metres; stance comes first."""
        stride = self.speed * self.duty / self.frequency
        phase = phase % 1.0
        if phase < self.duty:
            return stride * (0.5 - phase / self.duty), -self.height
        swing = (phase - self.duty) / (1 - self.duty)
        # A cycloid: the foot leaves and lands with no speed against the hip's path.
        forward = swing - math.sin(2 * math.pi * swing) / (2 * math.pi)
        return stride * (forward - 0.5), -self.height + self.lift * math.sin(math.pi * swing) ** 2


def leg_angles(foot: tuple[float, float], upper: float, lower: float, bend: float) -> tuple[float, float]:
    """Hip and knee coordinates that bring a foot to (forward, up) under the hip.

    Args:
        foot: Metres; forward is +x, up +z, the hip is the origin.
        upper: Length of the upper link, metres.
        lower: Length of the lower link, metres.
        bend: 1 where the middle joint points forward, -1 where it points back.

    Returns:
        Radians about +y; a hanging straight leg has (0, 0), a positive hip swings it back.
    """
    reach = math.hypot(*foot)
    if not abs(upper - lower) < reach < upper + lower:
        raise ValueError(f"leg.reach: must be between {abs(upper - lower):g} and {upper + lower:g}, got {reach!r}")
    towards = math.atan2(foot[0], -foot[1])
    opening = math.acos((upper**2 + reach**2 - lower**2) / (2 * upper * reach))
    knee = math.acos((reach**2 - upper**2 - lower**2) / (2 * upper * lower))
    return -(towards + bend * opening), bend * knee


def trot(size: float, speed: float, fps: float) -> Gait:
    """The trot of a walker: about three cycles a second.

    The servo targets change once a frame interval, and a cycle takes an even number of intervals: then left and right
    diagonals get the same steps and the walker neither sways nor turns.

    Args:
        size: Scale of the walker.
        speed: Metres a second.
        fps: Control rows a second, from 16 to 120.
    """
    in_range("walker.fps", fps, 16, 120)
    rows = 2 * round(fps / 6)
    return Gait(speed, frequency=fps / rows, lift=0.05 * size, height=0.24 * size)


@dataclass(frozen=True)
class Walker:
    """A walker of one size and gait, told in its own frame: forward +x, left +y, torso's centre at the origin.

    Attributes:
        name: Group of its bodies and first word of their names.
        size: Scale of all lengths; masses go with its cube.
        gait: Foot paths, in metres and seconds of this walker.
        colour: Of the coat; legs, head and tail are a shade apart.
    """

    name: str
    size: float
    gait: Gait
    colour: Vector

    def _shade(self, factor: float) -> Vector:
        return triple(min(1.0, factor * c) for c in self.colour)

    def rig(self) -> Rig:
        """Links at rest, legs straight down."""
        s, rig = self.size, Rig()

        def link(
            part: str,
            shape: Box | Capsule | Sphere,
            at: Numbers,
            along: Numbers,
            mass: float,
            shade: float,
        ) -> str:
            state = State(triple(s * np.asarray(at)), from_z(along))
            return rig.add(
                Body(
                    name=f"{self.name}_{part}",
                    shape=shape,
                    state=state,
                    mass=mass * s**3,
                    friction=1.0,
                    restitution=0.1,
                    colour=self._shade(shade),
                    group=self.name,
                )
            )

        def capsule(radius: float, half_length: float) -> Capsule:
            return Capsule(s * radius, s * half_length)

        torso = link("torso", capsule(TORSO_RADIUS, TORSO_HALF_LENGTH), (0, 0, 0), (1, 0, 0), 3.5, 1.0)
        trims = (
            ("neck", 0.042, 0.045, (0.19, 0, 0.075), (0.75, 0, 1), 0.25, 1.0),
            ("head", 0.045, 0.045, (0.27, 0, 0.115), (1, 0, -0.35), 0.35, 0.75),
            ("tail", 0.018, 0.065, (-0.26, 0, 0.075), (-0.7, 0, 1), 0.05, 0.75),
        )
        for part, radius, half_length, at, along, mass, shade in trims:
            child = link(part, capsule(radius, half_length), at, along, mass, shade)
            parent = f"{self.name}_neck" if part == "head" else torso
            rig.join(f"{child}_mount", "fixed", child, parent, s * np.asarray(at))
        for leg, (fore, left, _, _) in LEGS.items():
            hip = np.array([fore * HIP_FORWARD, left * HIP_SIDE, -HIP_DROP])
            knee = hip - (0, 0, UPPER)
            upper = link(
                f"{leg}_upper", capsule(UPPER_RADIUS, UPPER / 2), hip - (0, 0, UPPER / 2), (0, 0, 1), 0.25, 0.88
            )
            lower = link(
                f"{leg}_lower", capsule(LOWER_RADIUS, LOWER / 2), knee - (0, 0, LOWER / 2), (0, 0, 1), 0.15, 0.7
            )
            servo = {"damping": 0.05 * s**4.5, "armature": 0.004 * s**5}
            rig.join(f"{self.name}_{leg}_hip", "hinge", upper, torso, s * hip, limits=(-2.0, 2.0), **servo)
            rig.join(f"{self.name}_{leg}_knee", "hinge", lower, upper, s * knee, limits=(-2.4, 2.4), **servo)
        return rig

    def coordinates(self, time: float) -> dict[str, float]:
        """Joint coordinates that the gait asks for at a time, by joint name, radians."""
        angles = {}
        for leg, (_, _, bend, phase) in LEGS.items():
            foot = self.gait.foot(phase + self.gait.frequency * time)
            hip, knee = leg_angles(foot, self.size * UPPER, self.size * LOWER, bend)
            angles[f"{self.name}_{leg}_hip"] = hip
            angles[f"{self.name}_{leg}_knee"] = knee
        return angles

    def actuators(self) -> tuple[Actuator, ...]:
        """Position servos, in the order of `coordinates`. Torque goes with weight times length, so with size^4."""
        gain = 45.0 * self.size**4
        damping = 1.2 * self.size**4.5
        return tuple(
            Actuator(joint, gain=gain, damping=damping, limits=(-2.4, 2.4), force_limit=25.0 * self.size**4)
            for joint in self.coordinates(0.0)
        )

    def controls(self, fps: float, rows: int, start: float = 0.0) -> tuple[tuple[float, ...], ...]:
        """Servo targets for each frame interval: the gait at the interval's middle."""
        return tuple(tuple(self.coordinates(start + (row + 0.5) / fps).values()) for row in range(rows))

    def placed(
        self, x: float, y: float, heading: float, start: float = 0.0
    ) -> tuple[tuple[Body, ...], tuple[Joint, ...]]:
        """Bodies in stride at a time of the gait, the lowest foot a tenth of a millimetre above z = 0, and the joints.

        Args:
            x: Of the torso's centre, metres.
            y: Of the torso's centre, metres.
            heading: Direction of walking, radians from +x about +z.
            start: Time of the gait, seconds.
        """
        rig = self.rig()
        step = 1e-4
        now, soon = self.coordinates(start), self.coordinates(start + step)
        rates = {name: (soon[name] - now[name]) / step for name in now}
        turn = about((0.0, 0.0, 1.0), heading)
        torso = rig.bodies[0]
        assert torso.state is not None

        def states(height: float) -> tuple[Body, ...]:
            assert torso.state is not None
            root = State(
                position=(x, y, height),
                orientation=multiply(turn, torso.state.orientation),
                linear_velocity=triple(rotate(turn, (self.gait.speed, 0.0, 0.0))),
            )
            return posed(rig.bodies, forward_kinematics(rig.joints, now, {torso.name: root}, rates))

        lowest = min(lowest_point(body) for body in states(0.0))
        return states(1e-4 - lowest), tuple(rig.joints)
