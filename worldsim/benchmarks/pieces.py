"""Tracks cut at impacts: pieces between them are parabolas, whose fits give velocities far below a pixel's noise."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from worldsim.benchmarks.track import Flags, Floats, Ints

_LONGEST = 60  # frames a piece; bounds the work on long videos
_PRICE = 25.0  # of a piece, in squared standard errors: seven parameters at log(frames) each (Schwarz 1978)


def cut(track: Floats, known: Flags, noise: float, ahead: tuple[Floats, Floats] | None = None) -> Ints:
    """Cut a track where one parabola no longer explains it.

    The cheapest cut by dynamic programming over all places (Bellman 1961): squared residuals of a second-order
    polynomial on each axis over noise^2, plus a price a piece.

    Args:
        track: (T, D); rows that are not known count for nothing.
        known: (T,) flags.
        noise: Standard error of a coordinate.
        ahead: (T,) a further coordinate and its standard error in each frame.

    Returns:
        (T,) number of the piece that each frame belongs to, from 0 on.
    """
    frames = len(track)
    span = min(_LONGEST, frames)
    cost = _residuals(track, np.where(known, 1 / noise, 0.0), known, span) + _PRICE
    if ahead is not None:
        place, error = ahead
        cost += _residuals(place[:, None], np.where(known, 1 / np.maximum(error, 1e-12), 0.0), known, span)
    best, back = np.zeros(frames + 1), np.zeros(frames + 1, np.int64)
    for j in range(frames):
        reach = min(span, j + 1)
        total = cost[j, :reach] + best[j + 1 - reach : j + 1][::-1]
        chosen = int(total.argmin())
        best[j + 1], back[j + 1] = total[chosen], j - chosen
    label = np.zeros(frames, np.int64)
    end, starts = frames, []
    while end > 0:
        end = int(back[end])
        starts.append(end)
    for number, start in enumerate(reversed(starts)):
        label[start:] = number
    return label


def _residuals(track: Floats, precision: Floats, known: Flags, span: int) -> Floats:
    """(T, span) squared residuals of parabolas through the frames up to each, the last one alone first.

    Args:
        track: (T, D).
        precision: (T,) one over the standard error of a coordinate, 0 where it is not known.
        known: (T,) flags.
        span: Most frames of a window.
    """
    # Window j holds the `span` frames that end at j, the last one first; rows before the start have no weight.
    place, inside, powers = _windows(len(track), span)
    values = np.where(known[:, None], track, 0.0)
    base = values[_nearest_known(known)]
    weight = np.square(precision)[place] * inside
    x = values[place] - base[:, None]
    pulled = x * weight[..., None]
    sums = np.cumsum(weight[..., None] * powers, 1)
    right = np.cumsum(pulled[..., None, :] * powers[:, :3, None], 1)
    fitted = _explained(np.moveaxis(sums, -1, 0), np.moveaxis(right, -2, 0))
    return np.asarray(np.maximum(np.cumsum((x * pulled).sum(-1), 1) - fitted, 0.0), np.float64)


@functools.lru_cache(maxsize=8)
def _windows(frames: int, span: int) -> tuple[Ints, Flags, Floats]:
    """(T, span) frames of the windows, not below 0, whether they are any, and (span, 5) powers of time over span."""
    place = np.arange(frames)[:, None] - np.arange(span)
    return place.clip(0), place >= 0, (np.arange(span) / span)[:, None] ** np.arange(5)


def _explained(sums: Floats, right: Floats) -> Floats:
    """(...) b A^-1 b of the normal equations of parabolas, summed over axes, by Cholesky's factors without roots.

    Args:
        sums: (5, ...) sums of powers 0 to 4, of which A is made; 1e-9 is added to its diagonal.
        right: (3, ..., D) b, a column an axis.
    """
    a = sums[0] + 1e-9
    below1, below2 = sums[1] / a, sums[2] / a
    b = sums[2] + 1e-9 - below1 * sums[1]
    below3 = (sums[3] - below1 * sums[2]) / b
    c = sums[4] + 1e-9 - below2 * sums[2] - below3 * below3 * b
    y0 = right[0]
    y1 = right[1] - below1[..., None] * y0
    y2 = right[2] - below2[..., None] * y0 - below3[..., None] * y1
    parts = (y0 * y0) / a[..., None] + (y1 * y1) / b[..., None] + (y2 * y2) / c[..., None]
    return np.asarray(parts.sum(-1), np.float64)


def _nearest_known(known: Flags) -> Ints:
    """(T,) the last known frame up to each, to keep numbers small; the frame itself before the first."""
    place = np.where(known, np.arange(len(known)), -1)
    return np.asarray(np.maximum(np.maximum.accumulate(place), 0), np.int64)


def smooth(
    position: Floats, known: Flags, label: NDArray[np.int64], dt: float, pull: Floats | None = None
) -> tuple[Floats, Floats, Floats]:
    """Positions and velocities of the pieces' fits.

    A piece is a straight run at constant velocity, a fall under `pull`, or a parabola of its own, whichever explains it
    at the least price for its parameters (Schwarz 1978): known accelerations leave velocities several times less noise.

    Args:
        position: (T, 3) metres.
        known: (T,) flags.
        label: (T,) pieces, see cut.
        dt: Seconds a frame.
        pull: (3,) m/s^2 of free fall, where it is known.

    Returns:
        (T, 3) metres, (T, 3) metres a second, and (T,) seconds that the piece lasts; NaN in pieces with fewer than six
        known frames, whose ends would be ruled by noise.
    """
    place, velocity = np.full_like(position, np.nan), np.full_like(position, np.nan)
    lasting = np.full(len(position), np.nan)
    falls = [np.zeros(3)] if pull is None else [np.zeros(3), np.asarray(pull)]
    for number in range(int(label.max(initial=-1)) + 1):
        at = np.flatnonzero((label == number) & known)
        if len(at) < 6:
            continue
        time = ((at - at.mean()) * dt)[:, None]
        seen, count = position[at], 3 * len(at)
        # Least squares in polynomials that are orthogonal over these frames: 1, t and t^2 less its part in both.
        square, middle, lean = time * time, float((time * time).mean()), float((time**3).sum() / (time * time).sum())
        bend = square - middle - lean * time
        level, slope = seen.mean(0), (time * seen).sum(0) / square.sum()
        curve = (bend * seen).sum(0) / (bend * bend).sum()
        straight = level + slope * time
        # What a fall has of 1 and t is part of the straight run.
        options = [(straight + 0.5 * fall * bend, slope + fall * (time - 0.5 * lean), 2) for fall in falls]
        options.append((straight + curve * bend, slope + curve * (2 * time - lean), 3))
        best = np.inf
        for fitted, speed, terms in options:
            rest = max(float(np.square(seen - fitted).sum()), 1e-18)
            price = count * np.log(rest / count) + 3 * terms * np.log(count)
            if price < best:
                best, place[at], velocity[at] = price, fitted, speed
        lasting[at] = time[-1, 0] - time[0, 0]
    return place, velocity, lasting
