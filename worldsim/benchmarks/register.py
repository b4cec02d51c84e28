"""Amodal registration of balls: the whole body behind what is seen of it, from the outline or from depth.

Visible masks are disjoint, so that overlap shows only in whole shapes. A ball's outline is where lines of sight touch
it: each edge between its mask and what lies behind gives the residual |distance of the ball's centre from the line of
sight| - radius, and Gauss-Newton over all edges of a frame finds the centre, whether or not a part is hidden. In a
planar world the lines of sight meet the plane in points and the ball is a disc. Where depth is given, every pixel is a
point of the surface, and the residual is its distance from the centre less the radius.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from worldsim.benchmarks.fit_balls import EDGE_NOISE, BallFit, Sight, fit_balls, pixels_a_metre
from worldsim.benchmarks.pieces import cut
from worldsim.benchmarks.rays import first_hit, lift, on_plane, rays
from worldsim.benchmarks.steady import plausible, steady_depth
from worldsim.benchmarks.support import SINK, Face, carried, faces_of, laid, likely
from worldsim.benchmarks.track import Flags, Floats, Ints, Outline, Tracks
from worldsim.scene import Body, Camera

_TOGETHER = 1 << 18  # edges up to which all balls are fitted at once, so that memory stays bounded
MIN_EDGES = 8
_HELD_EDGES = 5  # of a ball whose distance is known
_FRONT = 0.5  # of the radius by which what covers such a ball is nearer: a rail's edge is, the table never
OUTLINE_WEIGHT = 0.03  # of an edge against a pixel of depth, which is good to a hundredth of a pixel's width
MAX_SPREAD = 0.35  # of the radius: standard error of the centre above which a frame counts as not measured


@dataclass(frozen=True)
class Registration:
    """A body's way through a video.

    Attributes:
        position: (T, 3) metres, world frame; NaN where not measured.
        orientation: (T, 4) w x y z; of no meaning for balls.
        measured: (T,) whether enough is seen to place the body.
        covariance: (T, 3, 3) of the position's error, square metres.
        stretch: (T,) log of the ratio of the axes of the visible outline, as seen against the body's; NaN unless the
            outline is all there and tells.
        pieces: (T,) number of the stretch between impacts that each frame belongs to.
        pose_covariance: (T, 6, 6) of position and rotation vector, world frame, metres and radians; None for balls.
        carried: (T,) id of the static body that the ball is known to rest or roll on, from which its distance was
            taken, see benchmarks.support; 0 where none; None where that was not asked.
    """

    position: Floats
    orientation: Floats
    measured: Flags
    covariance: Floats
    stretch: Floats
    pieces: Ints
    pose_covariance: Floats | None = None
    carried: Ints | None = None

    @property
    def error(self) -> Floats:
        """(T,) standard error of the position along its worst direction, metres: along the ray in perspective."""
        return np.asarray(np.sqrt(np.linalg.eigvalsh(self.covariance)[:, -1]), np.float64)


@dataclass(frozen=True)
class View:
    """What all registrations of a video share.

    Attributes:
        tracks: Of the video.
        edges: Of the video.
        camera: Of the video's size.
        planar: Whether all keep to the plane y = 0.
        statics: By id, bodies that may lie behind or in front of what moves; none in planar worlds.
        depth: (T, H, W) metres along the camera's axis, where it is given.
        gravity: (3,) m/s^2, where it is known.
        dt: Seconds a frame.
    """

    tracks: Tracks
    edges: Outline
    camera: Camera
    planar: bool
    statics: dict[int, Body]
    depth: Floats | None = None
    gravity: Floats | None = None
    dt: float = 1 / 24
    _hits: dict[int, tuple[Ints, Floats]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def hits(self, number: int, static: Body) -> tuple[Ints, Floats]:
        """Edges of moving bodies against a static one: their places, and metres at which lines of sight meet it."""
        if number not in self._hits:
            moving = ~np.isin(self.edges.own, list(self.statics))
            at = np.flatnonzero(moving & (self.edges.other == number))
            hit = first_hit(static, self.camera, _far_side(self, at)) if len(at) else np.zeros(0)
            self._hits[number] = at, hit
        return self._hits[number]


def own_edges(view: View, body: int, extent: float, distance: Floats) -> tuple[NDArray[np.bool_], Flags]:
    """Edges that are a body's own outline, and frames in which there are no others.

    Edges against the background are its own, and those against static bodies that lie behind it; moving bodies may be
    in front.

    Args:
        view: Of the video.
        body: Its id.
        extent: Its size, metres.
        distance: (T,) metres from the camera's centre, or from its plane in an orthographic view.

    Returns:
        (E,) flags, and (T,) flags.
    """
    edges = view.edges
    mine = edges.own == body
    use = mine & (edges.other == 0)
    for number, static in view.statics.items():
        at, hit = view.hits(number, static)
        own = mine[at]
        # Where a body lies on a table the table is touched no nearer than the body; only what is nearer by its size
        # covers it.
        use[at[own]] = hit[own] > distance[edges.frame[at[own]]] - extent
    foreign = np.bincount(edges.frame[mine & ~use], minlength=view.tracks.num_frames)
    return use, np.asarray(foreign == 0, bool)


def _far_side(view: View, at: Ints) -> Floats:
    """(K, 2) middles of the pixels on the far side of edges."""
    frame, point = view.edges.frame[at], view.edges.point[at]
    upright = (point[:, 0] % 1 == 0)[:, None]
    half = np.where(upright, np.array([0.5, 0.0]), np.array([0.0, 0.5]))
    x, y = (point - half).astype(np.int64).T
    return point + np.where((view.tracks.ids[frame, y, x] == view.edges.own[at])[:, None], half, -half)


def register_balls(view: View, radii: Mapping[int, float]) -> dict[int, Registration]:
    """Place balls in every frame, all at once as far as memory lets.

    Args:
        view: Of the video.
        radii: Metres, by id.

    Returns:
        Registration over all frames, by id.
    """
    together = len(view.edges.own) <= _TOGETHER and view.depth is None
    parts = [tuple(radii)] if together else [(body,) for body in radii]
    found: dict[int, Registration] = {}
    for part in parts:
        sights = [_sight(view, body, radii[body]) for body in part]
        fits = _fit(view, sights)
        ways = [_way(view, fit) for fit in fits]
        _hold(view, ways)
        found.update((way.fit.sight.body, _registration(view, way)) for way in ways)
    return found


def _fit(view: View, sights: list[Sight]) -> list[BallFit]:
    return fit_balls(view.camera, view.planar, view.tracks.num_frames, sights) if sights else []


@dataclass
class _Way:
    """A ball's way on its way to a Registration: arrays as there, centres in the plane or from the camera's place."""

    fit: BallFit
    centre: Floats
    spread: Floats
    measured: Flags
    flat: Floats
    pieces: Ints
    carried: Ints


def _way(view: View, fit: BallFit, least: int = MIN_EDGES) -> _Way:
    """A way from its fit; in space without depth, distances are steadied by the frames around."""
    tracks, camera, planar, sight = view.tracks, view.camera, view.planar, fit.sight
    column, centre = sight.body - 1, fit.centre
    scale = pixels_a_metre(camera, centre, planar)
    size = fit.information.shape[-1]
    spread = (EDGE_NOISE / scale)[:, None, None] ** 2 * np.linalg.inv(fit.information + 1e-9 * np.eye(size))
    measured = np.asarray((tracks.area[:, column] > 0) & (fit.count >= least), bool)
    if planar:
        # A whole disc's mean pixel is steadier than its outline.
        whole = measured & ~tracks.border[:, column] & sight.free
        centre = np.where(whole[:, None], on_plane(camera, sight.middle)[:, [0, 2]], centre)
    # The way across the lines of sight, whose kinks are impacts, in pixels.
    flat = centre * camera.focal if planar else (centre @ camera.rotation.T)[:, :2] * scale[:, None]
    if sight.level is not None:
        measured &= _worst(spread) < MAX_SPREAD * sight.radius
    apparent = not planar and not len(sight.at) and sight.level is None
    # What comes nearer shows its kinks in its size.
    ahead = _ahead(centre, spread) if apparent else None
    pieces = cut(flat, measured, (0.2 if planar else 0.5) * EDGE_NOISE, ahead)
    if apparent:
        measured = measured & plausible(np.linalg.norm(centre, axis=-1), measured)
        centre, spread = steady_depth(centre, spread, measured, pieces, flat)
    return _Way(fit, centre, spread, measured, flat, pieces, np.zeros(len(centre), np.int64))


def _ahead(centre: Floats, spread: Floats) -> tuple[Floats, Floats]:
    """(T,) distances and (T,) their standard errors."""
    distance = np.linalg.norm(centre, axis=-1)
    sight = centre / np.maximum(distance, 1e-12)[:, None]
    return distance, np.sqrt(np.einsum("ti,tij,tj->t", sight, spread, sight))


def _hold(view: View, ways: list[_Way]) -> None:
    """Take the distances of balls that a static body carries from it, see benchmarks.support."""
    if view.gravity is None or view.planar or view.depth is not None or view.camera.kind != "perspective":
        return
    eye = np.array(view.camera.position)
    for face in faces_of(view.statics, view.gravity):
        face = replace(face, middle=face.middle - eye)
        chosen = [
            way
            for way in ways
            if (likely(face, way.centre, way.spread, way.fit.sight.radius) & way.measured).sum() >= MIN_EDGES
        ]
        sights = [_on_face(view, way.fit.sight, face) for way in chosen]
        # What is in front of a ball can be told once it is known where it would lie, for its apparent size as well.
        alone = [_way(view, fit) for fit in _fit(view, [replace(sight, level=None) for sight in sights])]
        for way, fit, other in zip(chosen, _fit(view, sights), alone, strict=True):
            own = _way(view, fit, _HELD_EDGES)
            radius, free = fit.sight.radius, (other.centre, other.spread)
            fits = own.centre, own.spread
            flags, hop = carried(
                face, fits, own.measured, free, other.measured, own.pieces, radius, view.gravity, view.dt
            )
            flags &= way.carried == 0
            # A hop moves a ball along its line of sight, as it is laid on the face.
            ahead = own.centre / np.linalg.norm(own.centre, axis=-1, keepdims=True)
            astray = ahead * (hop / (ahead @ face.normal))[:, None]
            way.centre[flags] = own.centre[flags]
            way.spread[flags] = (own.spread + astray[:, :, None] * astray[:, None])[flags]
            way.flat[flags], way.carried[flags] = own.flat[flags], face.body
            way.measured = way.measured | flags
            if flags.any():
                way.pieces = cut(way.flat, way.measured, 0.5 * EDGE_NOISE)


def _on_face(view: View, sight: Sight, face: Face) -> Sight:
    """What places a ball, if it lies on a face."""
    radius = sight.radius
    centre = laid(face, sight.guess, radius)
    distance = np.linalg.norm(centre, axis=-1)
    use, free = own_edges(view, sight.body, _FRONT * radius, distance)
    points = rays(view.camera, view.edges.point[use])[1]
    level = face.normal, float(face.middle @ face.normal) + radius, SINK * radius
    frame = view.edges.frame[use]
    return replace(sight, points=points, frame=frame, distance=distance, centre=centre, free=free, level=level)


def _sight(view: View, body: int, radius: float) -> Sight:
    tracks, camera, planar = view.tracks, view.camera, view.planar
    frames, column = tracks.num_frames, body - 1
    seen = tracks.area[:, column] > 0
    middle = np.where(seen[:, None], tracks.centroid[:, column], 0.0)
    apparent = np.sqrt(np.maximum(tracks.area[:, column], 1.0) / np.pi)
    distance = _behind_others(view, body, camera.focal * radius / apparent)
    if camera.kind == "orthographic":
        distance = np.full(frames, np.inf)
    use, free = own_edges(view, body, radius, distance)
    frame, pixels = view.edges.frame[use], view.edges.point[use]
    guess = rays(camera, middle)[1]
    if planar:
        points = on_plane(camera, pixels)[:, [0, 2]]
        centre = on_plane(camera, middle)[:, [0, 2]]
    else:
        points = rays(camera, pixels)[1]
        centre = guess * distance[:, None]
    surface, at = seen_surface(view, body) if view.depth is not None and not planar else (np.zeros((0, 3)), frame[:0])
    if len(at):
        centre = _mean(surface, at, frames, centre) + radius * camera.rotation[2]
    trust = OUTLINE_WEIGHT if len(at) else 1.0
    return Sight(body, radius, points, frame, surface, at, trust, middle, guess, distance, centre, free)


def _behind_others(view: View, body: int, distance: Floats) -> Floats:
    """(T,) distances by the apparent size: where a moving body is beside it, no more than frames around tell.

    What is hidden looks small and far away, and all that lies behind it as if it were in front.
    """
    tracks, column = view.tracks, body - 1
    moving = np.array([number for number in range(1, tracks.num_objects + 1) if number not in view.statics], int)
    beside = (tracks.neighbour[:, column, moving] > 0).any(-1)
    known = np.flatnonzero((tracks.area[:, column] > 0) & ~beside)
    if not len(known):
        return distance
    around = np.interp(np.arange(len(distance)), known, distance[known])
    return np.where(beside, np.minimum(distance, around), distance)


def _registration(view: View, way: _Way) -> Registration:
    tracks, camera, planar, sight = view.tracks, view.camera, view.planar, way.fit.sight
    frames, radius, fit = tracks.num_frames, sight.radius, way.fit
    centre, spread = way.centre, way.spread
    measured = way.measured & (_worst(spread) < MAX_SPREAD * radius)
    whole = measured & ~tracks.border[:, sight.body - 1] & sight.free
    stretch = _stretch(sight.frame, fit.normal, fit.residual, camera, radius, frames, planar)
    if planar:
        position = np.stack([centre[:, 0], np.zeros(frames), centre[:, 1]], -1)
        covariance = np.zeros((frames, 3, 3))
        covariance[np.ix_(range(frames), (0, 2), (0, 2))] = spread
    else:
        position, covariance = centre + np.array(camera.position), spread
    position = np.where(measured[:, None], position, np.nan)
    turn = np.tile(np.array([1.0, 0.0, 0.0, 0.0]), (frames, 1))
    return Registration(
        position, turn, measured, covariance, np.where(whole, stretch, np.nan), way.pieces, None, way.carried
    )


def _worst(spread: Floats) -> Floats:
    """(T,) standard error along the worst direction of covariances."""
    return np.asarray(np.sqrt(np.linalg.eigvalsh(spread)[:, -1]), np.float64)


def seen_surface(view: View, body: int) -> tuple[Floats, Ints]:
    """Points that are seen of a body's surface, from the camera's place, and their frames."""
    assert view.depth is not None
    frame, y, x = np.nonzero(view.tracks.ids == body)
    pixels = np.stack([x, y], -1).astype(np.float64) + 0.5
    points = lift(view.camera, pixels, view.depth[frame, y, x].astype(np.float64))
    return points - np.array(view.camera.position), frame


def _mean(points: Floats, frame: Ints, frames: int, other: Floats) -> Floats:
    """(frames, 3) mean point of each frame, `other` where there is none."""
    count = np.bincount(frame, minlength=frames)
    return np.where(count[:, None] > 0, _sum(frame, points, frames) / np.maximum(count, 1)[:, None], other)


def _sum(frame: NDArray[np.int64], values: Floats, frames: int) -> Floats:
    flat = values.reshape(len(values), int(np.prod(values.shape[1:])))
    columns = [np.bincount(frame, flat[:, i], minlength=frames) for i in range(flat.shape[1])]
    return np.asarray(np.stack(columns, -1).reshape(frames, *values.shape[1:]), np.float64)


def _stretch(
    frame: NDArray[np.int64], normal: Floats, residual: Floats, camera: Camera, radius: float, frames: int, planar: bool
) -> Floats:
    """Second harmonic of the residual around the outline as a log ratio of axes."""
    if planar:
        angle = np.arctan2(normal[:, 1], normal[:, 0])
    else:
        angle = np.arctan2(normal @ camera.rotation[1], normal @ camera.rotation[0])
    count = np.maximum(np.bincount(frame, minlength=frames), 1)
    real = np.bincount(frame, residual * np.cos(2 * angle), minlength=frames)
    imaginary = np.bincount(frame, residual * np.sin(2 * angle), minlength=frames)
    share = np.minimum(2 * np.hypot(real, imaginary) / count / radius, 0.9)
    return np.asarray(np.log((1 + share) / (1 - share)), np.float64)
