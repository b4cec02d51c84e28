"""What an evaluator hands in, made into frames and ids: arrays, tensors, files, folders; everything else is refused."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.data.errors import DataError
from worldsim.data.video import DEFAULT_FPS, IMAGE_SUFFIXES, read_video

UInt8 = NDArray[np.uint8]
MIN_FRAMES = 2
_MAX_ID = 254


@dataclass(frozen=True)
class VideoInput:
    """A video to be judged.

    Attributes:
        frames: (T, H, W, 3) RGB.
        fps: Frames a second.
        notes: What was converted on the way in, in words, such as grey made into RGB.
    """

    frames: UInt8
    fps: float
    notes: tuple[str, ...] = ()


def load_video(video: Any, fps: float | None = None) -> VideoInput:
    """Accept a video in any of the usual forms.

    Args:
        video: (T, H, W, 3) or, channels first, (T, 3, H, W) array or tensor, or a list of (H, W, 3) frames: uint8
            from 0 to 255, or floating point from 0 to 1, or from -1 to 1 where negative numbers occur. (T, H, W)
            and one channel are taken as grey. Or the path of a video file, a GIF or a folder of frames.
        fps: Frames a second; a file's own where left out, 24 for arrays and folders.

    Raises:
        ValueError: For fewer than 2 frames, frames of different size, an alpha channel, NaN, values out of range or
            another type.
        FileNotFoundError: Where the path leads nowhere.
        DataError: Where the file is damaged.
    """
    if fps is not None and not (isinstance(fps, (int, float)) and 0 < fps < float("inf")):
        raise ValueError(f"fps: must be a number above 0, got {fps!r}")
    if isinstance(video, (str, os.PathLike)):
        frames, rate = read_video(Path(video), fps)
        return VideoInput(_enough(frames), rate)
    notes: list[str] = []
    frames = _enough(_rgb(_array(video), notes))
    return VideoInput(frames, DEFAULT_FPS if fps is None else float(fps), tuple(notes))


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


def _enough(frames: UInt8) -> UInt8:
    if len(frames) < MIN_FRAMES:
        raise ValueError(f"video: must have at least {MIN_FRAMES} frames, got {len(frames)}")
    if min(frames.shape[1:3]) < 8:
        raise ValueError(f"video: must have at least 8 x 8 pixels, got {frames.shape[1]} x {frames.shape[2]}")
    return frames


def load_masks(masks: Any, shape: tuple[int, int, int], num_ids: int | None = None) -> UInt8:
    """Accept instance masks.

    Args:
        masks: (T, H, W) whole numbers, 0 for the background, k for object k, the same in all frames; or (T, K, H, W)
            flags of K disjoint masks; or a path: .npz or .npy (pickled objects are refused) or a folder of PNG whose
            pixel values (palette index or grey) are the ids.
        shape: (T, H, W) of the video.
        num_ids: Largest id that may occur, the number of bodies of a scene.

    Raises:
        ValueError: For another size, type or id than allowed, or masks that overlap.
    """
    if isinstance(masks, (str, os.PathLike)):
        masks = _masks_file(Path(masks))
    if hasattr(masks, "detach"):
        masks = masks.detach().to("cpu").numpy()
    ids = np.asarray(masks)
    if ids.dtype.kind not in "uib":
        raise ValueError(f"masks: must be whole numbers or flags, got {ids.dtype}")
    if ids.ndim == 4:
        flags = ids.astype(bool)
        overlap = flags.sum(1) > 1
        if overlap.any():
            frame = int(np.argmax(overlap.any(axis=(1, 2))))
            raise ValueError(f"masks: must be disjoint, got pixels in two masks first in frame {frame}")
        ids = (flags * np.arange(1, flags.shape[1] + 1)[:, None, None]).sum(1)
    if ids.shape != shape:
        raise ValueError(f"masks: must have the video's shape {shape}, got {ids.shape}")
    limit = _MAX_ID if num_ids is None else num_ids
    low, high = int(ids.min()), int(ids.max())
    if low < 0 or high > limit:
        raise ValueError(f"masks: must hold ids between 0 and {limit}, got {low} to {high}")
    return np.ascontiguousarray(ids, np.uint8)


def _masks_file(path: Path) -> NDArray[Any]:
    from PIL import Image

    if not path.exists():
        raise FileNotFoundError(f"{path}: must be masks as .npz, .npy or a folder of PNG, there is no such file")
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
        if not files:
            raise DataError(f"{path}: must hold masks as PNG, holds none")
        pictures = []
        for file in files:
            with Image.open(file) as picture:
                if picture.mode not in ("P", "L", "I;16", "I"):
                    raise DataError(
                        f"{file}: must be a palette or grey picture whose values are ids, got {picture.mode}"
                    )
                pictures.append(np.array(picture))
        sizes = sorted({p.shape for p in pictures})
        if len(sizes) > 1:
            raise DataError(f"{path}: must hold masks of one size, got {', '.join(map(str, sizes))}")
        return np.stack(pictures)
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            names = list(loaded.files)
            name = "ids" if "ids" in names else names[0] if len(names) == 1 else None
            if name is None:
                raise DataError(f"{path}: must hold one array or one named ids, holds {', '.join(names) or 'none'}")
            found: NDArray[Any] = loaded[name]
            return found
    except DataError:
        raise
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: must be masks as .npz or .npy without pickled objects, got: {error}") from None
