"""Which objects exist, frame by frame, as far as a video tells: seen, lawfully out of sight, or lost."""

from __future__ import annotations

import numpy as np

from worldsim.benchmarks.track import Flags, Floats, Tracks

MIN_AREA = 12.0  # pixels that an object must have shown for its absence to mean anything


def existence(tracks: Tracks, objects: tuple[int, ...], behind: tuple[int, ...]) -> tuple[Flags, Flags]:
    """Judge presence from visibility.

    An unseen object is lawfully out of sight where it was last seen at, or is bound for, the picture's edge, or where
    the place it should be at lies under another object (static bodies that it stands in front of cover nothing).
    Places are interpolated over gaps and carried on at constant velocity after the last sight and before the first.

    Args:
        tracks: Of the video.
        objects: Places of the objects to judge.
        behind: Ids that cover nothing.

    Returns:
        (T, K) whether each exists, and (K,) whether it was ever seen at MIN_AREA, without which nothing is known.
    """
    frames = tracks.num_frames
    exists = np.ones((frames, len(objects)), bool)
    known = np.zeros(len(objects), bool)
    for column, k in enumerate(objects):
        area = tracks.area[:, k]
        known[column] = area.max(initial=0) >= MIN_AREA
        if not known[column]:
            continue
        seen = area >= max(1.0, 0.1 * float(np.median(area[area > 0])))
        place = _places(tracks.centroid[:, k], seen)
        radius = float(np.sqrt(np.median(area[seen]) / np.pi))
        for t in np.flatnonzero(~seen):
            exists[t, column] = _out_of_sight(tracks, k, int(t), place[t], radius, seen, behind)
    return exists, known


def _places(centroid: Floats, seen: Flags) -> Floats:
    time = np.arange(len(seen))
    at = time[seen]
    place = np.stack([np.interp(time, at, centroid[at, i]) for i in range(2)], -1)
    if len(at) > 1:
        for end, inner, beyond in (
            (at[-1], at[-min(3, len(at))], time > at[-1]),
            (at[0], at[min(2, len(at) - 1)], time < at[0]),
        ):
            velocity = (centroid[end] - centroid[inner]) / (end - inner)
            place[beyond] = centroid[end] + velocity * (time[beyond] - end)[:, None]
    return place


def _out_of_sight(
    tracks: Tracks, k: int, t: int, place: Floats, radius: float, seen: Flags, behind: tuple[int, ...]
) -> bool:
    height, width = tracks.ids.shape[1:]
    u, v = place
    if not (0.5 <= u <= width - 0.5 and 0.5 <= v <= height - 0.5):
        return True
    sights = np.flatnonzero(seen)
    before, after = sights[sights < t], sights[sights > t]
    # At the edge of the picture a body may slip out for a while, or come in.
    if (len(after) == 0 and tracks.border[before[-1], k]) or (len(before) == 0 and tracks.border[after[0], k]):
        return True
    reach = max(1, round(radius))
    x, y = int(u), int(v)
    window = tracks.ids[t, max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
    covered = ~np.isin(window, (0, k + 1, *behind))
    return bool(covered.mean() >= 0.6)
