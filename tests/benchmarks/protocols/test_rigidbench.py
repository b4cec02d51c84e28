"""RigidBench's figures against loops over pixels and points, closed forms, and what vanishing costs."""

import dataclasses
import math

import numpy as np
import pytest
from worlds import ball_case

from worldsim.benchmarks.protocols import VideoCase, run_protocol
from worldsim.benchmarks.protocols.rigidbench import background_row, carried_points, mask_row, point_row, similar
from worldsim.engines import get_engine
from worldsim.scene import make_scene

H, W = 14, 18


def blobs(seed, frames=4):
    rng = np.random.default_rng(seed)
    masks = np.zeros((frames, H, W), bool)
    for t in range(frames):
        row, column = rng.integers(2, H - 5), rng.integers(2, W - 6)
        masks[t, row : row + rng.integers(2, 5), column : column + rng.integers(2, 6)] = True
    return masks


def pixels(mask):
    return [(float(c), float(r)) for r in range(H) for c in range(W) if mask[r, c]]


def test_mask_figures_are_means_over_objects_then_frames_of_their_definitions():
    seen, true = [blobs(0), blobs(1)], [blobs(2), blobs(3)]
    seen[1][2] = False  # drops out of the published means of that frame
    l2, chamfer, iou = [], [], []
    for t in range(4):
        rows = []
        for one, ought in zip(seen, true, strict=True):
            a, b = pixels(one[t]), pixels(ought[t])
            both = len(set(a) & set(b))
            union = len(set(a) | set(b))
            row = [math.nan, math.nan, both / union]
            if a:
                row[0] = math.dist(np.mean(a, axis=0), np.mean(b, axis=0)) / H
                there = np.mean([min(math.dist(p, q) for q in a) for p in b])
                row[1] = (there + np.mean([min(math.dist(p, q) for q in b) for p in a])) / H
            rows.append(row)
        means = np.nanmean(rows, axis=0)
        l2.append(means[0])
        chamfer.append(means[1])
        iou.append(means[2])
    found = mask_row(seen, true)
    assert found["l2"] == pytest.approx(np.mean(l2))
    assert found["chamfer"] == pytest.approx(np.mean(chamfer))
    assert found["iou"] == pytest.approx(np.mean(iou))
    assert found["missing"] == pytest.approx(0.125)


def test_an_object_that_vanishes_is_free_as_published_and_costs_the_corner_here():
    true = [blobs(4), blobs(5)]
    shifted = [np.roll(mask, 1, 2) for mask in true]
    gone = [shifted[0], np.zeros_like(true[1])]
    published, strict = mask_row(gone, true), mask_row(shifted, true)
    assert published["l2"] == pytest.approx(strict["l2"]) == pytest.approx(1 / H)
    assert strict["l2_strict"] == pytest.approx(1 / H)
    far = []
    for t in range(4):
        u, v = np.mean(pixels(true[1][t]), axis=0)
        far.append(math.hypot(max(u, W - 1 - u), max(v, H - 1 - v)) / H)
    assert published["l2_strict"] == pytest.approx((1 / H + np.mean(far)) / 2)
    assert published["missing"] == 0.5
    with pytest.raises(ValueError, match="masks: must have the true masks' shape"):
        mask_row([blobs(0)], [blobs(0, frames=5)])


def test_ate_counts_points_seen_in_both_and_lost_ones_beside():
    rng = np.random.default_rng(0)
    true, tracks = rng.uniform(2, 12, (2, 5, 6, 2))
    seen, due = rng.random((2, 5, 6)) < 0.7
    row = point_row(tracks, true, seen, due, H, W)
    errors, strict, lost = [], [], []
    for t in range(5):
        for n in range(6):
            u, v = true[t, n]
            error = math.dist(tracks[t, n], true[t, n]) / H
            if due[t, n]:
                lost.append(not seen[t, n])
                far = math.hypot(max(u, W - 1 - u), max(v, H - 1 - v)) / H
                strict.append(error if seen[t, n] else far)
                if seen[t, n]:
                    errors.append(error)
    assert row["ate"] == pytest.approx(np.mean(errors))
    assert row["ate_strict"] == pytest.approx(np.mean(strict))
    assert row["lost"] == pytest.approx(np.mean(lost))


@pytest.mark.parametrize("count", [12, 90])  # all pairs, and drawn ones
def test_a_similarity_is_found_among_outliers_and_drift_is_what_it_leaves(count):
    rng = np.random.default_rng(1)
    start = rng.uniform(0, 60, (count, 2))
    angle, factor = 0.2, 1.1
    turn = factor * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    end = start @ turn.T + [3.0, -2.0]
    moved = end.copy()
    moved[:3] += [[20, 5], [-15, 9], [7, -18]]
    assert np.allclose(similar(start, moved), end, atol=1e-9)
    tracks = np.stack([start, end, moved])
    seen = np.ones(tracks.shape[:2], bool)
    row = background_row(tracks, seen, 64)
    off = np.linalg.norm(moved - end, axis=-1).mean()
    assert row["bgdrift"] == pytest.approx((0 + off) / 2 / 64)
    # A camera that turns and zooms is fitted away by the published figure, not by the one beside it.
    assert background_row(tracks[:2], seen[:2], 64)["bgdrift"] == pytest.approx(0, abs=1e-12)
    way = np.linalg.norm(end - start, axis=-1).mean()
    assert background_row(tracks[:2], seen[:2], 64)["bg_motion"] == pytest.approx(way / 64)
    # Frames weigh as many points as they show; below four they do not count.
    seen[2, 8:] = False
    off = np.linalg.norm(moved - end, axis=-1)[:8].mean()
    assert background_row(tracks, seen, 64)["bgdrift"] == pytest.approx(8 * off / (count + 8) / 64)
    seen[1:, 3:] = False
    assert math.isnan(background_row(tracks, seen, 64)["bgdrift"])


@pytest.fixture(scope="module")
def tumbling():
    scene = make_scene("tumbling", seed=500, split="id", role="val")
    scene = dataclasses.replace(scene, camera=dataclasses.replace(scene.camera, height=64, width=64), duration=0.5)
    return get_engine("mujoco").simulate(scene)


def points_on(rollout, count, seed=0):
    """Middles of pixels, of bodies and background alike."""
    rng = np.random.default_rng(seed)
    found = []
    for number in np.unique(rollout.ids[0]):
        rows, columns = np.nonzero(rollout.ids[0] == number)
        pick = rng.choice(len(rows), min(count, len(rows)), replace=False)
        found.append(np.stack([columns[pick], rows[pick]], -1) + 0.5)
    return np.concatenate(found)


def test_carried_points_stay_on_their_bodies(tumbling):
    start = points_on(tumbling, 20)
    pixels_, seen, owner = carried_points(tumbling, start)
    scene = tumbling.scene
    assert {scene.bodies[k - 1].static for k in np.unique(owner[owner > 0])} == {False}
    assert (pixels_[:, owner == 0] == start[owner == 0]).all()
    assert np.abs(pixels_[0] - start).max() < 1e-4
    assert seen[0].mean() > 0.95
    on = owner > 0
    u, v = np.floor(pixels_[:, on]).astype(int).transpose(2, 0, 1)
    shown = tumbling.ids[np.arange(len(seen))[:, None], v.clip(0, 63), u.clip(0, 63)] == owner[on]
    assert shown[seen[:, on]].all()
    # Two points of a body keep the distance between them in space: here their depths are read back.
    k = int(owner[on][0]) - 1
    assert np.linalg.norm(pixels_[-1, owner == k + 1] - pixels_[0, owner == k + 1], axis=-1).min() > 0


def test_the_protocol_reads_masks_and_tracks_and_says_what_it_lacks(tumbling):
    start = points_on(tumbling, 20)
    carried, seen, _ = carried_points(tumbling, start)
    case = VideoCase("clip", tumbling.video, 24.0, tumbling.scene, masks=tumbling.ids, tracks=carried, visible=seen)
    result = run_protocol("rigidbench", videos=[case])
    row = result.rows[0]
    assert (row["l2"], row["chamfer"], row["iou"], row["missing"]) == (0, 0, 1, 0)
    assert (row["ate"], row["bgdrift"], row["bg_motion"]) == pytest.approx((0, 0, 0), abs=1e-9)
    assert result.notes == ()
    moved = dataclasses.replace(case, tracks=carried + np.array([3.0, 4.0]))
    # The first frame's points are where they are said to be, so a constant shift is none.
    late = carried.copy()
    late[1:] += [3.0, 4.0]
    row = run_protocol("rigidbench", videos=[dataclasses.replace(moved, tracks=late)]).rows[0]
    frames = np.where(seen, np.where(np.arange(len(seen))[:, None] > 0, 5 / 64, 0), np.nan)
    on = tumbling.ids[0, np.floor(start[:, 1]).astype(int), np.floor(start[:, 0]).astype(int)]
    body = np.isin(on, [k + 1 for k, body in enumerate(tumbling.scene.bodies) if not body.static])
    assert row["ate"] == pytest.approx(np.nanmean(frames[:, body]), rel=1e-6)
    assert row["bg_motion"] == pytest.approx(5 / 64)
    assert row["bgdrift"] == pytest.approx(0, abs=1e-9)
    with pytest.raises(ValueError, match="tracks must have shape"):
        run_protocol("rigidbench", videos=[dataclasses.replace(case, tracks=carried[1:])])
    plain = run_protocol("rigidbench", videos=[ball_case("parabola", seed=2)])
    assert "point tracks" in plain.notes[0]
    assert plain.rows[0]["read by"] == "tracker"
    assert plain.figures["floor l2"].value < 0.02
