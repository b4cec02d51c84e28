"""Distances along the line of sight over a whole video: which are plausible, and one continuous curve through them."""

from __future__ import annotations

import itertools

import numpy as np

from worldsim.benchmarks.track import Flags, Floats, Ints


def plausible(length: Floats, measured: Flags) -> Flags:
    """(T,) whether a distance is within a quarter of the median of the twelve measured frames around it."""
    known = np.flatnonzero(measured)
    good = np.zeros(len(length), bool)
    if len(known):
        # Sorted with what lies beyond the ends last, so that the middle is found by counting.
        padded = np.pad(length[known], 6, constant_values=np.inf)
        near = np.sort(np.lib.stride_tricks.sliding_window_view(padded, 13), -1)
        count = np.isfinite(near).sum(-1)
        row = np.arange(len(known))
        median = (near[row, (count - 1) // 2] + near[row, count // 2]) / 2
        good[known] = np.abs(length[known] / median - 1) < 0.25
    return good


def steady_depth(centre: Floats, spread: Floats, measured: Flags, pieces: Ints, flat: Floats) -> tuple[Floats, Floats]:
    """Lengths of the lines of sight from one continuous curve, a low polynomial between impacts; directions stay.

    An apparent size off by .05 pixels at 8 pixels moves a ball by .6 % of its distance, many times
    its error across the line of sight; between impacts the distance of a body is smooth to that accuracy. Pixels err
    alike in frames in which a body rests, so that only as many frames count as it has gone half pixels.
    """
    length = np.linalg.norm(centre, axis=-1)
    ahead = centre / np.maximum(length, 1e-9)[:, None]
    along = np.sqrt(np.maximum((ahead[:, None] @ spread @ ahead[:, :, None])[:, 0, 0], 1e-18))
    known = np.flatnonzero(measured)
    if len(known) < 4:
        return centre, spread
    columns = _continuous(len(length), pieces, known)
    weight = 1 / along[known]
    inverse = np.linalg.pinv(columns[known] * weight[:, None])
    steady = columns @ (inverse @ (length[known] * weight))
    way = np.linalg.norm(np.diff(flat, axis=0, prepend=flat[:1]), axis=-1)
    for number in np.unique(pieces[known]):
        inside = known[pieces[known] == number]
        alike = len(inside) / min(len(inside), 1 + way[inside].sum() / 0.5)
        columns[inside] *= np.sqrt(alike)
    better = np.minimum(np.linalg.norm(columns @ inverse, axis=-1), along)
    # Both factors shrink, so that the errors' covariance stays one: a share of them is common to both directions.
    shrink = np.eye(3) + (better / along - 1)[:, None, None] * (ahead[:, :, None] * ahead[:, None, :])
    return ahead * steady[:, None], shrink @ spread @ shrink


def _continuous(frames: int, pieces: Ints, known: Ints) -> Floats:
    """(frames, C) basis of continuous curves: straight between the pieces' joints, bent where a piece is long."""
    time = np.arange(frames, dtype=np.float64)
    first = [int(known[pieces[known] == number][0]) for number in np.unique(pieces[known])]
    joints = np.array([float(known[0]), *(t - 0.5 for t in first[1:]), float(known[-1]) + 0.5])
    hats = [np.interp(time, joints, row) for row in np.eye(len(joints))]
    ends = itertools.pairwise(joints)
    bends = [np.maximum((time - a) * (b - time), 0.0) / (b - a) ** 2 for a, b in ends if b - a > 6]
    return np.stack([*hats, *bends], -1)
