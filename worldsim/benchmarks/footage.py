"""A video that is read a few frames at a time, as often as wanted, at a size that memory can hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from worldsim.benchmarks.track import UInt8

MAX_SIDE = 1024  # pixels: finer pictures cost time and memory and tell nothing more of bodies
MAX_PIXELS = 168 << 20  # of all frames: one byte of id each, so that long videos are scored within 1 GiB
SAMPLE = 16  # frames at least from which a tracker learns backdrop and colours, where the video has as many
CHUNK_PIXELS = 1 << 22


@dataclass(frozen=True)
class Footage:
    """Frames at working size, from a source that can be read again.

    Attributes:
        shape: (T, H, W) at working size.
        size: (H, W) that the video came in, at least the working size.
        fps: Frames a second.
        source: Gives the (H', W', 3) frames of `size` from the first on, anew at each call.
        sample: (S, H, W, 3) frames spread evenly, S at most twice SAMPLE.
        notes: What was converted on the way in, in words.
    """

    shape: tuple[int, int, int]
    size: tuple[int, int]
    fps: float
    source: Callable[[], Iterable[UInt8]]
    sample: UInt8
    notes: tuple[str, ...] = ()

    @property
    def scale(self) -> float:
        """Pixels of the video as it came to one at working size."""
        return self.size[0] / self.shape[1]

    def chunks(self) -> Iterator[UInt8]:
        """(n, H, W, 3) frames in order, so many at a time that memory stays bounded."""
        _, height, width = self.shape
        most = max(1, CHUNK_PIXELS // (height * width))
        held: list[UInt8] = []
        for frame in self.source():
            held.append(shrink(frame, height, width))
            if len(held) == most:
                yield np.stack(held)
                held = []
        if held:
            yield np.stack(held)

    def whole(self) -> UInt8:
        """(T, H, W, 3) all frames at once."""
        frames = np.empty((*self.shape, 3), np.uint8)
        at = 0
        for chunk in self.chunks():
            frames[at : at + len(chunk)] = chunk
            at += len(chunk)
        return frames


def footage_of_array(frames: UInt8, fps: float, notes: Iterable[str] = ()) -> Footage:
    """Footage of (T, H, W, 3) frames in memory."""
    size = (frames.shape[1], frames.shape[2])
    height, width = working_size(*size, len(frames))
    stride = 1
    while -(-len(frames) // stride) >= 2 * SAMPLE:
        stride *= 2
    sample = np.stack([shrink(frame, height, width) for frame in frames[::stride]])
    told = (*notes, *_reduced(size, (height, width)))
    return Footage((len(frames), height, width), size, fps, lambda: iter(frames), sample, told)


def footage_of_stream(source: Callable[[list[str]], Iterable[tuple[UInt8, float]]]) -> Footage:
    """Footage of a stream of frames, which is read once to count, check and sample them.

    Args:
        source: Gives (H, W, 3) frames of one size with frames a second, anew at each call; takes a list for notes.
    """
    notes: list[str] = []
    kept: list[UInt8] = []
    stride, count, fps = 1, 0, 0.0
    size, first = (0, 0), (0, 0)
    for frame, fps in source(notes):  # noqa: B007
        if not count:
            size = (frame.shape[0], frame.shape[1])
            first = working_size(*size, 1)
        if count % stride == 0:
            kept.append(shrink(frame, *first))
            if len(kept) == 2 * SAMPLE:
                kept = kept[::2]
                stride *= 2
        count += 1
    height, width = working_size(*size, count) if count else first
    sample = np.stack([shrink(frame, height, width) for frame in kept]) if kept else np.zeros((0, 0, 0, 3), np.uint8)
    told = (*notes, *_reduced(size, (height, width)))
    return Footage((count, height, width), size, fps, lambda: (frame for frame, _ in source([])), sample, told)


def working_size(height: int, width: int, frames: int) -> tuple[int, int]:
    """The size by the smallest whole factor that keeps to MAX_SIDE and MAX_PIXELS, never under 8 pixels a side."""
    factor = 1
    while True:
        h, w = max(1, round(height / factor)), max(1, round(width / factor))
        if (max(h, w) <= MAX_SIDE and frames * h * w <= MAX_PIXELS) or min(h, w) < 16:
            return h, w
        factor += 1


def _reduced(size: tuple[int, int], working: tuple[int, int]) -> tuple[str, ...]:
    if size == working:
        return ()
    return (
        f"frames of {size[1]} x {size[0]} were reduced to {working[1]} x {working[0]}, by "
        f"{size[0] / working[0]:.4g}, for memory: lengths are those of the video as it came, ids of the reduced one",
    )


def shrink(frame: UInt8, height: int, width: int) -> UInt8:
    """A frame at another size, each pixel the mean of what it covers."""
    if frame.shape[:2] == (height, width):
        return frame
    from PIL import Image

    picture = Image.fromarray(frame).resize((width, height), Image.Resampling.BOX)
    return np.asarray(picture)
