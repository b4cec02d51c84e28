"""LDR's position error against distances by hand, looming balls in depth, and what a lost ball costs."""

import dataclasses
import math

import numpy as np
import pytest
from worlds import ball_case, case_of, flight

from worldsim.benchmarks.protocols import run_protocol
from worldsim.benchmarks.protocols.ldr import (
    judged_frames,
    position_error,
    read_positions,
    sphere_of_pixels,
    split_of,
    way_out,
)
from worldsim.scene import Camera, make_scene, planar_camera


def test_the_way_out_is_to_the_nearest_border_and_a_radius_more():
    flat = planar_camera(10.0, 64)
    truth = np.array([[[3.0, 0.0, 6.0]], [[8.5, 0.0, 5.0]]])
    assert way_out(flat, truth, np.array([1.2]))[:, 0].tolist() == pytest.approx([3 + 1.2, 1.5 + 1.2])
    deep = Camera(position=(0.0, 0.0, 0.0), target=(0.0, 1.0, 0.0), fov=60.0, width=64, height=64)
    room = 8 * math.tan(math.radians(30))
    truth = np.array([[[1.0, 8.0, -0.5]]])
    assert way_out(deep, truth, np.array([0.7]))[0, 0] == pytest.approx(room - 1 + 0.7)


def test_the_error_is_the_mean_distance_over_judged_frames():
    camera = planar_camera(10.0, 64)
    rng = np.random.default_rng(0)
    truth = np.zeros((12, 2, 3))
    truth[:, 0, 0], truth[:, 0, 2] = np.linspace(2, 11, 12), 5.0
    truth[:, 1, 0], truth[:, 1, 2] = 7.0, 3.0
    read = truth + rng.normal(0, 0.2, truth.shape)
    read[6, 1] = np.nan
    radii = np.array([1.0, 0.8])
    judged = [t for t in range(3, 12) if 1 <= truth[t, 0, 0] <= 9]
    assert np.flatnonzero(judged_frames(camera, truth, radii)).tolist() == judged
    distances = []
    for t in judged:
        for k in range(2):
            lost = np.isnan(read[t, k, 0])
            distances.append(3.0 + 0.8 if lost else math.dist(read[t, k], truth[t, k]))
    error, missing = position_error(read, truth, camera, radii)
    assert error == pytest.approx(np.mean(distances))
    assert missing == pytest.approx(1 / len(distances))
    assert math.isnan(position_error(read, truth + 20, camera, radii)[0])


def test_a_ball_in_perspective_is_found_by_its_solid_angle():
    camera = Camera(position=(0.0, 0.0, 0.0), target=(0.0, 1.0, 0.0), fov=45.0, width=256, height=256)
    centres = np.array([[0.3, 6.0, -0.4], [-0.7, 5.0, 0.6], [0.0, 12.0, 2.5]])
    v, u = np.mgrid[:256, :256] + 0.5
    direction = np.stack([(u - 128) / camera.focal, np.ones_like(u), (128 - v) / camera.focal], -1)
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    masks = []
    for centre in centres:
        along = direction @ centre
        masks.append(centre @ centre - along**2 <= 1.1**2)
    found = sphere_of_pixels(np.stack(masks), camera, 1.1)
    assert np.linalg.norm(found - centres, axis=-1).max() < 0.03
    assert np.isnan(sphere_of_pixels(np.zeros((1, 256, 256), bool), camera, 1.1)).all()


def test_splits_follow_the_table_s_ranges():
    assert {split_of(make_scene("bouncing", seed=s)) for s in range(6)} == {"id"}
    assert {split_of(make_scene("looming", seed=s, split="ood")) for s in range(6)} == {"ood"}
    slow = make_scene("uniform_motion", seed=0)
    ball = slow.bodies[0]
    still = dataclasses.replace(ball.state, linear_velocity=(0.0, 0.0, 0.0))
    assert split_of(slow.with_states({ball.name: still})) is None


def test_the_table_has_worlds_of_equal_weight_and_a_ratio():
    cases = [ball_case(f, seed, s) for f, s in (("uniform_motion", "id"), ("parabola", "id")) for seed in range(2)]
    ood = [ball_case("uniform_motion", seed, "ood", name=f"ood {seed}") for seed in range(12)]
    result = run_protocol("ldr", videos=[*cases, *ood], floor=False)
    figures = result.figures
    assert figures["uniform_motion id position_error"].value < 0.1  # a pixel is .16 units
    mean = (figures["uniform_motion id position_error"].value + figures["parabola id position_error"].value) / 2
    assert figures["mean id position_error"].value == pytest.approx(mean)
    assert figures["ood over id"].value == pytest.approx(figures["mean ood position_error"].value / mean)
    for case in cases:
        shown = flight(case.scene)
        off = case_of(case.scene, shown + np.array([0.5, 0, 0]))
        gone = dataclasses.replace(case, frames=np.full_like(case.frames, 255))
        errors = [run_protocol("ldr", videos=[c], floor=False).rows[0]["position_error"] for c in (case, off, gone)]
        assert errors[0] < errors[1] < errors[2]
        assert errors[1] == pytest.approx(0.5, abs=0.1)


def test_looming_balls_are_read_from_the_simulator_s_pictures():
    case = ball_case("looming", seed=1, pixels=64)
    video = case.render().video
    read = read_positions(video, case.scene, case.camera)
    error, missing = position_error(
        read, flight(case.scene), case.camera, np.array([case.scene.bodies[0].shape.radius])
    )
    assert missing == 0
    assert error < 0.5  # at up to 20 units' distance in 64 pixels; the floor is printed beside every figure


def test_other_families_are_refused():
    case = ball_case()
    with pytest.raises(ValueError, match=r"scene\.family must be one of uniform_motion"):
        run_protocol("ldr", videos=[dataclasses.replace(case, scene=make_scene("hoop"))])
