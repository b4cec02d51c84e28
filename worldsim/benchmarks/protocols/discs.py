"""PhyWorld's pictures, drawn and read: discs by colour threshold, with the original's pixel grid and with ours.

Three ways to lay W pixels over a world of 10 units (arXiv 2411.02385, repository phyworld/phyworld):

- "linspace": pixel i is the point 10 i / (W - 1), as the original draws;
- "legacy": pixel i is read as 10 i / W, as the original reads, so that what is drawn on "linspace" is read at (W - 1) /
  W of its place and a velocity v with a bias of v / W;
- "cells": pixel i covers 10 [i, i + 1) / W and its centre counts, as in this project's pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldsim.benchmarks.track import Flags, Floats, UInt8

WORLD = 10.0
GRIDS = ("cells", "linspace", "legacy")
THRESHOLD = 127
# The original fades the colour out over the outermost 3 % of the squared radius.
_EDGE = 0.03


@dataclass(frozen=True)
class Reading:
    """What the colour threshold finds of N balls.

    Attributes:
        position: (T, N, 2) units, x to the right and z up; NaN where no pixel has the ball's colour.
        area: (T, N) pixels.
        size: Edge of the picture, pixels.
    """

    position: Floats
    area: NDArray[np.int64]
    size: int


def ball_pixels(video: UInt8, ball: int) -> Flags:
    """(T, H, W) pixels of the red (0) or blue (1) ball: own channel above 127, the two others below."""
    if ball not in (0, 1):
        raise ValueError(f"ball: must be 0 (red) or 1 (blue), got {ball}")
    own, others = (0, (1, 2)) if ball == 0 else (2, (0, 1))
    found = video[..., own] > THRESHOLD
    for channel in others:
        found = found & (video[..., channel] < THRESHOLD)
    return np.asarray(found, bool)


def read_discs(video: UInt8, balls: int, grid: str = "cells") -> Reading:
    """Mean pixel of each ball's colour in every frame.

    Args:
        video: (T, W, W, 3) square RGB pictures of the world, z up.
        balls: N, 1 (red) or 2 (red, blue).
        grid: One of GRIDS, how pixels lie over the world.
    """
    if grid not in GRIDS:
        raise ValueError(f"grid: must be one of {', '.join(GRIDS)}, got {grid!r}")
    if video.ndim != 4 or video.shape[1] != video.shape[2] or video.shape[3] != 3:
        raise ValueError(f"video: must have shape (T, W, W, 3), got {video.shape}")
    size = video.shape[1]
    index = np.arange(size, dtype=np.float64)
    # Rows count from the bottom: the original turns its pictures upside down before it reads them.
    place = {"cells": (index + 0.5) / size, "linspace": index / (size - 1), "legacy": index / size}[grid] * WORLD
    masks = [ball_pixels(video, ball) for ball in range(balls)]
    area = np.stack([mask.sum((1, 2)) for mask in masks], -1)
    with np.errstate(invalid="ignore"):
        across = np.stack([mask.sum(1) @ place for mask in masks], -1) / area
        up = np.stack([mask.sum(2)[:, ::-1] @ place for mask in masks], -1) / area
    return Reading(np.stack([across, up], -1), area, size)


def draw_discs(position: Floats, radii: Sequence[float], size: int, grid: str = "linspace") -> UInt8:
    """The original's pictures: red and blue discs on white, edges faded in the squared radius, cut to whole numbers.

    Args:
        position: (T, N, 2) x and z, units.
        radii: (N,) units.
        size: Edge of the picture, pixels.
        grid: "linspace" as the original, or "cells".

    Returns:
        (T, size, size, 3), z up.
    """
    if grid not in ("cells", "linspace"):
        raise ValueError(f"grid: must be cells or linspace, got {grid!r}")
    index = np.arange(size, dtype=np.float64)
    place = (index / (size - 1) if grid == "linspace" else (index + 0.5) / size) * WORLD
    frames = np.full((len(position), size, size, 3), 255.0)
    for ball, radius in enumerate(radii):
        x, z = position[:, ball, 0], position[:, ball, 1]
        square = (place[None, None, :] - x[:, None, None]) ** 2 + (place[::-1][None, :, None] - z[:, None, None]) ** 2
        cover = np.clip((radius**2 - square) / (radius**2 * _EDGE), 0, 1)[..., None]
        colour = np.array([255.0, 0, 0] if ball == 0 else [0, 0, 255.0])
        frames = (1 - cover) * frames + cover * colour
    return frames.astype(np.uint8)
