"""Video files through PyAV: H.264 that seeks fast, exact RGB on request, clear errors for damaged files.

Frames are uint8 RGB of shape (T, H, W, 3). Colours are BT.709 in limited range, tagged as such. One thread encodes, so
that the same frames give the same bytes.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from worldsim.data._decode import DEFAULT_FPS, decode, read_picture
from worldsim.scene.errors import DataError
from worldsim.scene.files import PathLike, atomic_path

UInt8 = NDArray[np.uint8]

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
_BT709, _LIMITED = 1, 1  # colour matrix and range, by their numbers in ITU-T H.273

# x264's look-ahead is not the same each time for small pictures: now and then a file of the same frames came out
# otherwise. So neither the tree of macroblocks nor cuts between scenes, which hang on it, are used.
_CRF = {"crf": "18", "g": "2", "preset": "veryfast", "bf": "0", "mbtree": "0", "sc_threshold": "0"}

# Measured on 49 rendered-like frames: 4:4:4 has 4 dB (64 px) to 6 dB (256 px) less error than 4:2:0 for 3 % more
# bytes, since small bodies lose their colours to chroma subsampling; 4:2:0 is what every player shows.
CODECS: dict[str, tuple[str, str, dict[str, str]]] = {
    "h264": ("libx264", "yuv420p", _CRF),
    "h264-444": ("libx264", "yuv444p", _CRF),
    "exact": ("libx264rgb", "rgb24", {"qp": "0", "g": "12", "preset": "ultrafast", "bf": "0"}),
}


class VideoWriter:
    """Writes frames one after another to an open file, in memory of one frame.

    Args:
        file: Path or binary file that can seek.
        fps: Frames a second.
        codec: "h264" (crf 18, key frame every 2 frames, 4:2:0; 4:4:4 where a side is odd), "h264-444" or "exact".
    """

    def __init__(self, file: PathLike | BinaryIO, fps: float, codec: str = "h264") -> None:
        import av

        if codec not in CODECS:
            raise ValueError(f"codec: must be one of {', '.join(CODECS)}, got {codec!r}")
        if not fps > 0:
            raise ValueError(f"fps: must be above 0, got {fps!r}")
        self._codec, self._pixels, self._options = CODECS[codec]
        self._rate = Fraction(fps).limit_denominator(100000)
        # Without the flag the muxer and the encoder sign the file with their versions.
        target = file if not isinstance(file, str | Path) else str(file)
        self._container = av.open(target, "w", format="mp4", options={"fflags": "+bitexact"})
        self._stream: Any = None
        self._shape: tuple[int, ...] = ()

    def _start(self, shape: tuple[int, ...]) -> None:
        from av.video.reformatter import VideoReformatter

        height, width = shape[:2]
        if self._pixels == "yuv420p" and (height % 2 or width % 2):
            self._pixels = "yuv444p"
        stream = self._container.add_stream(self._codec, rate=self._rate, options=dict(self._options))
        stream.width, stream.height, stream.pix_fmt = width, height, self._pixels
        context = stream.codec_context
        context.thread_count = 1
        context.color_primaries, context.color_trc = 1, 13  # BT.709, sRGB
        if self._pixels != "rgb24":
            context.colorspace, context.color_range = _BT709, _LIMITED
        self._stream, self._shape, self._reformatter = stream, shape, VideoReformatter()

    def write(self, frame: UInt8) -> None:
        """Append one (H, W, 3) frame; all frames have one size."""
        import av

        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise ValueError(f"frame: must be uint8 of shape (H, W, 3), got {frame.dtype} {frame.shape}")
        if self._stream is None:
            self._start(frame.shape)
        if frame.shape != self._shape:
            raise ValueError(f"frame: must have the shape of the first, {self._shape}, got {frame.shape}")
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        if self._pixels != "rgb24":
            # One reformatter of one thread: PyAV's default builds a thread pool a frame, five times the cost.
            picture = self._reformatter.reformat(
                picture, format=self._pixels, dst_colorspace=_BT709, dst_color_range=_LIMITED, threads=1
            )
        for packet in self._stream.encode(picture):
            self._container.mux(packet)

    def close(self) -> None:
        """Flush the encoder and end the file."""
        if self._stream is not None:
            for packet in self._stream.encode():
                self._container.mux(packet)
        self._container.close()

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()

    def abandon(self) -> None:
        """Release the encoder without ending the file."""
        self._container.close()


def encode_video(video: UInt8, fps: float, codec: str = "h264") -> bytes:
    """An MP4 file in memory from (T, H, W, 3) uint8 RGB frames; T of at least 1."""
    _check(video)
    buffer = io.BytesIO()
    writer = VideoWriter(buffer, fps, codec)
    for frame in video:
        writer.write(frame)
    writer.close()
    return buffer.getvalue()


def write_video(path: PathLike, video: UInt8 | Iterable[UInt8], fps: float, codec: str = "h264") -> None:
    """Write an MP4 file whole or not at all.

    Args:
        path: Ending in .mp4.
        video: (T, H, W, 3) uint8 RGB, or an iterable of (H, W, 3) frames.
        fps: Frames a second.
        codec: "h264", "h264-444" (finer colour, fewer players) or "exact" (lossless RGB).

    Raises:
        ValueError: Where the frames are not uint8 RGB of one size, or none.
        DataError: Where the disk is full.
    """
    if Path(path).suffix.lower() != ".mp4":
        raise ValueError(f"path: must end in .mp4, got {str(path)!r}")
    count = 0
    with atomic_path(path) as temporary, VideoWriter(temporary, fps, codec) as writer:
        for frame in video:
            writer.write(np.asarray(frame))
            count += 1
        if not count:
            raise ValueError(f"video: must have at least one frame, got none for {path}")


def _check(video: UInt8) -> None:
    if video.dtype != np.uint8 or video.ndim != 4 or video.shape[3] != 3 or not len(video):
        raise ValueError(
            f"video: must be uint8 of shape (T, H, W, 3) with T of 1 or more, got {video.dtype} {video.shape}"
        )


def picture_files(folder: Path) -> list[Path]:
    """The pictures of a folder in the order of the numbers in their names: 2.png before 10.png."""
    files = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
    if not files:
        raise DataError(
            f"{folder}: must hold pictures ({', '.join(IMAGE_SUFFIXES)}), holds none; "
            "give a video file or a folder of frames"
        )
    return sorted(files, key=lambda path: [(word, int(n or -1)) for word, n in re.findall(r"(\D*)(\d*)", path.name)])


def stream_video(
    path: PathLike, fps: float | None = None, notes: list[str] | None = None
) -> Iterator[tuple[UInt8, float]]:
    """Read frames one after another, in memory of one frame.

    Args:
        path: Of a video, a GIF or a folder of frames, which are taken in order of the numbers in their names.
        fps: Of a folder of frames, 24 unless given; a file's own rate stands unless given. Where it is given, frames
            count as evenly spaced whatever the file's timestamps say.
        notes: Takes in words what was converted on the way, once the last frame is out.

    Yields:
        (H, W, 3) uint8 RGB and frames a second.

    Raises:
        FileNotFoundError: Where there is nothing at the path.
        DataError: Where the file is truncated, damaged or no video, has uneven timestamps, transparent frames, oblong
            pixels, frames of several sizes or a high dynamic range; raised when it is met.
    """
    source = Path(path)
    if not source.exists():
        raise FileNotFoundError(f"{source}: must be a video, a GIF or a folder of frames, there is no such file")
    if source.is_dir():
        shape = None
        for file in picture_files(source):
            picture = read_picture(file)
            if shape is not None and picture.shape != shape:
                raise DataError(
                    f"{file}: must have the size of the folder's first frame, {shape[:2]}, "
                    f"got {picture.shape[:2]}; resize or remove it"
                )
            shape = picture.shape
            yield picture, fps or DEFAULT_FPS
        return
    yield from decode(str(source), str(source), fps, notes)


def read_video(path: PathLike, fps: float | None = None) -> tuple[UInt8, float]:
    """Read a whole video, GIF or folder of frames; arguments and errors as stream_video.

    Returns:
        (T, H, W, 3) uint8 RGB, and frames a second.
    """
    frames, rate = [], DEFAULT_FPS
    for picture, rate in stream_video(path, fps):  # noqa: B007
        frames.append(picture)
    return np.stack(frames), rate


def decode_video(data: bytes, where: str = "video") -> tuple[UInt8, float]:
    """The frames and rate of a video file in memory; `where` names it in errors."""
    frames, rate = [], DEFAULT_FPS
    for picture, rate in decode(io.BytesIO(data), where):  # noqa: B007
        frames.append(picture)
    return np.stack(frames), rate
