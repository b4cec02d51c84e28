"""Kinematics against C MuJoCo, pendula against closed forms, walkers that walk, stay upright and meet."""

from __future__ import annotations

import math

import mujoco
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ellipk

import worldsim as ws
from worldsim.engines import get_engine
from worldsim.engines.mujoco.model import compile_scene
from worldsim.engines.overlap import refuse_overlap
from worldsim.scene import Body, Box, Capsule, Robot, Scene, Sphere, State, check_scenario, make_scene, scenarios
from worldsim_envs import crossing_quadrupeds, walker
from worldsim_envs._articulation import (
    Rig,
    about,
    conjugate,
    forward_kinematics,
    from_z,
    lowest_point,
    multiply,
    quaternion,
    rotate,
)
from worldsim_envs._common import floor

VARIANTS = [
    ("crossing_quadrupeds", {}),
    ("crossing_quadrupeds", {"fps": 30.0}),
    ("pendulum", {}),
    ("pendulum", {"links": 2}),
    ("newtons_cradle", {}),
    ("newtons_cradle", {"balls": 3, "lifted": 2}),
    ("newtons_cradle", {"balls": 4}),
    ("robot_push", {}),
    ("robot_push", {"fps": 12.0, "duration": 4.0}),
]


@pytest.mark.parametrize(("name", "parameters"), VARIANTS)
def test_contract_and_no_overlap_at_the_start(name, parameters):
    check_scenario(scenarios()[name], seeds=2, parameters=parameters)
    for split in ("id", "ood"):
        for seed in range(3):
            refuse_overlap(make_scene(name, seed, split, **parameters))


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("pendulum", {"links": 3}),
        ("pendulum", {"duration": -1.0}),
        ("newtons_cradle", {"balls": 6}),
        ("newtons_cradle", {"balls": 3, "lifted": 3}),
        ("crossing_quadrupeds", {"fps": 5.0}),
        ("robot_push", {"duration": 0.5}),
        ("robot_push", {"pixels": 64.0}),
    ],
)
def test_parameters_out_of_range_are_refused(name, parameters):
    with pytest.raises(ValueError, match=f"{name}.{list(parameters)[-1]}: must be"):
        make_scene(name, 0, **parameters)


# Kinematics.


@given(st.lists(st.floats(-1, 1), min_size=3, max_size=3).filter(lambda v: np.linalg.norm(v) > 1e-3))
def test_from_z_turns_z_onto_the_direction(direction):
    unit = np.array(direction) / np.linalg.norm(direction)
    np.testing.assert_allclose(rotate(from_z(direction), (0, 0, 1)), unit, atol=1e-9)


def test_positive_rotation_about_y_turns_z_towards_x():
    np.testing.assert_allclose(rotate(about((0, 1, 0), math.pi / 2), (0, 0, 1)), (1, 0, 0), atol=1e-12)


def test_joining_links_keeps_their_rest_pose():
    rig, rng = Rig(), np.random.default_rng(0)
    parts = []
    for i in range(4):
        state = State(tuple(rng.normal(size=3)), quaternion(rng.normal(size=4)))
        parts.append(rig.add(Body(f"link{i}", Box((0.1, 0.1, 0.1)), state)))
        if i:
            axis = rng.normal(size=3)
            kind = ("hinge", "slide", "fixed")[i - 1]
            rig.join(f"joint{i}", kind, parts[i], parts[i - 1], rng.normal(size=3), axis / np.linalg.norm(axis))
    root = {parts[0]: rig.bodies[0].state}
    states = forward_kinematics(rig.joints, {}, root)
    for body in rig.bodies:
        np.testing.assert_allclose(states[body.name].position, body.state.position, atol=1e-12)
        turn = multiply(conjugate(states[body.name].orientation), body.state.orientation)
        np.testing.assert_allclose(turn[1:], 0, atol=1e-12)


@pytest.mark.parametrize("name", ["crossing_quadrupeds", "robot_push", "pendulum"])
def test_forward_kinematics_agrees_with_mujoco(name):
    scene = make_scene(name, 3, "ood", **({"links": 2} if name == "pendulum" else {}))
    rng = np.random.default_rng(1)
    model = compile_scene(scene).model
    data = mujoco.MjData(model)
    mujoco.mj_resetData(model, data)
    coordinates, rates = {}, {}
    for joint in scene.joints:
        if joint.kind != "fixed":
            coordinates[joint.name], rates[joint.name] = rng.uniform(-1.5, 1.5), rng.normal()
            data.qpos[model.joint(joint.name).qposadr[0]] = coordinates[joint.name]
            data.qvel[model.joint(joint.name).dofadr[0]] = rates[joint.name]
    children = {joint.child for joint in scene.joints}
    roots = {}
    for body in scene.bodies:
        if body.name in children or body.static or body.name == "cube":
            continue
        turn, spin = quaternion(rng.normal(size=4)), rng.normal(size=3)
        roots[body.name] = State(tuple(rng.normal(size=3)), turn, tuple(rng.normal(size=3)), tuple(spin))
        joint = model.joint(f"{body.name}/free")
        start, dof = joint.qposadr[0], joint.dofadr[0]
        data.qpos[start : start + 7] = (*roots[body.name].position, *turn)
        data.qvel[dof : dof + 3] = roots[body.name].linear_velocity
        data.qvel[dof + 3 : dof + 6] = rotate(conjugate(turn), spin)
    mujoco.mj_forward(model, data)
    states = forward_kinematics(scene.joints, coordinates, roots, rates)
    assert children <= set(states)
    velocity = np.zeros(6)
    for link, state in states.items():
        number = model.body(link).id
        np.testing.assert_allclose(state.position, data.xpos[number], atol=1e-9)
        turn = multiply(conjugate(state.orientation), data.xquat[number])
        np.testing.assert_allclose(turn[1:], 0, atol=1e-9)
        mujoco.mj_objectVelocity(model, data, int(mujoco.mjtObj.mjOBJ_BODY), number, velocity, 0)
        np.testing.assert_allclose(state.angular_velocity, velocity[:3], atol=1e-8)
        np.testing.assert_allclose(state.linear_velocity, velocity[3:], atol=1e-8)


@pytest.mark.parametrize("shape", [Sphere(0.2), Capsule(0.1, 0.3), Box((0.1, 0.2, 0.3))])
def test_lowest_point_against_the_surface(shape):
    rng = np.random.default_rng(2)
    body = Body("b", shape, State((0.3, 0.1, 1.0), quaternion(rng.normal(size=4))))
    directions = rng.normal(size=(4000, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    if isinstance(shape, Box):
        points = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, -1).T * shape.half_extents
    elif isinstance(shape, Capsule):
        points = shape.radius * directions + np.sign(directions[:, 2:]) * (0, 0, shape.half_length)
    else:
        points = shape.radius * directions
    lowest = min(rotate(body.state.orientation, point)[2] for point in points) + 1.0
    assert lowest - 5e-3 < lowest_point(body) <= lowest + 1e-12


@given(st.floats(-0.15, 0.15), st.floats(-0.24, -0.08), st.sampled_from([-1.0, 1.0]))
def test_leg_angles_bring_the_foot_there(forward, up, bend):
    hip, knee = walker.leg_angles((forward, up), 0.15, 0.14, bend)

    def reached(length, angle):
        return length * rotate(about((0, 1, 0), angle), (0, 0, -1))

    foot = reached(0.15, hip) + reached(0.14, hip + knee)
    np.testing.assert_allclose(foot, (forward, 0, up), atol=1e-9)
    # The knee lies on the side of the line from hip to foot that `bend` names.
    assert np.sign(np.cross(foot, reached(0.15, hip))[1]) == np.sign(-bend)


def test_legs_out_of_reach_are_refused():
    with pytest.raises(ValueError, match=r"leg.reach: must be between 0.01 and 0.29"):
        walker.leg_angles((0.0, -0.4), 0.15, 0.14, 1.0)


def test_gait_is_continuous_and_its_stance_moves_at_the_told_speed():
    gait = walker.trot(1.1, 0.7, 24.0)
    phases = np.linspace(0, 1, 20001)
    feet = np.array([gait.foot(phase) for phase in phases])
    assert np.abs(np.diff(feet, axis=0)).max() < 1e-4
    np.testing.assert_allclose(gait.foot(1.0), gait.foot(0.0), atol=1e-12)
    stance = phases < gait.duty - 1e-3
    np.testing.assert_allclose(np.gradient(feet[stance, 0], phases[stance] / gait.frequency), -0.7, rtol=1e-6)
    np.testing.assert_allclose(feet[stance, 1], -gait.height)


# Pendula.


def physical_period(scene: Scene) -> float:
    """4 sqrt(I / (m g d)) K(sin^2(amplitude / 2)), Landau & Lifshitz, Mechanics, section 11."""
    rod, bob = scene.bodies[scene.index("rod_1")], scene.bodies[scene.index("bob_1")]
    pivot = np.array(scene.joints[0].parent_anchor)
    inertia = moment = 0.0
    for body in (rod, bob):
        d = float(np.linalg.norm(np.subtract(body.state.position, pivot)))
        inertia += body.inertia()[1] + body.mass * d * d
        moment += body.mass * d
    hang = np.subtract(bob.state.position, pivot)
    amplitude = math.atan2(abs(hang[0]), -hang[2])
    return 4 * math.sqrt(inertia / (9.81 * moment)) * float(ellipk(math.sin(amplitude / 2) ** 2))


@pytest.mark.parametrize(("seed", "split"), [(0, "id"), (1, "id"), (2, "ood"), (5, "ood"), (7, "ood")])
def test_pendulum_has_the_period_of_the_physical_pendulum(seed, split):
    scene = make_scene("pendulum", seed, split, duration=5.0, fps=100.0)
    trajectory = get_engine("mujoco").simulate(scene, render=False).trajectory
    pivot = np.array(scene.joints[0].parent_anchor)
    hang = trajectory.position[:, scene.index("bob_1")].numpy() - pivot
    angle = np.arctan2(hang[:, 0], -hang[:, 2])
    rate = -trajectory.angular_velocity[:, scene.index("bob_1"), 1].numpy()
    at = np.flatnonzero(np.diff(np.sign(angle)) != 0)
    # At the bottom the angular acceleration vanishes: the linear step is exact to third order.
    crossings = at / scene.fps - angle[at] / rate[at]
    assert len(crossings) >= 3
    measured = 2 * np.diff(crossings).mean()
    assert measured == pytest.approx(physical_period(scene), rel=1e-3)


def test_double_pendulum_keeps_its_energy():
    scene = make_scene("pendulum", 4, "ood", links=2, duration=3.0)
    t = get_engine("mujoco").simulate(scene, render=False).trajectory
    energy, scale = 0.0, 0.0
    for i, body in enumerate(scene.bodies):
        if body.static:
            continue
        speed2 = (t.linear_velocity[:, i] ** 2).sum(-1).numpy()
        spin2 = (t.angular_velocity[:, i] ** 2).sum(-1).numpy()
        # All turn about y, which is across each capsule and any axis of a sphere.
        energy = energy + body.mass * (speed2 / 2 + 9.81 * t.position[:, i, 2].numpy()) + body.inertia()[1] * spin2 / 2
        scale += 9.81 * body.mass * float(np.ptp(t.position[:, i, 2].numpy()))
    assert np.ptp(energy) < 2e-3 * scale


@pytest.mark.parametrize(("balls", "lifted"), [(3, 1), (4, 1), (5, 1), (5, 2), (5, 3), (4, 3)])
@pytest.mark.parametrize("split", ["id", "ood"])
def test_as_many_balls_leave_as_struck(balls, lifted, split):
    scene = make_scene("newtons_cradle", 10 * balls + lifted, split, balls=balls, lifted=lifted, duration=1.2, fps=60.0)
    trajectory = get_engine("mujoco").simulate(scene, render=False).trajectory
    angles = []
    for i in range(1, balls + 1):
        pivot = next(j for j in scene.joints if j.name == f"pivot_{i}").parent_anchor
        hang = trajectory.position[:, scene.index(f"ball_{i}")].numpy() - np.array(pivot)
        angles.append(np.arctan2(hang[:, 0], -hang[:, 2]))
    angles = np.array(angles)  # (balls, T), positive to +x
    start = angles[:, 0]
    side = np.sign(start[np.argmax(np.abs(start))])
    amplitude = np.abs(start).max()
    assert (np.abs(start) > 1e-6).sum() == lifted
    # The frame at which the far ball first stands highest on the other side.
    far = angles[-1] if side < 0 else angles[0]
    highest = int(np.argmax(-side * far))
    away = -side * angles[:, highest]
    order = away if side < 0 else away[::-1]
    assert (order[-lifted:] > 0.9 * amplitude).all(), np.degrees(order)
    assert (np.abs(order[:-lifted]) < 0.1 * amplitude).all(), np.degrees(order)


# Walkers.


def tilt(orientation: np.ndarray) -> float:
    """Largest pitch or roll of a torso over (T, 4) orientations, degrees; its z axis points forward, y to the left."""
    axes = [abs(rotate(q, axis)[2]) for q in orientation for axis in ((0, 0, 1), (0, 1, 0))]
    return math.degrees(math.asin(min(1.0, max(axes))))


@pytest.mark.parametrize(("size", "lengths"), [(0.8, 1.9), (1.0, 1.1), (1.0, 1.6), (1.2, 0.8)])
def test_walker_walks_straight_and_upright(size, lengths):
    speed = lengths * walker.BODY_LENGTH * size
    one = walker.Walker("walker", size, walker.trot(size, speed, 24.0), (0.5, 0.4, 0.3))
    links, joints = one.placed(0.0, 0.0, 0.3)
    assert len(links) == walker.LINKS
    scene = Scene(
        bodies=(floor(np.random.default_rng(0), friction=1.0), *links),
        duration=2.5,
        joints=joints,
        robot=Robot(one.actuators(), one.controls(24.0, 60)),
    )
    trajectory = get_engine("mujoco").simulate(scene, render=False).trajectory
    torso = scene.index("walker_torso")
    travel = (trajectory.position[-1, torso] - trajectory.position[0, torso]).numpy()[:2]
    heading = np.array([math.cos(0.3), math.sin(0.3)])
    forward = float(travel @ heading) / 2.5
    assert forward > 0.3 * walker.BODY_LENGTH * size
    assert forward > 0.8 * speed
    assert np.linalg.norm(travel - heading * (travel @ heading)) < 0.15 * forward * 2.5
    assert tilt(trajectory.orientation[:, torso].numpy()) < 10


def check_meeting(seed: int, split: str) -> bool:
    """Whether the walkers meet; they must be upright and on their way until then."""
    scene = make_scene("crossing_quadrupeds", seed, split)
    rollout = ws.simulate(scene, render=False)
    meeting = rollout.info["first_meeting"]
    until = int((scene.duration if meeting is None else meeting) * scene.fps)
    assert until >= 8
    for name in ("walker_a", "walker_b"):
        torso = scene.index(f"{name}_torso")
        track = rollout.trajectory.position[: until + 1, torso].numpy()
        size = scene.bodies[torso].shape.radius / walker.TORSO_RADIUS
        speed = np.linalg.norm(track[-1] - track[0]) * scene.fps / until
        assert speed > 0.3 * walker.BODY_LENGTH * size, (seed, split, name)
        assert tilt(rollout.trajectory.orientation[: until + 1, torso].numpy()) < 15, (seed, split, name)
    return meeting is not None


@pytest.mark.parametrize(("seed", "split"), [(0, "id"), (1, "ood")])
def test_walkers_meet(seed, split):
    assert check_meeting(seed, split)


@pytest.mark.slow
@pytest.mark.parametrize("split", ["id", "ood"])
def test_walkers_meet_in_nine_of_ten_seeds(split):
    met = [check_meeting(seed, split) for seed in range(50)]
    assert sum(met) >= 45


def test_walkers_cannot_tell_left_from_right():
    """The script of one diagonal is the other's half a cycle later, row by row."""
    one = walker.Walker("w", 1.0, walker.trot(1.0, 0.6, 24.0), (0.5, 0.4, 0.3))
    rows = np.array(one.controls(24.0, 16))
    legs = {name: i for i, name in enumerate(walker.LEGS)}
    left, right = 2 * legs["fore_left"], 2 * legs["fore_right"]
    np.testing.assert_allclose(rows[:8, left : left + 2], rows[4:12, right : right + 2], atol=1e-9)


def test_measure_reads_the_headings_back():
    found = [crossing_quadrupeds.measure(make_scene("crossing_quadrupeds", seed))["angle"][0] for seed in range(8)]
    assert len({round(angle, 6) for angle in found}) == 8
