"""Amodal registration: the whole body behind what is seen of it, by fitting its known outline to its visible outline.

Visible masks are disjoint, so that overlap shows only in whole shapes. A ball's outline is where lines of sight touch
it: each edge between its mask and what lies behind gives the residual |distance of the ball's centre from the line of
sight| - radius, and Gauss-Newton over all edges of a frame finds the centre, whether or not a part is hidden. In a
planar world the lines of sight meet the plane in points and the ball is a disc.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldsim.benchmarks.rays import on_plane, rays
from worldsim.benchmarks.track import Flags, Floats, Outline, Tracks
from worldsim.scene import Camera

_STEPS = 12
_EDGE_NOISE = 0.3  # pixels: the middle of an edge is off by up to half a pixel either way, sqrt(1/12)
_MIN_EDGES = 8
_DEPTH_WINDOW = 6  # frames to both sides
_MAX_SPREAD = 0.35  # of the radius: standard error of the centre above which a frame counts as not measured


@dataclass(frozen=True)
class Registration:
    """A ball's way through a video.

    Attributes:
        position: (T, 3) metres, world frame; NaN where not measured.
        measured: (T,) whether enough outline is seen to place the ball.
        error: (T,) standard error of the centre along its worst direction, metres: that along the ray in perspective.
        stretch: (T,) log of the ratio of the axes of the visible outline, as seen against a ball's; NaN unless the
            outline is all there.
    """

    position: Floats
    measured: Flags
    error: Floats
    stretch: Floats


def register_ball(
    tracks: Tracks, edges: Outline, body: int, radius: float, camera: Camera, planar: bool, behind: tuple[int, ...]
) -> Registration:
    """Place one ball in every frame.

    Args:
        tracks: Of the video.
        edges: Of the video.
        body: Its id.
        radius: Metres.
        camera: Of the video's size.
        planar: Whether the ball is a disc in the plane y = 0.
        behind: Ids of what may lie behind the ball, besides the background; edges against them count unless they lie
            well inside the fitted outline, as where the ball sinks into a floor.

    Returns:
        Registration over all frames.
    """
    frames, column = tracks.num_frames, body - 1
    use = (edges.own == body) & np.isin(edges.other, (0, *behind))
    frame, pixels = edges.frame[use], edges.point[use]
    seen = tracks.area[:, column] > 0
    middle = np.where(seen[:, None], tracks.centroid[:, column], 0.0)
    if planar:
        points = on_plane(camera, pixels)[:, [0, 2]]
        centre = on_plane(camera, middle)[:, [0, 2]]
    else:
        points, centre = _first_guess(tracks, column, radius, camera, middle, pixels)
    alone = np.ones(len(frame), bool)
    for step in range(_STEPS):
        normal, distance = _outward(points, centre[frame], planar)
        residual = distance - radius
        if step >= 4 and behind:
            alone = residual > -1.5 / _pixels_a_metre(camera, centre, planar)[frame]
        information = _sum(frame, (normal[:, :, None] * normal[:, None, :]) * alone[:, None, None], frames)
        slope = _sum(frame, normal * (residual * alone)[:, None], frames)
        centre = centre + _solve(information, slope, radius)
    scale = _pixels_a_metre(camera, centre, planar)
    count = _sum(frame, alone.astype(np.float64), frames)
    least = np.linalg.eigvalsh(information)[:, 0]
    error = _EDGE_NOISE / scale / np.sqrt(np.maximum(least, 1e-12))
    measured = seen & (count >= _MIN_EDGES)
    if not planar:
        centre, error = _steady_depth(centre, error, measured)
    measured &= error < _MAX_SPREAD * radius
    stretch = _stretch(frame, normal, residual, camera, radius, frames, planar)
    whole = measured & ~tracks.border[:, column] & _uncovered(tracks, column, behind)
    if planar:
        # A whole disc's mean pixel is steadier than its outline.
        centre = np.where(whole[:, None], on_plane(camera, middle)[:, [0, 2]], centre)
        position = np.stack([centre[:, 0], np.zeros(frames), centre[:, 1]], -1)
    else:
        position = centre + np.array(camera.position)
    position = np.where(measured[:, None], position, np.nan)
    return Registration(position, measured, error, np.where(whole, stretch, np.nan))


def _first_guess(
    tracks: Tracks, column: int, radius: float, camera: Camera, middle: Floats, pixels: Floats
) -> tuple[Floats, Floats]:
    """Unit rays of the edges, and centres from the area alone, both seen from the camera."""
    direction = rays(camera, pixels)[1]
    ahead = rays(camera, middle)[1]
    apparent = np.sqrt(np.maximum(tracks.area[:, column], 1.0) / np.pi)
    return direction, ahead * (camera.focal * radius / apparent)[:, None]


def _steady_depth(centre: Floats, error: Floats, measured: Flags) -> tuple[Floats, Floats]:
    """Lengths of the lines of sight from a parabola through the nearest frames; directions stay as they are.

    An apparent size off by .05 pixels at 8 pixels moves a ball by .6 % of its distance (FIELD.md section 5), many times
    its error across the line of sight; over some frames the distance of a body is smooth to that accuracy.
    """
    frames = len(centre)
    length = np.linalg.norm(centre, axis=-1)
    time = np.arange(frames)
    steady, spread = length.copy(), error.copy()
    for t in range(frames):
        near = measured & (np.abs(time - t) <= _DEPTH_WINDOW)
        if near.sum() < 4:
            continue
        order = 2 if near.sum() > 6 else 1
        terms = np.vander(time[near] - t, order + 1, increasing=True)
        weight = 1 / np.maximum(error[near], 1e-9)
        inverse = np.linalg.pinv(terms * weight[:, None])
        steady[t] = inverse[0] @ (length[near] * weight)
        spread[t] = np.linalg.norm(inverse[0])
    return centre * (steady / np.maximum(length, 1e-9))[:, None], spread


def _outward(points: Floats, centre: Floats, planar: bool) -> tuple[Floats, Floats]:
    """Unit vectors from the centre to the nearest point of each line of sight, and their lengths."""
    way = points - centre if planar else points * (points * centre).sum(-1, keepdims=True) - centre
    length = np.linalg.norm(way, axis=-1)
    return way / np.maximum(length, 1e-12)[:, None], length


def _pixels_a_metre(camera: Camera, centre: Floats, planar: bool) -> Floats:
    if camera.kind == "orthographic":
        return np.full(len(centre), camera.focal)
    if planar:
        centre = np.stack([centre[:, 0], np.zeros(len(centre)), centre[:, 1]], -1) - np.array(camera.position)
    depth = centre @ camera.rotation[2]
    return np.asarray(camera.focal / np.maximum(depth, 1e-3), np.float64)


def _sum(frame: NDArray[np.int64], values: Floats, frames: int) -> Floats:
    flat = values.reshape(len(values), int(np.prod(values.shape[1:])))
    columns = [np.bincount(frame, flat[:, i], minlength=frames) for i in range(flat.shape[1])]
    return np.asarray(np.stack(columns, -1).reshape(frames, *values.shape[1:]), np.float64)


def _solve(information: Floats, slope: Floats, radius: float) -> Floats:
    """Gauss-Newton steps, hardly damped and never longer than four radii, so that poor guesses do not run away."""
    size = information.shape[-1]
    damped = information + (1e-9 + 1e-7 * np.trace(information, axis1=-2, axis2=-1))[:, None, None] * np.eye(size)
    step = np.linalg.solve(damped, slope[..., None])[..., 0]
    length = np.linalg.norm(step, axis=-1, keepdims=True)
    return np.asarray(step * np.minimum(1.0, 4 * radius / np.maximum(length, 1e-12)), np.float64)


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


def _uncovered(tracks: Tracks, column: int, behind: tuple[int, ...]) -> Flags:
    """(T,) whether no edge is shared with anything but what lies behind."""
    others = tracks.neighbour[:, column].copy()
    others[:, [0, *behind]] = 0
    return np.asarray(others.sum(-1) == 0, bool)
