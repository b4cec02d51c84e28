"""What MujocoSimulator says of a play: frames, contacts, actions, batches, refusals."""

import dataclasses

import mujoco
import numpy as np
import pytest
import torch

from worldsim.engines import check_simulator, get_engine
from worldsim.engines.mujoco import MujocoSimulator, to_mjcf
from worldsim.engines.overlap import overlaps
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

SIM = MujocoSimulator()
CAMERA = Camera(position=(0, -6, 1), target=(0, 0, 1), fov=80, width=32, height=32)
FLOOR = Body("floor", Plane(), State((0, 0, 0)), static=True)


def test_it_keeps_the_contract():
    check_simulator(SIM)
    assert get_engine("mujoco").version == mujoco.__version__


def test_contacts_of_a_bouncing_ball_tell_time_place_and_force():
    e = 0.8
    ball = Body("ball", Sphere(0.1), State((0.5, 0, 1.1)), mass=2.0, restitution=e)
    bodies = (ball, dataclasses.replace(FLOOR, restitution=e))
    scene = Scene(bodies=bodies, camera=CAMERA, duration=1.5, fps=30)
    contacts = SIM.simulate(scene, render=False).contacts
    fall = np.sqrt(2 / 9.81)
    times = [fall, fall + 2 * e * fall]
    assert np.abs(contacts.time[:2] - times).max() < 1e-3
    assert np.array_equal(contacts.frame, np.ceil(contacts.time * 30 - 1e-6))
    assert np.array_equal(contacts.pair, np.tile([1, 2], (len(contacts), 1)))
    assert np.abs(contacts.normal - [0, 0, -1]).max() < 1e-9  # from the ball, id 1, down to the floor
    assert np.abs(contacts.position - [0.5, 0, 0]).max() < 1e-3
    assert (contacts.onset <= contacts.time).all()
    assert contacts.force[0] > contacts.force[1] > 0
    assert np.abs(contacts.distance).max() < 1e-4


def test_resting_force_is_the_weight_and_every_frame_has_its_row():
    box = Body("box", Box((0.1, 0.1, 0.1)), State((0, 0, 0.1)), mass=3.0)
    scene = Scene(bodies=(FLOOR, box), camera=CAMERA, duration=1.0)
    contacts = SIM.simulate(scene, render=False).contacts
    assert contacts.frame.tolist() == list(range(scene.num_frames))
    assert contacts.time[0] == 0
    assert np.abs(contacts.force[12:] - 3 * 9.81).max() < 0.3
    assert np.abs(contacts.normal - [0, 0, 1]).max() < 1e-9


def test_contact_rows_are_ordered_by_frame_then_pair():
    balls = [Body(f"b{i}", Sphere(0.1), State((0.3 * i, 0, 0.3 + 0.05 * i))) for i in range(4)]
    contacts = SIM.simulate(Scene(bodies=(*balls, FLOOR), camera=CAMERA, duration=1.0), render=False).contacts
    keys = np.concatenate([contacts.frame[:, None], contacts.pair], axis=1)
    assert len(np.unique(keys, axis=0)) == len(keys)
    assert np.array_equal(keys, keys[np.lexsort(keys.T[::-1])])
    assert (contacts.pair[:, 0] < contacts.pair[:, 1]).all()


def arm(controls=((0.5,),), limits=(-1.0, 1.0)):
    link = Body("link", Box((0.2, 0.02, 0.02)), State((0.2, 0, 1)))
    joint = Joint("hinge", "hinge", "link", None, (0, 0, 1), (-0.2, 0, 0), damping=0.1)
    robot = Robot((Actuator("hinge", limits=limits),), controls)
    return Scene(bodies=(link,), camera=CAMERA, duration=0.5, joints=(joint,), robot=robot)


def test_the_last_row_of_the_program_holds_and_actions_replace_it():
    scene = arm(controls=((0.1,), (0.3,)))
    own = SIM.simulate(scene, render=False)
    assert own.actions[:3, 0].tolist() == pytest.approx([0.1, 0.3, 0.3])
    again = SIM.simulate(scene, own.actions, render=False)
    assert torch.equal(own.trajectory.position, again.trajectory.position)
    other = SIM.simulate(scene, -own.actions, render=False)
    assert not torch.equal(own.trajectory.position, other.trajectory.position)


def test_actions_that_do_not_fit_are_refused():
    scene = arm()
    steps = scene.num_frames - 1
    with pytest.raises(ValueError, match=rf"actions: must be of shape \(T - 1, A\) = \({steps}, 1\)"):
        SIM.simulate(scene, np.zeros((steps, 2), np.float32), render=False)
    with pytest.raises(ValueError, match="actions: must be finite"):
        SIM.simulate(scene, np.full((steps, 1), np.nan, np.float32), render=False)
    with pytest.raises(ValueError, match="within the limits"):
        SIM.simulate(scene, np.full((steps, 1), 2.0, np.float32), render=False)
    with pytest.raises(ValueError, match=r"robot\.controls: must be given, or actions passed"):
        SIM.simulate(arm(controls=()), render=False)


def test_overlapping_starts_are_refused_by_name_and_depth_in_all_worlds():
    ball = Body("ball", Sphere(0.1), State((0, 0, 0.08)))
    with pytest.raises(ValueError, match=r"body\[(floor|ball)\].*body\[(ball|floor)\].*overlap of 0.02 m"):
        SIM.simulate(Scene(bodies=(FLOOR, ball), camera=CAMERA), render=False)
    discs = (Body("a", Sphere(1.0), State((3, 0, 5))), Body("b", Sphere(1.0), State((4.5, 0, 5))))
    with pytest.raises(ValueError, match=r"overlap of 0\.5 m"):
        SIM.simulate_batch([Scene(bodies=discs, camera=planar_camera(), planar=True)])


def test_groups_statics_and_touching_bodies_may_start_as_they_are():
    bodies = (
        FLOOR,
        Body("wall", Box((0.1, 1, 0.1)), State((1, 0, 0)), static=True),
        Body("a", Sphere(0.1), State((0, 0, 0.5)), group="pair"),
        Body("b", Sphere(0.1), State((0.05, 0, 0.5)), group="pair"),
        Body("c", Sphere(0.1), State((0, 0, 0.1 - 5e-5))),
    )
    scene = Scene(bodies=bodies, camera=CAMERA, duration=0.2)
    assert overlaps(scene) == []
    SIM.simulate(scene, render=False)
    through = Body("ball", Sphere(0.1), State((0, 0, 1)))
    ring = Body("ring", Ring(0.3, 0.05), State((0, 0, 1)), static=True)
    assert overlaps(Scene(bodies=(through, ring), camera=CAMERA)) == []


def test_start_states_that_contradict_a_joint_are_refused():
    link = Body("link", Sphere(0.1), State((0.3, 0, 1)))
    joint = Joint("pivot", "hinge", "link", None, (0, 0, 1), (-0.2, 0, 0))
    with pytest.raises(ValueError, match=r"body\[link\].state.position: must be where its joint allows"):
        SIM.simulate(Scene(bodies=(link,), joints=(joint,), camera=CAMERA), render=False)
    flying = dataclasses.replace(link, state=State((0.2, 0, 1), linear_velocity=(0, 1, 0)))
    with pytest.raises(ValueError, match=r"body\[link\].state velocity: must be what its joints allow"):
        SIM.simulate(Scene(bodies=(flying,), joints=(joint,), camera=CAMERA), render=False)


def test_divergence_is_one_clear_error():
    # A motor without damping or limits on a light link.
    link = Body("link", Sphere(0.01), State((0.1, 0, 1)), mass=1e-6)
    joint = Joint("axle", "hinge", "link", None, (0, 0, 1), (-0.1, 0, 0))
    robot = Robot((Actuator("axle", "motor", gain=1e6, limits=(-1, 1), force_limit=1e9),), ((1.0,),))
    scene = Scene(bodies=(link,), joints=(joint,), robot=robot, camera=CAMERA, family="spinner", seed=7)
    with pytest.raises(RuntimeError, match=r"'spinner', seed 7, diverged by 0\.\d+ s"):
        SIM.simulate(scene, render=False)


def many_scenes():
    scenes = []
    for i in range(6):
        ball = Body("ball", Sphere(0.1), State((0, 0, 0.5 + 0.1 * i), linear_velocity=(0.3, 0, 0)), restitution=0.7)
        box = Body("box", Box((0.1, 0.1, 0.1)), State((0.5, 0, 0.1)))
        scenes.append(Scene(bodies=(FLOOR, ball, box), camera=CAMERA, duration=1.0, seed=i))
    return [*scenes, arm()]


@pytest.mark.parametrize("threads", [1, 3])
def test_batches_equal_single_plays(threads):
    scenes = many_scenes()
    for scene, trajectory in zip(scenes, SIM.simulate_batch(scenes, threads), strict=True):
        alone = SIM.simulate(scene, render=False).trajectory
        for name in ("position", "orientation", "linear_velocity", "angular_velocity", "presence"):
            assert torch.equal(getattr(alone, name), getattr(trajectory, name))


def test_ids_follow_the_scene_though_mujoco_orders_by_tree():
    """A child listed before its parent keeps its place."""
    child = Body("child", Box((0.1, 0.02, 0.02)), State((0.5, 0, 1)), group="g")
    parent = Body("parent", Box((0.2, 0.02, 0.02)), State((0.2, 0, 1)), group="g")
    world = Body("world", Sphere(0.5), State((0, 0, 2)))  # a name that MuJoCo keeps for itself
    joints = (
        Joint("elbow", "hinge", "child", "parent", (0.2, 0, 0), (-0.1, 0, 0)),
        Joint("shoulder", "hinge", "parent", None, (0, 0, 1), (-0.2, 0, 0)),
    )
    scene = Scene(bodies=(child, world, parent), joints=joints, camera=CAMERA, duration=0.1)
    rollout = SIM.simulate(scene)
    assert np.allclose(rollout.trajectory.position[0], [[0.5, 0, 1], [0, 0, 2], [0.2, 0, 1]])
    (u, v), _ = scene.camera.project(np.array([0, 0, 2.0]))
    assert rollout.ids[0, int(v), int(u)] == 2


def test_mjcf_text_loads_elsewhere_with_the_scene_s_masses_and_pairs():
    bodies = (
        Body("floor", Plane(), State((0, 0, 0)), static=True, friction=0.9),
        Body("ball", Sphere(0.1), State((0, 0, 1)), mass=2.5, friction=0.4),
        Body("cap", Capsule(0.1, 0.2), State((1, 0, 1))),
        Body("ring", Ring(0.3, 0.04), State((-1, 0, 1))),
    )
    model = mujoco.MjModel.from_xml_string(to_mjcf(Scene(bodies=bodies, camera=CAMERA, law=Law((0, 0, -3.0)))))
    assert model.body("ball").mass[0] == 2.5
    assert model.opt.gravity.tolist() == [0, 0, -3]
    assert model.body("ring").inertia == pytest.approx(bodies[3].inertia())
    pair = model.pair("floor/0|ball/0")
    assert pair.friction[0] == pytest.approx(np.sqrt(0.9 * 0.4))
    assert model.nv == 18


def test_mjcf_of_planar_polygons_loads():
    slab = Polygon(((-0.5, -0.1), (0.5, -0.1), (0.5, 0.1), (-0.5, 0.1)))
    scene = Scene(bodies=(Body("slab", slab, State((5, 0, 5)), mass=2.0),), camera=planar_camera(), planar=True)
    model = mujoco.MjModel.from_xml_string(to_mjcf(scene))
    assert model.nv == 3
    assert model.body("slab").inertia[1] == pytest.approx(2.0 * slab.gyration, rel=1e-5)


@pytest.mark.parametrize("kind", ["ball", "hinge"])
def test_joints_that_leave_the_plane_are_refused(kind):
    joint = Joint("j", kind, "b", None, (0, 0, 0), (0, 0, 0), axis=(1, 0, 0))
    scene = Scene(bodies=(Body("b", Sphere(1.0), State((0, 0, 0))),), joints=(joint,), planar=True,
                  camera=planar_camera())  # fmt: skip
    with pytest.raises(ValueError, match=r"joint\[j\]"):
        SIM.simulate(scene, render=False)
