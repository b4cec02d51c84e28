"""Least squares of balls' centres over all balls and frames of a video at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worldsim.benchmarks.track import Flags, Floats, Ints
from worldsim.scene import Camera

EDGE_NOISE = 0.3  # pixels: the middle of an edge is off by up to half a pixel either way, sqrt(1/12)
_STEPS = 12
_ALL_ALONE = 4  # first steps, in which all edges count as the ball's own
_STILL = 1e-11  # of the radius: a step that changes nothing


@dataclass(frozen=True)
class Sight:
    """What places a ball: lines of sight that touch it, in a planar world points of its rim, or its surface.

    Attributes:
        body: Its id.
        radius: Metres.
        points: (E, D) unit directions of the edges, or points in the plane.
        frame: (E,) of each.
        surface: (S, 3) points of its surface from the camera's place, where depth is given.
        at: (S,) frame of each.
        trust: Weight of an edge against a point of the surface.
        middle: (T, 2) mean pixel.
        guess: (T, 3) directions of the mean pixels.
        distance: (T,) metres from the camera by the apparent size.
        centre: (T, D) metres where the search begins.
        free: (T,) whether the outline is nothing but the ball's own.
        level: (3,) unit normal, metres from the camera's place, and error, metres, of the plane that the centres lie
            on, where they are held to one.
    """

    body: int
    radius: float
    points: Floats
    frame: Ints
    surface: Floats
    at: Ints
    trust: float
    middle: Floats
    guess: Floats
    distance: Floats
    centre: Floats
    free: Flags
    level: tuple[Floats, float, float] | None = None


@dataclass(frozen=True)
class BallFit:
    """A ball's centre by least squares.

    Attributes:
        sight: What it was found from.
        centre: (T, D) metres.
        information: (T, D, D) of the last step.
        count: (T,) edges and points that were used.
        normal: (E, D) from the centre to each edge.
        residual: (E,) metres.
    """

    sight: Sight
    centre: Floats
    information: Floats
    count: Floats
    normal: Floats
    residual: Floats


def fit_balls(camera: Camera, planar: bool, frames: int, sights: Sequence[Sight]) -> list[BallFit]:
    """Gauss-Newton on all balls and frames at once: a row is one ball in one frame, and knows nothing of the others.

    Rows whose step has shrunk to nothing after four steps, from which on it is known what is in front, are left as
    they are.
    """
    first = frames * np.arange(len(sights))
    points = np.concatenate([sight.points.T for sight in sights], 1)  # axes in front, which is several times as fast
    row = np.concatenate([sight.frame + start for sight, start in zip(sights, first, strict=True)])
    surface = np.concatenate([sight.surface.T for sight in sights], 1)
    at = np.concatenate([sight.at + start for sight, start in zip(sights, first, strict=True)])
    trust = np.concatenate([*(np.full(len(sight.frame), sight.trust) for sight in sights), np.ones(len(at))])
    radius = np.repeat([sight.radius for sight in sights], frames)
    guess = np.concatenate([sight.guess for sight in sights])
    distance = np.concatenate([sight.distance for sight in sights])
    centre = np.concatenate([sight.centre for sight in sights])
    rows, size = len(centre), centre.shape[-1]
    held = [(number, sight.level) for number, sight in enumerate(sights) if sight.level is not None]
    # A short arc leaves the distance open: the apparent size says it within a half.
    slack = (EDGE_NOISE / camera.focal / 0.5) ** 2 if camera.kind == "perspective" else 1e-9

    def look(points: Floats, row: Ints, surface: Floats, at: Ints, centre: Floats, all_alone: bool) -> _Look:
        normal, length = _outward(points, centre.T[:, row], planar)
        every = row
        if len(at):
            way = surface - centre.T[:, at]
            reach = np.sqrt((way * way).sum(0))
            normal = np.concatenate([normal, way / np.maximum(reach, 1e-12)], 1)
            length, every = np.concatenate([length, reach]), np.concatenate([row, at])
        residual = length - radius[every]
        if all_alone:
            return _Look(every, normal, residual, np.ones(len(every), bool))
        # Well inside the outline a static body must have come in front, as where the ball sinks into a floor.
        return _Look(every, normal, residual, residual > -1.5 / pixels_a_metre(camera, centre, planar)[every])

    def normal_equations(seen: _Look, trust: Floats, centre: Floats) -> tuple[Floats, Floats]:
        weight = trust * seen.alone
        information, slope = np.empty((rows, size, size)), np.empty((rows, size))
        for i in range(size):
            along = seen.normal[i] * weight
            slope[:, i] = np.bincount(seen.row, along * seen.residual, minlength=rows)
            for j in range(i + 1):
                entry = np.bincount(seen.row, along * seen.normal[j], minlength=rows)
                information[:, i, j] = information[:, j, i] = entry
        if not planar:
            information += slack * guess[:, :, None] * guess[:, None, :]
            slope += slack * guess * (distance - (centre * guess).sum(-1))[:, None]
        for number, (upright, height, error) in held:
            own = slice(first[number], first[number] + frames)
            weight = (EDGE_NOISE * distance[own] / camera.focal / error) ** 2
            information[own] += weight[:, None, None] * np.outer(upright, upright)
            slope[own] += weight[:, None] * upright * (height - centre[own] @ upright)[:, None]
        return information, slope

    moving, edge, point, share = np.ones(rows, bool), row, at, trust
    near, skin, before = points, surface, centre
    for step in range(_STEPS):
        seen = look(near, edge, skin, point, centre, step < _ALL_ALONE)
        information, slope = normal_equations(seen, share, centre)
        before = np.where(moving[:, None], centre, before)
        way = _solve(information, slope, radius)
        centre = np.where(moving[:, None], centre + way, centre)
        still = moving & (np.linalg.norm(way, axis=-1) < _STILL * radius)
        if step >= _ALL_ALONE and still.any():
            moving &= ~still
            if not moving.any():
                break
            kept, deep_kept = moving[edge], moving[point]
            near, edge, skin, point = near[:, kept], edge[kept], skin[:, deep_kept], point[deep_kept]
            share = share[np.concatenate([kept, deep_kept])]
    # What the last step of each row was made from.
    seen = look(points, row, surface, at, before, False)
    information, _ = normal_equations(seen, trust, before)
    count = np.asarray(np.bincount(seen.row, seen.alone, minlength=rows), np.float64)
    fits = []
    ends = np.cumsum([0, *(len(sight.frame) for sight in sights)])
    for number, sight in enumerate(sights):
        own, mine = slice(first[number], first[number] + frames), slice(ends[number], ends[number + 1])
        fits.append(
            BallFit(sight, centre[own], information[own], count[own], seen.normal[:, mine].T, seen.residual[mine])
        )
    return fits


@dataclass(frozen=True)
class _Look:
    """Edges and points of surface against their rows' centres: (E,) row, (D, E) normal, (E,) metres, (E,) alone."""

    row: Ints
    normal: Floats
    residual: Floats
    alone: Flags


def _outward(points: Floats, centre: Floats, planar: bool) -> tuple[Floats, Floats]:
    """(D, E) unit vectors from centres to the nearest points of lines of sight, and (E,) lengths of the ways."""
    way = points - centre if planar else points * (points * centre).sum(0) - centre
    length = np.sqrt((way * way).sum(0))
    return way / np.maximum(length, 1e-12), length


def pixels_a_metre(camera: Camera, centre: Floats, planar: bool) -> Floats:
    """(R,) pixels that a metre takes at (R, D) centres, as the trajectory's or in space from the camera's place."""
    if camera.kind == "orthographic":
        return np.full(len(centre), camera.focal)
    if planar:
        centre = np.stack([centre[:, 0], np.zeros(len(centre)), centre[:, 1]], -1) - np.array(camera.position)
    depth = centre @ camera.rotation[2]
    return np.asarray(camera.focal / np.maximum(depth, 1e-3), np.float64)


def _solve(information: Floats, slope: Floats, radius: Floats) -> Floats:
    """Gauss-Newton steps, hardly damped and never longer than four radii, so that poor guesses do not run away."""
    size = information.shape[-1]
    damped = information + (1e-9 + 1e-7 * np.trace(information, axis1=-2, axis2=-1))[:, None, None] * np.eye(size)
    step = np.linalg.solve(damped, slope[..., None])[..., 0]
    length = np.linalg.norm(step, axis=-1, keepdims=True)
    return np.asarray(step * np.minimum(1.0, 4 * radius[:, None] / np.maximum(length, 1e-12)), np.float64)
