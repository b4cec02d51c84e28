"""check_simulator finds what is wrong with an engine and says it; stepping and ring rules that engines share."""

import dataclasses
import math

import numpy as np
import pytest

from worldsim.engines import check_simulator, refuse_overlap
from worldsim.engines.mujoco import MujocoSimulator
from worldsim.engines.ring import ring_capsules
from worldsim.engines.stepping import choose_stepping, exempt_pairs
from worldsim.scene import Body, Box, Camera, Law, Plane, Ring, Scene, Sphere, State

CAMERA = Camera(position=(0, -6, 1), target=(0, 0, 1), fov=80)


class Faulty(MujocoSimulator):
    """A MuJoCo engine whose rollouts are spoilt by a function."""

    def __init__(self, spoil):
        super().__init__()
        self.spoil = spoil

    def simulate(self, scene, actions=None, *, preset="fast", render=True):
        return self.spoil(super().simulate(scene, actions, preset=preset, render=render))


def late(rollout):
    """Velocities of half a sub-step ago, as leapfrog integrators hand out."""
    v = rollout.trajectory.linear_velocity + 0.0005 * 9.81
    return dataclasses.replace(rollout, trajectory=dataclasses.replace(rollout.trajectory, linear_velocity=v))


def sunk(rollout):
    position = rollout.trajectory.position.clone()
    position[1:, :, 2] -= 2e-4
    return dataclasses.replace(rollout, trajectory=dataclasses.replace(rollout.trajectory, position=position))


def swapped_normals(rollout):
    contacts = dataclasses.replace(rollout.contacts, normal=-rollout.contacts.normal)
    return dataclasses.replace(rollout, contacts=contacts)


def wrong_ids(rollout):
    ids = np.where(rollout.ids == 1, 2, np.where(rollout.ids == 2, 1, rollout.ids)).astype(np.uint8)
    return dataclasses.replace(rollout, ids=ids)


def single_precision(rollout):
    return dataclasses.replace(rollout, trajectory=rollout.trajectory.to(dtype=__import__("torch").float32))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (late, "velocity in free flight"),
        (sunk, "free flight"),
        (swapped_normals, "contacts.normal: must be from the first body to the second"),
        (wrong_ids, "ids in frame"),
        (single_precision, "trajectory.position: must be float64"),
    ],
)
def test_faults_are_named(spoil, said):
    with pytest.raises(ValueError, match=said):
        check_simulator(Faulty(spoil))


def test_an_engine_of_another_pair_law_is_found_out():
    class Arithmetic(MujocoSimulator):
        def simulate(self, scene, actions=None, *, preset="fast", render=True):
            mean = sum(b.restitution for b in scene.bodies) / len(scene.bodies)
            bodies = tuple(dataclasses.replace(b, restitution=mean) for b in scene.bodies)
            rollout = super().simulate(dataclasses.replace(scene, bodies=bodies), actions, preset=preset, render=render)
            return dataclasses.replace(rollout, scene=scene)

    with pytest.raises(ValueError, match="velocities after a three-dimensional impact"):
        check_simulator(Arithmetic(), render=False)


def test_an_engine_that_plays_overlaps_or_lacks_methods_is_found_out(monkeypatch):
    monkeypatch.setattr("worldsim.engines.base.refuse_overlap", lambda scene: None)
    with pytest.raises(ValueError, match="overlapping start: must be refused"):
        check_simulator(MujocoSimulator(), render=False)
    with pytest.raises(ValueError, match="must have name, version, simulate, simulate_batch and render, got object"):
        check_simulator(object())


@pytest.mark.parametrize("ring", [Ring(0.23, 0.02), Ring(0.05, 0.01), Ring(2.0, 0.3), Ring(0.3, 0.004)], ids=str)
def test_ring_capsules_join_and_stay_within_half_a_millimetre(ring):
    from scipy.spatial.transform import Rotation

    parts = ring_capsules(ring)
    axis = Rotation.from_quat(parts.orientations[:, [1, 2, 3, 0]]).apply([0, 0, 1])
    starts, ends = parts.centres - axis * parts.half_length, parts.centres + axis * parts.half_length
    assert np.abs(ends - np.roll(starts, -1, axis=0)).max() < 1e-12
    along = np.linspace(-1, 1, 21)[:, None, None]
    radius = np.linalg.norm(parts.centres + along * axis * parts.half_length, axis=-1)
    deviation = np.abs(radius - ring.major_radius).max()
    assert deviation < min(5e-4, 0.1 * ring.minor_radius)
    assert parts.sagitta == pytest.approx(deviation, rel=1e-6)
    assert parts.radius == ring.minor_radius


def test_substeps_divide_the_frame_and_bound_the_travel_of_the_thinnest_pair():
    ball = Body("ball", Sphere(0.02), State((-1, 0, 1), linear_velocity=(30, 0, 0)))
    wall = Body("wall", Box((0.005, 1, 1)), State((0, 0, 1)), static=True)
    scene = Scene(bodies=(ball, wall), camera=CAMERA, duration=1.0, fps=24, law=Law((0, 0, 0)))
    stepping = choose_stepping(scene)
    assert stepping.substeps * stepping.step == pytest.approx(1 / 24, rel=1e-12)
    assert 30 * stepping.step <= 0.25 * 0.025
    assert 30 * 1 / 24 / (stepping.substeps - 1) > 0.25 * 0.025  # and is not finer than it needs be
    falling = dataclasses.replace(scene, law=Law((0, 0, -9.81)))
    assert choose_stepping(falling).speed == pytest.approx(30 + 9.81)
    floor = Body("floor", Plane(), State((0, 0, 0)), static=True)
    bounded = dataclasses.replace(falling, bodies=(ball, wall, floor))
    assert choose_stepping(bounded).speed == pytest.approx(30 + math.sqrt(2 * 9.81 * 1.02))


def test_pairs_of_a_group_and_of_statics_are_exempt():
    bodies = (
        Body("a", Sphere(0.1), State((0, 0, 1)), group="g"),
        Body("b", Sphere(0.1), State((0, 0, 1)), group="g"),
        Body("c", Sphere(0.1), State((1, 0, 1)), static=True),
        Body("d", Sphere(0.1), State((1, 0, 1)), static=True),
    )
    scene = Scene(bodies=bodies, camera=CAMERA)
    assert exempt_pairs(scene) == {(0, 1), (2, 3)}
    refuse_overlap(scene)
    near = dataclasses.replace(scene, bodies=(*bodies, Body("e", Sphere(0.1), State((1.15, 0, 1)))))
    with pytest.raises(ValueError, match=r"body\[c\].state: must be apart from body\[e\].*0.05 m \(and 1 more pairs\)"):
        refuse_overlap(near)
