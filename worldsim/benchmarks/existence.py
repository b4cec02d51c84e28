"""Which objects exist, frame by frame, as far as a video tells: seen, lawfully out of sight, or lost."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from worldsim.benchmarks.rays import first_hit, shadow_radius
from worldsim.benchmarks.track import Flags, Floats, Tracks
from worldsim.benchmarks.world import World

MIN_AREA = 12.0  # pixels that an object must have shown for its absence to mean anything
_FIRM = 0.5  # of the median area, from which on a mask's middle is taken for the object's
_SPLIT = 0.2  # of a mask apart from its largest part, above which the object counts as split


def existence(tracks: Tracks, objects: tuple[int, ...], world: World) -> tuple[Flags, Flags]:
    """Judge presence from visibility.

    An unseen object is lawfully out of sight where it was last seen at, or is bound for, the picture's edge, or where
    the place it should be at lies under another object. A static body covers where its surface is nearer than the
    object, whose distance its apparent size tells (Cauchy: the mean shadow of a convex body is a quarter of its
    surface). A sliver beside what covers it is in sight. Places are those of masks that show half of the object or
    more, interpolated over gaps and carried on at constant velocity after the last sight and before the first. An
    object whose mask falls apart with nothing in front of it is not one object: a split counts as absence.
    Of objects that merge one is lost.

    Args:
        tracks: Of the video.
        objects: Places of the objects to judge.
        world: That they live in.

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
        usual = float(np.median(area[area > 0]))
        seen = area >= max(1.0, 0.1 * usual)
        firm = area >= _FIRM * usual
        place = _places(tracks.centroid[:, k], firm if firm.sum() > 2 else seen)
        radius = float(np.sqrt(np.median(area[seen]) / np.pi))
        for t in np.flatnonzero(~seen):
            exists[t, column] = _out_of_sight(tracks, k, int(t), place[t], radius, seen, world)
        exists[:, column] &= ~_split(tracks, k, seen)
    return exists, known


def _split(tracks: Tracks, k: int, seen: Flags) -> Flags:
    """(T,) whether a mask that shares no edge with another object falls into large parts."""
    alone = seen & (tracks.neighbour[:, k, 1:].sum(-1) == 0) & (tracks.area[:, k] >= MIN_AREA)
    result = np.zeros(len(seen), bool)
    at = np.flatnonzero(alone)
    centroid, spread = tracks.centroid[at, k], 4 * np.sqrt(tracks.covariance[at, k][:, [0, 1], [0, 1]]) + 2
    low, high = np.floor(centroid - spread).clip(0), np.ceil(centroid + spread)
    box = tracks.box[at, k]
    plain = tracks.solid[at, k] & (box[:, :2] >= low).all(-1) & (box[:, 2:] <= high).all(-1)
    for t, (u0, v0), (u1, v1) in zip(at[~plain], low[~plain].astype(int), high[~plain].astype(int), strict=True):
        window = tracks.ids[t, v0:v1, u0:u1] == k + 1
        parts, count = ndimage.label(window, np.ones((3, 3), int))
        if count > 1:
            result[t] = 1 - np.bincount(parts.ravel())[1:].max() / tracks.area[t, k] > _SPLIT
    return result


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


def _out_of_sight(tracks: Tracks, k: int, t: int, place: Floats, radius: float, seen: Flags, world: World) -> bool:
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
    top, left = max(0, int(v) - reach), max(0, int(u) - reach)
    window = tracks.ids[t, top : int(v) + reach + 1, left : int(u) + reach + 1]
    covered = ~np.isin(window, (0, *world.behind))
    shape = world.bodies[k].shape
    if world.camera.kind == "perspective":
        distance = world.camera.focal * shadow_radius(shape) / radius - shape.extent
        for number in set(np.unique(window).tolist()) & set(world.behind):
            y, x = np.nonzero(window == number)
            pixels = np.stack([x + left, y + top], -1).astype(np.float64) + 0.5
            covered[y, x] = first_hit(world.bodies[number - 1], world.camera, pixels) < distance
    return bool(covered.mean() >= 0.6)
