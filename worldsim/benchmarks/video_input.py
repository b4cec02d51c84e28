"""What an evaluator hands in, made into footage: arrays, tensors, files, folders; everything else is refused."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.benchmarks.footage import Footage, footage_of_array, footage_of_stream
from worldsim.benchmarks.track import UInt8
from worldsim.data.video import stream_video
from worldsim.scene.errors import DataError

MIN_FRAMES = 2
_DEFAULT_FPS = 24.0  # of arrays, as of folders of frames


@dataclass(frozen=True)
class VideoInput:
    """A video to be judged, whole in memory.

    Attributes:
        frames: (T, H, W, 3) RGB at working size.
        fps: Frames a second.
        notes: What was converted on the way in, in words, such as grey made into RGB.
    """

    frames: UInt8
    fps: float
    notes: tuple[str, ...] = ()


def load_video(video: Any, fps: float | None = None) -> VideoInput:
    """All frames of open_video at once."""
    footage = open_video(video, fps)
    return VideoInput(footage.whole(), footage.fps, footage.notes)


def open_video(video: Any, fps: float | None = None) -> Footage:
    """Accept a video in any of the usual forms.

    Args:
        video: (T, H, W, 3) or, channels first, (T, 3, H, W) array or tensor, or a list of (H, W, 3) frames: uint8
            from 0 to 255, or floating point from 0 to 1, or from -1 to 1 where negative numbers occur. (T, H, W)
            and one channel are taken as grey. Or the path of a video file, a GIF or a folder of frames, which is
            read a few frames at a time. Frames above 1024 pixels a side, or 168 Mi pixels in all, are reduced by a
            whole factor, which the notes tell.
        fps: Frames a second; a file's own where left out, 24 for arrays and folders. Where it is given, a file's
            frames count as evenly spaced; where not, uneven timestamps are refused.

    Raises:
        ValueError: For fewer than 2 frames, frames of different size, an alpha channel, NaN, values out of range or
            another type.
        FileNotFoundError: Where the path leads nowhere.
        DataError: Where the file is damaged, or shows what frames cannot tell; see worldsim.data.stream_video.
    """
    if fps is not None and not (isinstance(fps, (int, float)) and 0 < fps < float("inf")):
        raise ValueError(f"fps: must be a number above 0, got {fps!r}")
    if isinstance(video, (str, os.PathLike)):
        path = Path(video)

        def source(notes: list[str]) -> Iterable[tuple[UInt8, float]]:
            return stream_video(path, fps, notes)

        footage = footage_of_stream(source)
        _enough((footage.shape[0], *footage.size), f"{path}: video", DataError)
        return footage
    notes: list[str] = []
    frames = _rgb(_array(video), notes)
    _enough(frames.shape, "video", ValueError)
    return footage_of_array(frames, _DEFAULT_FPS if fps is None else float(fps), notes)


def _array(video: Any) -> NDArray[Any]:
    if hasattr(video, "detach"):
        video = video.detach().to("cpu").numpy()
    if isinstance(video, (list, tuple)):
        frames = [_array(frame) for frame in video]
        shapes = sorted({frame.shape for frame in frames})
        if len(shapes) > 1:
            raise ValueError(f"video: must have frames of one size, got {', '.join(map(str, shapes))}")
        if not frames:
            raise ValueError(f"video: must have at least {MIN_FRAMES} frames, got 0")
        video = np.stack(frames)
    if not isinstance(video, np.ndarray):
        raise ValueError(f"video: must be an array, a tensor, a list of frames or a path, got {type(video).__name__}")
    return video


def _rgb(video: NDArray[Any], notes: list[str]) -> UInt8:
    shape = video.shape
    if video.ndim == 3:
        video = video[..., None]
    if video.ndim != 4:
        raise ValueError(f"video: must have shape (T, H, W, 3), (T, 3, H, W) or (T, H, W), got {shape}")
    if video.shape[-1] not in (1, 3, 4) and video.shape[1] in (1, 3, 4):
        video = np.moveaxis(video, 1, -1)
    channels = video.shape[-1]
    if channels == 4:
        raise ValueError(f"video: must have no alpha channel, lay it over a background first, got shape {shape}")
    if channels not in (1, 3):
        raise ValueError(f"video: must have 1 or 3 channels, got shape {shape}")
    if channels == 1:
        notes.append("grey was taken as RGB of equal channels")
        video = np.repeat(video, 3, axis=-1)
    if video.dtype == np.uint8:
        return np.ascontiguousarray(video)
    if not np.issubdtype(video.dtype, np.floating):
        raise ValueError(f"video: must be uint8 or floating point, got {video.dtype}")
    if not np.isfinite(video).all():
        bad = int(np.argmin(np.isfinite(video).all(axis=(1, 2, 3))))
        raise ValueError(f"video: must be finite, got NaN or infinity first in frame {bad}")
    low, high = (float(video.min()), float(video.max())) if video.size else (0.0, 0.0)
    if low < -1.001 or high > 1.001:
        raise ValueError(f"video: must lie in [0, 1] or [-1, 1] as floating point, got {low:.4g} to {high:.4g}")
    if low < -1e-3:
        notes.append("values from -1 to 1 were brought to 0 to 255")
        video = (video + 1) / 2
    return np.asarray(np.round(np.clip(video, 0, 1) * 255), np.uint8)


def _enough(shape: tuple[int, ...], where: str, error: type[ValueError]) -> None:
    if shape[0] < MIN_FRAMES:
        raise error(f"{where}: must have at least {MIN_FRAMES} frames, got {shape[0]}")
    if min(shape[1:3]) < 8:
        raise error(f"{where}: must have at least 8 x 8 pixels, got {shape[1]} x {shape[2]}")
