"""Frames out of video files and single pictures, and every reason to distrust a file said in one error.

What a file says of how to show it is followed: turned by its display matrix, in its own colour matrix and range, GIF
laid over white. What no frame rate, no square pixel or no 8-bit RGB can stand for is refused.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from worldsim.scene.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

UInt8 = NDArray[np.uint8]

DEFAULT_FPS = 24.0
# Share of the usual interval by which another may differ. Nearest-time resampling would move bodies by up to half an
# interval of their way, which is what the laws would then be judged on.
_JITTER = 0.25
_AGAIN = "the file is truncated or damaged: copy or make it again"
_HDR = {16: "PQ", 18: "HLG"}  # transfer characteristics of ITU-T H.273


def decode(
    source: str | BinaryIO, where: str, fps: float | None = None, notes: list[str] | None = None
) -> Iterator[tuple[UInt8, float]]:
    """The (H, W, 3) frames of a video file one by one, each with frames a second.

    Args:
        source: Path or open file.
        where: Names the file in errors.
        fps: Taken for the file's own rate; frames then count as evenly spaced whatever their timestamps say.
        notes: Takes in words what was converted, once the last frame is out.

    Raises:
        DataError: Where the file is truncated or damaged (whenever that is met), has no video, varying frame sizes, a
            high dynamic range, interlaced or transparent frames, pixels that are not square, or uneven timestamps.
    """
    import av

    try:
        if isinstance(source, str):
            own, uneven = _schedule(source)
        with av.open(source) as container:
            if not container.streams.video:
                raise DataError(f"{where}: must hold a video stream, holds none; it is truncated or no video at all")
            stream = container.streams.video[0]
            stream.thread_type = "NONE"
            stream.codec_context.thread_count = 1
            if not isinstance(source, str):
                own, uneven = _announced(stream), ""
            if uneven and fps is None:
                raise DataError(
                    f"{where}: timestamps must be evenly spaced, got {uneven}; convert it to a constant frame rate, "
                    "or give fps where the frames are evenly spaced and the timestamps wrong"
                )
            reader = _Reader(where, container.format.name == "gif")
            _refuse_oblong_pixels(stream, where)
            for frame in container.decode(stream):
                yield reader.read(frame), fps or own
            _refuse_missing(reader.count, stream, container, own, where)
            if reader.gif and isinstance(source, str):
                _refuse_cut_gif(source, where)
    except av.error.FFmpegError as error:
        raise DataError(f"{where}: must be a whole video file, decoding failed ({error.strerror}); {_AGAIN}") from None
    if notes is not None:
        notes += reader.notes
        if uneven:
            notes.append(f"timestamps are not evenly spaced ({uneven}); the frames were taken as {fps:g} a second")


class _Reader:
    """Turns decoded frames into RGB, refusing what cannot be."""

    def __init__(self, where: str, gif: bool) -> None:
        from av.video.reformatter import VideoReformatter

        self.where, self.gif = where, gif
        self.count = 0
        self.notes: list[str] = []
        self._shape: tuple[int, ...] | None = None
        # One reformatter of one thread: PyAV's default builds a thread pool a frame, five times the cost.
        self._reformatter = VideoReformatter()

    def read(self, frame: Any) -> UInt8:
        number = self.count
        if frame.is_corrupt:
            raise DataError(f"{self.where}: frame {number} must be whole, it is damaged; {_AGAIN}")
        if int(frame.color_trc) in _HDR:
            raise DataError(
                f"{self.where}: must have a standard dynamic range, got {_HDR[int(frame.color_trc)]}; "
                "tone-map it to BT.709 first"
            )
        if frame.interlaced_frame:
            raise DataError(f"{self.where}: frame {number} must be progressive, got interlaced; deinterlace it first")
        pixels = self._rgb(frame, number)
        if self._shape is not None and pixels.shape != self._shape:
            raise DataError(
                f"{self.where}: frame {number} must have the size of the first frame, {self._shape[:2]}, "
                f"got {pixels.shape[:2]}; resize it"
            )
        self._shape = pixels.shape
        self.count += 1
        return pixels

    def _rgb(self, frame: Any, number: int) -> UInt8:
        if any(component.is_alpha for component in frame.format.components) or frame.format.name == "pal8":
            rgba = frame.to_ndarray(format="rgba")
            opaque = rgba[..., 3:] > 127
            if not opaque.all():
                if not self.gif:
                    raise DataError(
                        f"{self.where}: frame {number} must have no transparent pixels, has {(~opaque).sum()}; "
                        "lay it over a background first"
                    )
                self._note("transparent pixels of the GIF were laid over white")
            # The decoder has followed the GIF's disposal: its frames are whole pictures.
            return np.where(opaque, rgba[..., :3], np.uint8(255))
        pixels = np.asarray(self._reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray(), np.uint8)
        turn = frame.rotation
        if turn % 90:
            raise DataError(f"{self.where}: display matrix must turn by a multiple of 90 degrees, got {turn}")
        if turn:
            self._note(f"frames were turned by {turn} degrees as the display matrix asks")
            pixels = np.ascontiguousarray(np.rot90(pixels, turn // 90))
        return pixels

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


def _refuse_oblong_pixels(stream: Any, where: str) -> None:
    ratio = stream.sample_aspect_ratio
    if ratio and ratio != 1:
        raise DataError(f"{where}: must have square pixels, got {ratio} times as wide as high; scale it first")


def _refuse_missing(count: int, stream: Any, container: Any, rate: float, where: str) -> None:
    announced = int(stream.frames)
    if not announced and container.duration and len(container.streams) == 1:
        # Matroska and WebM tell their length in seconds only, to the millisecond.
        announced = int(container.duration / 1e6 * rate - 0.5)
    if count == 0 or count < announced:
        raise DataError(f"{where}: must hold {announced or 'some'} frames, only {count} decode; {_AGAIN}")


def _refuse_cut_gif(path: str, where: str) -> None:
    """Decoders show what there is of a GIF's last frame; only the trailer tells whether it is all."""
    with open(path, "rb") as file:
        file.seek(-1, 2)
        last = file.read()
    if last not in (b";", b"\0"):
        raise DataError(f"{where}: must end with a GIF trailer, ends with {last!r}; {_AGAIN}")


def _announced(stream: Any) -> float:
    return float(stream.average_rate or stream.guessed_rate or DEFAULT_FPS)


def _schedule(path: str) -> tuple[float, str]:
    """Frames a second, and what varies too much among intervals, in words, from the packets, which are not decoded."""
    import av

    with av.open(path) as container:
        if not container.streams.video:
            return DEFAULT_FPS, ""
        stream = container.streams.video[0]
        announced, tick = _announced(stream), float(stream.time_base or 0)
        packets = [
            (packet.pts, packet.duration or 0)
            for packet in container.demux(stream)
            if packet.pts is not None and not packet.is_discard
        ]
    packets.sort()
    if len(packets) < 2:
        return announced, ""
    gaps = np.diff([pts for pts, _ in packets]) * tick
    usual = float(np.median(gaps))
    # Timestamps are only told to a tick.
    off = np.abs(gaps - usual) > _JITTER * usual + 1.001 * tick
    worst = int(np.argmax(np.abs(gaps - usual)))
    uneven = (
        f"{1000 * gaps[worst]:.4g} ms after frame {worst} where {1000 * usual:.4g} ms is usual, "
        f"{off.sum()} of {len(gaps)} intervals differ"
    )
    lengths = np.array([duration for _, duration in packets]) * tick
    mean = len(lengths) / float(lengths.sum()) if (lengths > 0).all() else 1 / max(float(gaps.mean()), 1e-9)
    # A GIF's announced rate is that of its shortest delay.
    return announced if abs(announced / mean - 1) < 0.02 else mean, uneven if off.any() else ""


def read_picture(path: Path) -> UInt8:
    """A picture file as (H, W, 3) RGB: grey repeated, 16 bits brought to 8, upright by its EXIF.

    Raises:
        DataError: Where the file is broken, transparent or of more than 16 bits a channel.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.mode.startswith("I;16"):
                grey = np.asarray(np.round(np.asarray(image, np.float32) / 257), np.uint8)
                return np.repeat(grey[..., None], 3, -1)
            if image.mode in ("I", "F"):
                raise DataError(f"{path}: must have at most 16 bits a channel, got mode {image.mode}; convert it to 8")
            if image.has_transparency_data:
                clear = int((np.asarray(image.convert("RGBA"))[..., 3] < 255).sum())
                if clear:
                    raise DataError(
                        f"{path}: must have no transparent pixels, has {clear}; lay it over a background first"
                    )
            return np.asarray(image.convert("RGB"))
    except DataError:
        raise
    except (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        struct.error,
        zlib.error,
        Image.DecompressionBombError,
    ) as error:
        raise DataError(f"{path}: must be a whole picture, reading failed ({error}); copy or make it again") from None
