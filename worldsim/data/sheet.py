"""Contact sheets: labelled rows of pictures in one PNG, for people to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.scene.files import PathLike, atomic_path

UInt8 = NDArray[np.uint8]

_GAP, _BACKGROUND, _INK = 4, (228, 228, 228), (30, 30, 30)


@dataclass(frozen=True)
class Tile:
    """One entry of a sheet.

    Attributes:
        label: Written above the pictures.
        pictures: uint8 RGB of shape (H, W, 3), side by side.
    """

    label: str
    pictures: Sequence[UInt8]


def spread(video: UInt8, count: int) -> list[UInt8]:
    """Frames at even distances, first and last included."""
    places = np.unique(np.linspace(0, len(video) - 1, count).round().astype(int))
    return [video[i] for i in places]


def colour_ids(ids: NDArray[np.uint8]) -> UInt8:
    """(..., H, W) ids as RGB: black background, a hue a body, neighbours in number far apart in hue."""
    hue = (np.arange(256) * 0.618034) % 1.0
    table = np.stack([0.55 + 0.4 * np.cos(2 * np.pi * (hue - shift)) for shift in (0, 1 / 3, 2 / 3)], axis=-1)
    colours = (table * 255).astype(np.uint8)
    colours[0] = 0
    return colours[ids]


def colour_depth(depth: NDArray[np.float32], far: float) -> UInt8:
    """(..., H, W) metres as RGB: bright near, dark far, black where nothing is; scaled to what is there."""
    seen = depth[depth < far]
    if not seen.size:
        return np.zeros((*depth.shape, 3), np.uint8)
    low, high = np.percentile(seen, (1, 95))
    grey = 1 - 0.85 * np.clip((depth - low) / max(float(high - low), 1e-6), 0, 1)
    grey = np.where(depth < far, grey, 0)
    return np.repeat((grey * 255).astype(np.uint8)[..., None], 3, axis=-1)


def _fitted(text: str, width: float, font: Any) -> str:
    """The text, cut with an ellipsis where it is wider than so many pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text.rstrip() + "..."


def draw_sheet(path: PathLike, tiles: Sequence[Tile], columns: int = 1, height: int = 128, title: str = "") -> None:
    """Draw a sheet.

    Args:
        path: Of the PNG.
        tiles: Laid out row by row.
        columns: Tiles a row.
        height: Of each picture, pixels; pictures are scaled to it without smoothing when enlarged.
        title: Written at the top.
    """
    from PIL import Image, ImageDraw, ImageFont

    if not tiles:
        raise ValueError("tiles: must be at least one, got none")
    font = ImageFont.load_default(size=14)
    line = 20
    scaled = []
    for tile in tiles:
        row = []
        for picture in tile.pictures:
            size = (max(1, round(picture.shape[1] * height / picture.shape[0])), height)
            method = Image.Resampling.NEAREST if height >= picture.shape[0] else Image.Resampling.BOX
            row.append(Image.fromarray(picture).resize(size, method))
        scaled.append(row)
    widths = [sum(image.width + _GAP for image in row) for row in scaled]
    cell = max(widths) + _GAP
    top = line + _GAP if title else 0
    rows = -(-len(tiles) // columns)
    cell_height = line + height + 2 * _GAP
    sheet = Image.new("RGB", (cell * min(columns, len(tiles)) + _GAP, top + rows * cell_height), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, _GAP), title, fill=_INK, font=font)
    for i, (tile, row) in enumerate(zip(tiles, scaled, strict=True)):
        x, y = _GAP + (i % columns) * cell, top + (i // columns) * cell_height
        draw.text((x, y + 1), _fitted(tile.label, cell - 2 * _GAP, font), fill=_INK, font=font)
        for image in row:
            sheet.paste(image, (x, y + line))
            x += image.width + _GAP
    with atomic_path(path) as temporary:
        sheet.save(temporary, format="PNG")
