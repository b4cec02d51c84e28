"""Figures against closed forms: discs drawn by pixel centres, no engine; the scene's own render is the floor."""

import numpy as np
import pytest
from pictures import draw, scene_of, straight

import worldsim as ws

FPS, FRAMES = 10.0, 24
STARTS, VELOCITIES = [(3.0, 6.0), (6.5, 3.0)], [(1.0, 0.0), (-0.6, -0.3)]


@pytest.fixture(scope="module")
def drifting():
    """Two discs in free space that never meet."""
    scene = scene_of((1.0, 0.8), STARTS, [(1.0, 0.0, 0.0), (-0.6, 0.0, -0.3)])
    return scene, straight(STARTS, VELOCITIES, FRAMES, FPS)


def value(report, law):
    return report.figures[law].value


def test_lawful_video_scores_near_one(drifting):
    scene, paths = drifting
    video, ids = draw(scene, paths)
    report = ws.score(video, masks=ids, scene=scene)
    assert report.regime == "planar"
    assert report.headline > 0.95
    assert report.tracked == 1
    assert value(report, "penetration") == 0
    assert value(report, "permanence") == 0
    assert value(report, "pass_through") == 0


def test_the_tracker_reads_what_the_masks_say(drifting):
    scene, paths = drifting
    video, ids = draw(scene, paths)
    report = ws.score(video, scene=scene)
    assert report.reader == "tracker"
    assert np.array_equal(report.ids, ids)
    assert ws.score(video, setup=scene.setup()).ids.tolist() == ids.tolist()


@pytest.mark.parametrize("depth", [0.1, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("direction", [0.0, 0.7, 2.0])
def test_penetration_depth_within_five_percent_of_the_smaller_radius(depth, direction):
    scene = scene_of((1.0, 0.8), [(3.0, 5.0), (7.0, 5.0)])
    paths = straight([(3.0, 5.0), (7.0, 5.0)], [(0, 0), (0, 0)], FRAMES, FPS)
    away = 1.8 - depth * 0.8
    paths[10:15, 0] = (5.0, 5.0)
    paths[10:15, 1] = (5.0 + away * np.cos(direction), 5.0 + away * np.sin(direction))
    video, ids = draw(scene, paths)
    figure = ws.score(video, masks=ids, scene=scene).figures["penetration"]
    assert figure.unit == "m"
    assert abs(figure.value - depth * 0.8) < 0.05 * 0.8
    assert figure.measurable == 1
    hit = np.flatnonzero(figure.per_frame > 0.05 * 0.8)
    assert hit.tolist() == [10, 11, 12, 13, 14]


def test_a_disc_that_crosses_another_passes_through_once(drifting):
    scene = scene_of((1.0, 0.7), [(2.0, 5.0), (6.0, 5.0)], [(3.0, 0.0, 0.0), (0.0, 0.0, 0.0)])
    paths = straight([(2.0, 5.0), (6.0, 5.0)], [(3.0, 0.0), (0.0, 0.0)], FRAMES, FPS)
    video, ids = draw(scene, paths)
    report = ws.score(video, masks=ids, scene=scene)
    assert value(report, "pass_through") == 1
    assert report.headline < 0.7


def test_vanishing_for_three_frames_is_three_object_frames(drifting):
    scene, paths = drifting
    present = np.ones((FRAMES, 2), bool)
    present[12:15, 1] = False
    video, ids = draw(scene, paths, present)
    for masks in (ids, None):
        report = ws.score(video, masks=masks, scene=scene)
        figure = report.figures["permanence"]
        assert figure.value == 3
        assert np.flatnonzero(figure.per_frame > 0).tolist() == [12, 13, 14]
        assert report.tracked == pytest.approx(1 - 3 / (2 * FRAMES))


def test_leaving_the_picture_is_lawful():
    scene = scene_of((1.0,), [(5.0, 5.0)], [(4.0, 0.0, 0.0)])
    video, ids = draw(scene, straight([(5.0, 5.0)], [(4.0, 0.0)], FRAMES, FPS))
    assert not (ids[-1] > 0).any()
    assert value(ws.score(video, masks=ids, scene=scene), "permanence") == 0


def test_a_teleport_by_one_radius_is_measured(drifting):
    scene, paths = drifting
    moved = paths.copy()
    moved[12:, 0, 0] += 1.0
    video, ids = draw(scene, moved)
    figure = ws.score(video, masks=ids, scene=scene).figures["teleport"]
    assert figure.value == pytest.approx(1.0, abs=0.1)
    assert int(np.nanargmax(figure.per_frame)) == 12


def test_a_stretched_axis_is_its_logarithm(drifting):
    scene, paths = drifting
    stretch = np.zeros((FRAMES, 2))
    stretch[8:, 0] = 0.15
    video, ids = draw(scene, paths, stretch=stretch)
    figure = ws.score(video, masks=ids, scene=scene).figures["rigidity"]
    assert figure.value == pytest.approx(np.log(1.15), abs=0.04)
    assert figure.floor < 0.05


def test_a_wrong_gravity_is_measured_in_metres_a_second_squared():
    gravity = (0.0, 0.0, -2.5)
    scene = scene_of((0.9,), [(2.0, 8.0)], [(2.0, 0.0, 1.0)], gravity=gravity, frames=20)
    time = np.arange(20) / FPS
    for factor in (1.0, 1.5, 0.0):
        path = np.stack([2 + 2 * time, 8 + time - 0.5 * 2.5 * factor * time**2], -1)[:, None]
        video, ids = draw(scene, path)
        figure = ws.score(video, masks=ids, scene=scene).figures["gravity"]
        # The floor is noise of pixels; it adds to the error in quadrature at most.
        assert abs(figure.value - abs(factor - 1) * 2.5) < figure.floor + 0.2


def test_a_frozen_video_is_still(drifting):
    scene, paths = drifting
    video, ids = draw(scene, np.repeat(paths[:1], FRAMES, 0))
    report = ws.score(video, masks=ids, scene=scene)
    assert value(report, "stillness") == pytest.approx(1.0)
    assert report.figures["stillness"].score < 0.3


def test_cheats_score_worse_than_honest_video(drifting):
    scene, paths = drifting
    honest = ws.score(*draw(scene, paths), scene=scene).headline
    gone = np.ones((FRAMES, 2), bool)
    gone[6:] = False
    one = np.ones((FRAMES, 2), bool)
    one[6:, 1] = False
    merged = paths.copy()
    merged[8:, 1] = merged[8:, 0]
    cheats = {
        "frozen": draw(scene, np.repeat(paths[:1], FRAMES, 0)),
        "vanishing": draw(scene, paths, gone),
        "one object only": draw(scene, paths, one),
        "merged": draw(scene, merged),
        "empty": draw(scene, paths, np.zeros((FRAMES, 2), bool)),
    }
    for name, (video, ids) in cheats.items():
        assert ws.score(video, masks=ids, scene=scene).headline < honest - 0.1, name


def test_without_a_scene_lengths_are_pixels_and_laws_are_unknown(drifting):
    scene, paths = drifting
    moved = paths.copy()
    moved[12:, 0, 0] += 1.0
    video, ids = draw(scene, moved)
    report = ws.score(video, masks=ids, planar=True, fps=FPS)
    assert report.regime == "planar"
    assert report.figures["teleport"].unit == "px"
    assert report.figures["teleport"].value == pytest.approx(9.6, abs=1.0)
    assert not report.figures["gravity"].applies
    assert np.isnan(report.figures["teleport"].floor)


def test_in_the_unknown_regime_penetration_is_unmeasurable_and_says_so(drifting):
    scene, paths = drifting
    video, ids = draw(scene, paths)
    report = ws.score(video, masks=ids)
    assert report.regime == "unknown"
    figure = report.figures["penetration"]
    assert (figure.measurable, figure.applies) == (0, False)
    assert "occlusion" in figure.reason
    assert "penetration" in str(report)
    assert "NaN" not in report.to_json()


def test_the_tracker_needs_no_scene(drifting):
    scene, paths = drifting
    video, ids = draw(scene, paths)
    found = ws.score(video, planar=True).ids
    pairs = {(int(a), int(b)) for a, b in zip(found.ravel(), ids.ravel(), strict=True)}
    assert len(pairs) == 3  # one to one, background included


def test_another_tracker_can_be_brought(drifting):
    scene, paths = drifting
    video, ids = draw(scene, paths)
    report = ws.score(video, scene=scene, tracker=lambda frames: ids)
    assert np.array_equal(report.ids, ids)


def test_contradictions_are_refused(drifting):
    scene, paths = drifting
    video, ids = draw(scene, paths)
    with pytest.raises(ValueError, match="scene, setup"):
        ws.score(video, scene=scene, setup=scene.setup())
    with pytest.raises(ValueError, match="planar"):
        ws.score(video, scene=scene, planar=False)
    with pytest.raises(ValueError, match="camera's shape"):
        ws.score(video[:, :, :80], scene=scene)
    with pytest.raises(ValueError, match="context"):
        ws.score(video, scene=scene, context=0)
    with pytest.raises(ValueError, match="between 0 and 2"):
        ws.score(video, masks=ids + 1, scene=scene)
