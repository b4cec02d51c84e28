"""The reader that is independent of the model: balls of known colour and size in small pictures, on their own plane.

A ball of 2 to 3 pixels is mostly rim, and a rim is blended with what lies behind: the rim of a red ball on white is
pink, the dark side of an orange one is brown. The built-in tracker takes the largest patch of a ball's colour, which
may be the rim of another one. DiscTracker asks where a whole disc of the ball's size has the ball's colour at a
brightness that light can give it; what comes after, masks to outlines to places, is the benchmark's own. It shares no
code and no weights with the readout that hint, loss and guidance use.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.signal import fftconvolve

from worldsim.benchmarks.ground_truth import backdrop_of
from worldsim.benchmarks.matting import settle_edges
from worldsim.benchmarks.rays import fit_camera
from worldsim.benchmarks.register import View, register_balls
from worldsim.benchmarks.segment import Backdrop
from worldsim.benchmarks.track import Flags, Floats, UInt8, measure_tracks, outline
from worldsim.scene import Body, Camera, Setup

Singles = NDArray[np.float32]

ENLARGE = 2  # pictures, so that edges are placed between pixels
_OVERSAMPLING = 4  # with which data.py draws
_THRESHOLD = 24  # grey levels by which what moves differs from the backdrop
_LIGHT, _USUAL = (0.3, 1.05), 0.8  # brightness of a lit ball over that of its colour, and its mean
_COLOUR_NOISE = 0.06
_BLEND = 1.0  # pixels of the enlarged picture from the rim inwards whose colour is blended
_LEAST = 0.1
_TAKEN = 0.6  # radii around the place of a ball where no other one is looked for
_REACH = 1.6  # radii from the disc's centre within which pixels of the ball's colour are the ball's
_RIM = 1.25  # radii within which those that are of no ball's colour are
_GAP = 4  # frames over which a ball that is hidden is carried on in a straight line


@dataclass(frozen=True)
class Sight:
    """What a reader says of one clip.

    Attributes:
        position: (T, M, 3) metres, of the balls; in a straight line over gaps.
        measured: (T, M) whether the place is known.
        area: (T, M) pixels shown.
        axes: (T, M, 2) eigenvalues of the covariance of what is shown, square pixels, the larger first.
        whole: (T, M) whether it touches neither another ball nor the picture's edge.
    """

    position: Floats
    measured: Flags
    area: Floats
    axes: Floats
    whole: Flags


@dataclass(frozen=True)
class DiscTracker:
    """A Tracker of balls whose colours and sizes are known.

    Attributes:
        colours: (M, 3) from 0 to 1.
        labels: (M,) ids.
        radii: (M,) pixels.
        backdrop: Of the frames' size.
    """

    colours: Singles
    labels: tuple[int, ...]
    radii: Floats
    backdrop: Backdrop

    def __call__(self, frames: UInt8) -> UInt8:
        """(T, H, W) ids of (T, H, W, 3) frames."""
        offset, ahead, like = self._ahead(frames)
        centre, found = self._discs(like, offset)
        t, v, u = ahead.nonzero()
        away = np.hypot(u[:, None] + 0.5 - centre[t, :, 0], v[:, None] + 0.5 - centre[t, :, 1]) / self.radii
        away = np.where(found[t], away, np.inf)
        # Pixels of a ball's colour and near it; else the nearest ball's rim.
        own, rim = np.where(away < _REACH, like[:, ahead].T, 0), np.where(away < _RIM, away, np.inf)
        sure = own.max(-1) > 0.5
        best = np.array(self.labels, np.uint8)[np.where(sure, own.argmax(-1), rim.argmin(-1))]
        plate, behind = self.backdrop.picture, self.backdrop.ids
        ids = np.repeat(behind[None], len(frames), 0)
        ids[ahead] = np.where(sure | np.isfinite(rim.min(-1)), best, ids[ahead])
        return np.stack([settle_edges(frame, guess, plate, behind) for frame, guess in zip(frames, ids, strict=True)])

    def discs(self, frames: UInt8) -> tuple[Floats, Flags]:
        """(T, M, 2) u, v of the place in (T, H, W, 3) frames most like each ball, and (T, M) whether enough so."""
        offset, _, like = self._ahead(frames)
        return self._discs(like, offset)

    def _ahead(self, frames: UInt8) -> tuple[Singles, Flags, Singles]:
        """Offsets (T, H, W, 3) from the backdrop, where they are large, and likeness to each ball."""
        offset = (frames.astype(np.float32) - self.backdrop.picture) / 255
        ahead = np.abs(offset).max(-1) > _THRESHOLD / 255
        return offset, ahead, self._like(frames, ahead)

    def _discs(self, like: Singles, offset: Singles) -> tuple[Floats, Flags]:
        """(T, M, 2) u, v of the place that is most like each ball, and (T, M) whether it is enough so.

        The product of two shares: how much of the ball's core, which no rim blends, has its colour; and what a whole
        disc of its contrast e takes off the squared offsets o from the backdrop, sum(2 D o e - D^2 e^2), over what it
        takes off where it is there, sum(D^2 e^2). The rim of another ball may have the colour but is no disc.
        """
        shares = np.zeros_like(like)
        plate = self.backdrop.picture.astype(np.float32) / 255
        for k, radius in enumerate(self.radii):
            reach = int(np.ceil(radius)) + 1
            away = np.hypot(*np.meshgrid(*[np.arange(-reach, reach + 1)] * 2))
            disc = np.clip((radius - away) / ENLARGE + 0.5, 0, 1)
            core = np.clip(max(radius - _BLEND, 1.0) - away + 0.5, 0, 1)
            contrast = np.float32(_USUAL) * self.colours[k] - plate
            coloured = _over(like[k], core / core.sum())
            match = _over(np.einsum("thwc,hwc->thw", offset, contrast), disc)
            full = _over((contrast**2).sum(-1)[None], disc**2)
            shares[k] = coloured.clip(0) * (2 * match / full - 1).clip(0, 1)
        placed = [self._place(share) for share in shares.swapaxes(0, 1)]
        return np.stack([centre for centre, _ in placed]), np.stack([found for _, found in placed])

    def _place(self, share: Singles) -> tuple[Floats, Flags]:
        """(M, 2) and (M,) of one frame's (M, H, W): the surest ball first, no other one at its very place."""
        count, height, width = share.shape
        centre, found = np.zeros((count, 2)), np.zeros(count, bool)
        v, u = np.arange(height)[:, None] + 0.5, np.arange(width) + 0.5
        share = share.copy()
        for _ in range(count):
            k, row, column = np.unravel_index(share.argmax(), share.shape)
            if share[k, row, column] < _LEAST:
                break
            centre[k], found[k] = (column + 0.5, row + 0.5), True
            share[:, np.hypot(u - centre[k, 0], v - centre[k, 1]) < _TAKEN * self.radii[k]] = 0
            share[k] = 0
        return centre, found

    def _like(self, frames: UInt8, ahead: Flags) -> Singles:
        """(M, T, H, W) likeness of a pixel to a ball's colour at some light, from 0 to 1, where something moves."""
        found = np.zeros((len(self.radii), *ahead.shape), np.float32)
        shade = frames[ahead].astype(np.float32) / 255
        for k, colour in enumerate(self.colours):
            light = np.clip(shade @ colour / (colour @ colour), *_LIGHT)
            apart = ((shade - light[:, None] * colour) ** 2).sum(-1)
            found[k, ahead] = np.exp(-apart / (2 * _COLOUR_NOISE**2))
        return found


def _over(pictures: Singles, kernel: Floats) -> Singles:
    return np.asarray(fftconvolve(pictures, kernel[None].astype(np.float32), "same", (1, 2)), np.float32)


def enlarged(frames: UInt8, factor: int = ENLARGE) -> UInt8:
    """(T, k H, k W, 3) by bicubic interpolation."""
    size = (frames.shape[2] * factor, frames.shape[1] * factor)
    return np.stack([np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC)) for frame in frames])


@functools.lru_cache(maxsize=512)
def empty(setup: Setup) -> tuple[UInt8, UInt8]:
    """The scene without what moves, drawn as the clips are: (H, W, 3) RGB, and ids of enlarged frames."""
    camera = setup.camera
    drawn = backdrop_of(setup, camera.height * _OVERSAMPLING, camera.width * _OVERSAMPLING)
    small = Image.fromarray(drawn.picture).resize((camera.width, camera.height), Image.Resampling.BOX)
    step = _OVERSAMPLING // ENLARGE
    return np.asarray(small), np.ascontiguousarray(drawn.ids[step // 2 :: step, step // 2 :: step])


def tracker_for(setup: Setup) -> DiscTracker:
    """The tracker of a setup's balls, for enlarged frames."""
    balls = moving(setup)
    bodies = [setup.bodies[k] for k in balls]
    radii = np.array([body.shape.extent * ENLARGE * _pixels_a_metre(setup.camera) for body in bodies])
    colours = np.array([body.colour for body in bodies], np.float32)
    picture, ids = empty(setup)
    return DiscTracker(colours, tuple(k + 1 for k in balls), radii, Backdrop(enlarged(picture[None])[0], ids))


def moving(setup: Setup) -> list[int]:
    """Places of the bodies that move."""
    return [k for k, body in enumerate(setup.bodies) if not body.static]


def _pixels_a_metre(camera: Camera) -> float:
    """At the camera's target, which is on the plane of motion."""
    if camera.kind == "orthographic":
        return camera.focal
    return camera.focal / float(np.linalg.norm(np.subtract(camera.target, camera.position)))


def read(video: UInt8, setup: Setup) -> Sight:
    """Read (T, H, W, 3) frames of bodies that keep to y = 0."""
    frames = enlarged(video)
    ids = tracker_for(setup)(frames)
    balls, edges = moving(setup), outline(ids)
    tracks = measure_tracks(ids, len(setup.bodies), edges)
    camera = fit_camera(setup.camera, *frames.shape[1:3])
    # In the box all share one plane and walls cover nothing; at the hoop what stands behind bounds the ball's outline.
    behind: dict[int, Body] = {}
    if not setup.planar:
        behind = {k + 1: body for k, body in enumerate(setup.bodies) if body.static}
    view = View(tracks, edges, camera, True, behind)
    placed = register_balls(view, {k + 1: setup.bodies[k].shape.extent for k in balls})
    found = [placed[k + 1] for k in balls]
    measured = np.stack([f.measured for f in found], 1)
    position = np.stack([filled(f.position, f.measured) for f in found], 1)
    touching = tracks.neighbour[:, balls][:, :, [k + 1 for k in balls]].sum(-1) > 0
    measured |= _hidden(measured, touching)
    area = tracks.area[:, balls] / ENLARGE**2
    axes = np.nan_to_num(tracks.axes[:, balls]) / ENLARGE**2
    return Sight(position, measured, area, axes, ~tracks.border[:, balls] & ~touching & (area > 0))


def filled(position: Floats, measured: Flags) -> Floats:
    """(T, 3) places, in a straight line over gaps between those that are measured."""
    if not measured.any():
        return np.zeros_like(position)
    time = np.arange(len(position))
    return np.stack([np.interp(time, time[measured], position[measured, i]) for i in range(3)], -1)


def _hidden(measured: Flags, touching: Flags) -> Flags:
    """(T, M) short gaps between frames in which a ball touches another: in one plane it must be inside it."""
    result = np.zeros_like(measured)
    for k in range(measured.shape[1]):
        known = np.flatnonzero(measured[:, k])
        for before, after in itertools.pairwise(known):
            if 1 < after - before <= _GAP and touching[before, k] and touching[after, k]:
                result[before + 1 : after, k] = True
    return result
