"""Frames as contact sheets: pictures inside the page that a canvas draws from, one frame at a time and exactly.

A video element cannot be stepped by frame in every browser, and needs a codec; pictures need neither.
"""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

UInt8 = NDArray[np.uint8]
MAX_FRAMES = 480  # of a video on the page; of longer ones every n-th
_HEIGHT = 360  # pixels above which pictures are made smaller
_EXACT = 192  # pixels of height up to which pictures are stored without loss
_EDGE = 4096  # of a sheet, which phones can still decode
# Of ids: Okabe and Ito's colours, which stay apart under colour blindness.
COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167))
_FILL, _RIM = 70, 255  # opacity of a mask and of its edge, of 255


@dataclass(frozen=True)
class Sheets:
    """Frames side by side on one or more pictures.

    Attributes:
        sources: Data URIs; sheet i holds frames i * columns * rows and on, row by row.
        columns: Of a sheet.
        rows: Of a sheet.
        width: Of a frame, pixels.
        height: Of a frame, pixels.
    """

    sources: tuple[str, ...]
    columns: int
    rows: int
    width: int
    height: int

    def summary(self) -> dict[str, Any]:
        """Plain values for the page."""
        size = {"columns": self.columns, "rows": self.rows, "width": self.width, "height": self.height}
        return {"sources": list(self.sources), **size}


def shown_frames(count: int) -> NDArray[np.int64]:
    """Which frames of a video the page holds: all of them, or every n-th."""
    return np.arange(0, count, -(-count // MAX_FRAMES))


def shown_size(height: int, width: int) -> tuple[int, int]:
    """Height and width of a frame on the page."""
    scale = min(1.0, _HEIGHT / height, _EDGE / width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def frame_sheets(frames: UInt8, edge: int = _EDGE) -> Sheets:
    """(T, H, W, 3) RGB frames as WebP, without loss where they are small; no sheet is larger than `edge`."""
    height, width = shown_size(*frames.shape[1:3])
    pictures = [Image.fromarray(frame).resize((width, height), Image.Resampling.BOX) for frame in frames]
    kind = {"lossless": True, "method": 2} if height <= _EXACT else {"quality": 80, "method": 2}
    return _sheets(pictures, edge, "RGB", "webp", kind)


def mask_sheets(ids: UInt8) -> Sheets:
    """(T, H, W) ids as see-through PNG: each id a colour, its edge opaque."""
    height, width = shown_size(*ids.shape[1:3])
    palette = [(0, 0, 0)] + [colour for colour in COLOURS for _ in range(2)]
    alpha = bytes([0] + [_FILL, _RIM] * len(COLOURS))
    pictures = []
    for frame in ids:
        small = np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.NEAREST))
        inside = np.zeros(small.shape, bool)
        inside[1:-1, 1:-1] = (small[1:-1, 1:-1] == small[:-2, 1:-1]) & (small[1:-1, 1:-1] == small[2:, 1:-1])
        inside[1:-1, 1:-1] &= (small[1:-1, 1:-1] == small[1:-1, :-2]) & (small[1:-1, 1:-1] == small[1:-1, 2:])
        colour = (small.astype(int) - 1) % len(COLOURS) * 2 + np.where(inside, 1, 2)
        pictures.append(Image.fromarray(np.where(small > 0, colour, 0).astype(np.uint8)))
    options = {"transparency": alpha, "optimize": True}
    return _sheets(pictures, _EDGE, "P", "png", options, [x for rgb in palette for x in rgb])


def _sheets(
    pictures: list[Image.Image],
    edge: int,
    mode: str,
    kind: str,
    options: dict[str, Any],
    palette: list[int] | None = None,
) -> Sheets:
    width, height = pictures[0].size
    columns = max(1, min(edge // width, math.ceil(math.sqrt(len(pictures) * height / width))))
    rows = max(1, min(edge // height, -(-len(pictures) // columns)))
    sources = []
    for start in range(0, len(pictures), columns * rows):
        part = pictures[start : start + columns * rows]
        sheet = Image.new(mode, (width * columns, height * -(-len(part) // columns)))
        if palette is not None:
            sheet.putpalette(palette)
        for i, picture in enumerate(part):
            sheet.paste(picture, (i % columns * width, i // columns * height))
        file = io.BytesIO()
        sheet.save(file, kind, **options)
        sources.append(f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode('ascii')}")
    return Sheets(tuple(sources), columns, rows, width, height)
