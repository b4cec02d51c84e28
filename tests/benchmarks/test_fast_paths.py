"""What is worked out for all bodies and frames at once, against the same one by one from the definition."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

import worldsim as ws
from worldsim.benchmarks.energy import energy_rise
from worldsim.benchmarks.laws import _upper_quartile
from worldsim.benchmarks.pieces import _explained, smooth
from worldsim.benchmarks.register import View, register_balls
from worldsim.benchmarks.steady import plausible
from worldsim.benchmarks.track import measure_tracks, outline
from worldsim.benchmarks.world import read_motion, world_of
from worldsim.engines import Rollout, get_engine

RANDOM = np.random.default_rng(7)


def played(family: str) -> Rollout:
    return get_engine("mujoco").simulate(ws.make_scene(family, seed=500, split="id", role="val"))


def blobs(frames: int) -> np.ndarray:
    """(T, 24, 20) ids of three smooth random shapes, in pieces or whole."""
    fields = ndimage.gaussian_filter(RANDOM.standard_normal((frames, 3, 24, 20)), (0, 0, 4, 4))
    return np.where(fields.max(1) > 0.08, fields.argmax(1) + 1, 0).astype(np.uint8)


def test_masks_said_to_be_of_one_piece_are() -> None:
    ids = blobs(60)
    tracks = measure_tracks(ids, 3)
    pieces = np.zeros((60, 3), int)
    for t in range(60):
        for k in range(3):
            mask = ids[t] == k + 1
            pieces[t, k] = ndimage.label(mask, np.ones((3, 3)))[1]
            if mask.any():
                v, u = np.nonzero(mask)
                assert tracks.box[t, k].tolist() == [u.min(), v.min(), u.max() + 1, v.max() + 1]
                assert tracks.area[t, k] == mask.sum()
                covariance = np.cov(np.stack([u, v]), bias=True) + np.eye(2) / 12
                assert np.allclose(tracks.covariance[t, k], covariance, atol=1e-9)
    assert (pieces[tracks.solid] <= 1).all()
    assert (tracks.solid & (pieces == 1)).sum() > 10
    assert (pieces > 1).sum() > 10
    v, u = np.mgrid[:30, :40]
    discs = np.stack([np.hypot(u - x, v - 14) < 8 for x in (12, 13.4, 20.5)]).astype(np.uint8)
    assert measure_tracks(discs, 1).solid.all()


@pytest.mark.parametrize("family", ["bouncing_balls", "billiards"])
def test_balls_registered_together_are_where_each_alone_is(family: str) -> None:
    rollout = played(family)
    world = world_of(rollout.scene, *rollout.ids.shape[1:])
    edges = outline(rollout.ids)
    tracks = measure_tracks(rollout.ids, len(world.bodies), edges)
    view = View(tracks, edges, world.camera, world.planar, {k: world.bodies[k - 1] for k in world.behind})
    radii = {k + 1: world.bodies[k].shape.extent for k in world.balls}
    together = register_balls(view, radii)
    assert len(together) > 2
    for body, radius in radii.items():
        alone = register_balls(view, {body: radius})[body]
        for name in ("position", "measured", "covariance", "stretch", "pieces"):
            first, second = getattr(alone, name), getattr(together[body], name)
            assert np.allclose(first, second, rtol=0, atol=1e-12, equal_nan=True)


def test_parabolas_explain_what_the_normal_equations_say() -> None:
    time = np.linspace(0, 1, 30)[None, :, None] ** np.arange(5)
    weight = (RANDOM.random((8, 30)) < 0.7) * 1.0
    sums = np.cumsum(weight[..., None] * time, 1)
    right = np.cumsum((weight[..., None] * RANDOM.standard_normal((8, 30, 2)))[..., None, :] * time[..., :3, None], 1)
    matrix = np.stack([sums[..., i : i + 3] for i in range(3)], -2) + 1e-9 * np.eye(3)
    expected = (right * np.linalg.solve(matrix, right)).sum((-1, -2))
    found = _explained(np.moveaxis(sums, -1, 0), np.moveaxis(right, -2, 0))
    known = weight.cumsum(1) >= 4
    assert np.allclose(found[known], expected[known], rtol=1e-8, atol=1e-8)


def test_smooth_is_the_least_squares_fit_of_the_cheapest_kind() -> None:
    dt, pull = 1 / 30, np.array([0.0, 0.0, -9.81])
    time = np.arange(40) * dt
    label = np.repeat([0, 1, 2], [14, 12, 14])
    truth = np.stack([0.3 + time, 0 * time, 2 - 4 * time], -1)
    truth[label == 1] += 0.5 * pull * time[label == 1, None] ** 2
    truth[label == 2, 0] += 3 * time[label == 2] ** 2
    known = RANDOM.random(40) > 0.15
    seen = truth + 1e-3 * RANDOM.standard_normal(truth.shape)
    place, velocity, _ = smooth(seen, known, label, dt, pull)
    for number, (degree, fall) in enumerate([(1, 0 * pull), (1, pull), (2, 0 * pull)]):
        at = np.flatnonzero((label == number) & known)
        drop = 0.5 * time[at, None] ** 2 * fall
        fit = np.polynomial.polynomial.polyfit(time[at], seen[at] - drop, degree)
        expected = np.polynomial.polynomial.polyval(time[at], fit).T + drop
        slope = np.polynomial.polynomial.polyval(time[at], np.polynomial.polynomial.polyder(fit)).T
        assert np.allclose(place[at], expected, atol=1e-10)
        assert np.allclose(velocity[at], slope + time[at, None] * fall, atol=1e-9)


def test_distances_are_held_against_the_median_around_them() -> None:
    length = np.where(RANDOM.random(50) < 0.1, 3.0, 1.0) * (1 + 0.1 * RANDOM.standard_normal(50))
    measured = RANDOM.random(50) > 0.2
    known = np.flatnonzero(measured)
    expected = np.zeros(50, bool)
    for place, t in enumerate(known):
        median = np.median(length[known[max(0, place - 6) : place + 7]])
        expected[t] = abs(length[t] / median - 1) < 0.25
    assert np.array_equal(plausible(length, measured), expected)
    assert 0 < expected.sum() < len(known)


def test_upper_quartile_is_numpys() -> None:
    for count in range(1, 12):
        values = RANDOM.standard_normal(count)
        assert abs(_upper_quartile(values) - np.quantile(values, 0.75)) < 1e-12


def test_energy_rises_over_the_least_median_so_far() -> None:
    rollout = played("bouncing_balls")
    world = world_of(rollout.scene, *rollout.ids.shape[1:])
    edges = outline(rollout.ids)
    motion = read_motion(measure_tracks(rollout.ids, len(world.bodies), edges), edges, world, rollout.scene.fps)
    rise, error = energy_rise(motion, rollout.scene.law.gravity)
    energy = ws.physics.violations.mechanical_energy(
        motion.smoothed, motion.bodies, motion.smoothed.position.new_tensor(rollout.scene.law.gravity)
    )
    total = energy.sum(-1).numpy()
    moving = ~np.array(motion.bodies.static)
    known = np.flatnonzero((motion.smoothed.presence.numpy()[:, moving] > 0.5).all(-1))
    lowest, steps = np.inf, []
    for t in range(len(total)):
        before, after = known[known < t][-6:], known[known >= t][:6]
        judged = len(before) == len(after) == 6 and t - before[0] <= 12 and after[-1] - t < 12
        assert np.isfinite(rise[t]) == judged == np.isfinite(error[t])
        if judged:
            lowest = min(lowest, np.median(total[before]))
            steps.append((rise[t], max(0.0, np.median(total[after]) - lowest)))
    found, expected = np.array(steps).T
    assert len(steps) > 10
    assert np.allclose(found * expected.max(), expected * found.max(), atol=1e-9)
