"""GIFs: small moving pictures that every browser and TensorBoard play."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from worldsim.scene.files import PathLike, write_bytes


def encode_gif(video: NDArray[np.uint8], fps: float) -> bytes:
    """A GIF that repeats, from (T, H, W, 3) RGB frames; GIFs tell time in hundredths of a second, 2 at the least."""
    if video.dtype != np.uint8 or video.ndim != 4 or video.shape[3] != 3 or not len(video):
        raise ValueError(
            f"video: must be uint8 of shape (T, H, W, 3) with T of 1 or more, got {video.dtype} {video.shape}"
        )
    if not fps > 0:
        raise ValueError(f"fps: must be above 0, got {fps!r}")
    frames = [Image.fromarray(frame) for frame in video]
    buffer = io.BytesIO()
    duration = max(20, round(100 / fps) * 10)
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=duration, loop=0)
    return buffer.getvalue()


def write_gif(path: PathLike, video: NDArray[np.uint8], fps: float) -> None:
    """Write (T, H, W, 3) RGB frames as a GIF, whole or not at all."""
    write_bytes(path, encode_gif(video, fps))
