"""The built-in tracker on compressed video: drawn discs have known masks, and H.264 must hardly move what is read."""

from fractions import Fraction

import av
import numpy as np
import pytest
from pictures import draw, scene_of, straight
from scipy import ndimage

import worldsim as ws
from worldsim.benchmarks._scales import thresholds
from worldsim.benchmarks.ground_truth import backdrop_of
from worldsim.benchmarks.matting import settle_edges
from worldsim.benchmarks.segment import Backdrop, ColourTracker, _Behind, tracker_for
from worldsim.benchmarks.track import measure_tracks
from worldsim.benchmarks.trials import excess, fresh
from worldsim.benchmarks.video_input import open_video
from worldsim.benchmarks.world import world_of

FPS, FRAMES = 10.0, 24
LUMA = np.array([0.2126, 0.7152, 0.0722])
STARTS, VELOCITIES = [(3.0, 6.0), (6.5, 3.0)], [(1.0, 0.0), (-0.6, -0.3)]


def h264(path, video, pixels, crf):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(FPS), options={"crf": str(crf)})
        stream.height, stream.width, stream.pix_fmt = *video.shape[1:3], pixels
        stream.codec_context.colorspace, stream.codec_context.color_range = 1, 1
        for picture in video:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame.reformat(format=pixels, dst_colorspace=1, dst_color_range=1, threads=1)))
        container.mux(stream.encode())


@pytest.mark.parametrize(("pixels", "crf"), [("yuv420p", 18), ("yuv420p", 23), ("yuv420p", 28), ("yuv444p", 28)])
def test_compression_hardly_moves_masks_and_raises_no_alarm(tmp_path, pixels, crf):
    scene = scene_of((1.0, 0.8), STARTS, [(x, 0.0, z) for x, z in VELOCITIES])
    video, ids = draw(scene, straight(STARTS, VELOCITIES, FRAMES, FPS))
    h264(tmp_path / "v.mp4", video, pixels, crf)
    report = ws.score(tmp_path / "v.mp4", scene=scene)
    true, read = measure_tracks(ids, 2), measure_tracks(report.ids, 2)
    assert np.abs(read.area / true.area - 1).max() < 0.03
    assert np.abs(read.centroid - true.centroid).max() < 0.1
    applying = [law for law, figure in report.figures.items() if figure.applies]
    assert [law for law in applying if crf <= 23 and excess(report, law) > thresholds()[law]] == []


def test_without_a_scene_too(tmp_path):
    scene = scene_of((1.0, 0.8), STARTS, [(x, 0.0, z) for x, z in VELOCITIES])
    video, ids = draw(scene, straight(STARTS, VELOCITIES, FRAMES, FPS))
    h264(tmp_path / "v.mp4", video, "yuv420p", 23)
    found = ws.score(tmp_path / "v.mp4", planar=True).ids
    assert found.max() == 2
    order = [1, 2] if (found[0] == 1)[ids[0] == 1].mean() > 0.5 else [2, 1]
    for own, label in enumerate(order, 1):
        assert ((found == label) != (ids == own)).sum() < 0.02 * (ids == own).sum()


def test_smeared_colour_does_not_make_masks_larger():
    """A disc whose luma is sharp and whose chroma is blurred by a box of five pixels, as 4:2:0 does at its worst."""
    y, x = np.mgrid[:40, :40]
    disc = (x - 19.3) ** 2 + (y - 18.6) ** 2 < 90
    own, back = np.array([200.0, 40, 30]), np.array([150.0, 150, 140])
    luma = np.where(disc, own @ LUMA, back @ LUMA)
    share = ndimage.uniform_filter(disc.astype(float), 5)[..., None]
    chroma = share * (own - own @ LUMA) + (1 - share) * (back - back @ LUMA)
    frame = np.clip(np.round(luma[..., None] + chroma), 0, 255).astype(np.uint8)
    behind = np.zeros((40, 40), np.uint8)
    picture = np.broadcast_to(back.astype(np.uint8), frame.shape)
    first = (np.abs(frame - back).max(-1) > 24).astype(np.uint8)
    assert first.sum() > 1.1 * disc.sum()
    settled = settle_edges(frame, first, picture, behind)
    assert ((settled == 1) != disc).sum() <= 0.02 * disc.sum()
    assert np.array_equal(settle_edges(frame, behind, picture, behind), behind)


@pytest.mark.parametrize("seed", [700, 703])
def test_rims_of_small_shaded_balls_are_theirs(seed):
    rollout = fresh("billiards", seed, 128, "val")
    world = world_of(rollout.scene, 128, 128)
    found = tracker_for(world, backdrop_of(rollout.scene, 128, 128))(rollout.video)
    for k in world.objects:
        own, true = found == k + 1, rollout.ids == k + 1
        # A radius that is a fiftieth too small puts a ball a fiftieth of the way to the camera too far away: a radius.
        assert (own & true).sum() / (own | true).sum() > 0.99, world.bodies[k].name
        assert np.abs(np.sqrt(own.sum((1, 2)) / true.sum((1, 2)).clip(1)) - 1).max() < 0.02


def test_rims_are_read_in_full_only_where_the_picture_is_exact(tmp_path):
    rollout = fresh("billiards", 703, 128, "val")
    behind = _Behind(backdrop_of(rollout.scene, 128, 128), 24)
    h264(tmp_path / "v.mp4", rollout.video, "yuv444p", 12)
    read = open_video(tmp_path / "v.mp4", FPS).whole()
    assert all(behind.shown(frame, behind.covered(frame)) for frame in rollout.video)
    assert not any(behind.shown(frame, behind.covered(frame)) for frame in read)


def test_an_object_that_another_one_parts_is_whole_where_the_picture_is_exact():
    y, x = np.mgrid[:48, :48]
    disc, bar = (x - 24) ** 2 + (y - 23) ** 2 < 144, (np.abs(x - 26) < 5) & (np.abs(y - 23) < 20)
    ids = np.where(bar, 2, disc).astype(np.uint8)
    colours = np.array([[120, 125, 130], [220, 40, 30], [30, 60, 210]], np.uint8)
    backdrop = Backdrop(np.broadcast_to(colours[0], (48, 48, 3)), np.zeros((48, 48), np.uint8))
    tracker = ColourTracker(colours=tuple(map(tuple, colours[1:] / 255)), labels=(1, 2), backdrop=backdrop)
    assert np.array_equal(tracker(colours[ids][None])[0], ids)


def test_shadows_are_no_objects():
    scene = ws.make_scene("hoop", seed=700, split="id", role="val", pixels=128)
    rollout = ws.simulate(scene, preset="standard")
    found = tracker_for(world_of(scene, 128, 128), backdrop_of(scene, 128, 128))(rollout.video)
    own, true = found == 1, rollout.ids == 1
    assert true.sum() > 1000
    assert (own & true).sum() / (own | true).sum() > 0.8


def test_an_object_that_comes_in_at_a_corner_is_found_once_it_is_large_enough():
    """Its colour is a class before a part of it is large enough to be an object."""
    video = np.full((24, 64, 64, 3), 200, np.uint8)
    for t, frame in enumerate(video):
        frame[10:22, 2 * t : 2 * t + 12] = (200, 40, 40)
        side = max(0, t - 4)
        frame[64 - side :, :side] = (40, 40, 200)
    ids = ws.score(video).ids
    assert np.unique(ids[-1, 46:, :18]).tolist() == [2]
    assert [t for t in range(24) if (ids[t] == 2).any()] == list(range(6, 24))  # from 2 x 2 pixels on
