"""Jointed bodies as Bullet multi-bodies: trees of links in reduced coordinates.

A link's frame sits at its joint's anchor with the axes of its body, so that the inertial frame is only shifted. Trees
that float in a planar scene hang on two slides and a hinge without mass, which keeps them in the plane exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldsim.engines.pybullet.client import bullet, to_bullet
from worldsim.engines.pybullet.rotation import multiply, turn
from worldsim.engines.pybullet.shapes import collision_shapes
from worldsim.scene import Body, Joint, Scene, State
from worldsim.scene.checks import require

Array = NDArray[np.float64]
ORIGIN = State(position=(0.0, 0.0, 0.0))
_TYPES = {
    "hinge": bullet.JOINT_REVOLUTE,
    "slide": bullet.JOINT_PRISMATIC,
    "ball": bullet.JOINT_SPHERICAL,
    "fixed": bullet.JOINT_FIXED,
}
_PLANAR_ROOT = (("slide", (1.0, 0.0, 0.0)), ("slide", (0.0, 0.0, 1.0)), ("hinge", (0.0, 1.0, 0.0)))


@dataclass(frozen=True)
class Link:
    """One link of a multi-body.

    Attributes:
        body: Place in Scene.bodies, -1 for helpers without mass.
        parent: Index of the parent link, -1 for the base.
        kind: Of the joint to the parent.
        axis: Unit vector in the link's frame.
        position: Of the link's frame in the parent's frame at coordinate 0, metres.
        orientation: Quaternion w x y z of the link's frame in the parent's at coordinate 0.
        centre: Of mass, in the link's frame, metres.
        joint: Of the scene; None for helpers.
        shape: Bullet collision shape, -1 for none.
    """

    body: int
    parent: int
    kind: str
    axis: tuple[float, float, float]
    position: Array
    orientation: tuple[float, ...]
    centre: Array
    joint: Joint | None = None
    shape: int = -1


@dataclass(frozen=True)
class Tree:
    """A multi-body and where the scene's bodies are in it.

    Attributes:
        uid: Bullet's number of the multi-body.
        base: Place in Scene.bodies of its base, -1 where the base is the world itself.
        floating: Whether the base moves.
        links: In Bullet's order.
    """

    uid: int
    base: int
    floating: bool
    links: tuple[Link, ...]

    @property
    def members(self) -> list[tuple[int, int]]:
        """(place in Scene.bodies, link index) of every scene body in the tree, -1 for the base."""
        own = [(link.body, i) for i, link in enumerate(self.links) if link.body >= 0 and link.kind != "piece"]
        return ([(self.base, -1)] if self.base >= 0 else []) + own


def roots(scene: Scene) -> list[str | None]:
    """Where trees begin: bodies that carry others and hang on nothing, and None once for each child of the world."""
    children = {joint.child for joint in scene.joints}
    found: list[str | None] = []
    for joint in scene.joints:
        if joint.parent is None or (joint.parent not in children and joint.parent not in found):
            found.append(joint.parent)
    return found


def _pieces(place: int, parent: int, shapes: list[int]) -> list[Link]:
    """Further parts of a body's shape, as links fixed to it."""
    return [
        Link(place, parent, "piece", (0.0, 1.0, 0.0), np.zeros(3), (1.0, 0.0, 0.0, 0.0), np.zeros(3), None, shape)
        for shape in shapes
    ]


def build_trees(client: int, scene: Scene) -> list[Tree]:
    """Make a multi-body of every tree of joints. Poses and matter are set later.

    Args:
        client: Number of the physics client.
        scene: To be played.
    """
    trees = []
    from_world = [joint for joint in scene.joints if joint.parent is None]
    for root in roots(scene):
        first = [from_world.pop(0)] if root is None else [j for j in scene.joints if j.parent == root]
        trees.append(_build(client, scene, root, first))
    return trees


def _build(client: int, scene: Scene, root: str | None, first: list[Joint]) -> Tree:
    base = -1 if root is None else scene.index(root)
    static = root is None or scene.bodies[base].static
    links: list[Link] = []
    base_shape, parent = -1, -1
    if base >= 0 and (static or not scene.planar):
        base_shape, *rest = collision_shapes(client, scene.bodies[base].shape)
        links += _pieces(base, -1, rest)
    elif base >= 0:
        for kind, axis in _PLANAR_ROOT:
            body = base if kind == "hinge" else -1
            shape = -1
            if body >= 0:
                shape, *rest = collision_shapes(client, scene.bodies[base].shape)
            links.append(Link(body, parent, kind, axis, np.zeros(3), (1.0, 0.0, 0.0, 0.0), np.zeros(3), None, shape))
            parent = len(links) - 1
        links += _pieces(base, parent, rest)
    waiting = [(joint, parent, np.zeros(3)) for joint in first]
    while waiting:
        joint, at, offset = waiting.pop(0)
        place = scene.index(joint.child)
        anchor = np.array(joint.child_anchor)
        shape, *rest = collision_shapes(client, scene.bodies[place].shape, (-anchor).tolist())
        # The parent's link frame is at its own anchor, `offset` in its body frame.
        position = np.array(joint.parent_anchor) - offset
        links.append(Link(place, at, joint.kind, joint.axis, position, joint.reference, -anchor, joint, shape))
        index = len(links) - 1
        links += _pieces(place, index, rest)
        # Bullet numbers links depth first.
        waiting[:0] = [(child, index, anchor) for child in scene.joints if child.parent == joint.child]
    floating = not static and not scene.planar
    uid = bullet.createMultiBody(
        baseMass=scene.bodies[base].mass if floating else 0.0,
        baseCollisionShapeIndex=base_shape,
        linkMasses=[0.0 if k.body < 0 or k.kind == "piece" else scene.bodies[k.body].mass for k in links],
        linkCollisionShapeIndices=[k.shape for k in links],
        linkVisualShapeIndices=[-1] * len(links),
        linkPositions=[k.position.tolist() for k in links],
        linkOrientations=[to_bullet(k.orientation) for k in links],
        linkInertialFramePositions=[k.centre.tolist() for k in links],
        linkInertialFrameOrientations=[[0, 0, 0, 1]] * len(links),
        linkParentIndices=[k.parent + 1 for k in links],
        linkJointTypes=[_TYPES["fixed" if k.kind == "piece" else k.kind] for k in links],
        linkJointAxis=[list(k.axis) for k in links],
        flags=bullet.URDF_USE_SELF_COLLISION,
        physicsClientId=client,
    )
    tree = Tree(uid, base, floating, tuple(links))
    _free_joints(client, tree)
    return tree


def _free_joints(client: int, tree: Tree) -> None:
    """Switch off Bullet's default motors, and set limits."""
    for i, link in enumerate(tree.links):
        if link.kind in ("hinge", "slide"):
            bullet.setJointMotorControl2(tree.uid, i, bullet.VELOCITY_CONTROL, force=0, physicsClientId=client)
        elif link.kind == "ball":
            bullet.setJointMotorControlMultiDof(
                tree.uid,
                i,
                bullet.POSITION_CONTROL,
                targetPosition=[0, 0, 0, 1],
                positionGain=0,
                velocityGain=0,
                force=[0, 0, 0],
                physicsClientId=client,
            )
        limits = link.joint.limits if link.joint is not None else None
        if limits is not None:
            rule = "left out for a ball joint in PyBullet"
            require(f"joint[{link.joint.name if link.joint else ''}].limits", rule, link.kind != "ball", limits)
            bullet.changeDynamics(
                tree.uid,
                i,
                jointLowerLimit=limits[0],
                jointUpperLimit=limits[1],
                jointLimitForce=1e9,
                physicsClientId=client,
            )


def joint_start(link: Link, parent: State, child: State) -> tuple[Array, Array]:
    """The joint's coordinate and rate that put the child where its state says, seen from its parent's.

    Args:
        link: Of the child.
        parent: State of the parent body.
        child: State of the child body.

    Returns:
        Coordinate and rate: (1,) each in rad or m for hinge and slide; quaternion x y z w and (3,) rad/s in child axes
        for a ball; empty for fixed.
    """
    if link.kind in ("fixed", "piece"):
        return np.zeros(0), np.zeros(0)
    if link.joint is None and link.kind == "slide":
        along = np.array(link.axis)
        return np.array([along @ child.position]), np.array([along @ child.linear_velocity])
    conjugate = np.array([1.0, -1.0, -1.0, -1.0])
    mine = np.array(child.orientation)
    zero = multiply(np.array(parent.orientation), np.array(link.orientation))
    delta = multiply(zero * conjugate, mine)
    spin = np.subtract(child.angular_velocity, parent.angular_velocity)
    if link.kind == "ball":
        return np.array(to_bullet(delta)), turn(mine * conjugate, spin)
    axis = turn(mine, np.array(link.axis))
    if link.kind == "hinge":
        angle = 2 * math.atan2(float(delta[1:] @ np.array(link.axis)), float(delta[0]))
        return np.array([math.remainder(angle, 2 * math.pi)]), np.array([axis @ spin])
    assert link.joint is not None
    anchor = np.array(child.position) - turn(mine, link.centre)
    seat = np.array(parent.position) + turn(np.array(parent.orientation), np.array(link.joint.parent_anchor))
    # Velocity of the child's anchor against the point of the parent's frame that it passes.
    of_child = np.array(child.linear_velocity) + np.cross(child.angular_velocity, anchor - np.array(child.position))
    of_parent = np.array(parent.linear_velocity) + np.cross(parent.angular_velocity, anchor - np.array(parent.position))
    return np.array([(anchor - seat) @ axis]), np.array([axis @ (of_child - of_parent)])


def body_of(scene: Scene, tree: Tree, link: Link) -> tuple[State, State]:
    """States of the bodies on both sides of a link's joint."""
    helper = link.joint is None
    parent_name = None if link.joint is None else link.joint.parent
    parent = ORIGIN if parent_name is None or helper else scene.bodies[scene.index(parent_name)].state
    body: Body = scene.bodies[link.body if link.body >= 0 else tree.base]
    assert parent is not None
    assert body.state is not None
    return parent, body.state
