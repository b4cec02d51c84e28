import subprocess
import sys

import numpy as np
import pytest
from data_cases import make_rollout
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from worldsim.data import DataError, VideoWriter, read_video, stream_video, to_float, to_uint8, write_video
from worldsim.data.video import decode_video, encode_video


def psnr(a, b):
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b.astype(float)) ** 2))


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 6), st.integers(8, 40), st.integers(8, 40), st.integers(0, 99))
def test_exact_rgb_is_exact_at_any_size(frames, height, width, seed):
    video = np.random.default_rng(seed).integers(0, 256, (frames, height, width, 3)).astype(np.uint8)
    decoded, fps = decode_video(encode_video(video, 24, "exact"))
    assert (decoded == video).all()
    assert fps == 24


@pytest.mark.parametrize(("codec", "least"), [("h264", 30), ("h264-444", 35)])
@pytest.mark.parametrize("width", [48, 49])
def test_lossy_video_comes_back_close(tmp_path, codec, least, width):
    video = make_rollout(frames=10, height=48, width=width).video
    write_video(tmp_path / "v.mp4", video, 23.976, codec)
    decoded, fps = read_video(tmp_path / "v.mp4")
    assert decoded.shape == video.shape
    assert abs(fps - 23.976) < 1e-3
    assert psnr(decoded, video) > least


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (30, 60, 200), (255, 255, 255), (0, 0, 0)])
def test_flat_colours_survive_the_colour_matrix(colour):
    video = np.broadcast_to(np.array(colour, np.uint8), (4, 32, 32, 3))
    decoded, _ = decode_video(encode_video(np.ascontiguousarray(video), 24, "h264"))
    assert np.abs(decoded.astype(int) - video).max() <= 3


def test_same_frames_same_bytes_in_another_process():
    code = (
        "import sys, numpy as np, hashlib; from worldsim.data.video import encode_video;"
        "v = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3)).astype(np.uint8);"
        "print(hashlib.sha256(b''.join(encode_video(v, 24, c) for c in ('h264', 'h264-444', 'exact'))).hexdigest())"
    )
    hashes = {subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout for _ in range(2)}
    assert len(hashes) == 1
    assert len(hashes.pop().strip()) == 64


def test_key_frames_lie_every_two_frames(tmp_path):
    import av

    write_video(tmp_path / "v.mp4", make_rollout(frames=9).video, 24)
    with av.open(str(tmp_path / "v.mp4")) as container:
        keys = [packet.is_keyframe for packet in container.demux(video=0) if packet.size]
    assert keys == [i % 2 == 0 for i in range(9)]


def test_truncated_or_foreign_files_are_one_clear_error(tmp_path):
    path = tmp_path / "v.mp4"
    write_video(path, make_rollout(frames=30, height=64, width=64).video, 24)
    whole = path.read_bytes()
    for cut in (0, 10, len(whole) // 2, whole.index(b"moov") + 200):
        path.write_bytes(whole[:cut])
        with pytest.raises(DataError, match=r"v\.mp4.*(truncated|damaged)"):
            read_video(path)
    path.write_bytes(b"not a video at all" * 100)
    with pytest.raises(DataError, match=r"v\.mp4"):
        read_video(path)
    with pytest.raises(FileNotFoundError, match=r"nothing\.mp4"):
        read_video(tmp_path / "nothing.mp4")


def test_streaming_yields_the_same_frames(tmp_path):
    video = make_rollout(frames=12).video
    with VideoWriter(tmp_path / "v.mp4", 24, "exact") as writer:
        for frame in video:
            writer.write(frame)
    frames = [frame for frame, fps in stream_video(tmp_path / "v.mp4") if fps == 24]
    assert (np.stack(frames) == video).all()


def test_gif_and_folder_of_frames(tmp_path):
    video = make_rollout(frames=5, height=20, width=30).video // 64 * 64  # few colours, so that GIF is exact
    pictures = [Image.fromarray(frame) for frame in video]
    palettes = [
        picture.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE) for picture in pictures
    ]
    expected = np.stack([np.asarray(p.convert("RGB")) for p in palettes])
    palettes[0].save(tmp_path / "v.gif", save_all=True, append_images=palettes[1:], duration=100, loop=0)
    gif, fps = read_video(tmp_path / "v.gif")
    assert gif.shape == video.shape
    assert abs(fps - 10) < 1e-6
    assert np.abs(gif.astype(int) - expected).mean() < 2

    (tmp_path / "frames").mkdir()
    for i, picture in enumerate(pictures):
        picture.save(tmp_path / "frames" / f"{i:03d}.png")
    (tmp_path / "frames" / "readme.txt").write_text("not a picture")
    frames, fps = read_video(tmp_path / "frames", fps=12)
    assert (frames == video).all()
    assert fps == 12
    Image.fromarray(video[0, :10]).save(tmp_path / "frames" / "005.png")
    with pytest.raises(DataError, match=r"005\.png.*size"):
        read_video(tmp_path / "frames")
    (tmp_path / "frames" / "005.png").write_bytes(b"\x89PNG broken")
    with pytest.raises(DataError, match=r"005\.png"):
        read_video(tmp_path / "frames")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="pictures"):
        read_video(tmp_path / "empty")


def test_a_failed_write_leaves_nothing(tmp_path):
    frames = [np.zeros((16, 16, 3), np.uint8), np.zeros((16, 18, 3), np.uint8)]
    with pytest.raises(ValueError, match="frame: must have the shape of the first"):
        write_video(tmp_path / "v.mp4", frames, 24)
    with pytest.raises(ValueError, match="at least one frame"):
        write_video(tmp_path / "v.mp4", [], 24)
    with pytest.raises(ValueError, match="codec"):
        write_video(tmp_path / "v.mp4", frames, 24, codec="h265")
    assert list(tmp_path.iterdir()) == []


def test_floats_and_bytes_convert_both_ways():
    video = np.random.default_rng(0).integers(0, 256, (2, 5, 6, 7, 3)).astype(np.uint8)
    tensor = to_float(video)
    assert tensor.shape == (2, 3, 5, 6, 7)
    assert tensor.min() >= -1
    assert tensor.max() <= 1
    assert (to_uint8(tensor).numpy() == video).all()
