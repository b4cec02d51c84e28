"""Files as they come from elsewhere, made here: a right answer, or one error that names the file and the rule."""

import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from worldsim.data import DataError, read_video, stream_video, write_video
from worldsim.data.video import picture_files


def moving(frames=12, height=48, width=64):
    """A bright block that moves over a dark picture, large enough to survive compression."""
    video = np.full((frames, height, width, 3), 30, np.uint8)
    for t in range(frames):
        video[t, 8:24, 4 + 3 * t : 16 + 3 * t] = (220, 60, 40)
    return video


def encode(path, video, rate=24, times=None, codec="libx264", pixels="yuv420p", options=(), colour=(), form=None):
    """Write frames with any codec, pixel format and timestamps (in milliseconds)."""
    with av.open(str(path), "w", format=form) as container:
        stream = container.add_stream(codec, rate=rate, options=dict(options))
        stream.width, stream.height, stream.pix_fmt = video.shape[2], video.shape[1], pixels
        for name, value in colour:
            setattr(stream.codec_context, name, value)
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for i, picture in enumerate(video):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[i], Fraction(1, 1000)
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def test_even_timestamps_are_taken_and_uneven_ones_refused(tmp_path):
    video, path = moving(), tmp_path / "v.mp4"
    even = [round(1000 * i / 24) for i in range(12)]  # to the millisecond: 41 or 42
    encode(path, video, times=even)
    assert len(read_video(path)[0]) == 12
    dropped = [t for i, t in enumerate([*even, 500, 542]) if i not in (5, 6)]
    encode(path, video, times=dropped)
    with pytest.raises(
        DataError, match=r"v\.mp4: timestamps must be evenly spaced, got 125 ms after frame 4 .* 1 of 11"
    ):
        read_video(path)
    notes = []
    frames = [frame for frame, fps in stream_video(path, fps=24, notes=notes) if fps == 24]
    assert len(frames) == 12
    assert "not evenly spaced" in notes[0]


def test_gif_delays_in_hundredths_are_even(tmp_path):
    pictures = [Image.fromarray(frame).quantize(8) for frame in moving()]
    pictures[0].save(tmp_path / "v.gif", save_all=True, append_images=pictures[1:], duration=[30, 30, 40] * 4)
    frames, fps = read_video(tmp_path / "v.gif")
    assert len(frames) == 12
    assert fps == pytest.approx(30)
    pictures[0].save(tmp_path / "v.gif", save_all=True, append_images=pictures[1:], duration=[30] * 6 + [100] * 6)
    with pytest.raises(DataError, match="timestamps"):
        read_video(tmp_path / "v.gif")


@pytest.mark.parametrize("disposal", [1, 2, 3])
def test_gif_transparency_and_disposal_are_those_of_pillow(tmp_path, disposal):
    pictures = []
    for i in range(5):
        rgba = np.zeros((24, 40, 4), np.uint8)
        rgba[6:14, 5 * i : 5 * i + 8] = (200, 30, 30, 255)
        pictures.append(Image.fromarray(rgba))
    pictures[0].save(tmp_path / "v.gif", save_all=True, append_images=pictures[1:], duration=50, disposal=disposal)
    expected = []
    with Image.open(tmp_path / "v.gif") as image:
        for i in range(5):
            image.seek(i)
            rgba = np.asarray(image.convert("RGBA"))
            expected.append(np.where(rgba[..., 3:] > 0, rgba[..., :3], 255))
    notes = []
    frames = [frame for frame, _ in stream_video(tmp_path / "v.gif", notes=notes)]
    assert np.array_equal(frames, expected)
    assert "white" in notes[0]


def test_a_cut_gif_is_refused(tmp_path):
    pictures = [Image.fromarray(frame) for frame in moving()]
    pictures[0].save(tmp_path / "v.gif", save_all=True, append_images=pictures[1:], duration=50)
    data = (tmp_path / "v.gif").read_bytes()
    (tmp_path / "v.gif").write_bytes(data[:-20])
    with pytest.raises(DataError, match=r"v\.gif: must end with a GIF trailer"):
        read_video(tmp_path / "v.gif")


def faststart(path, out):
    """The same packets with the index in front, so that a cut leaves it whole."""
    with av.open(str(path)) as source, av.open(str(out), "w", options={"movflags": "+faststart"}) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)


def test_cut_and_damaged_files_of_every_kind(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (20, 48, 64, 3), dtype=np.uint8)
    write_video(tmp_path / "a.mp4", noise, 24)
    whole = (tmp_path / "a.mp4").read_bytes()
    assert whole.index(b"moov") > 0.9 * len(whole)
    (tmp_path / "moov.mp4").write_bytes(whole[: whole.index(b"moov") - 4])
    faststart(tmp_path / "a.mp4", tmp_path / "fast.mp4")
    data = (tmp_path / "fast.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    for share in (0.3, 0.9, 0.999):
        (tmp_path / f"cut{share}.mp4").write_bytes(data[: int(share * len(data))])
    # Over several frames: within one, a hole may decode to other pixels without a complaint.
    hole = len(data) // 5
    (tmp_path / "hole.mp4").write_bytes(data[: len(data) // 2] + bytes(hole) + data[len(data) // 2 + hole :])
    encode(tmp_path / "b.mkv", noise)
    matroska = (tmp_path / "b.mkv").read_bytes()
    assert len(read_video(tmp_path / "b.mkv")[0]) == 20
    (tmp_path / "cut.mkv").write_bytes(matroska[: len(matroska) // 2])
    for name in ("moov.mp4", "cut0.3.mp4", "cut0.9.mp4", "cut0.999.mp4", "hole.mp4", "cut.mkv"):
        with pytest.raises(DataError, match=rf"{name}: .*(truncated|damaged)"):
            read_video(tmp_path / name)


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_the_display_matrix_is_followed(tmp_path, turn):
    video = moving()
    write_video(tmp_path / "v.mp4", video, 24, codec="exact")
    data = bytearray((tmp_path / "v.mp4").read_bytes())
    cosine, sine = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[turn]
    one = 1 << 16
    # The track header's matrix maps columns (x, y, 1) to the screen, which is turned clockwise by `turn`.
    matrix = struct.pack(">9i", cosine * one, sine * one, 0, -sine * one, cosine * one, 0, 0, 0, 1 << 30)
    at = data.index(b"tkhd") + 4 + 40
    data[at : at + 36] = matrix
    (tmp_path / "v.mp4").write_bytes(data)
    notes = []
    frames = [frame for frame, _ in stream_video(tmp_path / "v.mp4", notes=notes)]
    assert np.array_equal(frames, np.rot90(video, -turn // 90, (1, 2)))
    assert "turned" in notes[0]


def test_ten_bits_odd_sizes_and_colour_matrices_come_out_right(tmp_path):
    video = moving(height=47, width=63)
    encode(tmp_path / "odd.mp4", video, pixels="yuv444p", options={"crf": "10"})
    encode(tmp_path / "ten.mkv", moving(), codec="ffv1", pixels="yuv444p10le")
    encode(tmp_path / "bt709.mkv", moving(), codec="ffv1", pixels="yuv444p", colour=[("colorspace", 1)])
    for name, expected in (("odd.mp4", video), ("ten.mkv", moving()), ("bt709.mkv", moving())):
        frames, _ = read_video(tmp_path / name)
        assert frames.shape == expected.shape
        assert np.abs(frames.astype(int) - expected).mean() < 2, name


def test_what_cannot_be_shown_as_it_is_is_refused(tmp_path):
    video = moving()
    encode(tmp_path / "pq.mp4", video, pixels="yuv420p10le", colour=[("color_trc", 16), ("color_primaries", 9)])
    encode(tmp_path / "hlg.mp4", video, pixels="yuv420p10le", colour=[("color_trc", 18), ("color_primaries", 9)])
    encode(tmp_path / "lace.mp4", video, options={"x264-params": "interlaced=1"})
    encode(tmp_path / "oblong.mp4", video, options={"x264-params": "sar=4/3"})
    rgba = np.concatenate([video, np.full((*video.shape[:3], 1), 255, np.uint8)], -1)
    rgba[3, :4, :5, 3] = 0
    with av.open(str(tmp_path / "alpha.mov"), "w") as container:
        stream = container.add_stream("png", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgba"
        for picture in rgba:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgba")))
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux([*stream.encode(frame), *stream.encode()])
    for name, rule in (
        ("pq.mp4", "standard dynamic range, got PQ"),
        ("hlg.mp4", "standard dynamic range, got HLG"),
        ("lace.mp4", "frame 0 must be progressive"),
        ("oblong.mp4", "square pixels, got 4/3"),
        ("alpha.mov", "frame 3 must have no transparent pixels, has 20"),
        ("sound.mp4", "must hold a video stream"),
    ):
        with pytest.raises(DataError, match=rf"{name}: .*{rule}"):
            read_video(tmp_path / name)


def test_a_change_of_size_within_a_file_is_refused(tmp_path):
    encode(tmp_path / "a.h264", moving(6), form="h264", options={"bf": "0"})
    encode(tmp_path / "b.h264", moving(6, 64, 80), form="h264", options={"bf": "0"})
    (tmp_path / "c.h264").write_bytes((tmp_path / "a.h264").read_bytes() + (tmp_path / "b.h264").read_bytes())
    with pytest.raises(DataError, match=r"c\.h264: frame \d+ must have the size of the first frame, \(48, 64\)"):
        read_video(tmp_path / "c.h264")


def test_pictures_of_every_depth(tmp_path):
    folder = tmp_path / "f"
    folder.mkdir()
    ramp = np.linspace(0, 65535, 24 * 32).astype(np.uint16).reshape(24, 32)
    Image.fromarray(ramp).save(folder / "a1.png")
    Image.fromarray((ramp / 257).round().astype(np.uint8)).save(folder / "a2.png")
    opaque = np.full((24, 32, 4), 255, np.uint8)
    Image.fromarray(opaque).save(folder / "a10.png")
    Image.fromarray(opaque[..., 0] > 0).save(folder / "a9.png")
    frames, _ = read_video(folder)
    assert [path.name for path in picture_files(folder)] == ["a1.png", "a2.png", "a9.png", "a10.png"]
    assert np.array_equal(frames[0], frames[1])
    assert frames[0].max() == 255
    assert (frames[2:] == 255).all()
    opaque[3, 4, 3] = 254
    Image.fromarray(opaque).save(folder / "a3.png")
    with pytest.raises(DataError, match=r"a3\.png: must have no transparent pixels, has 1"):
        read_video(folder)
    Image.fromarray(ramp.astype(np.int32)).save(folder / "a3.tif")
    (folder / "a3.png").unlink()
    with pytest.raises(DataError, match=r"a3\.tif: must have at most 16 bits"):
        read_video(folder)


def test_a_folder_with_one_broken_picture_names_it(tmp_path):
    for i, frame in enumerate(moving(5)):
        Image.fromarray(frame).save(tmp_path / f"{i}.png")
    whole = (tmp_path / "3.png").read_bytes()
    middle = len(whole) // 2
    for broken in (whole[:middle], whole[:middle] + b"\xff" * 8 + whole[middle + 8 :], whole[:20], b""):
        (tmp_path / "3.png").write_bytes(broken)
        with pytest.raises(DataError, match=r"3\.png: must be a whole picture"):
            read_video(tmp_path)
