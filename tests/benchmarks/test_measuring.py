"""What the figures rest on: tracks cut at impacts, lines of sight, placing balls in space with a known error."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import worldsim as ws
from worldsim.benchmarks.existence import existence
from worldsim.benchmarks.pieces import cut, smooth
from worldsim.benchmarks.rays import first_hit, lift, rays
from worldsim.benchmarks.track import measure_tracks, outline
from worldsim.benchmarks.trials import judged
from worldsim.benchmarks.wilson import Z, wilson
from worldsim.benchmarks.world import read_motion, world_of
from worldsim.engines import get_engine
from worldsim.physics.trajectory import Trajectory
from worldsim.scene import Body, Box, Camera, Plane, Scene, Sphere, State

CAMERA = Camera(position=(0.0, -3.0, 0.5), target=(0.0, 0.0, 0.5), width=128, height=128)


def test_a_bounce_is_one_cut_and_velocities_come_out_far_below_the_noise():
    generator = np.random.default_rng(0)
    time = np.arange(49) / 24
    after = time - 0.8
    height = np.where(time < 0.8, 2 - 4.9 * time**2, 2 - 4.9 * 0.64 + 5 * after - 4.9 * after**2)
    track = np.stack([1.5 * time, height], -1)
    noisy = track + generator.normal(0, 0.004, track.shape)
    known = np.ones(49, bool)
    label = cut(noisy, known, 0.004)
    assert label.tolist() == [0] * 20 + [1] * 29
    space = np.stack([noisy[:, 0], np.zeros(49), noisy[:, 1]], -1)
    _, velocity, lasting = smooth(space, known, label, 1 / 24)
    true = np.where(time < 0.8, -9.8 * time, 5 - 9.8 * after)
    assert np.abs(velocity[:, 2] - true).max() < 0.04
    # Differences between frames would be off by 24 sqrt 2 times the noise, .14.
    assert np.isnan(smooth(space, known & (np.arange(49) < 5), label, 1 / 24)[1]).all()
    assert lasting[[0, 48]] == pytest.approx([19 / 24, 28 / 24])
    # A fall that is known leaves the noise of a straight line's slope alone.
    _, falling, _ = smooth(space, known, label, 1 / 24, np.array([0.0, 0.0, -9.8]))
    assert np.abs(falling[:, 2] - true).max() < 0.5 * np.abs(velocity[:, 2] - true).max()
    # Another acceleration than the fall that is due is still found.
    _, slow, _ = smooth(space, known, label, 1 / 24, np.array([0.0, 0.0, -4.9]))
    assert slow == pytest.approx(velocity)


def test_an_unknown_frame_does_not_cut():
    track = np.arange(20.0)[:, None]
    known = np.arange(20) % 7 != 3
    track[~known] = 1e6
    assert cut(track, known, 0.1).max() == 0


@pytest.mark.parametrize("shape", [Box((0.2, 0.3, 0.4)), Sphere(0.3), Plane()])
def test_lines_of_sight_meet_bodies_where_the_picture_shows_them(shape):
    turn = (np.cos(0.2), 0.0, 0.0, np.sin(0.2))
    body = Body("b", shape, State((0.1, 0.4, 0.3), turn), static=True)
    scene = Scene((body, Body("seen", Sphere(0.01), State((-0.9, -0.5, 1.2)))), camera=CAMERA)
    drawn = get_engine("mujoco").render(scene, Trajectory.start_of([scene]).map(lambda x: x[0]))
    y, x = np.nonzero(drawn.ids[0] == 1)
    pixels = np.stack([x, y], -1)[::37] + 0.5
    hit = first_hit(body, CAMERA, pixels)
    origin, way = rays(CAMERA, pixels)
    shown = lift(CAMERA, pixels, drawn.depth[0][y, x].astype(float)[::37])
    # Balls are drawn as meshes inside them; grazing rays apart, surfaces agree to a hundredth of the size.
    assert np.median(np.linalg.norm(origin + hit[:, None] * way - shown, axis=-1)) < 4e-3
    assert np.isinf(first_hit(body, CAMERA, np.array([[64.0, -500.0]]))).all()


def two_balls(gap=0.0, along=(1.0, 0.0, 0.0), radius=0.25):
    """Two balls whose surfaces are `gap` apart, drifting together across the picture."""
    places = torch.zeros(20, 2, 3, dtype=torch.float64)
    places[:, :, 0] = torch.linspace(-0.4, 0.3, 20, dtype=torch.float64)[:, None]
    places[:, :, 2] = 0.5
    places[:, 1] += (2 * radius + gap) * torch.tensor(along, dtype=torch.float64)
    starts = [State((-0.4, 0.0, 0.5)), State((1.5, 0.0, 0.5))]
    bodies = tuple(Body(f"ball {i}", Sphere(radius), state) for i, state in enumerate(starts))
    scene = Scene(bodies, camera=CAMERA, duration=19 / 24)
    motion = Trajectory.from_positions(places, 1 / 24)
    return scene, motion, get_engine("mujoco").render(scene, motion)


def test_a_ball_in_space_is_placed_within_the_error_that_is_told():
    scene, motion, frames = two_balls()
    world, edges = world_of(scene, 128, 128), outline(frames.ids)
    tracks = measure_tracks(frames.ids, 2, edges)
    found = read_motion(tracks, edges, world, 24.0)
    for k in (0, 1):
        registered = found.registrations[k]
        way = registered.position - motion.position[:, k].numpy()
        assert registered.measured.mean() > 0.9
        # Across the line of sight a fiftieth of the radius, along it what the covariance says.
        assert np.nanmax(np.abs(way[:, [0, 2]])) < 0.02
        told = np.sqrt(registered.covariance[:, 1, 1])
        # MuJoCo draws balls as meshes inside them, .3 % smaller on the mean, and so farther away.
        assert (np.abs(way[:, 1]) < 3 * told + 0.004 * 3)[registered.measured].all()
        with_depth = read_motion(tracks, edges, world, 24.0, frames.depth.astype(float)).registrations[k]
        assert np.abs(with_depth.position - motion.position[:, k].numpy()).max() < 0.01 * 0.25


@pytest.mark.parametrize("along", [(1.0, 0.0, 0.0), (0.6, 0.8, 0.0)])
def test_penetration_with_depth_is_within_five_percent_of_the_radius(along):
    scene, _motion, frames = two_balls(-0.05, along)
    report = ws.score(frames.video, masks=frames.ids, setup=scene.setup(), depth=frames.depth)
    figure = report.figures["penetration"]
    assert figure.measurable > 0.9
    assert abs(figure.value - 0.05) < 0.05 * 0.25


def test_overlap_along_the_line_of_sight_is_not_measurable_without_depth():
    scene, _motion, frames = two_balls(-0.016, (0.5, 0.866, 0.0), 0.08)
    figure = ws.score(frames.video, masks=frames.ids, setup=scene.setup()).figures["penetration"]
    assert figure.measurable < 0.2
    assert ws.score(frames.video, masks=frames.ids, setup=scene.setup(), depth=frames.depth).figures[
        "penetration"
    ].value == pytest.approx(0.016, abs=0.05 * 0.08)


def test_depth_is_refused_where_it_cannot_serve():
    scene, _motion, frames = two_balls()
    with pytest.raises(ValueError, match="depth: must come with"):
        ws.score(frames.video, masks=frames.ids, depth=frames.depth)
    with pytest.raises(ValueError, match="depth: must have the video's shape"):
        ws.score(frames.video, masks=frames.ids, setup=scene.setup(), depth=frames.depth[:3])
    with pytest.raises(ValueError, match="depth: must be finite"):
        ws.score(frames.video, masks=frames.ids, setup=scene.setup(), depth=-frames.depth)


def behind_a_wall(wall_y):
    wall = Body("wall", Box((0.3, 0.02, 1.0)), State((0.0, wall_y, 0.5)), static=True)
    ball = Body("ball", Sphere(0.15), State((-0.8, 0.0, 0.5)))
    scene = Scene((wall, ball), camera=CAMERA, duration=23 / 24)
    places = torch.zeros(24, 2, 3, dtype=torch.float64)
    places[:, 0] = torch.tensor([0.0, wall_y, 0.5])
    places[:, 1, 0] = torch.linspace(-0.8, 0.8, 24, dtype=torch.float64)
    places[:, 1, 2] = 0.5
    motion = Trajectory.from_positions(places, 1 / 24)
    return scene, motion


def test_a_ball_may_hide_behind_a_wall_but_not_vanish_before_it():
    scene, motion = behind_a_wall(-0.6)
    ids = get_engine("mujoco").render(scene, motion).ids
    assert not (ids == 2).any(axis=(1, 2)).all()
    world = world_of(scene, 128, 128)
    exists, known = existence(measure_tracks(ids, 2), (1,), world)
    assert known.all()
    assert exists.all()
    scene, motion = behind_a_wall(0.6)
    gone = motion.presence.clone()
    gone[11:14, 1] = 0
    ids = get_engine("mujoco").render(scene, replace(motion, presence=gone)).ids
    exists, _ = existence(measure_tracks(ids, 2), (1,), world_of(scene, 128, 128))
    assert np.flatnonzero(~exists[:, 0]).tolist() == [11, 12, 13]


def test_a_mask_that_falls_apart_is_not_one_object():
    ids = np.zeros((10, 64, 64), np.uint8)
    ids[:, 20:30, 20:30] = 1
    ids[6:, 20:30, 24:26] = 0
    ids[6:, 20:30, 30:40] = 1
    scene = Scene((Body("ball", Sphere(0.2), State((0.0, 0.0, 0.5))),), camera=replace(CAMERA, width=64, height=64))
    exists, _ = existence(measure_tracks(ids, 1), (0,), world_of(scene, 64, 64))
    assert np.flatnonzero(~exists[:, 0]).tolist() == [6, 7, 8, 9]


def test_rollouts_of_two_engines_score_alike():
    scene = ws.make_scene("collision", seed=3, split="id", role="val")
    first = get_engine("mujoco").simulate(scene)
    other = get_engine("pybullet").simulate(scene)
    drawn = get_engine("mujoco").render(scene, other.trajectory)
    reports = [judged(one, first, True).headline for one in (first, replace(first, video=drawn.video, ids=drawn.ids))]
    assert reports[0] > 0.99
    assert abs(reports[0] - reports[1]) < 0.02


def test_wilson_intervals_are_those_of_the_book():
    # Agresti and Coull 1998, table 1: 0 of 10.
    assert wilson(0.0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson(0.95, 20) == pytest.approx((0.7639, 0.9911), abs=1e-4)
    # Roots of (p - s)^2 = z^2 p (1 - p) / n.
    for share, count in ((0.3, 20), (0.0, 7)):
        for p in wilson(share, count):
            assert (p - share) ** 2 == pytest.approx(Z**2 * p * (1 - p) / count, abs=1e-9)
    assert wilson(0.0, 0) == (0.0, 1.0)
    ends = [wilson(share, count) for share in (0.0, 1.0) for count in range(1, 200)]
    assert min(low for low, _ in ends) == 0.0
    assert max(high for _, high in ends) == 1.0


def test_kinks_of_the_distance_cut_a_way_that_is_straight_across_the_sight():
    rng = np.random.default_rng(3)
    frames = np.arange(40)
    error = np.where(frames < 20, 0.05, 0.01)
    distance = np.where(frames < 25, 8 - 0.1 * frames, 5.5 - 0.13 * (frames - 25)) + error * rng.normal(size=40)
    across = np.column_stack([0.01 * frames, np.zeros(40)]) + 0.05 * rng.normal(size=(40, 2))
    known = np.ones(40, bool)
    assert cut(across, known, 0.05).max() == 0
    label = cut(across, known, 0.05, (distance, error))
    assert label.max() == 1
    assert abs(int(np.flatnonzero(np.diff(label))[0]) - 24) <= 2
