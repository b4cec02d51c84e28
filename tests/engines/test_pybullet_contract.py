"""PyBullet engine: the Simulator protocol, contacts, batches, clients that are given back, and refusals."""

import dataclasses
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

from worldsim.engines import Simulator, get_engine
from worldsim.engines.check import check_simulator
from worldsim.scene import Actuator, Body, Box, Camera, Joint, Law, Plane, Robot, Scene, Sphere, State

bullet = pytest.importorskip("pybullet")

from worldsim.engines.pybullet import PybulletSimulator  # noqa: E402

SIM = PybulletSimulator()
CAMERA = Camera(position=(0, -6, 2), target=(0, 0, 1), width=48, height=32)
FLOOR = Body("floor", Plane(), State((0.0, 0.0, 0.0)), static=True)


def drop(height=1.0, x=0.0, **fields):
    ball = Body("ball", Sphere(0.2), State((x, 0.0, height)), restitution=0.6)
    return Scene((FLOOR, ball), camera=CAMERA, **{"duration": 1.0, **fields})


def test_it_is_the_engine_called_pybullet_and_meets_the_protocol():
    engine = get_engine("pybullet")
    assert isinstance(engine, Simulator)
    assert engine.name == "pybullet"
    assert engine.version.startswith("3.")
    check_simulator(engine)


def test_a_rollout_has_every_frame_of_every_body_and_starts_at_the_start():
    scene = drop()
    rollout = SIM.simulate(scene)
    frames, bodies = scene.num_frames, len(scene.bodies)
    assert rollout.video.shape == (frames, 32, 48, 3)
    assert rollout.video.dtype == np.uint8
    assert rollout.ids.shape == rollout.depth.shape == (frames, 32, 48)
    assert rollout.ids.dtype == np.uint8
    assert rollout.depth.dtype == np.float32
    assert rollout.trajectory.position.shape == (frames, bodies, 3)
    assert rollout.trajectory.position.dtype == torch.float64
    assert rollout.actions.shape == (frames - 1, 0)
    assert (rollout.engine, rollout.engine_version) == (SIM.name, SIM.version)
    assert rollout.trajectory.position[0, 1].tolist() == [0.0, 0.0, 1.0]
    assert rollout.trajectory.linear_velocity[0].abs().max() == 0
    assert SIM.simulate(scene, render=False).video.shape == (0, 32, 48, 3)


def test_contacts_are_one_row_a_pair_and_frame_in_order():
    balls = [Body(f"ball{i}", Sphere(0.2), State((0.5 * i, 0.0, 0.2 + 0.1 * i))) for i in range(3)]
    scene = Scene((FLOOR, *balls), camera=CAMERA, duration=1.0)
    contacts = SIM.simulate(scene, render=False).contacts
    rows = [(int(f), *map(int, p)) for f, p in zip(contacts.frame, contacts.pair, strict=True)]
    assert rows == sorted(set(rows))
    assert {tuple(p) for p in contacts.pair.tolist()} == {(1, 2), (1, 3), (1, 4)}
    assert rows[0] == (0, 1, 2)  # the first ball lies on the floor from the very start
    assert (contacts.onset <= contacts.time).all()
    assert (contacts.time <= contacts.frame / scene.fps + 1e-9).all()
    assert (contacts.onset > (contacts.frame - 1) / scene.fps - 1e-9).all()
    assert np.allclose(contacts.normal, [0, 0, 1])  # from the floor, id 1, to the balls
    assert (contacts.distance < 1e-4).all()
    assert np.abs(contacts.position[:, 2]).max() < 5e-3


def test_batches_give_the_same_trajectories_on_any_number_of_threads():
    scenes = [drop(0.5 + 0.1 * i, 0.1 * i) for i in range(4)]
    alone = [SIM.simulate(scene, render=False).trajectory for scene in scenes]
    for threads in (1, 3):
        for one, other in zip(alone, SIM.simulate_batch(scenes, threads), strict=True):
            assert torch.equal(one.position, other.position)
            assert torch.equal(one.angular_velocity, other.angular_velocity)
    with pytest.raises(ValueError, match="threads"):
        SIM.simulate_batch(scenes, 0)


def test_a_scene_is_played_alike_each_time():
    boxes = [Body(f"box{i}", Box((0.1, 0.1, 0.1)), State((0.03 * i, 0.0, 0.2 + 0.25 * i))) for i in range(4)]
    scene = Scene((FLOOR, *boxes), camera=CAMERA, duration=1.0)
    first, second = (SIM.simulate(scene, render=False) for _ in range(2))
    assert torch.equal(first.trajectory.position, second.trajectory.position)
    assert np.array_equal(first.contacts.force, second.contacts.force)


def clients():
    return sum(bool(bullet.getConnectionInfo(physicsClientId=i)["isConnected"]) for i in range(8))


def test_clients_are_given_back_also_after_a_refusal():
    before = clients()
    SIM.simulate(drop())
    bob = Body("bob", Sphere(0.1), State((0.3, 0.0, 1.5)))
    joint = Joint("hinge", "hinge", "bob", None, (0, 0, 2.0), (0, 0, 0.5))
    with pytest.raises(ValueError, match="bob"):
        SIM.simulate(Scene((bob,), camera=CAMERA, joints=(joint,)))
    assert clients() == before


def test_overlapping_starts_are_refused():
    with pytest.raises(ValueError, match="ball"):
        SIM.simulate(drop(0.1), render=False)


def test_actions_of_a_wrong_shape_are_refused():
    bob = Body("bob", Sphere(0.1), State((0.0, 0.0, 1.5)))
    joint = Joint("hinge", "hinge", "bob", None, (0, 0, 2.0), (0, 0, 0.5))
    scene = Scene((bob,), camera=CAMERA, joints=(joint,), duration=0.5, robot=Robot((Actuator("hinge"),), ((0.3,),)))
    assert SIM.simulate(scene, render=False).actions.shape == (12, 1)
    with pytest.raises(ValueError, match="actions"):
        SIM.simulate(scene, np.zeros((12, 2), np.float32), render=False)
    with pytest.raises(ValueError, match="preset"):
        SIM.simulate(scene, preset="best")


def test_motion_that_diverges_is_one_clear_error():
    scene = dataclasses.replace(drop(), law=Law(gravity=(0.0, 0.0, 1e12)), duration=0.3)
    wild = scene.with_states({"ball": State((0.0, 0.0, 1.0), linear_velocity=(0.0, 0.0, 1e9))})
    with pytest.raises(RuntimeError, match=r"diverged by 0\.\d+ s"):
        SIM.simulate(dataclasses.replace(wild, law=Law()), render=False)


def test_links_collide_with_other_bodies_but_not_with_their_own_group():
    arm = Body("arm", Sphere(0.1), State((0.0, 0.0, 1.0)), group="robot", restitution=0.0)
    mate = Body("mate", Box((0.1, 0.1, 0.1)), State((0.1, 0.0, 1.1)), group="robot", static=True)
    block = Body("block", Box((0.1, 0.4, 0.1)), State((-0.5, 0.0, 1.25)), static=True, restitution=0.0)
    joint = Joint("hinge", "hinge", "arm", None, (0, 0, 1.5), (0, 0, 0.5))
    robot = Robot((Actuator("hinge", kind="motor", gain=1.0),), ((3.0,),))
    scene = Scene((arm, mate, block), camera=CAMERA, joints=(joint,), robot=robot, law=Law(gravity=(0, 0, 0)))
    pairs = SIM.simulate(scene, render=False).contacts.pair.tolist()
    assert [1, 3] in pairs
    assert [1, 2] not in pairs


def test_without_pybullet_the_install_line_is_said():
    code = """
    import sys
    sys.modules["pybullet"] = None
    from worldsim.engines import get_engine
    try:
        get_engine("pybullet")
    except ImportError as error:
        print(error)
    """
    out = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    ).stdout
    assert "pip install pybullet" in out
    assert "3.11" in out
