"""Long steps across free flight: the bound on the first touch is never late, and they play what short ones play."""

import dataclasses

import mujoco
import numpy as np
import pytest

from worldsim.engines.mujoco import MujocoSimulator
from worldsim.engines.mujoco.flight import flies_freely
from worldsim.engines.mujoco.model import compile_scene
from worldsim.engines.mujoco.play import Player
from worldsim.engines.mujoco.simulator import _play
from worldsim.engines.program import program
from worldsim.scene import (
    Body,
    Box,
    Camera,
    Capsule,
    Joint,
    Law,
    Plane,
    Polygon,
    Ring,
    Scene,
    Sphere,
    State,
    make_scene,
)

CAMERA = Camera(position=(0, -8, 1), target=(0, 0, 1), fov=90)
FLOOR = Body("floor", Plane(), State((0, 0, 0)), static=True)


def turned(rng):
    turn = rng.normal(size=4)
    return tuple((turn / np.linalg.norm(turn)).tolist())


def crowd(seed):
    """Static bodies of every kind in a row over a tilted floor, and four bodies thrown about above them."""
    rng = np.random.default_rng(seed)
    kinds = (Sphere(0.3), Box((0.2, 0.4, 0.1)), Capsule(0.15, 0.3), Ring(0.4, 0.06))
    still = [
        Body(f"still{i}", kind, State((1.5 * i - 2.2, 0.3 * rng.normal(), 0.9), turned(rng)), static=True)
        for i, kind in enumerate(kinds)
    ]
    movers = (Sphere(0.1), Sphere(0.25), Box((0.12, 0.12, 0.12)), Sphere(0.05))
    thrown = [
        Body(
            *(f"thrown{i}", kind),
            State(
                (1.2 * i - 1.8, float(rng.uniform(-0.5, 0.5)), 2.4 + 0.3 * float(rng.uniform())),
                turned(rng),
                tuple((3 * rng.normal(size=3)).tolist()),
                tuple((2 * rng.normal(size=3)).tolist()),
            ),
            restitution=0.8,
        )
        for i, kind in enumerate(movers)
    ]
    lean = np.array([1.0, *(0.05 * rng.normal(size=2)), 0.0])
    ground = dataclasses.replace(FLOOR, state=State((0, 0, 0), tuple((lean / np.linalg.norm(lean)).tolist())))
    return Scene(bodies=(*still, *thrown, ground), camera=CAMERA, law=Law((0.0, 0.4, -3.0)), duration=1.5)


@pytest.mark.parametrize("seed", range(12))
def test_nothing_touches_before_the_bound_and_it_is_worth_asking(seed):
    player = Player(crowd(seed))
    rng, gained = np.random.default_rng(seed), 0.0
    for _ in range(8):
        safe = player.flight.clear()
        player.flight.fly(min(safe, 0.5) * rng.uniform(0.9, 0.999))
        gained += min(safe, 0.5)
        mujoco.mj_fwdPosition(player.model, player.data)
        # Contacts are listed from the margin on, which the bound keeps.
        assert player.data.ncon == 0 or safe == 0
        if safe < 1e-3:
            break
    assert gained > 0.02


@pytest.mark.parametrize("family", ["hoop", "bouncing_balls", "collision", "billiards"])
def test_long_steps_play_what_short_ones_play(family):
    scene = make_scene(family, seed=3)
    played = []
    for long in (True, False):
        player = Player(scene)
        player.flight = player.flight if long else None
        assert (player.flight is not None) == long
        trajectory = _play(player, program(scene, None))
        played.append((trajectory, sorted({(*sorted(pair),) for t in player.touches for pair in t.places.tolist()})))
    (one, touched), (other, also) = played
    assert touched == also
    extent = max(abs(x) for body in scene.bodies for x in body.state.position)
    assert float((one.position - other.position).abs().max()) < 1e-4 * extent
    assert float((one.linear_velocity - other.linear_velocity).abs().max()) < 1e-3


def test_flight_takes_one_step_a_frame_and_ends_at_the_touch():
    ball = Body("ball", Sphere(0.1), State((0, 0, 2.1), angular_velocity=(1, 2, 3)), restitution=0.5)
    player = Player(Scene(bodies=(FLOOR, ball), camera=CAMERA, duration=1.0, fps=10.0))
    steps = []
    take = player._take
    player._take = lambda step, locate: (steps.append(player.time), take(step, locate))
    player.advance(0.6)
    assert steps == []
    assert player.data.qpos[2] == pytest.approx(2.1 - 9.81 * 0.36 / 2, abs=1e-12)
    player.advance(0.7)
    fall = np.sqrt(4 / 9.81)
    assert min(steps) > fall - 1e-3
    assert player.touches[0].time == pytest.approx(fall, abs=1e-5)


@pytest.mark.parametrize("change", ["drag", "joint", "moments"])
def test_what_does_not_fall_and_spin_evenly_is_not_taken_for_flight(change):
    shape = Box((0.1, 0.1, 0.2)) if change == "moments" else Box((0.1, 0.1, 0.1))
    body = Body("body", shape, State((0, 0, 1)))
    joints = (Joint("pivot", "hinge", "body", None, (0, 0, 1), (0, 0, 0)),) if change == "joint" else ()
    scene = Scene(bodies=(body,), camera=CAMERA, joints=joints, law=Law(drag=0.1 if change == "drag" else 0.0))
    assert not flies_freely(scene, compile_scene(scene))
    even = dataclasses.replace(scene, bodies=(dataclasses.replace(body, shape=Box((0.1,) * 3)),), joints=(), law=Law())
    assert flies_freely(even, compile_scene(even))


def test_polygons_fly_to_the_same_places_by_long_and_short_steps():
    slab = Polygon(((-0.5, -0.2), (0.5, -0.2), (0.5, 0.2), (-0.5, 0.2)))
    bodies = (
        Body("ground", Box((5, 0.5, 0.1)), State((0, 0, -0.1)), static=True),
        Body("slab", slab, State((0, 0, 3.0), linear_velocity=(0.4, 0, 0), angular_velocity=(0, 2.5, 0))),
    )
    scene = Scene(bodies=bodies, camera=CAMERA, planar=True, duration=1.2)
    long = MujocoSimulator().simulate(scene, render=False)
    player = Player(scene)
    player.flight = None
    short = _play(player, program(scene, None))
    assert float((long.trajectory.position - short.position).abs().max()) < 1e-4
    assert float((long.trajectory.orientation - short.orientation).abs().max()) < 1e-3
    assert len(long.contacts) > 0
