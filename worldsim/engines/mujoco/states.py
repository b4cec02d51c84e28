"""Scene states into MuJoCo coordinates and back: start states, body poses, world-frame velocities."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.engines.mujoco.backend import mujoco
from worldsim.engines.mujoco.model import Compiled
from worldsim.scene import Joint, Scene, State
from worldsim.scene.checks import require

Array = NDArray[np.float64]
# How far a linked body's start state may be from what its joint allows: metres, radians, and their rates.
POSE_TOLERANCE = 1e-4
RATE_TOLERANCE = 1e-3


def _turn(quaternion: Array, vector: Array) -> Array:
    out = np.zeros(3)
    mujoco.mju_rotVecQuat(out, np.asarray(vector, dtype=np.float64), np.asarray(quaternion, dtype=np.float64))
    return out


def _between(first: Array, second: Array) -> Array:
    """The quaternion that takes `first` to `second` in the frame of `first`."""
    inverse, out = np.zeros(4), np.zeros(4)
    mujoco.mju_negQuat(inverse, np.asarray(first, dtype=np.float64))
    mujoco.mju_mulQuat(out, inverse, np.asarray(second, dtype=np.float64))
    return out


def _coordinate(joint: Joint, parent: State | None, child: State) -> Array:
    """The joint's coordinates that put the child where its start state says, seen from its parent's."""
    turn = np.array(parent.orientation if parent else (1.0, 0.0, 0.0, 0.0))
    origin = np.array(parent.position if parent else (0.0, 0.0, 0.0))
    mine = np.array(child.orientation)
    out = np.zeros(4)
    mujoco.mju_mulQuat(out, turn, np.array(joint.reference))
    delta = _between(out, mine)
    if joint.kind == "ball":
        return delta
    if joint.kind == "hinge":
        angle = 2 * math.atan2(float(delta[1:] @ np.array(joint.axis)), float(delta[0]))
        return np.array([math.remainder(angle, 2 * math.pi)])
    anchor = np.array(child.position) + _turn(mine, np.array(joint.child_anchor))
    seat = origin + _turn(turn, np.array(joint.parent_anchor))
    return np.array([(anchor - seat) @ _turn(mine, np.array(joint.axis))])


def set_start(compiled: Compiled, data: Any, scene: Scene) -> None:
    """Write the scene's start states into qpos and qvel.

    Raises:
        ValueError: Where a linked body's start pose or velocity contradicts its joints.
    """
    model = compiled.model
    states = [body.state for body in scene.bodies]
    by_name = {body.name: body.state for body in scene.bodies}
    for place, state in enumerate(states):
        assert state is not None
        free, planar = int(compiled.free_address[place]), int(compiled.planar_address[place])
        dof = int(model.body_dofadr[compiled.body_ids[place]])
        if free >= 0:
            data.qpos[free : free + 7] = (*state.position, *state.orientation)
            data.qvel[dof : dof + 3] = state.linear_velocity
            # A free joint's angular velocity is in the body frame.
            inverse = _between(np.array(state.orientation), np.array([1.0, 0.0, 0.0, 0.0]))
            data.qvel[dof + 3 : dof + 6] = _turn(inverse, np.array(state.angular_velocity))
        elif planar >= 0:
            angle = 2 * math.atan2(state.orientation[2], state.orientation[0])
            data.qpos[planar : planar + 3] = (state.position[0], state.position[2], angle)
            linear = state.linear_velocity
            data.qvel[dof : dof + 3] = (linear[0], linear[2], state.angular_velocity[1])
    for joint in scene.joints:
        if joint.kind == "fixed":
            continue
        child = by_name[joint.child]
        assert child is not None
        value = _coordinate(joint, by_name[joint.parent] if joint.parent else None, child)
        address = int(model.joint(joint.name).qposadr[0])
        data.qpos[address : address + len(value)] = value
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)
    if compiled.jointed:
        _check_poses(compiled, data, scene)
        _set_joint_rates(compiled, data, scene)


def _check_poses(compiled: Compiled, data: Any, scene: Scene) -> None:
    for place in compiled.jointed:
        body, number = scene.bodies[place], compiled.body_ids[place]
        assert body.state is not None
        gap = float(np.abs(data.xpos[number] - np.array(body.state.position)).max())
        rule = f"where its joint allows within {POSE_TOLERANCE:g} m; nearest is {data.xpos[number].tolist()}"
        require(f"body[{body.name}].state.position", rule, gap < POSE_TOLERANCE, body.state.position)
        turn = _between(np.array(body.state.orientation), data.xquat[number])
        angle = 2 * float(np.linalg.norm(turn[1:]))
        rule = f"turned as its joint allows within {POSE_TOLERANCE:g} rad; nearest is {data.xquat[number].tolist()}"
        require(f"body[{body.name}].state.orientation", rule, angle < POSE_TOLERANCE, body.state.orientation)


def _set_joint_rates(compiled: Compiled, data: Any, scene: Scene) -> None:
    """Find the joint rates that give the start velocities of all moving bodies, by least squares over Jacobians."""
    model = compiled.model
    moving = [i for i, body in enumerate(scene.bodies) if not body.static]
    rows, wanted = [], []
    for place in moving:
        linear, angular = np.zeros((3, model.nv)), np.zeros((3, model.nv))
        mujoco.mj_jacBody(model, data, linear, angular, int(compiled.body_ids[place]))
        rows += [linear, angular]
        state = scene.bodies[place].state
        assert state is not None
        wanted += [state.linear_velocity, state.angular_velocity]
    jacobian, target = np.concatenate(rows), np.concatenate([np.array(w) for w in wanted])
    rates = np.linalg.lstsq(jacobian, target, rcond=None)[0] if model.nv else np.zeros(0)
    misses = np.abs(jacobian @ rates - target).reshape(len(moving), 6).max(axis=1)
    worst = int(misses.argmax())
    rule = f"what its joints allow within {RATE_TOLERANCE:g} m/s or rad/s"
    name = scene.bodies[moving[worst]].name
    require(f"body[{name}].state velocity", rule, bool(misses[worst] < RATE_TOLERANCE), float(misses[worst]))
    data.qvel[:] = rates


def read_velocities(compiled: Compiled, data: Any) -> tuple[Array, Array]:
    """World-frame velocities of the centres of mass and angular velocities, (N, 3) each; needs a fresh mj_comVel."""
    numbers = compiled.body_ids
    roots = compiled.model.body_rootid[numbers]
    return centre_velocities(data.cvel[numbers], data.xipos[numbers], data.subtree_com[roots])


def centre_velocities(spatial: Array, centres: Array, references: Array) -> tuple[Array, Array]:
    """World-frame velocities of centres of mass, and angular velocities, (..., 3) each.

    MuJoCo's cvel is taken at the tree's centre of mass c: v(com) = v(c) + w x (com - c).

    Args:
        spatial: (..., 6) cvel, angular before linear.
        centres: (..., 3) centres of mass, metres.
        references: (..., 3) centres of mass of their trees, metres.
    """
    angular, arm = spatial[..., :3], centres - references
    # Written out: np.cross costs ten times as much on few rows, and this runs at every choice of steps.
    swing = angular[..., [1, 2, 0]] * arm[..., [2, 0, 1]] - angular[..., [2, 0, 1]] * arm[..., [1, 2, 0]]
    return spatial[..., 3:] + swing, angular.copy()
