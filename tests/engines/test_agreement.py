"""MuJoCo and PyBullet play the same scene alike: motion until the first contact, ids, contacts and joints.

Bars: 1e-4 m and 1e-3 rad until the first contact; onset of contact within one frame; ids on 99 % of pixels.
"""

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
    planar_camera,
)

pytest.importorskip("pybullet")

from worldsim.engines import get_engine

CAMERA = Camera(position=(0.5, -6.0, 2.5), target=(0.0, 0.0, 0.8), width=128, height=96)
FLOOR = Body("floor", Plane(), State((0.0, 0.0, 0.0)), static=True, restitution=0.8, colour=(0.6, 0.6, 0.6))
ENGINES = ("mujoco", "pybullet")
POSITION, ANGLE = 1e-4, 1e-3


def both(scene, **options):
    return [get_engine(name).simulate(scene, **options) for name in ENGINES]


def tossed(drag=0.0):
    """Bodies of every shape in the air above a floor, spinning; the first touches it after half a second."""
    turned = (math.cos(0.4), 0.0, math.sin(0.4), 0.0)
    bodies = (
        Body("ball", Sphere(0.2), State((-1.5, 0, 1.2), linear_velocity=(0.5, 0, 1.0)), restitution=0.7),
        Body("box", Box((0.1, 0.2, 0.3)), State((-0.6, 0, 1.8), turned, (0, 0.2, 2.0), (3.0, 0.5, 1.0))),
        Body("rod", Capsule(0.1, 0.3), State((0.4, 0, 1.8), turned, (0, 0, 1.0), (0.0, 4.0, 2.0))),
        Body("ring", Ring(0.3, 0.06), State((1.5, 0, 1.8), turned, (0, 0, 1.5), (1.0, 3.0, 0.5))),
    )
    return Scene((*bodies, FLOOR), law=Law(drag=drag), camera=CAMERA, duration=1.0)


def first_contact(rollouts):
    onsets = [float(r.contacts.onset.min()) for r in rollouts if len(r.contacts)]
    return min(onsets) if onsets else math.inf


def apart(first, second):
    """Largest distance in metres and angle in radians between two trajectories, frame by frame."""
    position = (first.position - second.position).norm(dim=-1).amax(-1).numpy()
    cosine = (first.orientation * second.orientation).sum(-1).abs().clamp(max=1)
    return position, (2 * cosine.acos()).amax(-1).numpy()


@pytest.mark.parametrize("drag", [0.0, 0.5])
def test_all_shapes_fly_alike_until_the_first_contact(drag):
    scene = tossed(drag)
    rollouts = both(scene, render=False)
    frames = int(min(first_contact(rollouts), scene.duration) * scene.fps)
    assert frames >= 12
    position, angle = apart(*(r.trajectory.frames(0, frames) for r in rollouts))
    assert position.max() < POSITION
    # Bullet turns bodies by a scheme of first order, and these spin at up to 4.5 rad/s.
    assert angle.max() < 5 * ANGLE


def test_bouncing_balls_touch_in_the_same_pairs_within_one_frame():
    balls = [
        Body(
            f"ball{i}",
            Sphere(0.15 + 0.03 * i),
            State((0.7 * i - 1.0, 0, 0.6 + 0.2 * i), linear_velocity=(0.5 - 0.4 * i, 0, 0)),
            mass=1.0 + i,
            restitution=0.8,
        )
        for i in range(4)
    ]
    walls = [
        Body(f"wall{i}", Box((0.1, 1.0, 1.0)), State((x, 0, 1.0)), static=True, restitution=0.8)
        for i, x in enumerate((-1.6, 2.0))
    ]
    scene = Scene((*balls, *walls, FLOOR), camera=CAMERA, duration=0.9)
    onsets = []
    for rollout in both(scene, render=False):
        first = {}
        for frame, pair in zip(rollout.contacts.frame, map(tuple, rollout.contacts.pair.tolist()), strict=True):
            first.setdefault(pair, int(frame))
        onsets.append(first)
    assert onsets[0].keys() == onsets[1].keys()
    assert len(onsets[0]) >= 5
    for pair, frame in onsets[0].items():
        assert abs(frame - onsets[1][pair]) <= 1, pair


def test_one_impact_leaves_alike():
    bodies = (
        Body("a", Sphere(0.2), State((-1.0, 0, 1.0), linear_velocity=(3.0, 0, 0)), restitution=0.6),
        Body("b", Sphere(0.3), State((0.5, 0, 1.0)), mass=4.0, restitution=0.9),
    )
    scene = Scene(bodies, law=Law(gravity=(0, 0, 0)), camera=CAMERA, duration=0.8)
    mujoco, pybullet = both(scene, render=False)
    assert np.abs((mujoco.trajectory.linear_velocity - pybullet.trajectory.linear_velocity)[-1].numpy()).max() < 0.03
    assert mujoco.contacts.pair.tolist()[0] == pybullet.contacts.pair.tolist()[0] == [1, 2]
    assert np.allclose(mujoco.contacts.normal[0], pybullet.contacts.normal[0], atol=1e-3)
    assert abs(mujoco.contacts.onset[0] - pybullet.contacts.onset[0]) < 2e-3


def centres_in_their_ids(scene, rollout, convex):
    """Check that on each frame a convex body's visible pixels hold its projected centre, unless something hides it."""
    checked = 0
    height, width = rollout.ids.shape[1:]
    for k in range(len(rollout.ids)):
        pixels, _ = scene.camera.project(rollout.trajectory.position[k].numpy())
        for i in convex:
            u, v = pixels[i]
            if not (0 <= u < width and 0 <= v < height) or not (rollout.ids[k] == i + 1).any():
                continue
            seen = int(rollout.ids[k, int(v), int(u)])
            if seen != i + 1:
                # Hidden by another body, which then is nearer there.
                assert seen != 0
                _, depth = scene.camera.project(rollout.trajectory.position[k, i].numpy())
                assert rollout.depth[k, int(v), int(u)] < depth
                continue
            checked += 1
    return checked


def test_ids_name_the_same_bodies_and_hold_their_centres():
    scene = tossed()
    rollouts = both(scene)
    for rollout in rollouts:
        assert centres_in_their_ids(scene, rollout, range(3)) > 60
    until = int(first_contact(rollouts) * scene.fps)
    same = rollouts[0].ids[:until] == rollouts[1].ids[:until]
    assert same.mean() > 0.99
    depth = np.abs(rollouts[0].depth - rollouts[1].depth)[:until][same]
    assert np.median(depth) < 1e-3


def test_planar_ids_agree_and_flat_colours_are_equal():
    hexagon = Polygon(tuple((0.8 * math.cos(k * math.pi / 3), 0.8 * math.sin(k * math.pi / 3)) for k in range(6)))
    bodies = (
        Body("disc", Sphere(1.0), State((2.0, 0, 7.0), linear_velocity=(2.0, 0, 0)), colour=(0.8, 0.2, 0.2)),
        Body("hexagon", hexagon, State((7.0, 0, 4.0), angular_velocity=(0, 1.0, 0)), colour=(0.2, 0.2, 0.8)),
        Body("bar", Box((4.0, 0.5, 0.2)), State((5.0, 0, 0.5)), static=True, colour=(0.1, 0.1, 0.1)),
    )
    scene = Scene(
        bodies, law=Law((0, 0, -2.5)), camera=planar_camera(10.0, 128), planar=True, shading="flat", duration=0.8
    )
    rollouts = both(scene)
    for rollout in rollouts:
        assert centres_in_their_ids(scene, rollout, range(3)) == 3 * scene.num_frames
    position, angle = apart(*(r.trajectory for r in rollouts))
    assert position.max() < POSITION
    assert angle.max() < ANGLE
    same = rollouts[0].ids == rollouts[1].ids
    assert same.mean() > 0.99
    assert (rollouts[0].video[same] == rollouts[1].video[same]).all()


ARM, PIVOT = 0.5, 2.0


def pendulum(angle):
    position = (-ARM * math.sin(angle), 0.0, PIVOT - ARM * math.cos(angle))
    turned = (math.cos(angle / 2), 0.0, math.sin(angle / 2), 0.0)
    bob = Body("bob", Sphere(0.1), State(position, turned))
    hinge = Joint("hinge", "hinge", "bob", None, (0.0, 0.0, PIVOT), (0.0, 0.0, ARM))
    return Scene((bob,), camera=CAMERA, duration=3.0, joints=(hinge,))


@pytest.mark.parametrize("angle", [0.1, 1.2, 2.8])
def test_a_pendulum_swings_by_its_equation_in_both(angle):
    scene = pendulum(angle)
    inertia = scene.bodies[0].inertia()[1] + ARM**2
    time = np.arange(scene.num_frames) / scene.fps
    exact = solve_ivp(
        lambda _, y: [y[1], -9.81 * ARM / inertia * math.sin(y[0])],
        (0, time[-1]),
        [angle, 0.0],
        t_eval=time,
        rtol=1e-10,
        atol=1e-12,
    ).y[0]
    for rollout in both(scene, render=False):
        orientation = rollout.trajectory.orientation[:, 0].numpy()
        read = np.unwrap(2 * np.arctan2(orientation[:, 2], orientation[:, 0]))
        assert np.abs(read - exact).max() < ANGLE, rollout.engine


def arm(planar):
    """Two driven links on a static post."""
    bodies = (
        Body("post", Box((0.1, 0.1, 0.1)), State((0.0, 0.0, 1.6)), static=True, group="arm"),
        Body("upper", Capsule(0.05, 0.2), State((0.0, 0.0, 1.25)), mass=0.7, group="arm"),
        Body("lower", Capsule(0.05, 0.2), State((0.0, 0.0, 0.75)), mass=0.5, group="arm"),
    )
    joints = (
        Joint("shoulder", "hinge", "upper", "post", (0.0, 0.0, -0.1), (0.0, 0.0, 0.25), damping=0.05),
        Joint("elbow", "hinge", "lower", "upper", (0.0, 0.0, -0.25), (0.0, 0.0, 0.25), damping=0.05, armature=0.01),
    )
    program = tuple((0.8 * math.sin(0.2 * k), 0.6 * math.cos(0.15 * k) - 0.6) for k in range(48))
    robot = Robot((Actuator("shoulder", gain=20.0, damping=1.5), Actuator("elbow", gain=10.0, damping=0.8)), program)
    return Scene(bodies, camera=CAMERA, planar=planar, duration=2.0, joints=joints, robot=robot)


@pytest.mark.parametrize("planar", [False, True])
def test_a_driven_arm_follows_the_same_path_in_both(planar):
    rollouts = both(arm(planar), render=False)
    assert rollouts[0].trajectory.position[:, 2].std() > 0.05
    position, angle = apart(*(r.trajectory for r in rollouts))
    # MuJoCo's implicit step for damped joints is of first order in its sub-step of a millisecond.
    assert position.max() < 5e-3
    assert angle.max() < 1e-2
    assert (rollouts[0].actions == rollouts[1].actions).all()
