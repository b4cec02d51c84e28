"""Physics-IQ (arXiv 2501.09038) and Physics-IQ Verified (arXiv 2606.18943): does motion happen where it should.

A clip is compared with take 1 of the real scene by motion masks, at a quarter of the size, over the first 5 s:

- spatiotemporal IoU: mean over frames of |A and B| / |A or B|, 1 where both are empty;
- spatial IoU: the same on the masks' maximum over time;
- weighted spatial IoU: sum min(A', B') / sum max(A', B') of their means over time;
- MSE of the frames, values from 0 to 1.

Physical variance is the same four between take 1 and take 2 of the scene. With means over the data set,
score = 100 clip01((ST/ST_pv + S/S_pv + WS/WS_pv) / 3 - (MSE - MSE_pv)). Verified divides clip by clip: ST/ST_pv,
S/S_pv, WS/WS_pv and MSE_pv/MSE, each cut to [0, 1], their mean, then the mean over clips.

Where the originals are biased: an empty frame of both counts as a full hit, so that stillness is paid wherever the
scene rests; motion is judged, not objects, so that shape, colour and number of things hardly count; the plain score's
means before division hide clips that fail. So beside each score stands that of the still copy of take 1's first frame.
Here masks are not sent through a lossy codec between the steps, as there.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from worldsim.benchmarks.protocols.motion_masks import motion_masks, shrink_mask, shrink_picture
from worldsim.benchmarks.protocols.outcome import Measured, ProtocolResult, Row, mean_of
from worldsim.benchmarks.track import Flags, UInt8

METRICS = ("spatiotemporal", "spatial", "weighted", "mse")
SHRINK = 4
_EPSILON = 1e-8  # of the published Verified ratios


@dataclass(frozen=True)
class Reel:
    """A clip as the metrics take it.

    Attributes:
        frames: (T, h, w, 3) shrunken RGB.
        masks: (T, h, w) shrunken motion masks.
    """

    frames: UInt8
    masks: Flags


def reel(frames: Iterable[UInt8], size: tuple[int, int] | None = None, shrink: int = SHRINK) -> Reel:
    """Motion masks at full size, then all at the size of the comparison; in memory of one full frame.

    Args:
        frames: (H, W, 3) RGB, one after another.
        size: Rows and columns of the comparison; those of the frames over `shrink` where left out.
        shrink: Factor; 4 is the published one.
    """
    seen, watched = itertools.tee(frames)
    small, masks = [], []
    for frame, mask in zip(seen, motion_masks(watched), strict=True):
        if size is None:
            size = comparison_size(frame, shrink)
        small.append(shrink_picture(frame, *size))
        masks.append(shrink_mask(mask, *size))
    if not small:
        raise ValueError("video: must have at least one frame, got 0")
    return Reel(np.stack(small), np.stack(masks))


def comparison_size(frame: UInt8, shrink: int) -> tuple[int, int]:
    """Rows and columns over `shrink`, at least 8 of each."""
    height, width = frame.shape[0] // shrink, frame.shape[1] // shrink
    if min(height, width) < 8:
        raise ValueError(
            f"shrink: must leave 8 x 8 pixels or more, got {height} x {width} of {frame.shape[0]} x {frame.shape[1]}; "
            "shrink=1 compares small videos at their own size"
        )
    return height, width


def compare(a: Reel, b: Reel) -> dict[str, float]:
    """The four metrics between two clips of one size and length."""
    if a.frames.shape != b.frames.shape:
        raise ValueError(f"video: must have the take's shape {b.frames.shape}, got {a.frames.shape}")
    both, either = (a.masks & b.masks).sum((1, 2)), (a.masks | b.masks).sum((1, 2))
    over_time = np.where(either > 0, both / np.maximum(either, 1), 1.0)
    ever_a, ever_b = a.masks.any(0), b.masks.any(0)
    mean_a, mean_b = a.masks.mean(0), b.masks.mean(0)
    gap = (a.frames.astype(np.float64) - b.frames.astype(np.float64)) / 255
    return {
        "spatiotemporal": float(over_time.mean()),
        "spatial": _ratio(float((ever_a & ever_b).sum()), float((ever_a | ever_b).sum())),
        "weighted": _ratio(float(np.minimum(mean_a, mean_b).sum()), float(np.maximum(mean_a, mean_b).sum())),
        "mse": float(np.square(gap).mean()),
    }


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 1.0


def physics_iq_score(found: dict[str, float], variance: dict[str, float]) -> float:
    """0 to 100 from the four metrics' means over the data set and those of its physical variance.

    NaN where a variance that divides is 0: no take repeats any motion of the other.
    """
    ratios = [_divide(found[name], variance[name]) for name in METRICS[:3]]
    raw = float(np.mean(ratios)) - (found["mse"] - variance["mse"])
    return 100 * float(np.clip(raw, 0, 1))


def _divide(value: float, by: float) -> float:
    return value / by if by > 0 else math.nan


def verified_score(found: dict[str, float], variance: dict[str, float]) -> float:
    """0 to 100 from the four metrics of one clip and their physical variance."""
    parts = [found[name] / (variance[name] + _EPSILON) for name in METRICS[:3]]
    parts.append((variance["mse"] + _EPSILON) / found["mse"] if found["mse"] > 0 else math.inf)
    return 100 * float(np.clip(parts, 0, 1).mean())


def row_of(name: str, video: Reel, first: Reel, second: Reel) -> Row:
    """All metrics of one clip against take 1, of take 2 against take 1, and of a still copy of take 1's first frame."""
    still = Reel(np.repeat(first.frames[:1], len(first.frames), 0), np.zeros_like(first.masks))
    row: Row = {"clip": name, "frames": len(first.frames)}
    pairs = (("", video, first), ("variance ", first, second), ("still ", still, first))
    for prefix, a, b in pairs:
        row |= {prefix + metric: value for metric, value in compare(a, b).items()}
    return row


def result_of(rows: Sequence[Row], verified: bool) -> ProtocolResult:
    """The score of a set of clips, of the still copies, and the metrics' means."""
    count = len(rows)
    figures = {}
    for label, prefix in (("score", ""), ("still copy's score", "still ")):
        if verified:
            scores = [verified_score(metrics_of(row, prefix), metrics_of(row, "variance ")) for row in rows]
            figures[label] = mean_of(scores, "of 100")
        else:
            value = physics_iq_score(_means(rows, prefix), _means(rows, "variance "))
            figures[label] = Measured(value, "of 100", count)
    for name in METRICS:
        for prefix in ("", "variance "):
            figures[prefix + name] = mean_of([row[prefix + name] for row in rows], "")
    return ProtocolResult("physics_iq_verified" if verified else "physics_iq", figures, tuple(rows))


def metrics_of(row: Row, prefix: str) -> dict[str, float]:
    """The four metrics of a row: of the clip (""), of the physical "variance " or of the "still " copy."""
    return {name: row[prefix + name] for name in METRICS}


def _means(rows: Sequence[Row], prefix: str) -> dict[str, float]:
    return {name: float(np.mean([row[prefix + name] for row in rows])) for name in METRICS}
