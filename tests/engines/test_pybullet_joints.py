"""PyBullet engine: trees of joints against closed forms and a fine ODE, their forces, and what is refused."""

import dataclasses
import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from worldsim.scene import (
    Actuator,
    Body,
    Box,
    Camera,
    Capsule,
    Joint,
    Law,
    Plane,
    Polygon,
    Ring,
    Robot,
    Scene,
    Sphere,
    State,
)

pytest.importorskip("pybullet")

from worldsim.engines.pybullet import PybulletSimulator

CAMERA = Camera(position=(0, -6, 2), target=(0, 0, 1))
STILL = Law(gravity=(0.0, 0.0, 0.0))
SIM = PybulletSimulator()
ARM, PIVOT = 0.5, 2.0


def pendulum(angle, rate=0.0, planar=False, robot=None, duration=4.0, law=None, **joint):
    """A ball on a weightless rod under the world, at an angle about +y from hanging, and its moment about the pivot."""
    position = (-ARM * math.sin(angle), 0.0, PIVOT - ARM * math.cos(angle))
    velocity = (-ARM * math.cos(angle) * rate, 0.0, ARM * math.sin(angle) * rate)
    turned = (math.cos(angle / 2), 0.0, math.sin(angle / 2), 0.0)
    bob = Body("bob", Sphere(0.1), State(position, turned, velocity, (0.0, rate, 0.0)), mass=1.3)
    hinge = Joint("hinge", "hinge", "bob", None, (0.0, 0.0, PIVOT), (0.0, 0.0, ARM), **joint)
    scene = Scene(
        (bob,), law=law or Law(), camera=CAMERA, planar=planar, duration=duration, joints=(hinge,), robot=robot
    )
    return scene, bob.inertia(planar)[1] + bob.mass * ARM**2 + joint.get("armature", 0.0)


def angles(rollout, body=0):
    orientation = rollout.trajectory.orientation[:, body].numpy()
    return np.unwrap(2 * np.arctan2(orientation[:, 2], orientation[:, 0]))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"planar": True},
        {"rate": 2.0},
        {"damping": 0.3},
        {"stiffness": 2.0},
        {"armature": 0.2},
        {"damping": 0.3, "stiffness": 1.0, "armature": 0.1, "rate": 1.0},
    ],
    ids=str,
)
def test_a_pendulum_follows_its_equation_within_a_tenth_of_a_milliradian(options):
    scene, inertia = pendulum(1.2, **options)
    rollout = SIM.simulate(scene, render=False)
    damping, stiffness = options.get("damping", 0.0), options.get("stiffness", 0.0)

    def equation(_, y):
        return [y[1], (-1.3 * 9.81 * ARM * math.sin(y[0]) - damping * y[1] - stiffness * y[0]) / inertia]

    time = np.arange(scene.num_frames) / scene.fps
    start = [1.2, options.get("rate", 0.0)]
    exact = solve_ivp(equation, (0, time[-1]), start, t_eval=time, rtol=1e-10, atol=1e-12).y
    assert np.abs(angles(rollout) - exact[0]).max() < 1e-4
    assert np.abs(rollout.trajectory.angular_velocity[:, 0, 1].numpy() - exact[1]).max() < 1e-3


def test_a_position_actuator_follows_its_law_and_force_limit():
    actuator = Actuator("hinge", gain=8.0, damping=0.7, force_limit=3.0)
    controls = np.repeat([[0.9], [-0.4]], 36, axis=0).astype(np.float32)
    scene, inertia = pendulum(0.0, robot=Robot((actuator,)), duration=3.0, law=STILL)
    rollout = SIM.simulate(scene, controls, render=False)
    assert rollout.actions.shape == (72, 1)

    def equation(target):
        def rates(_, y):
            return [y[1], np.clip(8.0 * (target - y[0]) - 0.7 * y[1], -3.0, 3.0) / inertia]

        return rates

    time = np.arange(37) / 24
    first = solve_ivp(equation(0.9), (0, 1.5), [0, 0], t_eval=time, rtol=1e-9, atol=1e-11, max_step=1e-3).y
    second = solve_ivp(equation(-0.4), (0, 1.5), first[:, -1], t_eval=time, rtol=1e-9, atol=1e-11, max_step=1e-3).y
    exact = np.concatenate([first[0], second[0, 1:]])
    assert np.abs(angles(rollout) - exact).max() < 1e-3


def test_a_motor_gives_its_torque():
    robot = Robot((Actuator("hinge", kind="motor", gain=0.5, limits=(-2.0, 2.0)),), ((0.4,),))
    scene, inertia = pendulum(0.0, robot=robot, duration=1.0, law=STILL)
    time = np.arange(scene.num_frames) / scene.fps
    assert np.abs(angles(SIM.simulate(scene, render=False)) - 0.5 * 0.2 / inertia * time**2).max() < 1e-4


def test_stiff_damping_of_a_light_link_neither_rings_nor_diverges():
    actuator = Actuator("hinge", gain=100.0, damping=50.0, force_limit=1e4)
    scene, _ = pendulum(0.0, robot=Robot((actuator,), ((1.0,),)), duration=2.0, law=STILL, damping=5.0)
    bob = dataclasses.replace(scene.bodies[0], mass=0.01)
    rollout = SIM.simulate(dataclasses.replace(scene, bodies=(bob,)), render=False)
    time = np.arange(scene.num_frames) / scene.fps
    # Overdamped: the inertia is negligible, so that 55 q' = 100 (1 - q).
    assert np.abs(angles(rollout) - (1 - np.exp(-100 / 55 * time))).max() < 2e-3


def test_a_joint_limit_holds():
    scene, _ = pendulum(0.0, rate=3.0, duration=1.5, limits=(-0.3, 0.4))
    moved = angles(SIM.simulate(scene, render=False))
    assert 0.39 < moved.max() < 0.41
    assert moved.min() > -0.31


def test_a_slide_falls_along_its_axis_only():
    axis = (math.sin(0.5), 0.0, math.cos(0.5))
    body = Body("sled", Box((0.1, 0.1, 0.1)), State((0.0, 0.0, 2.0)))
    slide = Joint("slide", "slide", "sled", None, (0.0, 0.0, 2.0), (0.0, 0.0, 0.0), axis)
    rollout = SIM.simulate(Scene((body,), camera=CAMERA, duration=0.6, joints=(slide,)), render=False)
    time = np.arange(rollout.trajectory.num_frames)[:, None] / 24
    expected = np.array([0.0, 0.0, 2.0]) - 0.5 * 9.81 * axis[2] * time**2 * np.array(axis)
    assert np.abs(rollout.trajectory.position[:, 0].numpy() - expected).max() < 1e-5


def test_a_ball_joint_swings_a_conical_pendulum():
    angle = 0.6
    rate = math.sqrt(9.81 / (ARM * math.cos(angle)))  # of a point mass; the small ball's own spin is left out below
    position = (ARM * math.sin(angle), 0.0, PIVOT - ARM * math.cos(angle))
    velocity = (0.0, ARM * math.sin(angle) * rate, 0.0)
    # Spin across the rod only: the angular velocity is (pivot to ball) x velocity / ARM^2.
    spin = np.cross(np.array(position) - [0, 0, PIVOT], velocity) / ARM**2
    bob = Body("bob", Sphere(0.001), State(position, (1, 0, 0, 0), velocity, tuple(spin)))
    anchor = tuple(np.array([0.0, 0.0, PIVOT]) - position)
    joint = Joint("ball", "ball", "bob", None, (0.0, 0.0, PIVOT), anchor)
    rollout = SIM.simulate(Scene((bob,), camera=CAMERA, duration=2.0, joints=(joint,)), render=False)
    path = rollout.trajectory.position[:, 0].numpy()
    time = np.arange(len(path)) / 24
    circle = np.stack([np.cos(rate * time), np.sin(rate * time)], -1) * ARM * math.sin(angle)
    assert np.abs(path[:, :2] - circle).max() < 1e-3
    assert np.abs(path[:, 2] - position[2]).max() < 1e-3


def walker(planar=False):
    """A floating trunk with two hinged legs, one group."""
    hang = {"group": "walker", "mass": 0.4}
    bodies = [Body("trunk", Box((0.3, 0.1, 0.1)), State((0.0, 0.0, 2.0)), mass=2.0, group="walker")]
    joints = []
    for name, x in (("left", -0.25), ("right", 0.25)):
        bodies.append(Body(name, Capsule(0.04, 0.15), State((x, 0.0, 1.75)), **hang))
        joints.append(Joint(f"{name}_hip", "hinge", name, "trunk", (x, 0.0, -0.1), (0.0, 0.0, 0.15), damping=0.05))
    robot = Robot(tuple(Actuator(j.name, gain=15.0, damping=0.5) for j in joints), ((0.6, -0.2), (-0.4, 0.5)))
    return Scene(tuple(bodies), camera=CAMERA, planar=planar, duration=0.6, joints=tuple(joints), robot=robot)


@pytest.mark.parametrize("planar", [False, True])
def test_inner_forces_of_a_floating_tree_move_neither_its_centre_of_mass_nor_its_angular_momentum(planar):
    scene = walker(planar)
    trajectory = SIM.simulate(scene, render=False).trajectory
    mass = np.array([b.mass for b in scene.bodies])
    centre = np.einsum("n,tnk->tk", mass, trajectory.position.numpy()) / mass.sum()
    time = np.arange(len(centre)) / 24
    expected = centre[0] + np.outer(time**2 / 2, [0, 0, -9.81])
    # Symplectic Euler is of first order where the mass matrix changes with the pose.
    assert np.abs(centre - expected).max() < 5e-4
    arm = trajectory.position.numpy() - centre[:, None]
    velocity = trajectory.linear_velocity.numpy()
    turning = np.cross(arm, velocity)[..., 1] @ mass
    own = trajectory.angular_velocity[..., 1].numpy() @ [b.inertia(planar)[1] for b in scene.bodies]
    assert np.abs(angles(SIM.simulate(scene, render=False), 1)).max() > 0.2
    assert np.abs(turning + own).max() < 2e-3


def test_starts_that_contradict_a_joint_are_refused():
    scene, _ = pendulum(0.4)
    moved = scene.with_states({"bob": State((0.0, 0.0, 1.4))})
    with pytest.raises(ValueError, match=r"body\[bob\]\.state\.position"):
        SIM.simulate(moved, render=False)
    state = scene.bodies[0].state
    fast = scene.with_states({"bob": State(state.position, state.orientation, (0.0, 0.0, 3.0))})
    with pytest.raises(ValueError, match=r"body\[bob\]\.state velocity"):
        SIM.simulate(fast, render=False)


def test_limits_of_a_ball_joint_are_refused():
    bob = Body("bob", Sphere(0.1), State((0.0, 0.0, 1.5)))
    joint = Joint("ball", "ball", "bob", None, (0, 0, 2.0), (0, 0, 0.5), limits=(0.0, 1.0))
    with pytest.raises(ValueError, match=r"joint\[ball\]\.limits"):
        SIM.simulate(Scene((bob,), camera=CAMERA, joints=(joint,)), render=False)


SQUARE = Polygon(((-0.1, -0.1), (0.1, -0.1), (0.1, 0.1), (-0.1, 0.1)))


@pytest.mark.parametrize("shape", [Sphere(0.1), Box((0.2, 0.2, 0.1)), Ring(0.3, 0.1), SQUARE], ids=lambda s: s.kind)
def test_a_link_collides_where_its_body_is_however_far_its_joint(shape):
    planar = shape.kind == "polygon"
    body = Body("sled", shape, State((0.0, 0.0, 0.3)), restitution=0.2)
    floor = Body("floor", Plane(), State((0.0, 0.0, 0.0)), static=True, restitution=0.2)
    slide = Joint("slide", "slide", "sled", None, (0.4, 0.0, 1.0), (0.4, 0.0, 0.7), (0.0, 0.0, 1.0))
    scene = Scene((body, floor), camera=CAMERA, planar=planar, duration=1.5, joints=(slide,))
    rollout = SIM.simulate(scene, render=False)
    assert abs(float(rollout.trajectory.position[-1, 0, 2]) - 0.1) < 1e-3
    assert rollout.contacts.pair.tolist()[-1] == [1, 2]


def test_an_impact_with_a_link_obeys_the_pair_law():
    bob = Body("bob", Sphere(0.1), State((0.0, 0.0, PIVOT - ARM)), restitution=0.8)
    ball = Body("ball", Sphere(0.1), State((-0.7, 0.0, PIVOT - ARM), linear_velocity=(3.0, 0.0, 0.0)), restitution=0.8)
    hinge = Joint("hinge", "hinge", "bob", None, (0.0, 0.0, PIVOT), (0.0, 0.0, ARM))
    scene = Scene((bob, ball), law=STILL, camera=CAMERA, duration=0.25, joints=(hinge,))
    rollout = SIM.simulate(scene, render=False)
    mass = (bob.inertia()[1] + ARM**2) / ARM**2  # what the bob weighs at the contact
    before = int(rollout.contacts.onset[0] * 24)
    out = rollout.trajectory.linear_velocity[before + 1, 1, 0]
    assert float(out) == pytest.approx(3.0 * (1 - 0.8 * mass) / (1 + mass), abs=0.03)
