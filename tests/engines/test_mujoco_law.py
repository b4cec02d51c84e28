"""The MuJoCo engine against closed forms: flight, impacts, rest, friction, joints."""

import itertools
import math

import numpy as np
import pytest

from worldsim.engines.mujoco import MujocoSimulator
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

SIM = MujocoSimulator()
CAMERA = Camera(position=(0, -8, 1), target=(0, 0, 1), fov=90)
FREE = Law((0.0, 0.0, 0.0))


def floor(friction=0.5, restitution=0.5, orientation=(1.0, 0.0, 0.0, 0.0)):
    return Body(
        "floor", Plane(), State((0, 0, 0), orientation), static=True, friction=friction, restitution=restitution
    )


def play(*bodies, duration=2.0, **fields):
    scene = Scene(bodies=bodies, camera=CAMERA, duration=duration, **fields)
    return scene, SIM.simulate(scene, render=False)


@pytest.mark.parametrize("planar", [False, True])
def test_free_flight_is_within_1e_4_m_of_the_closed_form_over_2_s(planar):
    velocity = np.array([1.0, 0.0 if planar else 0.5, 3.0])
    spin = (0.0, 4.0, 0.0) if planar else (1.0, 2.0, 3.0)
    ball = Body("ball", Sphere(0.1), State((0, 0, 1), (1, 0, 0, 0), tuple(velocity), spin))
    scene, rollout = play(ball, planar=planar)
    t = np.arange(scene.num_frames)[:, None] / scene.fps
    gravity = np.array(scene.law.gravity)
    position = np.array([0, 0, 1]) + velocity * t + gravity * t**2 / 2
    assert np.abs(rollout.trajectory.position[:, 0].numpy() - position).max() < 1e-9
    assert np.abs(rollout.trajectory.linear_velocity[:, 0].numpy() - velocity - gravity * t).max() < 1e-9
    assert np.abs(rollout.trajectory.angular_velocity[:, 0].numpy() - spin).max() < 1e-9
    assert len(rollout.contacts) == 0


@pytest.mark.parametrize("planar", [False, True])
def test_linear_drag_is_the_closed_form(planar):
    c, start = 0.8, np.array([2.0, 0.0, 1.0])
    ball = Body("ball", Sphere(0.1), State((0, 0, 1), linear_velocity=tuple(start)), mass=3.0)
    law = Law((0.0, 0.0, -9.81), drag=c)
    scene, rollout = play(ball, planar=planar, law=law)
    t = np.arange(scene.num_frames)[:, None] / scene.fps
    terminal = np.array(law.gravity) / c
    decay = np.exp(-c * t)
    velocity = terminal + (start - terminal) * decay
    position = np.array([0, 0, 1]) + terminal * t + (start - terminal) * (1 - decay) / c
    assert np.abs(rollout.trajectory.linear_velocity[:, 0].numpy() - velocity).max() < 1e-6
    assert np.abs(rollout.trajectory.position[:, 0].numpy() - position).max() < 1e-6


def test_drag_of_a_jointed_body_slows_its_centre_of_mass():
    c = 0.7
    slide = Joint("rail", "slide", "cart", None, (0, 0, 0), (0, 0, 0), axis=(1, 0, 0))
    cart = Body("cart", Box((0.1, 0.1, 0.1)), State((0, 0, 0), linear_velocity=(2, 0, 0)))
    scene, rollout = play(cart, joints=(slide,), law=Law((0, 0, -9.81), drag=c), duration=1.0)
    t = np.arange(scene.num_frames) / scene.fps
    assert np.abs(rollout.trajectory.linear_velocity[:, 0, 0].numpy() - 2 * np.exp(-c * t)).max() < 5e-3


def test_tumbling_conserves_energy_and_angular_momentum():
    box = Body("box", Box((0.1, 0.2, 0.35)), State((0, 0, 1), angular_velocity=(0.3, 8.0, 0.2)))
    _, rollout = play(box, law=FREE)
    from scipy.spatial.transform import Rotation

    turn = Rotation.from_quat(rollout.trajectory.orientation[:, 0].numpy()[:, [1, 2, 3, 0]])
    spin = rollout.trajectory.angular_velocity[:, 0].numpy()
    inertia = np.array(box.inertia())
    local = turn.inv().apply(spin)
    momentum = turn.apply(local * inertia)
    energy = (local**2 * inertia).sum(-1) / 2
    assert np.abs(energy / energy[0] - 1).max() < 1e-6
    assert np.abs(momentum - momentum[0]).max() < 1e-4 * np.linalg.norm(momentum[0])
    assert np.abs(local[:, 0]).max() > 3  # the middle axis is unstable: it did tumble


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("offset", [0.0, 0.08])
def test_two_sphere_impacts_are_within_1_percent_of_the_closed_form(planar, offset):
    """Relative speeds .05 to 6 m/s, mass ratios to 9, restitution .3 to 1, head-on and oblique; without friction."""
    worst = 0.0
    for speed, ratio, e in itertools.product((0.05, 0.3, 1.0, 6.0), (1.0, 3.0, 9.0, 1 / 9), (0.3, 0.6, 1.0)):
        approach = 0.1 / speed
        a = Body(
            *("a", Sphere(0.1), State((-0.3, 0, 0), linear_velocity=(speed, 0, 0))),
            friction=0,
            restitution=e**1.5,
        )
        b = Body("b", Sphere(0.1), State((0, 0, offset)), mass=ratio, friction=0, restitution=e**0.5)
        _, rollout = play(a, b, law=FREE, planar=planar, duration=2.5 * approach, fps=4 / approach)
        normal = np.array([math.sqrt(0.04 - offset**2), 0, offset]) / 0.2
        impulse = (1 + e) * speed * normal[0] / (1 + 1 / ratio)
        expected = np.stack([np.array([speed, 0, 0]) - impulse * normal, impulse / ratio * normal])
        out = rollout.trajectory.linear_velocity[-1].numpy()
        worst = max(worst, float(np.abs(out - expected).max()) / speed)
    assert worst < 1e-3  # the bar is 1e-2


def test_oblique_impact_with_friction_is_coulomb_in_both_regimes():
    """A ball strikes the floor: sliding takes mu (1 + e) v_n off the tangent speed, gripping 2/7 of it."""
    e, down = 0.6, 2.0
    for mu, along in ((0.1, 3.0), (0.9, 1.0)):
        ball = Body(
            "ball", Sphere(0.1), State((0, 0, 0.3), linear_velocity=(along, 0, -down)), friction=mu, restitution=e
        )
        _, rollout = play(floor(mu, e), ball, law=FREE, duration=0.2)
        loss = min(mu * (1 + e) * down, 2 / 7 * along)
        v = rollout.trajectory.linear_velocity[-1, 1].numpy()
        w = rollout.trajectory.angular_velocity[-1, 1].numpy()
        assert np.abs(v - [along - loss, 0, e * down]).max() < 1e-3
        assert abs(w[1] - loss / (0.4 * 0.1)) < 1e-2


def test_elastic_bounces_keep_their_energy():
    _, rollout = play(floor(restitution=1), Body("ball", Sphere(0.1), State((0, 0, 1.1)), restitution=1), duration=6)
    z, v = rollout.trajectory.position[:, 1, 2].numpy(), rollout.trajectory.linear_velocity[:, 1, 2].numpy()
    energy = v**2 / 2 + 9.81 * (z - 0.1)
    assert np.abs(energy / 9.81 - 1).max() < 1e-4


def test_three_ball_cradle_passes_the_blow_on():
    """Touching equal elastic balls: the last one leaves, which simultaneous impulses get wrong."""
    balls = [
        Body("a", Sphere(0.1), State((-0.5, 0, 0), linear_velocity=(1, 0, 0)), restitution=1, friction=0),
        Body("b", Sphere(0.1), State((0, 0, 0)), restitution=1, friction=0),
        Body("c", Sphere(0.1), State((0.2, 0, 0)), restitution=1, friction=0),
    ]
    _, rollout = play(*balls, law=FREE, duration=0.6)
    assert np.abs(rollout.trajectory.linear_velocity[-1, :, 0].numpy() - [0, 0, 1]).max() < 2e-3


@pytest.mark.parametrize("restitution", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(
    "shape", [Sphere(0.1), Box((0.1, 0.1, 0.1)), Capsule(0.1, 0.1), Ring(0.3, 0.1)], ids=lambda s: s.kind
)
def test_resting_bodies_stay_and_penetrate_under_1_mm(shape, restitution):
    height = shape.thickness if shape.kind != "capsule" else shape.extent
    body = Body("body", shape, State((0, 0, height)), restitution=restitution)
    _, rollout = play(floor(restitution=restitution), body)
    z = rollout.trajectory.position[:, 1, 2].numpy()
    # Polygons of capsules leave the floor by their sagitta.
    assert np.abs(z - height).max() < 1e-4 + (5e-4 if shape.kind == "ring" else 0)
    assert float(rollout.trajectory.linear_velocity[:, 1].abs().max()) < 0.02
    assert rollout.contacts.distance.min() > -1e-3


def test_stack_of_six_boxes_stands_with_penetration_under_1_mm():
    boxes = [Body(f"box{i}", Box((0.05,) * 3), State((0, 0, 0.05 + 0.1 * i)), mass=1 + i) for i in range(6)]
    _, rollout = play(floor(), *boxes, duration=3)
    assert float((rollout.trajectory.position[-1] - rollout.trajectory.position[0]).abs().max()) < 2e-4
    assert rollout.contacts.distance.min() > -1e-3


def test_planar_polygons_rest_on_each_other():
    triangle = Polygon(((-0.3, -0.1), (0.3, -0.1), (0.0, 0.2)))
    slab = Polygon(((-0.5, -0.1), (0.5, -0.1), (0.5, 0.1), (-0.5, 0.1)))
    ground = Body("ground", Box((2, 0.5, 0.1)), State((0, 0, -0.1)), static=True)
    bodies = (ground, Body("slab", slab, State((0, 0, 0.1))), Body("top", triangle, State((0, 0, 0.3))))
    _, rollout = play(*bodies, planar=True)
    assert float((rollout.trajectory.position[-1] - rollout.trajectory.position[0]).abs().max()) < 1e-3
    assert float(rollout.trajectory.position[..., 1].abs().max()) == 0


def test_sliding_box_brakes_by_mu_g_and_stops_where_it_should():
    mu, start = 0.5, 2.0
    box = Body("box", Box((0.1, 0.1, 0.05)), State((0, 0, 0.05), linear_velocity=(start, 0, 0)), friction=0.25)
    _, rollout = play(floor(friction=1.0), box)
    x, v = rollout.trajectory.position[:, 1, 0].numpy(), rollout.trajectory.linear_velocity[:, 1, 0].numpy()
    t = np.arange(len(x)) / 24
    moving = t < start / (mu * 9.81) - 0.05
    assert np.abs(v - (start - mu * 9.81 * t))[moving].max() < 0.02
    assert abs(x[-1] - start**2 / (2 * mu * 9.81)) < 2e-3
    assert abs(v[-1]) < 1e-6


def test_ball_rolls_down_an_incline_at_five_sevenths():
    slope = 0.3
    turn = (math.cos(slope / 2), 0, math.sin(slope / 2), 0)
    normal = np.array([math.sin(slope), 0, math.cos(slope)])
    ball = Body("ball", Sphere(0.1), State(tuple(0.1 * normal)))
    _, rollout = play(floor(orientation=turn), ball)
    t = (rollout.trajectory.num_frames - 1) / 24
    speed = float(np.linalg.norm(rollout.trajectory.linear_velocity[-1, 1].numpy()))
    assert abs(speed / (5 / 7 * 9.81 * math.sin(slope) * t) - 1) < 1e-3


def test_box_sticks_on_an_incline_below_the_friction_angle_and_slides_above():
    slope = 0.4
    turn = (math.cos(slope / 2), 0, math.sin(slope / 2), 0)
    normal = np.array([math.sin(slope), 0, math.cos(slope)])
    for mu in (0.5, 0.3):
        box = Body("box", Box((0.1, 0.1, 0.05)), State(tuple(0.05 * normal), turn), friction=mu)
        _, rollout = play(floor(mu, orientation=turn), box, duration=1)
        moved = float((rollout.trajectory.position[-1, 1] - rollout.trajectory.position[0, 1]).norm())
        acceleration = max(0.0, 9.81 * (math.sin(slope) - mu * math.cos(slope)))
        assert abs(moved - acceleration / 2) < 1e-3 + 0.01 * moved


def test_fast_small_ball_does_not_tunnel_through_a_thin_wall():
    wall = Body("wall", Box((0.005, 0.5, 0.5)), State((0, 0, 1)), static=True, restitution=1)
    ball = Body("ball", Sphere(0.02), State((-1, 0, 1), linear_velocity=(60, 0, 0)), restitution=1)
    _, rollout = play(wall, ball, duration=0.1, law=FREE)
    assert float(rollout.trajectory.linear_velocity[-1, 1, 0]) == pytest.approx(-60, rel=1e-3)


def test_pendulum_keeps_its_energy_and_period():
    angle, length = 1.0, 0.5
    turn = (math.cos(angle / 2), 0, math.sin(angle / 2), 0)
    place = (-length * math.sin(angle), 0, 1 - length * math.cos(angle))
    joint = Joint("pivot", "hinge", "bob", None, (0, 0, 1), (0, 0, length))
    _, rollout = play(Body("bob", Sphere(0.1), State(place, turn)), joints=(joint,), duration=4)
    z = rollout.trajectory.position[:, 0, 2].numpy()
    v = rollout.trajectory.linear_velocity[:, 0].numpy()
    w = rollout.trajectory.angular_velocity[:, 0, 1].numpy()
    energy = (v**2).sum(-1) / 2 + 0.4 * 0.01 * w**2 / 2 + 9.81 * z
    assert np.abs(energy - energy[0]).max() < 1e-6
    # The joint's constraint holds: the bob stays at its distance.
    assert np.abs(np.linalg.norm(rollout.trajectory.position[:, 0].numpy() - [0, 0, 1], axis=1) - length).max() < 1e-9
    assert np.abs(v[:, 0] - w * (z - 1)).max() < 1e-9


def test_start_velocities_of_a_chain_and_position_control():
    """A two-link arm starts with the velocities it was given and ends at the angles it was told."""
    spin = 1.5
    links = (
        Body("upper", Box((0.2, 0.03, 0.03)), State((0.2, 0, 1), angular_velocity=(0, spin, 0),
             linear_velocity=(0, 0, -0.2 * spin)), group="arm"),
        Body("lower", Box((0.2, 0.03, 0.03)), State((0.6, 0, 1), angular_velocity=(0, spin, 0),
             linear_velocity=(0, 0, -0.6 * spin)), group="arm"),
    )  # fmt: skip
    joints = (
        Joint("shoulder", "hinge", "upper", None, (0, 0, 1), (-0.2, 0, 0), damping=0.2),
        Joint("elbow", "hinge", "lower", "upper", (0.2, 0, 0), (-0.2, 0, 0), damping=0.2),
    )
    robot = Robot((Actuator("shoulder", gain=200, damping=20), Actuator("elbow", gain=100, damping=10)), ((0.5, -0.9),))
    scene, rollout = play(*links, joints=joints, robot=robot, law=FREE, duration=3)
    assert np.abs(rollout.trajectory.linear_velocity[0, :, 2].numpy() - [-0.2 * spin, -0.6 * spin]).max() < 1e-9
    assert np.abs(rollout.trajectory.angular_velocity[0, :, 1].numpy() - spin).max() < 1e-9
    q = rollout.trajectory.orientation[-1].numpy()
    angles = 2 * np.arctan2(q[:, 2], q[:, 0])
    assert np.abs(angles - [0.5, 0.5 - 0.9]).max() < 1e-2
    assert rollout.actions.shape == (scene.num_frames - 1, 2)
    assert len(rollout.contacts) == 0  # links of one group overlap at the elbow and never collide
