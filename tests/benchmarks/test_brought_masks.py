"""SAM 2's and CoTracker's forms, made from the ground truth of closed-form discs, read as the ground truth is."""

import numpy as np
import pytest
from pictures import draw, scene_of, straight
from PIL import Image

import worldsim as ws
from worldsim.benchmarks.brought_masks import load_object_masks, masks_of_points

STARTS, VELOCITIES, FRAMES = [(3.0, 6.0), (6.5, 3.0)], [(1.0, 0.0), (-0.6, -0.3)], 12


@pytest.fixture(scope="module")
def clip():
    scene = scene_of((1.0, 0.8), STARTS, [(1.0, 0.0, 0.0), (-0.6, 0.0, -0.3)], frames=FRAMES)
    return scene, *draw(scene, straight(STARTS, VELOCITIES, FRAMES, 10.0))


def pngs(folder, flags, value):
    folder.mkdir(parents=True)
    for t, flag in enumerate(flags):
        Image.fromarray((flag * value).astype(np.uint8)).save(folder / f"{t:05d}.png")


@pytest.mark.parametrize("value", [1, 255])
def test_sam2_folders_are_the_ids(clip, tmp_path, value):
    _, _, ids = clip
    for k in (1, 2):
        pngs(tmp_path / f"{k:03d}", ids == k, value)
    np.testing.assert_array_equal(load_object_masks(tmp_path), ids)
    swapped = load_object_masks(tmp_path, ids={"001": 2, "002": 1})
    np.testing.assert_array_equal(swapped, np.array([0, 2, 1], np.uint8)[ids])


def test_sam2_npz_scores_as_the_ids_do(clip, tmp_path):
    scene, video, ids = clip
    np.savez(tmp_path / "masks.npz", obj_1=(ids == 1)[:, None], obj_2=(ids == 2)[:, None])
    brought = ws.score(video, masks=load_object_masks(tmp_path / "masks.npz"), scene=scene)
    given = ws.score(video, masks=ids, scene=scene)
    assert brought.to_json() == given.to_json()


def test_overlapping_masks_are_refused_or_laid_over_each_other(clip, tmp_path):
    _, _, ids = clip
    np.savez(tmp_path / "masks.npz", a1=ids > 0, a2=ids == 2)
    with pytest.raises(ValueError, match="a2 claims pixels of another object first in frame 0"):
        load_object_masks(tmp_path / "masks.npz")
    np.testing.assert_array_equal(load_object_masks(tmp_path / "masks.npz", overlap="last"), ids)


def test_bad_object_masks_are_refused(clip, tmp_path):
    _, _, ids = clip
    np.savez(tmp_path / "names.npz", ball=ids == 1)
    with pytest.raises(ValueError, match="ids: must be given"):
        load_object_masks(tmp_path / "names.npz")
    with pytest.raises(ValueError, match="ids: must have an id for the object ball"):
        load_object_masks(tmp_path / "names.npz", ids={"box": 1})
    np.savez(tmp_path / "sizes.npz", a1=ids == 1, a2=(ids == 2)[:-1])
    with pytest.raises(ValueError, match="one size and number of frames"):
        load_object_masks(tmp_path / "sizes.npz")
    np.savez(tmp_path / "same.npz", a1=ids == 1, b1=ids == 2)
    with pytest.raises(ValueError, match="one for each object"):
        load_object_masks(tmp_path / "same.npz")
    np.savez(tmp_path / "pickled.npz", a1=np.array([{}], object))
    with pytest.raises(ValueError, match="without pickled objects"):
        load_object_masks(tmp_path / "pickled.npz")
    pngs(tmp_path / "odd" / "001", ids == 1, 255)
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "odd" / "001" / "99999.png")
    with pytest.raises(ValueError, match="one size"):
        load_object_masks(tmp_path / "odd")
    with pytest.raises(FileNotFoundError, match="missing"):
        load_object_masks(tmp_path / "none")


def points(ids, frames, per_metre, radii):
    """A grid of points on each disc, moved as the discs are: what a perfect point tracker gives."""
    rng = np.random.default_rng(0)
    paths = straight(STARTS, VELOCITIES, frames, 10.0)
    found = []
    for k, radius in enumerate(radii):
        turn, far = rng.uniform(0, 2 * np.pi, 20), 0.8 * radius * np.sqrt(rng.uniform(0, 1, 20))
        x, z = far * np.cos(turn), far * np.sin(turn)
        u = (paths[:, k, :1] + x) * per_metre - 0.5
        v = ids.shape[1] - (paths[:, k, 1:] + z) * per_metre - 0.5
        found.append(np.stack([u, v], -1))
    return np.concatenate(found, 1)


def test_cotracker_points_carry_the_first_masks_along(clip):
    scene, video, ids = clip
    tracks = points(ids, FRAMES, ids.shape[1] / 10.0, (1.0, 0.8))
    visible = np.ones(tracks.shape[:2], bool)
    carried = masks_of_points(tracks[None], visible[None], ids[0])
    for k in (1, 2):
        both, either = ((carried == k) & (ids == k)).sum(), ((carried == k) | (ids == k)).sum()
        assert both / either > 0.93  # edges are a pixel apart at most: whole pixels are moved by parts of one
    report = ws.score(video, masks=carried, scene=scene)
    assert report.headline > 0.7
    assert report.tracked == 1.0


def test_an_object_whose_points_are_lost_is_not_drawn_and_a_stretched_one_is_stretched(clip):
    _, _, ids = clip
    tracks = points(ids, FRAMES, ids.shape[1] / 10.0, (1.0, 0.8))
    visible = np.ones(tracks.shape[:2], bool)
    visible[5, :18] = False  # two of the first disc's points stay
    middle = tracks[:, 20:].mean(1, keepdims=True)
    tracks[7:, 20:, 0] = middle[7:, :, 0] + 1.5 * (tracks[7:, 20:, 0] - middle[7:, :, 0])
    carried = masks_of_points(tracks, visible, ids[0])
    assert not (carried[5] == 1).any()
    assert (carried[6] == 1).any()
    areas = (carried == 2).sum((1, 2))
    assert areas[7:].mean() / areas[:7].mean() == pytest.approx(1.5, rel=0.05)


def test_bad_points_are_refused(clip):
    _, _, ids = clip
    tracks, visible = np.zeros((FRAMES, 4, 2)), np.ones((FRAMES, 4), bool)
    with pytest.raises(ValueError, match="tracks: must be"):
        masks_of_points(tracks, visible[:, :3], ids[0])
    with pytest.raises(ValueError, match="has none"):
        masks_of_points(tracks, visible, ids[0])
    with pytest.raises(ValueError, match="frame: must be from 0"):
        masks_of_points(tracks, visible, ids[0], frame=99)
    with pytest.raises(ValueError, match="first: must be"):
        masks_of_points(tracks, visible, ids[0].astype(float))
