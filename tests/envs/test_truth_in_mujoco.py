"""What families promise happens in MuJoCo: hoop aims, towers, dominoes, occlusion, inclines, the closed form."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from worldsim.engines import get_engine
from worldsim.scene import Sphere, make_scene
from worldsim_envs import dominoes, hoop, incline, tower
from worldsim_envs.exact import solve_exact
from worldsim_envs.hoop import MAJOR, MINOR, RIM_HEIGHT, planned_event
from worldsim_envs.incline import slope_angle
from worldsim_envs.tower import is_stable, support_margin

mujoco = get_engine("mujoco")


def play(scene):
    return mujoco.simulate(scene, render=False)


def first_contact(rollout, name):
    """(frame, id of the other body, position, normal towards the named body) of its first contact."""
    me = rollout.scene.index(name) + 1
    touches = np.nonzero((rollout.contacts.pair == me).any(1))[0]
    k = touches[np.argmin(rollout.contacts.onset[touches])]
    a, b = rollout.contacts.pair[k]
    normal = rollout.contacts.normal[k] * (1 if b == me else -1)
    return rollout.contacts.onset[k], rollout.scene.bodies[(a if b == me else b) - 1].name, normal


def flight(scene, time):
    """Where the ball's centre is after free flight; contacts tell the time to a sub-step."""
    state = scene.bodies[0].state
    return np.array(state.position) + np.array(state.linear_velocity) * time + np.array(scene.law.gravity) * time**2 / 2


@pytest.mark.parametrize("planar_motion", [True, False])
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("split", ["id", "ood"])
@pytest.mark.parametrize("aim", ["rim", "board", "through", "side"])
def test_hoop_aims_happen(aim, split, seed, planar_motion):
    scene = make_scene("hoop", seed, split, aim=aim, planar_motion=planar_motion)
    rollout = play(scene)
    assert planned_event(scene) == aim
    assert hoop.outcome(rollout) == {"aim": aim}
    onset, other, normal = first_contact(rollout, "ball")
    centre = flight(scene, onset)
    if aim == "board":
        assert other == "board"
    elif aim == "rim":
        assert other == "ring"
        assert centre[2] > RIM_HEIGHT
        assert normal[2] > 0.1
    elif aim == "side":
        assert other == "ring"
        assert centre[2] <= RIM_HEIGHT + 0.005
        assert math.hypot(*centre[:2]) > MAJOR
    else:
        # Falls through the ring's plane inside the hole, before anything is touched.
        z = rollout.trajectory.position[:, 0, 2].numpy()
        below = np.nonzero((z[1:] < RIM_HEIGHT) & (z[:-1] >= RIM_HEIGHT))[0][0] + 1
        share = (z[below - 1] - RIM_HEIGHT) / (z[below - 1] - z[below])
        path = rollout.trajectory.position[below - 1 : below + 1, 0].numpy()
        at = path[0] + share * (path[1] - path[0])
        assert math.hypot(*at[:2]) < MAJOR - MINOR - scene.bodies[0].shape.radius + 0.01
        assert onset > (below - 1 + share) / scene.fps
    if planar_motion:
        # Contacts in the plane push in the plane; the ring's capsules are symmetric to within their sagitta.
        assert rollout.trajectory.position[: int(onset * scene.fps), 0, 1].abs().max() < 1e-9


def drift(rollout, scene):
    moving = [i for i, b in enumerate(scene.bodies) if not b.static]
    p = rollout.trajectory.position[:, moving]
    return (p - p[0]).norm(dim=-1)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("stable", [True, False])
def test_towers_stand_or_fall_as_told(stable, seed):
    scene = make_scene("tower", seed, split="id" if seed % 2 else "ood", stable=stable)
    assert is_stable(scene) == stable
    rollout = play(scene)
    assert tower.outcome(rollout)["stable"] == stable
    moved = drift(rollout, scene)[-1]
    size = scene.bodies[0].shape.half_extents[0]
    if stable:
        assert moved.max() < 0.005  # the start gaps close, contacts yield a little
    else:
        assert moved.max() > size


def test_support_margin_of_a_hand_made_tower():
    scene = make_scene("tower", 0, stable=True, num_blocks=3)
    upright = (1.0, 0.0, 0.0, 0.0)
    w = scene.bodies[0].shape.half_extents[0]

    def stack(*offsets):
        return [
            replace(block, mass=1.0, state=replace(block.state, position=(x * w, 0.0, float(i)), orientation=upright))
            for i, (block, x) in enumerate(zip(scene.bodies[:3], offsets, strict=True))
        ]

    assert support_margin(stack(0, 0, 0)) == pytest.approx(w)
    # Third over second: its centre .6 w to the right of a patch that ends at w. Both over the first: mean at .8 w.
    assert support_margin(stack(0, 0.5, 1.1)) == pytest.approx(0.2 * w)
    assert support_margin(stack(0, 0.8, 1.6)) == pytest.approx(-0.2 * w)
    # The book-stacking series: 1, 1/2 half widths is the farthest that balances.
    assert support_margin(stack(0, 0.5, 1.5)) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("seed", range(2))
def test_dominoes_all_fall(seed):
    scene = make_scene("dominoes", seed)
    rollout = play(scene)
    row = [i for i, b in enumerate(scene.bodies) if not b.static]
    q = rollout.trajectory.orientation[-1, row]
    upright = 1 - 2 * (q[:, 1] ** 2 + q[:, 2] ** 2)
    assert (upright < math.cos(math.radians(45))).all()
    assert dominoes.outcome(rollout) == {"fallen": 5, "dominoes": 5}
    # One after another: each has begun to lean before the next one does.
    q = rollout.trajectory.orientation[:, row]
    leaning = 1 - 2 * (q[..., 1] ** 2 + q[..., 2] ** 2) < math.cos(math.radians(10))
    begins = leaning.int().argmax(0)
    assert (begins.diff() > 0).all()


@pytest.mark.parametrize("split", ["id", "ood"])
@pytest.mark.parametrize("shape", ["sphere", "box"])
@pytest.mark.parametrize("seed", range(2))
def test_occluder_hides_the_object_and_gives_it_back(shape, seed, split):
    scene = make_scene("occluder", seed, split, shape=shape)
    rollout = mujoco.simulate(scene)
    area = (rollout.ids == 1).sum((1, 2))
    hidden = area == 0
    assert hidden.sum() >= 4
    first, last = np.nonzero(hidden)[0][[0, -1]]
    assert hidden[first : last + 1].all()
    assert area[0] > 8
    assert area[-1] > 8
    assert area[:4].min() > 0.8 * area[0]
    # It keeps its speed behind the wall.
    x = rollout.trajectory.position[:, 0, 0].numpy()
    start = scene.bodies[0].state
    expected = start.position[0] + start.linear_velocity[0] * np.arange(scene.num_frames) / scene.fps
    assert np.abs(x - expected).max() < 0.02


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("slip", [True, False])
def test_incline_sticks_or_slips(slip, seed):
    scene = make_scene("incline", seed, slip=slip)
    rollout = play(scene)
    assert incline.outcome(rollout) == {"slips": slip}
    angle, body = slope_angle(scene), scene.bodies[scene.index("box")]
    start = np.array(body.state.position)
    down = np.array([math.cos(angle), 0, -math.sin(angle)])
    travel = (rollout.trajectory.position[:, 0].numpy() - start) @ down
    v0 = math.hypot(*body.state.linear_velocity)
    acceleration = 9.81 * (math.sin(angle) - body.friction * math.cos(angle))
    if slip:
        t = 0.4
        k = round(t * scene.fps)
        t = k / scene.fps
        assert travel[k] == pytest.approx(v0 * t + acceleration * t * t / 2, rel=0.06, abs=0.004)
    else:
        assert travel[-1] == pytest.approx(v0 * v0 / (2 * -acceleration), abs=0.02)
        assert abs(travel[-1] - travel[-10]) < 0.002


@pytest.mark.parametrize("seed", range(3))
def test_a_ball_rolls_down_an_incline_at_five_sevenths(seed):
    scene = make_scene("incline", seed, slip=False)
    rollout = play(scene)
    i = scene.index("ball")
    angle, v0 = slope_angle(scene), math.hypot(*scene.bodies[i].state.linear_velocity)
    k = round(0.5 * scene.fps)
    t = k / scene.fps
    travel = (rollout.trajectory.position[k, i] - rollout.trajectory.position[0, i]).norm().item()
    assert travel == pytest.approx(v0 * t + 5 / 7 * 9.81 * math.sin(angle) * t * t / 2, rel=0.02)


EXACT = [
    ("uniform_motion", {}),
    ("parabola", {}),
    ("collision", {}),
    ("bouncing", {}),
    ("looming", {}),
    ("bouncing_balls", {"num_balls": 2}),
    ("bouncing_balls", {"num_balls": 3, "planar": False}),
    ("billiards", {"friction": 0.0, "num_balls": 1}),
]


@pytest.mark.parametrize(("name", "parameters"), EXACT)
@pytest.mark.parametrize("seed", range(2))
def test_closed_form_and_mujoco_agree_through_three_impacts(name, parameters, seed):
    # Bar: 2 % of the ball's radius in position while at most three impacts have happened in the world.
    scene = make_scene(name, seed, **parameters)
    exact = solve_exact(scene)
    times = np.arange(scene.num_frames) / scene.fps
    end = exact.impacts[3].time if len(exact.impacts) > 3 else math.inf
    frames = int((times < end).sum())
    (moving,) = np.nonzero([not b.static for b in scene.bodies])
    played = mujoco.simulate_batch([scene])[0]
    gap = (played.position - exact.trajectory.position)[:frames, moving].norm(dim=-1)
    smallest = min(b.shape.radius for b in scene.bodies if not b.static and isinstance(b.shape, Sphere))
    assert frames >= 5
    assert gap.max() < 0.02 * smallest, gap.max(0).values
