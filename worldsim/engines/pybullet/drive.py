"""Joint forces: actuators, damping, stiffness and rotor inertia, taken implicitly in the joint rates.

Explicit damping of light links diverges, and Bullet has neither rotor inertia nor an implicit damper. With the mass
matrix M, rotor inertia A, damping D and the law's force f(q, q'), the acceleration wanted is
(M + A + theta h D) q'' = f - b, where b holds gravity, Coriolis and contact forces. With rates staggered by half a
step, theta = 1/2 is the midpoint rule, of second order; where h D / M exceeds 2 it would ring, and
theta = 1 - M / (h D) is the least that does not. The torque that makes Bullet's own M q'' = torque - b give that is
f - (A + theta h D) q''. The bias is learnt from the steps before, b = torque - M q'', and carried on linearly. Its
slope is the lesser of the last two where they agree in sign and else zero, so that the jumps of contacts and limits are
not carried on.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from worldsim.engines.pybullet.client import bullet
from worldsim.engines.pybullet.rotation import rotation_vector
from worldsim.engines.pybullet.trees import Tree
from worldsim.scene import Scene

Array = NDArray[np.float64]


class Drive:
    """The forces on one tree's joints.

    Args:
        client: Number of the physics client.
        scene: Whose joints and actuators these are.
        tree: The multi-body.
        step: Sub-step h, seconds.
    """

    def __init__(self, client: int, scene: Scene, tree: Tree, step: float) -> None:
        self.client, self.tree, self.step = client, tree, step
        driven = {actuator.joint for actuator in scene.robot.actuators} if scene.robot else set()
        self.links: list[int] = []
        self.balls: list[int] = []
        self._position_links: list[int] = []
        places: list[int] = []
        place = 6 if tree.floating else 0
        for i, link in enumerate(tree.links):
            joint = link.joint
            if link.kind == "ball":
                if joint is not None and (joint.damping > 0 or joint.stiffness > 0):
                    self.balls.append(i)
                place += 3
            elif link.kind in ("hinge", "slide"):
                if joint is not None and (
                    joint.name in driven or joint.damping > 0 or joint.stiffness > 0 or joint.armature > 0
                ):
                    self.links.append(i)
                    places.append(place)
                place += 1
        self._size = place
        self._places = np.array(places, dtype=np.int64)
        self._others = np.setdiff1d(np.arange(place), self._places)
        joints = [tree.links[i].joint for i in self.links]
        self._damping = np.array([j.damping for j in joints if j is not None])
        self._stiffness = np.array([j.stiffness for j in joints if j is not None])
        self._armature = np.array([j.armature for j in joints if j is not None])
        names = [j.name for j in joints if j is not None]
        actuators = scene.robot.actuators if scene.robot else ()
        mine = [(k, a) for k, a in enumerate(actuators) if a.joint in names]
        self._controls = np.array([k for k, _ in mine], dtype=np.int64)
        self._target = np.array([names.index(a.joint) for _, a in mine], dtype=np.int64)
        self._gain = np.array([a.gain for _, a in mine])
        self._position = np.array([a.kind == "position" for _, a in mine], dtype=bool)
        self._actuator_damping = np.array([a.damping if a.kind == "position" else 0.0 for _, a in mine])
        self._range = np.array([a.limits for _, a in mine]).reshape(-1, 2)
        self._most = np.array([a.force_limit for _, a in mine])
        self._bias: Array | None = None
        self._slope = np.zeros(len(self.links))
        self._change = np.zeros(len(self.links))
        self._now: tuple[Array, Array] | None = None
        self._scalars = [i for i, link in enumerate(tree.links) if link.kind in ("hinge", "slide")]
        self._mine = np.array([self._scalars.index(i) for i in self.links], dtype=np.int64)
        self._has_balls = any(link.kind == "ball" for link in tree.links)

    def forget(self) -> None:
        """The tree was put somewhere else: joint states are read anew."""
        self._now = None

    def _read(self) -> tuple[Array, Array]:
        """Coordinates and rates of all hinges and slides of the tree."""
        states = bullet.getJointStates(self.tree.uid, self._scalars, physicsClientId=self.client)
        return np.array([s[0] for s in states]), np.array([s[1] for s in states])

    def _mass(self, scalars: Array) -> Array:
        """Mass matrix of the driven coordinates with all others free: the Schur complement."""
        coordinates = scalars.tolist()
        if self._has_balls:
            values = iter(coordinates)
            coordinates = []
            for i, link in enumerate(self.tree.links):
                if link.kind in ("hinge", "slide"):
                    coordinates.append(next(values))
                elif link.kind == "ball":
                    coordinates += bullet.getJointStateMultiDof(self.tree.uid, i, physicsClientId=self.client)[0]
        full = np.array(bullet.calculateMassMatrix(self.tree.uid, coordinates, physicsClientId=self.client))
        if len(self._others) == 0:
            return full
        mine = full[np.ix_(self._places, self._places)]
        across = full[np.ix_(self._places, self._others)]
        rest = full[np.ix_(self._others, self._others)]
        return np.asarray(mine - across @ np.linalg.solve(rest, across.T))

    def forces(self, position: Array, rate: Array, control: Array) -> tuple[Array, Array]:
        """The law's forces on the driven coordinates and their derivative by the rates, negated.

        Args:
            position: (n,) rad or m.
            rate: (n,) rad/s or m/s.
            control: (A,) ctrl values of all actuators of the scene.

        Returns:
            (n,) N m or N, and (n,) damping N m s or N s/m of what is not cut off by a force limit.
        """
        force = -self._stiffness * position - self._damping * rate
        damping = self._damping.copy()
        if len(self._controls):
            ctrl = np.clip(control[self._controls], self._range[:, 0], self._range[:, 1])
            at = self._target
            pull = self._gain * (ctrl - np.where(self._position, position[at], 0.0)) - self._actuator_damping * rate[at]
            np.add.at(force, at, np.clip(pull, -self._most, self._most))
            np.add.at(damping, at, np.where(np.abs(pull) < self._most, self._actuator_damping, 0.0))
        return force, damping

    def apply(self, controls: tuple[Array, ...]) -> None:
        """Set the torques of the coming sub-step; `observe` has to follow it.

        Args:
            controls: (A,) ctrl values whose forces act, averaged. Rates being staggered, the sub-step spans half of the
                time before its instant and half of that after: two rows where the control changes there.
        """
        for i in self.balls:
            self._apply_ball(i)
        if not self.links:
            return
        scalars, rates = self._now or self._read()
        position, rate = scalars[self._mine], rates[self._mine]
        answers = [self.forces(position, rate, control) for control in controls]
        force = sum((answer[0] for answer in answers), np.zeros(len(rate))) / len(answers)
        damping = answers[-1][1]
        mass = self._mass(scalars)
        if self._bias is None:
            torque = np.zeros(len(self.links))
        else:
            stiff = self.step * damping
            resist = self._armature + np.maximum(0.5 * stiff, stiff - np.diagonal(mass) - self._armature)
            acceleration = np.linalg.solve(mass + np.diag(resist), force - self._bias - self._slope)
            torque = force - resist * acceleration
        self._rate, self._torque, self._matrix = rate, torque, mass
        bullet.setJointMotorControlArray(
            self.tree.uid, self.links, bullet.TORQUE_CONTROL, forces=torque.tolist(), physicsClientId=self.client
        )

    def observe(self) -> None:
        """Learn the bias from what the sub-step did."""
        if not self.links:
            return
        self._now = self._read()
        bias = self._torque - self._matrix @ ((self._now[1][self._mine] - self._rate) / self.step)
        if self._bias is not None:
            change, last = bias - self._bias, self._change
            lesser = np.where(np.abs(change) < np.abs(last), change, last)
            self._slope = np.where(change * last > 0, lesser, 0.0)
            self._change = change
        self._bias = bias

    def _apply_ball(self, i: int) -> None:
        """Torque of a ball joint's spring and damper, in the child's axes, explicit."""
        joint = self.tree.links[i].joint
        assert joint is not None
        state = bullet.getJointStateMultiDof(self.tree.uid, i, physicsClientId=self.client)
        x, y, z, w = state[0]
        angle = rotation_vector(np.array([w, x, y, z]))
        torque = -joint.stiffness * angle - joint.damping * np.array(state[1])
        bullet.setJointMotorControlMultiDof(
            self.tree.uid, i, bullet.TORQUE_CONTROL, force=torque.tolist(), physicsClientId=self.client
        )
