"""Physics-IQ's motion masks, without OpenCV: grey, 5 x 5 Gaussian, running average, threshold, open and close.

Each step is that of OpenCV's 8-bit routines which the original calls (google-deepmind/physics-IQ-benchmark,
binary_mask_generator.py): grey by fixed-point BT.601 weights, the binomial kernel 1 4 6 4 1 with mirrored edges, an
average in double precision that takes the frame in before it is compared, and morphology that ignores what lies
outside.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from scipy import ndimage

from worldsim.benchmarks.track import Flags, Floats, UInt8

ALPHA = 0.3
THRESHOLD = 10
_KERNEL = np.array([1, 4, 6, 4, 1])


def grey_blurred(frame: UInt8) -> UInt8:
    """(H, W) grey of an (H, W, 3) RGB frame behind the 5 x 5 Gaussian, rounded to whole numbers twice."""
    weighted = frame.astype(np.int32) @ np.array([9798, 19235, 3735], np.int32)
    grey = (weighted + (1 << 14)) >> 15
    across = ndimage.correlate1d(grey, _KERNEL, axis=1, mode="mirror")
    total = ndimage.correlate1d(across, _KERNEL, axis=0, mode="mirror")
    return np.asarray((total + 128) >> 8, np.uint8)


def motion_masks(frames: Iterable[UInt8]) -> Iterator[Flags]:
    """(H, W) flags for each (H, W, 3) RGB frame, in memory of one frame; the first frame's mask is empty.

    The average takes in .3 of the frame before it is compared, so that a pixel is in motion where it differs by more
    than 10 / .7 grey levels from the average so far.
    """
    average: Floats | None = None
    for frame in frames:
        grey = grey_blurred(frame)
        if average is None:
            average = grey.astype(np.float64)
            yield np.zeros(grey.shape, bool)
            continue
        average = (1 - ALPHA) * average + ALPHA * grey
        gap = np.abs(grey.astype(np.int16) - np.rint(average).astype(np.int16))
        yield _close(_open(gap > THRESHOLD))


def _open(mask: Flags) -> Flags:
    return _widen(_shrink(mask))


def _close(mask: Flags) -> Flags:
    return _shrink(_widen(mask))


def _shrink(mask: Flags) -> Flags:
    return np.asarray(ndimage.minimum_filter(mask.astype(np.uint8), 5, mode="constant", cval=1), bool)


def _widen(mask: Flags) -> Flags:
    return np.asarray(ndimage.maximum_filter(mask.astype(np.uint8), 5, mode="constant", cval=0), bool)


def shrink_picture(picture: UInt8, height: int, width: int) -> UInt8:
    """(H, W) or (H, W, C) to (height, width): bilinear between pixel centres, without smoothing, as cv2.resize.

    At a quarter of the size that is the mean of the four middle pixels of each 4 x 4 block.
    """
    values = picture.astype(np.float64)
    for axis, size in ((0, height), (1, width)):
        old = values.shape[axis]
        at = np.clip((np.arange(size) + 0.5) * old / size - 0.5, 0, old - 1)
        low = np.minimum(at.astype(np.int64), max(old - 2, 0))
        share = (at - low).reshape([-1 if i == axis else 1 for i in range(values.ndim)])
        high = np.minimum(low + 1, old - 1)
        values = values.take(low, axis) * (1 - share) + values.take(high, axis) * share
    return np.asarray(np.floor(values + 0.5), np.uint8)


def shrink_mask(mask: Flags, height: int, width: int) -> Flags:
    """Flags shrunk as pictures of 0 and 255, and set again where they come out above 127."""
    return np.asarray(shrink_picture(mask.astype(np.uint8) * 255, height, width) > 127, bool)
