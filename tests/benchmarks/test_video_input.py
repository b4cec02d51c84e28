import numpy as np
import pytest
import torch
from pictures import draw, scene_of, straight
from PIL import Image

import worldsim as ws
from worldsim.benchmarks.masks_input import load_masks
from worldsim.benchmarks.video_input import load_video
from worldsim.data import DataError, write_video


@pytest.fixture
def frames():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (5, 16, 24, 3), dtype=np.uint8)


def test_arrays_tensors_and_lists_give_the_same_frames(frames):
    scaled = frames.astype(np.float32) / 255
    forms = [
        frames,
        torch.from_numpy(frames),
        list(frames),
        scaled,
        torch.from_numpy(scaled).permute(0, 3, 1, 2),
        scaled * 2 - 1,
    ]
    for form in forms:
        assert np.array_equal(load_video(form).frames, frames)
    assert load_video(frames, fps=7).fps == 7


def test_files_and_folders(frames, tmp_path):
    write_video(tmp_path / "a.mp4", frames, fps=12, codec="exact")
    given = load_video(tmp_path / "a.mp4")
    assert np.array_equal(given.frames, frames)
    assert given.fps == 12
    folder = tmp_path / "frames"
    folder.mkdir()
    for i, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"{i:03}.png")
    assert np.array_equal(load_video(str(folder), fps=5).frames, frames)
    flat = np.repeat(np.array([[[[255, 0, 0]]], [[[0, 0, 255]]]], np.uint8), 16, 1).repeat(16, 2)
    Image.fromarray(flat[0]).save(
        tmp_path / "a.gif", save_all=True, append_images=[Image.fromarray(flat[1])], duration=100
    )
    assert np.array_equal(load_video(tmp_path / "a.gif").frames, flat)


def test_grey_is_taken_and_said(frames):
    given = load_video(frames[..., 0])
    assert np.array_equal(given.frames, np.repeat(frames[..., :1], 3, -1))
    assert "grey" in given.notes[0]


def test_bad_video_is_refused(frames, tmp_path):
    bad = frames.astype(np.float32) / 255
    bad[3, 0, 0, 0] = np.nan
    cases = [
        (frames[:0], "at least 2 frames, got 0"),
        (frames[:1], "at least 2 frames, got 1"),
        ([], "got 0"),
        ([frames[0], frames[1][:8]], "one size"),
        (bad, "frame 3"),
        (frames.astype(np.float32), r"\[0, 1\]"),
        (np.zeros((4, 16, 16, 4), np.uint8), "alpha"),
        (np.zeros((4, 16, 16, 2), np.uint8), "channels"),
        (frames.astype(np.int32), "uint8 or floating"),
        (frames[:, :4], "8 x 8"),
        (3, "array"),
    ]
    for video, message in cases:
        with pytest.raises(ValueError, match=message):
            load_video(video)
    with pytest.raises(FileNotFoundError):
        load_video(tmp_path / "none.mp4")
    write_video(tmp_path / "cut.mp4", frames, fps=12)
    data = (tmp_path / "cut.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match="truncated"):
        load_video(tmp_path / "cut.mp4")
    for fps in (0, -1, float("nan"), "24"):
        with pytest.raises(ValueError, match="fps"):
            load_video(frames, fps=fps)


def test_masks_in_every_form(tmp_path):
    ids = np.random.default_rng(1).integers(0, 3, (4, 8, 9)).astype(np.uint8)
    np.savez(tmp_path / "a.npz", ids=ids)
    np.save(tmp_path / "a.npy", ids)
    folder = tmp_path / "png"
    folder.mkdir()
    for i, frame in enumerate(ids):
        Image.fromarray(frame).save(folder / f"{i}.png")
    flags = np.stack([ids == 1, ids == 2], 1)
    for form in (
        ids,
        torch.from_numpy(ids),
        ids.astype(np.int64),
        flags,
        tmp_path / "a.npz",
        tmp_path / "a.npy",
        folder,
    ):
        assert np.array_equal(load_masks(form, ids.shape, 2), ids)


def test_bad_masks_are_refused(tmp_path):
    ids = np.zeros((4, 8, 9), np.uint8)
    np.savez(tmp_path / "p.npz", ids=np.array([{"a": 1}], dtype=object))
    np.savez(tmp_path / "two.npz", a=ids, b=ids)
    ids[2] = 5
    cases = [
        (ids, "between 0 and 2, got 5 first in frame 2"),
        (ids[:3], "video's shape"),
        (ids.astype(float), "whole numbers"),
        (np.ones((4, 2, 8, 9), bool), "disjoint"),
        (tmp_path / "p.npz", "pickled"),
        (tmp_path / "two.npz", "one named ids"),
    ]
    for masks, message in cases:
        with pytest.raises(ValueError, match=message):
            load_masks(masks, (4, 8, 9), 2)


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_pickled_masks_are_refused_and_never_opened(tmp_path):
    trap = tmp_path / "opened"
    array = np.array([Payload(trap)], dtype=object)
    np.savez(tmp_path / "a.npz", ids=array)
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    for name in ("a.npz", "a.npy"):
        with pytest.raises(DataError, match=rf"{name}: must be masks .* without pickled objects"):
            load_masks(tmp_path / name, (1, 8, 8))
    assert not trap.exists()


def test_mask_files_that_are_damaged_or_of_another_make(tmp_path):
    ids = np.random.default_rng(2).integers(0, 3, (4, 12, 9)).astype(np.uint8)
    np.savez_compressed(tmp_path / "a.npz", ids=ids, other=ids)
    np.savez(tmp_path / "turned.npz", np.ascontiguousarray(ids.T).T)
    np.save(tmp_path / "wide.npy", ids.astype(np.int64))
    for name in ("a.npz", "turned.npz", "wide.npy"):
        assert np.array_equal(load_masks(tmp_path / name, ids.shape, 2), ids)
    data = (tmp_path / "wide.npy").read_bytes()
    (tmp_path / "cut.npy").write_bytes(data[:-100])
    data = bytearray((tmp_path / "turned.npz").read_bytes())
    data[400] ^= 1
    (tmp_path / "flip.npz").write_bytes(data)
    (tmp_path / "cut.npz").write_bytes(data[:300])
    (tmp_path / "none.npz").write_bytes(b"")
    # A way of compression that zipfile does not know: bytes 8 of the local and 10 of the central header.
    strange = bytearray((tmp_path / "a.npz").read_bytes())
    for mark, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        strange[strange.index(mark) + offset] = 97
    (tmp_path / "strange.npz").write_bytes(strange)
    (tmp_path / "text.npy").write_bytes(b"ids")
    np.savez(tmp_path / "keys.npz", masks=ids, more=ids)
    cases = [
        ("cut.npy", "must be whole, the array ends after"),
        ("flip.npz", "must be .*Bad CRC"),
        ("cut.npz", "must be whole masks"),
        ("none.npz", "must be whole masks"),
        ("strange.npz", "must be whole masks .*compression"),
        ("text.npy", "must be masks"),
        ("keys.npz", "one named ids, holds masks, more"),
    ]
    for name, rule in cases:
        with pytest.raises(DataError, match=rf"{name}: {rule}|{name}: must hold .*{rule}"):
            load_masks(tmp_path / name, ids.shape, 2)
    with pytest.raises(ValueError, match=r"a\.npz: masks: must have the video's shape \(5, 12, 9\), got \(4, 12, 9\)"):
        load_masks(tmp_path / "a.npz", (5, 12, 9))
    with pytest.raises(ValueError, match=r"a\.npz: masks: must hold ids between 0 and 1, got 2 first in frame 0"):
        load_masks(tmp_path / "a.npz", ids.shape, 1)
    with pytest.raises(ValueError, match="must hold ids between 0 and 254, got 300 first in frame 3"):
        load_masks(np.concatenate([ids[:3].astype(int), ids[3:].astype(int) * 0 + 300]), ids.shape)
    with pytest.raises(ValueError, match="got -1"):
        load_masks(ids.astype(int) - 1, ids.shape)


def test_mask_folders_with_a_bad_picture(tmp_path):
    ids = np.random.default_rng(3).integers(0, 3, (11, 8, 9)).astype(np.uint8)
    for t, frame in enumerate(ids):
        Image.fromarray(frame).save(tmp_path / f"mask{t}.png")
    assert np.array_equal(load_masks(tmp_path, ids.shape), ids)  # 2 before 10
    with pytest.raises(DataError, match="one mask a frame, 12, holds 11"):
        load_masks(tmp_path, (12, 8, 9))
    with pytest.raises(DataError, match=r"mask0\.png: must have the video's size \(9, 9\), got \(8, 9\)"):
        load_masks(tmp_path, (11, 9, 9))
    Image.fromarray(np.zeros((8, 9, 3), np.uint8)).save(tmp_path / "mask4.png")
    with pytest.raises(DataError, match=r"mask4\.png: must be a palette or grey picture"):
        load_masks(tmp_path, ids.shape)
    (tmp_path / "mask4.png").write_bytes((tmp_path / "mask5.png").read_bytes()[:40])
    with pytest.raises(DataError, match=r"mask4\.png: must be a whole picture"):
        load_masks(tmp_path, ids.shape)


def test_files_of_one_frame_or_none_are_refused_by_name(frames, tmp_path):
    write_video(tmp_path / "one.mp4", frames[:1], fps=12)
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(DataError, match=r"folder: must hold pictures"):
        ws.score(folder)
    Image.fromarray(frames[0]).save(folder / "0.png")
    for path in (tmp_path / "one.mp4", folder):
        with pytest.raises(DataError, match=rf"{path.name}: video: must have at least 2 frames, got 1"):
            ws.score(path)
    small = tmp_path / "small.mp4"
    write_video(small, frames[:, :4, :6], fps=12)
    with pytest.raises(DataError, match=r"small\.mp4: video: must have at least 8 x 8 pixels, got 4 x 6"):
        ws.score(small)


@pytest.mark.parametrize("length", [2, 3, 4, 5])
@pytest.mark.parametrize("told", ["nothing", "planar", "setup", "scene"])
def test_the_shortest_videos_have_a_score(length, told):
    scene = scene_of((1.0, 0.8), [(3.0, 6.0), (6.5, 3.0)], frames=length)
    video, ids = draw(scene, straight([(3.0, 6.0), (6.5, 3.0)], [(1, 0), (-0.6, 0)], length, 10.0))
    known = {"nothing": {}, "planar": {"planar": True}, "setup": {"setup": scene.setup()}, "scene": {"scene": scene}}
    report = ws.score(video, masks=ids, **known[told])
    assert report.figures["permanence"].value == 0
    assert report.tracked == 1
    assert 0 <= report.headline <= 1
    if length < 5 and told in ("setup", "scene"):
        assert "needs 5 frames" in report.figures["gravity"].reason


def test_an_empty_video_scores_nothing():
    report = ws.score(np.full((6, 32, 32, 3), 255, np.uint8), planar=True)
    assert report.tracked == 0
    assert not any(figure.measurable for figure in report.figures.values())
