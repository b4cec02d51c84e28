"""PDI rigidity against a brute-force choice of pairs and medians by hand; rigid motion is free, bending is not."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from worlds import ball_case

from worldsim.benchmarks.protocols import VideoCase, run_protocol
from worldsim.benchmarks.protocols.rigidity_pdi import (
    choose_pairs,
    least_deforming,
    pdi_of_masks,
    pdi_of_tracks,
    rigidity_pdi,
)


def test_pairs_are_those_with_the_largest_product():
    rng = np.random.default_rng(0)
    points, inland = rng.uniform(0, 20, (12, 2)), rng.uniform(1, 5, 12)
    merits = {
        (i, j): math.dist(points[i], points[j]) * min(inland[i], inland[j])
        for i, j in itertools.combinations(range(12), 2)
    }
    best = sorted(merits, key=merits.get, reverse=True)[:7]
    assert [tuple(pair) for pair in choose_pairs(points, inland, 7)] == best


def test_the_score_is_the_median_deviation_over_the_median():
    ratios = np.array([[1.0, 1.0, 1.0, 1.0, 1.0], [1.0, 1.1, 1.2, 1.3, 2.0], [2.0, 2.0, 2.0, 2.0, 2.0]])
    rest = np.array([2.0, 3.0, 1.0, 4.0, 0.5])
    score, middle = rigidity_pdi(ratios * rest, rest)
    # Median 1.2, deviations .2 .1 0 .1 .8, whose median is .1.
    assert score[1] == pytest.approx(0.1 / (1.2 + 1e-6))
    assert score[2] == 0  # growth alone is free
    assert middle.tolist() == pytest.approx([1.0, 1.2, 2.0])
    seen = np.array([[True] * 5, [True, True, False, False, False], [True] * 5])
    assert math.isnan(rigidity_pdi(ratios * rest, rest, seen)[0][1])


def rigid_points(frames=6, count=20, dims=2, seed=0):
    rng = np.random.default_rng(seed)
    start = rng.normal(size=(count, dims))
    points = []
    for t in range(frames):
        turn = np.linalg.qr(np.eye(dims) + 0.2 * t * np.triu(np.ones((dims, dims)), 1))[0]
        points.append(start @ turn.T + t * rng.normal(size=dims))
    return np.array(points)


@pytest.mark.parametrize("dims", [2, 3])
def test_rigid_motion_is_free_growth_is_told_and_stretching_costs(dims):
    points = rigid_points(dims=dims)
    row = pdi_of_tracks(points)
    assert row["rigidity"] == pytest.approx(0, abs=1e-9)
    assert row["measurable"] == 1
    grown = points * np.linspace(1, 2, len(points))[:, None, None]
    assert pdi_of_tracks(grown)["rigidity"] == pytest.approx(0, abs=1e-9)
    assert pdi_of_tracks(grown)["growth"] == pytest.approx(np.linspace(1, 2, 6)[1:].mean() - 1)
    stretched = points[:1].repeat(6, 0).copy()
    stretched[1:, :, 0] *= 1.5
    pairs = choose_pairs(points[0], np.ones(20))
    before = [math.dist(points[0, i], points[0, j]) for i, j in pairs]
    after = [math.dist(stretched[1, i], stretched[1, j]) for i, j in pairs]
    rho = np.array(after) / np.array(before)
    expected = np.median(abs(rho - np.median(rho))) / (np.median(rho) + 1e-6)
    assert pdi_of_tracks(stretched)["rigidity"] == pytest.approx(expected)
    assert expected > 0.02


def test_hidden_points_make_frames_unmeasurable_and_do_not_repeat_the_last_score():
    points = rigid_points()
    points[4, :, 0] *= 3
    visible = np.ones(points.shape[:2], bool)
    visible[4] = False
    row = pdi_of_tracks(points, visible)
    assert row["rigidity"] == pytest.approx(0, abs=1e-9)
    assert row["measurable"] == pytest.approx(0.8)
    assert math.isnan(pdi_of_tracks(points[:, :2])["rigidity"])


def test_the_least_deforming_map_carries_one_covariance_to_the_other():
    rng = np.random.default_rng(1)
    for _ in range(5):
        a, b = (m @ m.T + 0.1 * np.eye(2) for m in rng.normal(size=(2, 2, 2)))
        carry = least_deforming(a, b)
        assert np.allclose(carry @ a @ carry.T, b)
        spread = np.ptp(np.log(np.linalg.svd(carry)[1]))
        root_a, root_b = np.linalg.cholesky(a), np.linalg.cholesky(b)
        for angle in np.linspace(0, np.pi, 60):
            turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            other = root_b @ turn @ np.linalg.inv(root_a)
            assert np.ptp(np.log(np.linalg.svd(other)[1])) >= spread - 1e-9


def ellipse(a, b, angle, centre, size=64):
    v, u = np.mgrid[:size, :size] + 0.5
    x, y = u - centre[0], v - centre[1]
    p, q = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
    return (p / a) ** 2 + (q / b) ** 2 <= 1


def test_masks_that_turn_and_move_are_rigid_and_stretched_ones_are_not():
    turning = np.stack([ellipse(14, 8, 0.2 * t, (28 + t, 32)) for t in range(8)])
    calm = pdi_of_masks(turning)
    assert calm["rigidity"] < 0.01  # the floor of masks at 64 px
    assert calm["measurable"] == 1
    for stretch in (1.15, 1.3):
        melting = np.stack([ellipse(12 * (stretch if t > 3 else 1), 12, 0.4, (32, 32)) for t in range(8)])
        row = pdi_of_masks(melting)
        # Stretched by s along one axis: rho runs from 1 to s over directions, four of seven frames.
        assert row["rigidity"] > 0.1 * (stretch - 1)
        assert row["rigidity"] > 3 * calm["rigidity"]
    # What a pose explains is lawful: a plate that turns away from the camera.
    turned = np.stack([ellipse(12 * np.cos(0.15 * t), 12, 0.0, (32, 32)) for t in range(8)])
    assert pdi_of_masks(turned)["rigidity"] > 0.02
    assert pdi_of_masks(turned, turned)["rigidity"] == pytest.approx(0, abs=1e-9)


def test_the_protocol_takes_tracks_before_masks_and_files_of_tracks(tmp_path):
    points = 20 + 5 * rigid_points(frames=32)
    case = dataclasses.replace(ball_case(), scene=None, tracks=points)
    result = run_protocol("rigidity_pdi", videos=[case])
    assert result.rows[0]["object"] == "tracks"
    assert result.figures["rigidity"].value == pytest.approx(0, abs=1e-9)

    from worldsim.data import write_video

    write_video(tmp_path / "clip.mp4", case.frames, 10)
    np.savez(tmp_path / "clip_tracks.npz", tracks=points, visible=np.ones(points.shape[:2]))
    assert run_protocol("rigidity_pdi", videos=tmp_path).figures["rigidity"].value == pytest.approx(0, abs=1e-9)
    np.savez(tmp_path / "clip_tracks.npz", points=points)
    with pytest.raises(ValueError, match=r"clip_tracks.npz: must hold an array named tracks"):
        run_protocol("rigidity_pdi", videos=tmp_path)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="tracks: must have shape"):
        pdi_of_tracks(np.zeros((4, 3)))
    with pytest.raises(ValueError, match="visible: must have shape"):
        pdi_of_tracks(np.zeros((4, 5, 2)), np.ones((4, 4), bool))
    with pytest.raises(ValueError, match="masks: must have shape"):
        pdi_of_masks(np.zeros((1, 8, 8), bool))
    with pytest.raises(ValueError, match="clip: must have tracks"):
        run_protocol("rigidity_pdi", videos=[VideoCase("clip", np.zeros((4, 16, 16, 3), np.uint8), 10.0)])
