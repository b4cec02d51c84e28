"""Scenes refuse what makes no sense by field, rule and value, and survive JSON exactly."""

import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

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
    load_scene,
    loads_scene,
    loads_setup,
    planar_camera,
    save_scene,
    unit_inertia,
)
from worldsim.scene.serialise import dumps

SQUARE = ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))


def a_scene(**changes):
    bodies = (
        Body("ball", Sphere(0.2), State((0, 0, 1), linear_velocity=(1, 0, 0))),
        Body("box", Box((0.1, 0.2, 0.3)), State((0.8, 0, 1))),
        Body("rod", Capsule(0.05, 0.3), State((-0.8, 0, 1)), group="arm"),
        Body("hand", Sphere(0.1), State((-0.8, 0, 1.4)), group="arm"),
        Body("rim", Ring(0.3, 0.02), State((0, 1, 1)), static=True),
        Body("floor", Plane(), State((0, 0, 0)), static=True),
    )
    joints = (
        Joint("wrist", "hinge", "hand", "rod", (0, 0, 0.4), (0, 0, 0)),
        Joint("foot", "slide", "rod", None, (-0.8, 0, 0.6), (0, 0, -0.4), limits=(-1, 1)),
    )
    robot = Robot((Actuator("wrist"),), ((0.0,), (0.5,)))
    return replace(Scene(bodies, joints=joints, robot=robot, family="made", seed=3), **changes)


def test_round_trip_is_exact():
    scene = a_scene()
    assert loads_scene(dumps(scene)) == scene
    assert loads_setup(dumps(scene.setup())) == scene.setup()


numbers = st.floats(-5, 5, allow_nan=False, width=64)
sizes = st.floats(1e-3, 3, allow_nan=False)
shapes = st.one_of(
    st.builds(Sphere, sizes),
    st.builds(lambda a, b, c: Box((a, b, c)), sizes, sizes, sizes),
    st.builds(Capsule, sizes, sizes),
    st.builds(lambda a: Ring(a * 2, a), sizes),
)


@given(shapes, numbers, numbers, numbers, st.floats(0, 1), st.floats(0, 3))
def test_round_trip_of_any_body(shape, x, y, z, restitution, friction):
    body = Body("thing", shape, State((x, y, z)), restitution=restitution, friction=friction)
    scene = Scene((body,), camera=Camera(position=(x, y - 50, z), target=(x, y, z)))
    assert loads_scene(dumps(scene)) == scene


def test_file_round_trip(tmp_path):
    save_scene(a_scene(), tmp_path / "scene.json")
    assert load_scene(tmp_path / "scene.json") == a_scene()
    assert [p.name for p in tmp_path.iterdir()] == ["scene.json"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Sphere(0), ["sphere.radius", "above 0", "0"]),
        (lambda: Sphere(float("nan")), ["sphere.radius", "finite", "nan"]),
        (lambda: Box((1, -1, 1)), ["box.half_extents.y", "above 0", "-1"]),
        (lambda: Capsule(0.1, math.inf), ["capsule.half_length", "finite", "inf"]),
        (lambda: Ring(0.1, 0.2), ["ring.minor_radius", "below ring.major_radius", "0.2"]),
        (lambda: Polygon(SQUARE[::-1]), ["polygon.vertices", "counter-clockwise"]),
        (lambda: Polygon(tuple((x + 1, z) for x, z in SQUARE)), ["polygon.vertices", "centroid"]),
        (lambda: Body("b", Sphere(1), None, mass=-1), ["body[b].mass", "above 0", "-1"]),
        (lambda: Body("b", Sphere(1), None, restitution=1.5), ["body[b].restitution", "between 0 and 1", "1.5"]),
        (lambda: Body("b", Sphere(1), None, colour=(0, 0, 2)), ["body[b].colour.b", "2"]),
        (lambda: Body("b", Plane(), None), ["body[b].static", "plane"]),
        (lambda: State((0, 0)), ["state.position", "3 numbers"]),
        (lambda: State((0, 0, 0), orientation=(1, 1, 0, 0)), ["state.orientation", "unit"]),
        (lambda: Camera(fov=200), ["camera.fov", "200"]),
        (lambda: Camera(width=4), ["camera.width", "4"]),
        (lambda: Camera(position=(0, 0, 0), target=(0, 0, 1)), ["camera.up"]),
        (lambda: Law(gravity=(0, 0, float("inf"))), ["law.gravity", "finite"]),
        (lambda: Law(drag=-1), ["law.drag", "-1"]),
        (lambda: a_scene(fps=0), ["scene.fps", "above 0", "0"]),
        (lambda: a_scene(shading="nice"), ["scene.shading", "flat or shaded", "nice"]),
        (lambda: a_scene(camera=Camera(position=(0, -4, 1), target=(0, -8, 1))), ["scene.camera", "sees a body"]),
        (lambda: Scene((Body("b", Sphere(1), State((0, 1, 0))),), planar=True), ["body[b].state", "plane y = 0"]),
        (lambda: a_scene(bodies=a_scene().bodies + a_scene().bodies[:1]), ["unique names"]),
        (lambda: a_scene(robot=Robot((Actuator("nothing"),))), ["actuator.joint", "nothing"]),
        (lambda: Robot((Actuator("a"),), ((1.0, 2.0),)), ["robot.controls[0]", "1 numbers"]),
    ],
)
def test_refusals_name_field_rule_and_value(make, words):
    with pytest.raises(ValueError, match=re.escape(words[0])) as error:
        make()
    for word in words[1:]:
        assert word in str(error.value)


def test_joint_loops_are_refused():
    joints = (
        Joint("a", "hinge", "hand", "rod", (0, 0, 0), (0, 0, 0)),
        Joint("b", "hinge", "rod", "hand", (0, 0, 0), (0, 0, 0)),
    )
    with pytest.raises(ValueError, match="tree"):
        a_scene(joints=joints, robot=None)


def test_json_refusals():
    document = json.loads(dumps(a_scene()))
    newer = json.dumps({**document, "version": 99})
    with pytest.raises(ValueError, match=r"hoop.json.version: must be at most 1, got 99.*upgrade"):
        loads_scene(newer, where="hoop.json")
    document["scene"]["bodies"][0]["weight"] = 1
    with pytest.raises(ValueError, match=r"scene.bodies\[0\].weight"):
        loads_scene(json.dumps(document))
    with pytest.raises(ValueError, match="must be JSON"):
        loads_scene("{")
    with pytest.raises(ValueError, match=r"worldsim\.scene document"):
        loads_scene(dumps(a_scene().setup()))


def test_a_setup_withholds_every_start():
    scene = a_scene()
    moved = scene.with_states({"ball": State((0.3, 0.1, 1.2)), "hand": State((0, 0, 3))})
    assert moved != scene
    assert replace(moved, seed=9).setup() == scene.setup()


def test_frames_lie_at_multiples_of_the_interval():
    assert a_scene(duration=2.0, fps=24).num_frames == 49
    assert a_scene(duration=3.1, fps=10).num_frames == 32
    assert a_scene(duration=0.1 + 0.2, fps=10).num_frames == 4


def test_projection_of_the_planar_camera():
    camera = planar_camera(10, 64)
    pixels, depth = camera.project(np.array([[0, 0, 10], [10, 0, 0], [5, 0, 5]]))
    np.testing.assert_allclose(pixels, [[0, 0], [64, 64], [32, 32]], atol=1e-12)
    np.testing.assert_allclose(depth, 10)


def test_projection_of_the_pinhole_camera():
    camera = Camera(position=(0, -4, 1), target=(0, 0, 1), fov=90, width=64, height=64)
    pixels, _ = camera.project(np.array([[4, 0, 1], [0, 0, 5], [0, 0, 1]]))
    np.testing.assert_allclose(pixels, [[64, 32], [32, 0], [32, 32]], atol=1e-12)


def sampled_inertia(inside, extent, planar=False):
    points = np.random.default_rng(0).uniform(-extent, extent, (400_000, 3))
    points = points[inside(points)]
    x2, y2, z2 = (points**2).mean(0)
    return y2 + z2, x2 + z2, x2 + y2


@pytest.mark.parametrize(
    ("shape", "inside"),
    [
        (Sphere(0.7), lambda p: (p**2).sum(-1) < 0.49),
        (Box((0.2, 0.5, 0.8)), lambda p: (np.abs(p) < [0.2, 0.5, 0.8]).all(-1)),
        (
            Capsule(0.3, 0.5),
            lambda p: np.hypot(np.hypot(p[:, 0], p[:, 1]), np.maximum(np.abs(p[:, 2]) - 0.5, 0)) < 0.3,
        ),
        (Ring(0.8, 0.2), lambda p: np.hypot(np.hypot(p[:, 0], p[:, 1]) - 0.8, p[:, 2]) < 0.2),
        (
            Polygon(((-0.5, -0.4), (0.5, -0.4), (0.0, 0.8)), 0.5),
            lambda p: (np.abs(p[:, 1]) < 0.5) & (p[:, 2] > -0.4) & (p[:, 2] < 0.8 - 2.4 * np.abs(p[:, 0])),
        ),
    ],
)
def test_inertia_against_sampling(shape, inside):
    got = unit_inertia(shape)
    expected = sampled_inertia(inside, shape.extent)
    if isinstance(shape, Polygon):  # a prism: only the axis that planar motion uses is claimed
        got, expected = got[1:2], expected[1:2]
    np.testing.assert_allclose(got, expected, rtol=0.02)


def test_rotation_turns_body_axes_into_world_axes():
    quarter = State((0, 0, 0), (math.sqrt(0.5), 0, 0, math.sqrt(0.5))).rotation  # about z
    np.testing.assert_allclose(quarter, [[0, -1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-15)
    turn = np.random.default_rng(0).normal(size=4)
    turn /= np.linalg.norm(turn)
    oracle = Rotation.from_quat(turn[[1, 2, 3, 0]]).as_matrix()
    np.testing.assert_allclose(State((0, 0, 0), tuple(turn)).rotation, oracle, atol=1e-15)
