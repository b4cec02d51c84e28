"""Where a blurred edge lies: pixels near a mask's rim go to what they are most like, inside or behind.

Compression stores colour at half the resolution of brightness (4:2:0), so that colours smear over the outline by two
pixels and any threshold on colour makes masks too large. A pixel of the rim is a mixture a F + (1 - a) B of the
object's own colour F and what lies behind, B (Porter and Duff 1984); it is the object's where a > 1/2: where it is
nearer to F than to B. F is the colour of the nearest pixel well inside, darkened at will as far as the inside itself
tells that the object is shaded: a small ball is much darker at its rim than a few pixels from it. It may fall as far as
a ball's rim does only where the picture is exact: in others a mixture with what lies behind looks like a dark rim.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from worldsim.benchmarks.track import Flags, Floats, UInt8

_DEPTH = 2  # pixels from the rim at which a colour counts as the object's own
_REACH = 2.5  # pixels beyond the first guess's inside plus _DEPTH that may belong to the object
_DARKEST = 0.35  # of its brightness: what ambient light leaves of an object at its rim
_FULL = 240.0  # luma from which on a colour is too bright to tell of shading
_CROSS = ndimage.generate_binary_structure(2, 1)
_LUMA = np.array([0.2126, 0.7152, 0.0722])
# Luma keeps its resolution and most of its accuracy in compression.
_WEIGHT = np.array([2.0, 1.0, 1.0])


def settle_edges(frame: UInt8, ids: UInt8, picture: UInt8, behind: UInt8, exact: bool = False) -> UInt8:
    """Move the edges of masks to where the picture has them.

    Args:
        frame: (H, W, 3) RGB.
        ids: (H, W) a first guess, whose objects are found but whose edges are off by up to two pixels.
        picture: (H, W, 3) what is seen where no object is.
        behind: (H, W) its ids.
        exact: Whether each pixel shows one thing alone, neither blurred nor compressed.

    Returns:
        (H, W) ids.
    """
    objects = np.where(ids != behind, ids, 0)
    result = ids.copy()
    nearest = np.full(ids.shape, np.inf)
    kept = np.zeros(ids.shape, bool)
    margin = _DEPTH + 3
    for label, box in enumerate(ndimage.find_objects(objects), 1):
        if box is None:
            continue
        window = tuple(slice(max(0, s.start - margin), s.stop + margin) for s in box)
        mask = objects[window] == label
        depth, inside = _inside(mask)
        distance, (y, x) = ndimage.distance_transform_edt(~inside, return_indices=True)
        rim = (distance <= depth + _REACH) & ~inside
        near, seen, back = frame[window], nearest[window], behind[window]
        low, high = np.quantile(near[inside] @ _LUMA, (0.05, 0.95))
        radius = float(np.sqrt(mask.sum() / np.pi))
        darkest = _at_rim(low, high, depth, radius) if exact else (low / max(high, 1.0)) ** 2
        own = _apart(near[rim], near[y[rim], x[rim]], darkest)
        other = _apart(near[rim], picture[window][rim])
        best = np.minimum(seen[rim], other)
        was = result[window]
        label_of = np.where(np.isfinite(seen[rim]), was[rim], back[rim])
        was[rim] = np.where(kept[window][rim], was[rim], np.where(own < best, label, label_of))
        seen[rim] = np.minimum(own, best)
        was[inside] = label
        kept[window] |= inside
    return result


def _inside(mask: Flags) -> tuple[int, Flags]:
    """The pixels of a mask that lie deepest, down to _DEPTH, and how deep that is."""
    for depth in range(_DEPTH, 0, -1):
        inside = ndimage.binary_erosion(mask, _CROSS, depth)
        if inside.any():
            return depth, inside
    return 0, mask


def _at_rim(low: float, high: float, depth: int, radius: float) -> float:
    """The share of its brightness to which an object falls at its rim, if it falls as on a ball lit from the front.

    Args:
        low: Luma at the rim of its inside.
        high: In its middle.
        depth: Pixels between both rims.
        radius: Of a disc of the object's area, pixels.
    """
    if low >= _FULL:
        return _DARKEST
    steep = 1 - math.sqrt(1 - max(1 - (depth + 0.5) / radius, 0.0) ** 2)  # of a ball's fall, what its inside shows
    return max(_DARKEST, 1 - (1 - low / max(high, 1.0)) / max(steep, 1e-3))


def _apart(first: UInt8, second: UInt8, darkest: float = 1.0) -> Floats:
    """Distance of colours, squared, with more weight on luma; the second may be darkened down to this share."""
    seen, own = luma_chroma(first.astype(np.float64)) * _WEIGHT, luma_chroma(second.astype(np.float64)) * _WEIGHT
    share = (seen * own).sum(-1) / np.maximum((own * own).sum(-1), 1.0)
    gap = seen - own * share.clip(darkest, 1.0)[..., None]
    return np.asarray((gap * gap).sum(-1), np.float64)


def luma_chroma(colours: NDArray[Any]) -> Floats:
    """(..., 3) luma and both colour differences of RGB, by BT.709, in the units of RGB."""
    luma = colours @ _LUMA
    return np.stack([luma, (colours[..., 2] - luma) / 1.8556, (colours[..., 0] - luma) / 1.5748], -1)
