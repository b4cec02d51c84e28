"""PyBullet engine: motion against closed forms, the pair law, rest and friction."""

import math

import numpy as np
import pytest

from worldsim.scene import Body, Box, Camera, Capsule, Law, Plane, Polygon, Ring, Scene, Sphere, State, planar_camera

pytest.importorskip("pybullet")

from worldsim.engines.pybullet import PybulletSimulator
from worldsim.engines.pybullet.flight import Flight

CAMERA = Camera(position=(0, -8, 2), target=(0, 0, 1))
STILL = Law(gravity=(0.0, 0.0, 0.0))
SIM = PybulletSimulator()


def ball(name, position, velocity=(0.0, 0.0, 0.0), radius=0.1, spin=(0.0, 0.0, 0.0), **matter):
    return Body(name, Sphere(radius), State(position, linear_velocity=velocity, angular_velocity=spin), **matter)


def floor(angle=0.0, **matter):
    """A plane through the origin, turned about +y: it falls towards +x."""
    turned = (math.cos(angle / 2), 0.0, math.sin(angle / 2), 0.0)
    return Body("floor", Plane(), State((0.0, 0.0, 0.0), turned), static=True, **matter)


def play(bodies, **fields):
    fields = {"camera": CAMERA, "duration": 2.0, **fields}
    rollout = SIM.simulate(Scene(tuple(bodies), **fields), render=False)
    return rollout, {k: getattr(rollout.trajectory, k).numpy() for k in ("position", "orientation")}


@pytest.mark.parametrize("drag", [0.0, 0.4])
def test_free_flight_is_within_a_tenth_of_a_millimetre_over_two_seconds(drag):
    gravity = np.array([0.5, 0.0, -9.81])
    bodies = [
        ball("ball", (-1.0, 0.0, 2.0), (1.0, 0.3, 8.0)),
        Body(
            "box",
            Box((0.1, 0.2, 0.3)),
            State((1.0, 0.0, 2.0), linear_velocity=(0, 0, 9.0), angular_velocity=(1.0, 4.0, 2.0)),
        ),
        Body("ring", Ring(0.3, 0.05), State((1.0, 2.0, 2.0), linear_velocity=(0, 0, 5.0))),
    ]
    rollout, motion = play(bodies, law=Law(tuple(gravity), drag))
    time = np.arange(rollout.trajectory.num_frames)[:, None] / 24
    for i, body in enumerate(bodies):
        x, v = np.array(body.state.position), np.array(body.state.linear_velocity)
        if drag:
            end = gravity / drag
            expected = x + time * end + (1 - np.exp(-drag * time)) / drag * (v - end)
            speed = end + np.exp(-drag * time) * (v - end)
        else:
            expected, speed = x + time * v + time**2 / 2 * gravity, v + time * gravity
        assert np.abs(motion["position"][:, i] - expected).max() < 1e-4
        assert np.abs(rollout.trajectory.linear_velocity[:, i].numpy() - speed).max() < 1e-4


def test_mean_velocities_are_the_laws_own():
    for drag in (0.0, 1e-8, 0.3, 5.0):
        flight = Flight(np.array([0.0, 1.0, -9.81]), drag, 0.02)
        velocity = np.array([1.0, -2.0, 3.0])
        instants = np.linspace(-0.02, 0.0, 20001)[:, None]
        if drag > 1e-6:
            end = flight.gravity / drag
            past = end + (velocity - end) * np.exp(-drag * instants)
        else:
            past = velocity + (flight.gravity - drag * velocity) * instants
        mean = np.trapezoid(past, instants, axis=0) / 0.02
        assert np.allclose(flight.to_mean(velocity), mean, atol=1e-8)
        assert np.allclose(flight.to_instant(flight.to_mean(velocity)), velocity, atol=1e-12)


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("speed", [0.05, 0.6, 6.0])
@pytest.mark.parametrize("ratio", [1.0, 1 / 9, 9.0])
def test_head_on_impacts_leave_within_one_per_cent_of_the_closed_form(planar, speed, ratio):
    for restitution in (0.3, 0.7, 1.0):
        first, second = restitution**0.4, restitution**1.6  # of which the geometric mean is the restitution
        bodies = [
            ball("a", (-0.13 - 0.05 * speed, 0.0, 1.0), (speed, 0.0, 0.0), restitution=first),
            ball("b", (0.1, 0.0, 1.0), mass=ratio, restitution=second),
        ]
        duration = 0.2 + 0.1 / speed
        rollout, _ = play(bodies, law=STILL, planar=planar, duration=duration)
        out = rollout.trajectory.linear_velocity[-1, :, 0].numpy()
        expected = speed * np.array([1 - ratio * restitution, 1 + restitution]) / (1 + ratio)
        assert np.abs(out - expected).max() < 0.01 * speed
        assert len(rollout.contacts) >= 1
        assert rollout.contacts.pair.tolist()[0] == [1, 2]
        assert np.allclose(rollout.contacts.normal[0], [1, 0, 0], atol=1e-6)
        assert abs(rollout.contacts.onset[0] - (0.03 + 0.05 * speed) / speed) < 2e-3


def test_an_oblique_frictionless_impact_exchanges_the_normal_velocities_only():
    bodies = [
        ball("a", (-0.5, 0.0, 1.0), (2.0, 0.0, 0.0), friction=0.0, restitution=1.0),
        ball("b", (0.0, 0.1, 1.0), friction=0.8, restitution=1.0),
    ]
    rollout, _ = play(bodies, law=STILL, duration=0.6)
    normal = np.array([math.sqrt(0.03), 0.1, 0.0]) / 0.2
    given = 2.0 * normal[0] * normal
    out = rollout.trajectory.linear_velocity[-1].numpy()
    # Bullet takes the normal up to one sub-step of travel after the touch.
    assert np.abs(out[1] - given).max() < 0.02 * 2.0
    assert np.abs(out.sum(axis=0) - [2.0, 0.0, 0.0]).max() < 1e-9
    assert rollout.trajectory.angular_velocity.abs().max() < 1e-9


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("speed", [0.05, 0.6, 6.0])
@pytest.mark.parametrize("ratio", [1.0, 1 / 9, 9.0])
def test_oblique_impacts_leave_within_one_per_cent_of_the_closed_form(planar, speed, ratio):
    for restitution in (0.3, 1.0):
        bodies = [
            ball("a", (-0.3, 0.0, 1.0), (speed, 0.0, 0.0), friction=0.0, restitution=restitution),
            ball("b", (0.0, 0.0, 1.08), mass=ratio, friction=0.0, restitution=restitution),
        ]
        rollout, _ = play(bodies, law=STILL, planar=planar, duration=0.25 / speed, fps=40 * speed)
        normal = np.array([math.sqrt(0.04 - 0.08**2), 0.0, 0.08]) / 0.2
        given = (1 + restitution) * speed * normal[0] / (1 + ratio) * normal
        out = rollout.trajectory.linear_velocity[-1].numpy()
        assert np.abs(out[1] - given).max() < 0.01 * speed
        assert np.abs(out[0] - (np.array([speed, 0.0, 0.0]) - ratio * given)).max() < 0.01 * speed


@pytest.mark.parametrize("restitution", [0.0, 0.25, 1.0])
def test_bounce_heights_follow_the_pair_law(restitution):
    bodies = [ball("ball", (0.0, 0.0, 1.1), restitution=restitution), floor(restitution=1.0)]
    _, motion = play(bodies, duration=1.2, fps=240.0)
    height = motion["position"][:, 0, 2] - 0.1
    touch = math.sqrt(2 / 9.81)
    after = height[int((touch + 0.02) * 240) :]
    assert after.max() == pytest.approx(restitution, abs=0.012)  # e^2 h with e = sqrt(restitution * 1)


def test_an_elastic_ball_keeps_its_energy_over_many_bounces():
    bodies = [ball("ball", (0.0, 0.0, 0.6), restitution=1.0), floor(restitution=1.0)]
    rollout, motion = play(bodies, duration=8.0)
    speed = rollout.trajectory.linear_velocity[:, 0, 2].numpy()
    energy = 9.81 * (motion["position"][:, 0, 2] - 0.1) + speed**2 / 2
    assert len(rollout.contacts) > 8
    assert np.abs(energy / energy[0] - 1).max() < 0.01


RESTING = [
    Sphere(0.1),
    Box((0.1, 0.1, 0.1)),
    Capsule(0.1, 0.2),
    Ring(0.3, 0.1),
]


@pytest.mark.parametrize("shape", RESTING, ids=lambda shape: shape.kind)
def test_resting_bodies_sink_or_hover_less_than_a_millimetre(shape):
    lying = (math.sqrt(0.5), math.sqrt(0.5), 0.0, 0.0) if isinstance(shape, Capsule) else (1.0, 0.0, 0.0, 0.0)
    bodies = [Body("body", shape, State((0.0, 0.0, 0.12), lying), restitution=0.3), floor(restitution=0.3)]
    rollout, motion = play(bodies, duration=1.5)
    assert abs(motion["position"][-1, 0, 2] - 0.1) < 1e-3
    assert rollout.trajectory.linear_velocity[-1, 0].abs().max() < 5e-3
    last = rollout.contacts.frame == rollout.trajectory.num_frames - 1
    assert rollout.contacts.force[last].sum() == pytest.approx(9.81, rel=0.05)


def test_resting_polygons_keep_to_the_plane_and_to_the_floor():
    square = Polygon(((-0.1, -0.1), (0.1, -0.1), (0.1, 0.1), (-0.1, 0.1)))
    hexagon = Polygon(tuple((0.1 * math.cos(k * math.pi / 3), 0.1 * math.sin(k * math.pi / 3)) for k in range(6)))
    bodies = [
        Body("square", square, State((1.0, 0.0, 0.13))),
        Body("hexagon", hexagon, State((1.02, 0.0, 0.35))),
        Body("ground", Box((2.0, 0.5, 0.1)), State((1.0, 0.0, -0.1)), static=True),
    ]
    rollout, motion = play(bodies, planar=True, camera=planar_camera(4.0, 64), duration=2.0)
    assert abs(motion["position"][-1, 0, 2] - 0.1) < 1e-3
    assert abs(motion["position"][-1, 1, 2] - 0.2 - 0.1 * math.sqrt(0.75)) < 2e-3
    assert np.abs(motion["position"][..., 1]).max() == 0
    assert np.abs(motion["orientation"][..., [1, 3]]).max() == 0
    assert rollout.trajectory.linear_velocity[-1].abs().max() < 5e-3


def test_a_stack_of_boxes_stands():
    boxes = [Body(f"box{i}", Box((0.1, 0.1, 0.1)), State((0.0, 0.0, 0.1 + 0.2 * i)), friction=0.8) for i in range(4)]
    _, motion = play([*boxes, floor(friction=0.8)], duration=3.0)
    assert np.abs(motion["position"][-1, :4] - motion["position"][0, :4]).max() < 2e-3


@pytest.mark.parametrize(("angle", "slides"), [(0.3, False), (0.7, True)])
def test_a_box_on_an_incline_slips_beyond_the_friction_angle(angle, slides):
    normal = np.array([math.sin(angle), 0.0, math.cos(angle)])
    down = np.array([math.cos(angle), 0.0, -math.sin(angle)])
    turned = (math.cos(angle / 2), 0.0, math.sin(angle / 2), 0.0)
    matter = {"friction": 0.25, "restitution": 0.0}
    box = Body("box", Box((0.2, 0.2, 0.05)), State(tuple(0.05 * normal), turned), **matter)
    _, motion = play([box, floor(angle, friction=1.0, restitution=0.0)], duration=1.0)
    way = float((motion["position"][-1, 0] - motion["position"][0, 0]) @ down)
    mu = 0.5  # sqrt(0.25 * 1)
    if slides:
        expected = 0.5 * 9.81 * (math.sin(angle) - mu * math.cos(angle))
        assert way == pytest.approx(expected, rel=0.02)
    else:
        assert abs(way) < 2e-3


def test_a_sliding_sphere_ends_up_rolling_at_five_sevenths_of_its_speed():
    bodies = [ball("ball", (0.0, 0.0, 0.1), (2.0, 0.0, 0.0), friction=0.4), floor(friction=0.4)]
    rollout, _ = play(bodies, duration=1.0)
    assert float(rollout.trajectory.linear_velocity[-1, 0, 0]) == pytest.approx(2.0 * 5 / 7, rel=0.01)
    assert float(rollout.trajectory.angular_velocity[-1, 0, 1]) == pytest.approx(20.0 * 5 / 7, rel=0.01)


def test_a_sliding_disc_rolls_at_two_thirds_of_its_speed_in_a_planar_world():
    ground = Body("ground", Box((5.0, 0.5, 0.2)), State((2.0, 0.0, -0.2)), static=True, friction=0.4)
    bodies = [ball("disc", (0.0, 0.0, 0.1), (2.0, 0.0, 0.0), friction=0.4), ground]
    rollout, _ = play(bodies, duration=1.0, planar=True, camera=planar_camera(6.0, 64, (1.0, 0.0)))
    assert float(rollout.trajectory.linear_velocity[-1, 0, 0]) == pytest.approx(2.0 * 2 / 3, rel=0.01)


def test_a_ball_falls_through_the_ring_and_another_bounces_off_its_side():
    ring = Body("ring", Ring(0.3, 0.03), State((0.0, 0.0, 1.0)), static=True, restitution=0.8)
    through, off = ball("through", (0.05, 0.0, 1.5), radius=0.1), ball("off", (0.32, 0.0, 1.5), radius=0.1)
    rollout, motion = play([ring, through, off], duration=0.6)
    assert motion["position"][-1, 1, 2] < 0.5
    assert [1, 2] not in rollout.contacts.pair.tolist()
    assert [1, 3] in rollout.contacts.pair.tolist()
    assert motion["position"][-1, 2, 0] > 0.33


def test_a_tumbling_box_keeps_its_spin_and_energy_without_gravity():
    box = Body("box", Box((0.1, 0.2, 0.3)), State((0.0, 0.0, 1.0), angular_velocity=(0.05, 5.0, 0.05)))
    rollout, motion = play([box], law=STILL, duration=2.0)
    inertia = np.array(box.inertia())
    w, x, y, z = np.moveaxis(motion["orientation"][:, 0], -1, 0)
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    ).transpose(2, 0, 1)
    local = np.einsum("tij,ti->tj", rotation, rollout.trajectory.angular_velocity[:, 0].numpy())
    energy = (inertia * local**2).sum(-1)
    momentum = np.einsum("tij,tj->ti", rotation, inertia * local)
    assert np.abs(energy / energy[0] - 1).max() < 0.02
    assert np.abs(momentum - momentum[0]).max() < 0.02 * np.abs(momentum[0]).max()
