"""Long and large videos: read a few frames at a time, at a size that memory holds, with the same figures."""

import json
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from pictures import draw, scene_of, straight

import worldsim as ws
from worldsim.benchmarks import footage, ground_truth
from worldsim.benchmarks.footage import footage_of_array, footage_of_stream, shrink, working_size
from worldsim.benchmarks.masks_input import load_masks
from worldsim.benchmarks.video_input import open_video
from worldsim.data import write_video

ROOT = Path(__file__).parents[2]


def to_and_fro(frames, pixels):
    scene = scene_of((1.0, 0.8), [(3.0, 6.5), (6.5, 3.0)], frames=frames, pixels=pixels)
    time = np.arange(frames) / scene.fps
    x = 2 + 6 * np.abs((time[:, None] / [3.0, 4.0]) % 1 * 2 - 1)
    return scene, *draw(scene, np.stack([x, np.broadcast_to([6.5, 3.0], x.shape)], -1))


def test_a_file_read_in_pieces_reads_as_the_array(tmp_path, monkeypatch):
    scene, video, _ = to_and_fro(70, 64)
    write_video(tmp_path / "v.mp4", video, scene.fps, codec="exact")
    whole = ws.score(video, setup=scene.setup())
    monkeypatch.setattr(footage, "CHUNK_PIXELS", 7 * 64 * 64)
    assert [len(chunk) for chunk in open_video(tmp_path / "v.mp4").chunks()] == [7] * 10
    pieces = ws.score(tmp_path / "v.mp4", setup=scene.setup())
    assert np.array_equal(whole.ids, pieces.ids)
    assert pieces.summary() == whole.summary()


def test_samples_are_those_of_the_array(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (77, 16, 24, 3), dtype=np.uint8)
    for count in (2, 31, 32, 33, 64, 77):
        streamed = footage_of_stream(lambda notes, n=count: ((frame, 24.0) for frame in frames[:n]))
        direct = footage_of_array(frames[:count], 24.0)
        assert np.array_equal(streamed.sample, direct.sample)
        assert streamed.shape == direct.shape == (count, 16, 24)
        assert min(count, footage.SAMPLE) <= len(direct.sample) < 2 * footage.SAMPLE


def test_ground_truth_drawn_in_pieces_is_the_whole_one(monkeypatch):
    scene = ws.make_scene("bouncing_balls", seed=0, split="id", role="test")
    whole = ground_truth.ground_truth(scene, 48, 48, 20, 24.0)
    monkeypatch.setattr(ground_truth, "_KEEP_PIXELS", 0)
    monkeypatch.setattr(ground_truth, "CHUNK_PIXELS", 6 * 48 * 48)
    pieces = ground_truth.film(scene, footage_of_array(whole.video, 24.0))
    assert np.array_equal(pieces.ids(), whole.ids)
    assert np.array_equal(pieces.footage.whole(), whole.video)


def peak(path, **told):
    tracemalloc.start()
    ws.score(path, **told)
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found


def test_memory_grows_by_the_ids_and_not_by_the_frames(tmp_path, monkeypatch):
    pixels = 192
    monkeypatch.setattr(footage, "CHUNK_PIXELS", 4 * pixels**2)
    peaks = []
    for frames in (40, 40, 140):  # the first warms up
        scene, video, _ = to_and_fro(frames, pixels)
        write_video(tmp_path / "v.mp4", video, scene.fps, codec="exact")
        del video
        peaks.append(peak(tmp_path / "v.mp4", setup=scene.setup()))
    per_frame = (peaks[2] - peaks[1]) / 100
    # A byte of id a pixel, and the outlines; the colours would be three bytes a pixel more.
    assert per_frame < 2 * pixels**2


def test_working_sizes():
    assert working_size(128, 128, 10_000) == (128, 128)
    assert working_size(2160, 3840, 240) == (540, 960)
    assert working_size(1080, 1920, 100) == (540, 960)
    height, width = working_size(1080, 1920, 10_000)
    assert 10_000 * height * width <= footage.MAX_PIXELS
    assert width / height == pytest.approx(16 / 9, rel=0.02)
    assert working_size(8, 8, 10**9) == (8, 8)


def test_reduced_pixels_are_means():
    frame = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    means = frame.reshape(2, 2, 3, 2, 3).mean((1, 3))
    assert np.abs(shrink(frame, 2, 3) - means).max() <= 0.5


def test_a_reduced_video_keeps_lengths_in_pixels_as_it_came(monkeypatch):
    scene = scene_of((1.0, 0.8), [(3.0, 5.0), (7.0, 5.0)], pixels=192)
    paths = straight([(3.0, 5.0), (7.0, 5.0)], [(0, 0), (0, 0)], 24, 10.0)
    paths[10:15, 0] = (5.0, 5.0)
    paths[10:15, 1] = (5.0 + 1.8 - 0.4, 5.0)  # half the smaller radius deep
    video, ids = draw(scene, paths)
    true = 0.4 * 192 / 10
    full = ws.score(video, masks=ids, planar=True)
    monkeypatch.setattr(footage, "MAX_SIDE", 64)
    small = ws.score(video, masks=ids, planar=True)
    tracked = ws.score(video, planar=True)
    for report, tolerance in ((full, 0.5), (small, 1.0), (tracked, 1.0)):
        figure = report.figures["penetration"]
        assert figure.unit == "px"
        assert abs(figure.value - true) < tolerance
        assert figure.reference == pytest.approx(0.8 * 19.2, rel=0.02)
    assert small.ids.shape == (24, 64, 64)
    assert "192 x 192 were reduced to 64 x 64, by 3" in small.notes[0]
    assert full.notes == ()
    told = ws.score(video, setup=scene.setup())
    assert abs(told.figures["penetration"].value - 0.4) < 0.05


def test_masks_are_read_at_working_size():
    ids = np.random.default_rng(0).integers(0, 4, (3, 10, 10), dtype=np.uint8).repeat(3, 1).repeat(3, 2)
    assert np.array_equal(load_masks(ids, (3, 10, 10), 3, (30, 30)), ids[:, 1::3, 1::3])


@pytest.mark.slow
@pytest.mark.parametrize("case", ["long", "4k"])
def test_ten_thousand_frames_and_4k_stay_under_one_gibibyte(case):
    script = ROOT / "experiments" / "speed" / "score_memory.py"
    told = subprocess.run([sys.executable, script, "--cases", case], check=True, stdout=subprocess.PIPE)
    found = json.loads(told.stdout)
    assert found["objects"] == 2
    assert found["peak_mib"] < 1024
