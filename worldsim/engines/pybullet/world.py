"""A Scene as a Bullet world: rigid bodies, multi-bodies for what is jointed, the pair law and the start states."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from worldsim.engines.pybullet.client import bullet, set_engine, to_bullet
from worldsim.engines.pybullet.drive import Drive
from worldsim.engines.pybullet.flight import Flight
from worldsim.engines.pybullet.shapes import collision_shapes
from worldsim.engines.pybullet.trees import Tree, body_of, build_trees, joint_start
from worldsim.engines.stepping import Stepping, exempt_pairs
from worldsim.scene import Body, Scene, State
from worldsim.scene.checks import require

Array = NDArray[np.float64]
# How far a linked body's start may be from what its joint allows: metres, radians, and their rates.
POSE_TOLERANCE = 1e-4
RATE_TOLERANCE = 1e-3


class BulletWorld:
    """One scene in one physics client.

    Args:
        client: Number of the physics client.
        scene: To be played.
        stepping: Sub-steps.
    """

    def __init__(self, client: int, scene: Scene, stepping: Stepping) -> None:
        self.client, self.scene, self.step = client, scene, stepping.step
        self.flight = Flight(np.array(scene.law.gravity), scene.law.drag, stepping.step)
        # Without slop, contact forces of a resting multi-body, which a ring is, flicker from step to step.
        rings = any(body.shape.kind == "ring" and not body.static for body in scene.bodies)
        set_engine(client, stepping.step, slop=1e-5 if rings else 0.0)
        self.trees = build_trees(client, scene)
        self.handle: dict[int, tuple[int, int]] = {}
        self.owner: dict[tuple[int, int], int] = {}
        for tree in self.trees:
            for place, link in tree.members:
                self.handle[place] = (tree.uid, link)
                self.owner[tree.uid, link] = place
            for i, part in enumerate(tree.links):
                if part.kind == "piece":
                    self.owner[tree.uid, i] = part.body
        self.jointed = set(self.handle)
        self.free: list[int] = []
        for place, body in enumerate(scene.bodies):
            if place not in self.handle:
                self._add(place, body)
        self._set_matter()
        self._exempt()
        # A static base is no part of what its tree does.
        self.members = [{place for place, _ in tree.members if not scene.bodies[place].static} for tree in self.trees]
        self.drives = [Drive(client, scene, tree, stepping.step) for tree in self.trees]
        # Bullet has one gravity; where drag makes that of free bodies differ, links get the rest as a force.
        gravity = self.flight.bullet_gravity
        bullet.setGravity(*gravity.tolist(), physicsClientId=client)
        self._link_extra = np.array(scene.law.gravity) - gravity
        loose = {i for i in self.jointed if not scene.bodies[i].static}
        self._dragged = sorted(loose | {i for i in self.free if self._is_ring(i)})

    def _add(self, place: int, body: Body) -> None:
        """A rigid body; a ring with many capsules is a multi-body with rigidly attached pieces where it moves."""
        assert body.state is not None
        first, *rest = collision_shapes(self.client, body.shape)
        pose = [list(body.state.position), to_bullet(body.state.orientation)]
        moving = not body.static and body.shape.kind == "ring"
        uid = bullet.createMultiBody(
            0.0 if body.static else body.mass,
            first,
            -1,
            *pose,
            useMaximalCoordinates=not moving,
            linkMasses=[0.0] * len(rest) if moving else [],
            linkCollisionShapeIndices=rest if moving else [],
            linkVisualShapeIndices=[-1] * len(rest) if moving else [],
            linkPositions=[[0, 0, 0]] * len(rest) if moving else [],
            linkOrientations=[[0, 0, 0, 1]] * len(rest) if moving else [],
            linkInertialFramePositions=[[0, 0, 0]] * len(rest) if moving else [],
            linkInertialFrameOrientations=[[0, 0, 0, 1]] * len(rest) if moving else [],
            linkParentIndices=[0] * len(rest) if moving else [],
            linkJointTypes=[bullet.JOINT_FIXED] * len(rest) if moving else [],
            linkJointAxis=[[0, 1, 0]] * len(rest) if moving else [],
            physicsClientId=self.client,
        )
        self.handle[place] = (uid, -1)
        self.owner[uid, -1] = place
        if not body.static:
            self.free.append(place)
        for i, shape in enumerate(rest):
            if moving:
                self.owner[uid, i] = place
            else:
                piece = bullet.createMultiBody(
                    0.0, shape, -1, *pose, useMaximalCoordinates=True, physicsClientId=self.client
                )
                self.owner[piece, -1] = place

    def _is_ring(self, place: int) -> bool:
        """Whether a free body is a multi-body, since it has more parts than Bullet's compounds hold."""
        return self.scene.bodies[place].shape.kind == "ring"

    def _set_matter(self) -> None:
        """The pair law and the inertia: Bullet multiplies the coefficients of a pair, so each body gives its root."""
        scene = self.scene
        for (uid, link), place in self.owner.items():
            body = scene.bodies[place]
            fields: dict[str, object] = {}
            if not body.static and self.handle[place] == (uid, link):
                inertia = list(body.inertia(scene.planar))
                if scene.planar and place not in self.jointed and not self._is_ring(place):
                    # Bullet takes zero for infinite: nothing turns the body out of its plane.
                    inertia[0] = inertia[2] = 0.0
                fields["localInertiaDiagonal"] = inertia
                if place in self.free and not self._is_ring(place):
                    # Rigid bodies lose their mass where the inertia comes without it.
                    fields["mass"] = body.mass
            if body.shape.kind == "polygon":
                fields["collisionMargin"] = 0.0
            bullet.changeDynamics(
                uid,
                link,
                restitution=math.sqrt(body.restitution),
                lateralFriction=math.sqrt(body.friction),
                spinningFriction=0.0,
                rollingFriction=0.0,
                jointDamping=0.0,
                # Bullet brakes bodies that are still apart, which spoils restitution: it may only act on touch.
                contactProcessingThreshold=0.0,
                physicsClientId=self.client,
                **fields,
            )
            # A call with one of these goes to the whole multi-body, whatever its link argument says.
            bullet.changeDynamics(
                uid,
                -1,
                linearDamping=self.flight.damping if place in self.free and not self._is_ring(place) else 0.0,
                angularDamping=0.0,
                maxJointVelocity=1e6,
                activationState=bullet.ACTIVATION_STATE_DISABLE_SLEEPING,
                physicsClientId=self.client,
            )

    def _exempt(self) -> None:
        """Pairs that never collide."""
        parts: dict[int, list[tuple[int, int]]] = {}
        for handle, place in self.owner.items():
            parts.setdefault(place, []).append(handle)
        pairs = exempt_pairs(self.scene) | {(i, i) for i, items in parts.items() if len(items) > 1}
        for i, j in pairs:
            for first in parts[i]:
                for second in parts[j]:
                    if first != second:
                        bullet.setCollisionFilterPair(
                            first[0], second[0], first[1], second[1], 0, physicsClientId=self.client
                        )

    def place(self, lead: dict[int, Array] | None = None) -> None:
        """Put everything at its start state.

        Args:
            lead: By tree, (n,) generalised velocities to take away from the start's, as from `rates`.
        """
        for place in self.free:
            state = self.scene.bodies[place].state
            assert state is not None
            uid, _ = self.handle[place]
            mean = self.flight.to_mean(np.array(state.linear_velocity))
            self._set_base(uid, state, mean, np.array(state.angular_velocity))
        for number, tree in enumerate(self.trees):
            self._place_tree(tree, (lead or {}).get(number))
            self.drives[number].forget()

    def _set_base(self, uid: int, state: State, linear: Array, angular: Array) -> None:
        bullet.resetBasePositionAndOrientation(
            uid, list(state.position), to_bullet(state.orientation), physicsClientId=self.client
        )
        bullet.resetBaseVelocity(uid, linear.tolist(), angular.tolist(), physicsClientId=self.client)

    def _place_tree(self, tree: Tree, lead: Array | None) -> None:
        at = 0

        def less(rate: Array) -> Array:
            nonlocal at
            at += len(rate)
            return rate if lead is None else rate - lead[at - len(rate) : at]

        if tree.base >= 0 and not any(link.body == tree.base and link.kind != "piece" for link in tree.links):
            state = self.scene.bodies[tree.base].state
            assert state is not None
            linear, angular = np.array(state.linear_velocity), np.array(state.angular_velocity)
            if tree.floating:
                linear, angular = less(linear), less(angular)
            else:
                linear = angular = np.zeros(3)
            self._set_base(tree.uid, state, linear, angular)
        for i, link in enumerate(tree.links):
            coordinate, rate = joint_start(link, *body_of(self.scene, tree, link))
            if len(rate) == 1:
                value = float(less(rate)[0])
                bullet.resetJointState(tree.uid, i, float(coordinate[0]), value, physicsClientId=self.client)
            elif len(rate) == 3:
                value3 = less(rate).tolist()
                bullet.resetJointStateMultiDof(tree.uid, i, coordinate.tolist(), value3, physicsClientId=self.client)

    def rates(self, tree: Tree) -> Array:
        """Generalised velocities of a tree: of a floating base linear, then angular; then of the joints in order."""
        parts: list[float] = []
        if tree.floating:
            linear, angular = bullet.getBaseVelocity(tree.uid, physicsClientId=self.client)
            parts += [*linear, *angular]
        for i, link in enumerate(tree.links):
            if link.kind in ("hinge", "slide"):
                parts.append(bullet.getJointState(tree.uid, i, physicsClientId=self.client)[1])
            elif link.kind == "ball":
                parts += bullet.getJointStateMultiDof(tree.uid, i, physicsClientId=self.client)[1]
        return np.array(parts)

    def check_start(self) -> None:
        """Refuse start states of linked bodies that their joints do not allow; call after `place`.

        Raises:
            ValueError: With body, rule and value.
        """
        for place in sorted(self.jointed):
            body = self.scene.bodies[place]
            if body.static:
                continue
            assert body.state is not None
            field = f"body[{body.name}].state"
            position, orientation, linear, angular = self.read(place)
            gap = float(np.abs(position - np.array(body.state.position)).max())
            rule = f"where its joint allows within {POSE_TOLERANCE:g} m; nearest is {position.tolist()}"
            require(f"{field}.position", rule, gap < POSE_TOLERANCE, body.state.position)
            cosine = min(1.0, abs(float(orientation @ np.array(body.state.orientation))))
            rule = f"turned as its joint allows within {POSE_TOLERANCE:g} rad; nearest is {orientation.tolist()}"
            require(f"{field}.orientation", rule, 2 * math.acos(cosine) < POSE_TOLERANCE, body.state.orientation)
            miss = max(
                float(np.abs(linear - np.array(body.state.linear_velocity)).max()),
                float(np.abs(angular - np.array(body.state.angular_velocity)).max()),
            )
            rule = f"what its joints allow within {RATE_TOLERANCE:g} m/s or rad/s"
            require(f"{field} velocity", rule, miss < RATE_TOLERANCE, miss)

    def read(self, place: int) -> tuple[Array, Array, Array, Array]:
        """Position, orientation w x y z, linear and angular velocity of a body as Bullet has them."""
        uid, link = self.handle[place]
        if link < 0:
            position, orientation = bullet.getBasePositionAndOrientation(uid, physicsClientId=self.client)
            linear, angular = bullet.getBaseVelocity(uid, physicsClientId=self.client)
        else:
            state = bullet.getLinkState(uid, link, 1, 1, physicsClientId=self.client)
            position, orientation, linear, angular = state[0], state[1], state[6], state[7]
        x, y, z, w = orientation
        return np.array(position), np.array([w, x, y, z]), np.array(linear), np.array(angular)

    def push_links(self) -> None:
        """Drag on multi-bodies for one sub-step, as forces on centres of mass; Bullet's damping there is not exact."""
        if self.scene.law.drag == 0:
            return
        for place in self._dragged:
            body = self.scene.bodies[place]
            position, _, velocity, _ = self.read(place)
            if place in self.jointed:
                # Links want the law's gravity, of which the world's falls short under drag.
                force = body.mass * (self._link_extra - self.scene.law.drag * velocity)
            else:
                force = body.mass * math.expm1(-self.scene.law.drag * self.step) / self.step * velocity
            uid, link = self.handle[place]
            bullet.applyExternalForce(
                uid, link, force.tolist(), position.tolist(), bullet.WORLD_FRAME, physicsClientId=self.client
            )

    def keep_plane(self) -> None:
        """Take the rounding drift of free planar bodies out of the plane away."""
        for place in self.free:
            uid, _ = self.handle[place]
            position, orientation = bullet.getBasePositionAndOrientation(uid, physicsClientId=self.client)
            linear, angular = bullet.getBaseVelocity(uid, physicsClientId=self.client)
            if position[1] != 0 or linear[1] != 0 or orientation[0] != 0 or orientation[2] != 0:
                size = math.hypot(orientation[1], orientation[3])
                flat = (0.0, orientation[1] / size, 0.0, orientation[3] / size)
                bullet.resetBasePositionAndOrientation(
                    uid, (position[0], 0.0, position[2]), flat, physicsClientId=self.client
                )
                bullet.resetBaseVelocity(
                    uid, (linear[0], 0.0, linear[2]), (0.0, angular[1], 0.0), physicsClientId=self.client
                )
