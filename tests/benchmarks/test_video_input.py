import numpy as np
import pytest
import torch
from PIL import Image

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
