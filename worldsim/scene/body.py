"""Bodies and what joins them: shape, matter, colour, start state; joints and actuators of articulated bodies."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldsim.scene.checks import finite, in_range, positive, require, vector
from worldsim.scene.shapes import Shape, unit_inertia

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]


@dataclass(frozen=True)
class State:
    """Where a body is and how it moves, all in the world frame.

    Attributes:
        position: Centre of mass, metres.
        orientation: Unit quaternion w x y z that turns body axes into world axes.
        linear_velocity: Of the centre of mass, metres a second.
        angular_velocity: Radians a second.
    """

    position: Vector
    orientation: Quaternion = (1.0, 0.0, 0.0, 0.0)
    linear_velocity: Vector = (0.0, 0.0, 0.0)
    angular_velocity: Vector = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        for name, length in (("position", 3), ("orientation", 4), ("linear_velocity", 3), ("angular_velocity", 3)):
            object.__setattr__(self, name, vector(f"state.{name}", getattr(self, name), length))
        norm = math.sqrt(sum(q * q for q in self.orientation))
        require("state.orientation", "a unit quaternion w x y z", abs(norm - 1) < 1e-6, self.orientation)

    @property
    def rotation(self) -> NDArray[np.float64]:
        """(3, 3) rotation from body to world axes; its columns are the body axes in the world frame."""
        w, x, y, z = self.orientation
        return np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
                [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
                [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
            ]
        )


@dataclass(frozen=True)
class Body:
    """One rigid body. Its id in every picture is its place in Scene.bodies plus one.

    Attributes:
        name: Unique in the scene; what captions and contacts call it.
        shape: In the body frame, whose origin is the centre of mass.
        state: Start state; None in a Setup, where the start of a dynamic body is withheld.
        mass: Kilograms; ignored for static bodies.
        friction: Coulomb coefficient; a pair has the geometric mean of the two.
        restitution: From 0 to 1; a pair has the geometric mean of the two.
        colour: Red, green and blue from 0 to 1.
        group: Bodies of one group (a walker, an arm) are one object; left out, the body is its own.
        static: Never moves.
    """

    name: str
    shape: Shape
    state: State | None
    mass: float = 1.0
    friction: float = 0.5
    restitution: float = 0.5
    colour: Vector = (0.8, 0.2, 0.2)
    group: str | None = None
    static: bool = False

    def __post_init__(self) -> None:
        field = f"body[{self.name}]"
        require("body.name", "a non-empty string without '/'", bool(self.name) and "/" not in self.name, self.name)
        positive(f"{field}.mass", self.mass)
        finite(f"{field}.friction", self.friction)
        require(f"{field}.friction", "0 or above", self.friction >= 0, self.friction)
        in_range(f"{field}.restitution", self.restitution, 0, 1)
        object.__setattr__(self, "colour", vector(f"{field}.colour", self.colour, 3))
        for channel, value in zip("rgb", self.colour, strict=True):
            in_range(f"{field}.colour.{channel}", value, 0, 1)
        if self.shape.kind == "plane":
            require(f"{field}.static", "true for a plane", self.static, self.static)

    @property
    def object_name(self) -> str:
        """The group, or the body's own name where it has none."""
        return self.group or self.name

    def inertia(self, planar: bool = False) -> Vector:
        """Principal moments of inertia about the body axes, kg m^2."""
        x, y, z = unit_inertia(self.shape, planar)
        return (self.mass * x, self.mass * y, self.mass * z)


JOINT_KINDS = ("hinge", "slide", "ball", "fixed")


@dataclass(frozen=True)
class Joint:
    """Joins a child body to a parent. A body that is no child of any joint floats freely.

    At coordinate 0 the anchors coincide and the child's axes are turned by `reference` against the parent's.

    Attributes:
        name: Unique in the scene.
        kind: hinge, slide, ball or fixed.
        child: Name of the body that the joint moves; a body is child of at most one joint.
        parent: Name of the body that carries it, None for the world.
        parent_anchor: Of the joint, in the parent's frame (the world's for None), metres.
        child_anchor: Of the joint, in the child's frame, metres.
        axis: Unit vector in the child's frame; of no meaning for ball and fixed.
        reference: Quaternion w x y z that turns child axes into parent axes at coordinate 0.
        limits: Lowest and highest coordinate (rad or m), None for a free range.
        damping: N m s (N s/m for a slide).
        stiffness: N m (N/m for a slide) about coordinate 0.
        armature: Rotor inertia added to the coordinate, kg m^2 (kg for a slide).
    """

    name: str
    kind: str
    child: str
    parent: str | None
    parent_anchor: Vector
    child_anchor: Vector
    axis: Vector = (0.0, 1.0, 0.0)
    reference: Quaternion = (1.0, 0.0, 0.0, 0.0)
    limits: tuple[float, float] | None = None
    damping: float = 0.0
    stiffness: float = 0.0
    armature: float = 0.0

    def __post_init__(self) -> None:
        field = f"joint[{self.name}]"
        require(f"{field}.kind", f"one of {', '.join(JOINT_KINDS)}", self.kind in JOINT_KINDS, self.kind)
        for name in ("parent_anchor", "child_anchor", "axis"):
            object.__setattr__(self, name, vector(f"{field}.{name}", getattr(self, name), 3))
        object.__setattr__(self, "reference", vector(f"{field}.reference", self.reference, 4))
        require(f"{field}.axis", "a unit vector", abs(math.hypot(*self.axis) - 1) < 1e-6, self.axis)
        require(f"{field}.reference", "a unit quaternion", abs(math.hypot(*self.reference) - 1) < 1e-6, self.reference)
        if self.limits is not None:
            object.__setattr__(self, "limits", vector(f"{field}.limits", self.limits, 2))
            require(f"{field}.limits", "low then high", self.limits[0] < self.limits[1], self.limits)
        for name in ("damping", "stiffness", "armature"):
            finite(f"{field}.{name}", getattr(self, name))
            require(f"{field}.{name}", "0 or above", getattr(self, name) >= 0, getattr(self, name))


@dataclass(frozen=True)
class Actuator:
    """Drives one joint coordinate.

    Attributes:
        joint: Name of a hinge or slide.
        kind: "position" (ctrl is the target coordinate, pulled by gain and damping) or "motor" (ctrl is the force).
        gain: N m/rad (N/m) for position; multiplies ctrl for motor.
        damping: N m s (N s/m); position only.
        limits: Lowest and highest ctrl.
        force_limit: Largest force or torque that the actuator gives, N or N m.
    """

    joint: str
    kind: str = "position"
    gain: float = 10.0
    damping: float = 1.0
    limits: tuple[float, float] = (-math.pi, math.pi)
    force_limit: float = 100.0

    def __post_init__(self) -> None:
        field = f"actuator[{self.joint}]"
        require(f"{field}.kind", "position or motor", self.kind in ("position", "motor"), self.kind)
        positive(f"{field}.gain", self.gain)
        positive(f"{field}.force_limit", self.force_limit)
        finite(f"{field}.damping", self.damping)
        require(f"{field}.damping", "0 or above", self.damping >= 0, self.damping)
        object.__setattr__(self, "limits", vector(f"{field}.limits", self.limits, 2))
        require(f"{field}.limits", "low then high", self.limits[0] < self.limits[1], self.limits)


@dataclass(frozen=True)
class Robot:
    """The actuators of a scene and the control program that plays unless other actions are given.

    Attributes:
        actuators: In the order of the control vector.
        controls: One row of ctrl values a frame interval, each of len(actuators); the last row holds after the end.
    """

    actuators: tuple[Actuator, ...]
    controls: tuple[tuple[float, ...], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "actuators", tuple(self.actuators))
        rows = tuple(vector(f"robot.controls[{i}]", row, len(self.actuators)) for i, row in enumerate(self.controls))
        object.__setattr__(self, "controls", rows)
        require("robot.actuators", "at least one", len(self.actuators) > 0, self.actuators)
