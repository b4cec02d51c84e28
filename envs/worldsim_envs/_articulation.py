"""Articulated bodies told the easy way: links at rest in one frame, joints by a point and an axis in that frame.

The joint tree itself (anchors, axes and references in body frames) is worldsim.scene's; here it is built,
and its forward kinematics solved, so that start states agree with joint coordinates. Dynamics belongs to the engines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.scene import Body, Joint, State

Array = NDArray[np.float64]
Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]
Numbers = Sequence[float] | Array


def triple(values: Any) -> Vector:
    """Three plain floats, as the scene tree keeps them."""
    x, y, z = (float(v) for v in values)
    return (x, y, z)


def quaternion(values: Any) -> Quaternion:
    """Four plain floats w x y z, brought to unit length."""
    w, x, y, z = (float(v) for v in np.asarray(values) / np.linalg.norm(values))
    return (w, x, y, z)


def multiply(a: Numbers, b: Numbers) -> Quaternion:
    """Hamilton product: the rotation b, then a."""
    aw, ax, ay, az = a
    bw, bx, by, bz = b
    return quaternion(
        (
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        )
    )


def conjugate(q: Numbers) -> Quaternion:
    """The opposite rotation of a unit quaternion."""
    return (q[0], -q[1], -q[2], -q[3])


def about(axis: Numbers, angle: float) -> Quaternion:
    """The rotation by `angle` radians about a unit axis, right-handed."""
    x, y, z = np.sin(angle / 2) * np.asarray(axis, dtype=np.float64)
    return quaternion((np.cos(angle / 2), x, y, z))


def rotate(q: Numbers, vector: Numbers) -> Array:
    """The (3,) vector turned by a unit quaternion."""
    w, u, v = q[0], np.asarray(q[1:]), np.asarray(vector, dtype=np.float64)
    turned: Array = v + 2 * np.cross(u, np.cross(u, v) + w * v)
    return turned


def from_z(direction: Numbers) -> Quaternion:
    """The shortest rotation that turns the z axis into `direction`: how a capsule is laid along a line."""
    d = np.asarray(direction, dtype=np.float64) / np.linalg.norm(direction)
    if d[2] < -1 + 1e-12:
        return (0.0, 1.0, 0.0, 0.0)
    return quaternion((1 + d[2], -d[1], d[0], 0.0))


@dataclass
class Rig:
    """Links at rest and the joints between them; every joint coordinate is 0 at rest.

    Attributes:
        bodies: In the order of addition.
        joints: In the order of addition, parents before their children.
    """

    bodies: list[Body] = field(default_factory=list)
    joints: list[Joint] = field(default_factory=list)

    def add(self, body: Body) -> str:
        """Add a link in its rest pose and return its name."""
        self.bodies.append(body)
        return body.name

    def join(
        self,
        name: str,
        kind: str,
        child: str,
        parent: str | None,
        point: Numbers,
        axis: Numbers = (0.0, 1.0, 0.0),
        **properties: Any,
    ) -> str:
        """Join two links at rest and return the joint's name.

        Args:
            name: Of the joint.
            kind: hinge, slide, ball or fixed.
            child: Link that the joint moves.
            parent: Link that carries it, None for the world.
            point: (3,) of the joint at rest, metres, in the frame that the links' rest poses are told in.
            axis: (3,) unit vector in that frame.
            **properties: limits, damping, stiffness, armature of Joint.
        """
        at, turn = self._pose(child)
        base, base_turn = (np.zeros(3), (1.0, 0.0, 0.0, 0.0)) if parent is None else self._pose(parent)
        joint = Joint(
            name=name,
            kind=kind,
            child=child,
            parent=parent,
            parent_anchor=triple(rotate(conjugate(base_turn), np.asarray(point) - base)),
            child_anchor=triple(rotate(conjugate(turn), np.asarray(point) - at)),
            axis=triple(rotate(conjugate(turn), axis)),
            reference=multiply(conjugate(base_turn), turn),
            **properties,
        )
        self.joints.append(joint)
        return name

    def _pose(self, name: str) -> tuple[Array, Quaternion]:
        state = next(body.state for body in self.bodies if body.name == name)
        assert state is not None
        return np.array(state.position), state.orientation


def forward_kinematics(
    joints: Sequence[Joint],
    coordinates: Mapping[str, float],
    roots: Mapping[str, State],
    rates: Mapping[str, float] | None = None,
) -> dict[str, State]:
    """States of all links from joint coordinates.

    Args:
        joints: Hinges, slides and fixed joints, parents before their children.
        coordinates: Joint name to radians or metres; 0 where left out.
        roots: States of the links that no joint moves.
        rates: Joint name to rad/s or m/s; 0 where left out.

    Returns:
        Link name to state, roots included, world frame.
    """
    rates = rates or {}
    states = dict(roots)
    for joint in joints:
        if joint.kind == "ball":
            raise ValueError(f"joint[{joint.name}].kind: must be hinge, slide or fixed, got {joint.kind!r}")
        parent = State((0.0, 0.0, 0.0)) if joint.parent is None else states[joint.parent]
        value = 0.0 if joint.kind == "fixed" else coordinates.get(joint.name, 0.0)
        rate = 0.0 if joint.kind == "fixed" else rates.get(joint.name, 0.0)
        turn = multiply(parent.orientation, joint.reference)
        spin = np.array(parent.angular_velocity)
        reach = rotate(parent.orientation, joint.parent_anchor)
        slip = np.zeros(3)
        if joint.kind == "hinge":
            turn = multiply(turn, about(joint.axis, value))
            spin = spin + rate * rotate(turn, joint.axis)
        if joint.kind == "slide":
            reach = reach + value * rotate(turn, joint.axis)
            slip = rate * rotate(turn, joint.axis)
        arm = rotate(turn, joint.child_anchor)
        speed = parent.linear_velocity + np.cross(parent.angular_velocity, reach) + slip - np.cross(spin, arm)
        states[joint.child] = State(
            position=triple(parent.position + reach - arm),
            orientation=turn,
            linear_velocity=triple(speed),
            angular_velocity=triple(spin),
        )
    return states


def posed(bodies: Sequence[Body], states: Mapping[str, State]) -> tuple[Body, ...]:
    """The same bodies with the states given by name; bodies without one keep theirs."""
    return tuple(replace(body, state=states.get(body.name, body.state)) for body in bodies)


def lowest_point(body: Body) -> float:
    """Height of a capsule's, sphere's or box's lowest point, metres."""
    assert body.state is not None
    shape, z = body.shape, body.state.position[2]
    if shape.kind == "sphere":
        return z - shape.extent
    axes = [abs(float(rotate(body.state.orientation, axis)[2])) for axis in np.eye(3)]
    if shape.kind == "capsule":
        return z - shape.half_length * axes[2] - shape.radius  # type: ignore[union-attr]
    if shape.kind == "box":
        return z - float(np.dot(axes, shape.half_extents))  # type: ignore[union-attr]
    raise ValueError(f"body[{body.name}].shape: must be a capsule, sphere or box, got {shape.kind!r}")
