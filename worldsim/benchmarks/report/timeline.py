"""What happens when: how broken each law is in each frame, the worst frames, and the places to mark in the picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldsim.benchmarks._scales import scales, thresholds
from worldsim.benchmarks.result import Figure, Violations, over_floor
from worldsim.benchmarks.track import outline

Floats = NDArray[np.float64]
UInt8 = NDArray[np.uint8]
# Laws whose figure counts events: in the frame of an event they are broken, whatever the clip's sum is.
COUNTED = ("pass_through", "permanence")
_NUM_WORST = 6


@dataclass(frozen=True)
class Mark:
    """A place in a frame's picture.

    Attributes:
        u: Column, pixels from the left edge of the video.
        v: Row, pixels from the top.
        law: That is broken there; empty for a contact.
        text: What to say of it.
    """

    u: float
    v: float
    law: str
    text: str


def is_broken(figure: Figure) -> bool:
    """Whether the clip breaks a law by more than the frozen threshold over the floor, or hides from it."""
    return figure.applies and math.isfinite(figure.score) and figure.excess > thresholds()[figure.law]


def severity(figure: Figure) -> Floats:
    """(T,) from 0, lawful, to 1, wholly broken: one less the law's score of that frame; NaN where not measurable."""
    if figure.law in COUNTED:
        return np.where(np.isfinite(figure.per_frame), (figure.per_frame > 0.5).astype(float), np.nan)
    excess = over_floor(figure.per_frame, figure.floor) / figure.reference
    return 1 - np.exp(-np.maximum(0, excess) / scales()[figure.law])


def is_flagged(figure: Figure) -> NDArray[np.bool_]:
    """(T, K) which entries show the violation of a law that the clip breaks."""
    if not is_broken(figure):
        return np.zeros(figure.entries.shape, bool)
    if figure.law in COUNTED:
        return np.asarray(np.nan_to_num(figure.entries) > 0.5, bool)
    excess = over_floor(np.nan_to_num(figure.entries), figure.floor) / figure.reference
    return np.asarray(excess > thresholds()[figure.law], bool)


def worst_frames(found: Violations) -> list[tuple[int, str]]:
    """Frames and what is worst in each, worst first; at most one in four frames, and none where no law is broken."""
    broken = [f for f in found.figures.values() if is_flagged(f).any()]
    if not broken:
        return []
    table = np.stack([np.where(is_flagged(f).any(-1), np.nan_to_num(severity(f)), 0.0) for f in broken], -1)
    total = table.sum(-1)
    spread = max(1, len(total) // 24)
    chosen: list[tuple[int, str]] = []
    for frame in np.argsort(-total, kind="stable"):
        if total[frame] <= 0 or len(chosen) == _NUM_WORST:
            break
        if all(abs(int(frame) - other) > spread for other, _ in chosen):
            chosen.append((int(frame), told(broken[int(table[frame].argmax())], int(frame))))
    return chosen


def told(figure: Figure, frame: int) -> str:
    """The worst entry of a frame in words."""
    return _words(figure, frame, int(np.argmax(np.nan_to_num(figure.entries[frame], nan=-np.inf))))


def _words(figure: Figure, frame: int, k: int) -> str:
    unit = "" if figure.unit == "1" else f" {figure.unit}"
    return f"{figure.law.replace('_', ' ')} {figure.entries[frame, k]:.3g}{unit}, {figure.subjects[k]}"


def marks(
    found: Violations, ids: UInt8, kept: NDArray[np.int64], names: Sequence[str], static: Sequence[int] = ()
) -> list[list[Mark]]:
    """For each shown frame what to mark: broken laws at their subjects, and, in a plane, where objects touch.

    Args:
        found: The score.
        ids: Of the frames that are shown.
        kept: Which frames those are.
        names: names[k - 1] is that of id k in the subjects of the figures.
        static: Ids whose contacts among each other are left out.
    """
    result: list[list[Mark]] = [[] for _ in kept]
    touching = _touches(ids)
    places = _centroids(ids)
    for figure in found.figures.values():
        for at, k in zip(*np.nonzero(is_flagged(figure)[kept]), strict=True):
            where = _place(touching[at], places[at], ids_of(figure.subjects[k], names))
            if where is not None:
                result[at].append(Mark(*where, figure.law, _words(figure, int(kept[at]), k)))
    if found.regime == "planar":
        for at, touches in enumerate(touching):
            for (a, b), (u, v) in touches.items():
                if a in static and b in static:
                    continue
                result[at].append(Mark(u, v, "", f"contact: {names[a - 1]} / {names[b - 1]}"))
    return result


def ids_of(subject: str, names: Sequence[str]) -> tuple[int, ...]:
    """Ids of a law's subject, "a" or "a / b"; none for the world as a whole."""
    parts = subject.split(" / ")  # no body's name has a stroke
    return tuple(names.index(part) + 1 for part in parts) if all(part in names for part in parts) else ()


def _touches(ids: UInt8) -> list[dict[tuple[int, int], tuple[float, float]]]:
    """For each frame the pairs of ids whose masks meet, and the middle of where they do."""
    edges = outline(ids)
    keep = (edges.own < edges.other) & (edges.own > 0)
    frame, own, other, point = edges.frame[keep], edges.own[keep], edges.other[keep], edges.point[keep]
    result: list[dict[tuple[int, int], tuple[float, float]]] = [{} for _ in range(len(ids))]
    if not len(frame):
        return result
    keys, inverse = np.unique(np.stack([frame, own, other], -1), axis=0, return_inverse=True)
    inverse = inverse.reshape(-1)
    count = np.bincount(inverse)
    middle = np.stack([np.bincount(inverse, point[:, i]) / count for i in range(2)], -1)
    for (t, a, b), (u, v) in zip(keys, middle, strict=True):
        result[int(t)][int(a), int(b)] = (float(u), float(v))
    return result


def _centroids(ids: UInt8) -> Floats:
    """(T, N, 2) u, v of each id's mask, where it is not seen that of the frame before, else after."""
    size = int(ids.max(initial=0))
    result = np.full((len(ids), size, 2), np.nan)
    for t, frame in enumerate(ids):
        y, x = np.nonzero(frame)
        k = frame[y, x].astype(int) - 1
        area = np.bincount(k, minlength=size)
        with np.errstate(invalid="ignore"):
            for i, pixel in enumerate((x, y)):
                result[t, :, i] = np.bincount(k, pixel + 0.5, minlength=size) / area
    for order in (range(1, len(ids)), range(len(ids) - 2, -1, -1)):
        step = -1 if order.step > 0 else 1
        for t in order:
            result[t] = np.where(np.isfinite(result[t]), result[t], result[t + step])
    return result


def _place(
    touches: dict[tuple[int, int], tuple[float, float]], places: Floats, subject: tuple[int, ...]
) -> tuple[float, float] | None:
    """Where to mark a subject: between two bodies that meet in the picture, else in the middle of what is seen."""
    if len(subject) == 2 and (key := (min(subject), max(subject))) in touches:
        return touches[key]
    known = [places[k - 1] for k in subject if k <= len(places) and np.isfinite(places[k - 1]).all()]
    if not known:
        return None
    u, v = np.mean(known, axis=0)
    return float(u), float(v)
