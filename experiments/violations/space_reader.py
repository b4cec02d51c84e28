"""The independent reader of balls that move freely in space: lit spheres fitted to each picture by least squares.

Where motion is free a ball's depth shows in its size alone, and at 32 pixels a hundredth of its distance is a fortieth
of a pixel of its radius: outlines of whole pixels do not tell that, the blend of colours in the rim's pixels does. So
each frame is compared with the empty scene and spheres of known colour and size before it, lit by the scene's lights,
the nearer before the farther, and their centres are sought by damped Gauss-Newton steps. Frames are fitted on their
own; only where a frame is explained badly, its neighbours' places are tried as starts. It shares no code and no weights
with the readout and the rasteriser that hint, loss and guidance use.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from reader import ENLARGE, Sight, empty, enlarged, filled, moving, tracker_for

from worldsim.benchmarks.track import Floats, UInt8
from worldsim.scene import Setup, light

_STEPS = 10
# Engines draw a ball as a polyhedron inside it; this share of the radius brings the mean depth error to 0 on role val.
_DRAWN = 0.99
_SCAN = (0.72, 0.81, 0.9, 1.0)  # depths tried at first, over that of the camera's target
_NUDGE = (0.1, 0.1, 0.01)  # pixels right and down, and of the logarithm of the depth, for differences
_LONGEST = (1.0, 1.0, 0.08)  # step, likewise
_DAMPING = 0.02
_NOISE = 0.03  # of full brightness: what a pixel is off by where everything is in place
_SHOWN = 0.3  # of a ball's outline, from which its place counts as known
_EXPLAINED = 0.5  # of the picture's offset from what is behind the ball, likewise
_ERROR = 0.35  # radii along the line of sight: standard error beyond which it does not
_REACH = 1.3  # radii within which what looks like the ball is the ball
_USUAL = 0.8  # brightness of a lit ball over that of its colour, beyond its rim

Singles = NDArray[np.float32]


@dataclass(frozen=True)
class Layer:
    """One ball in T pictures.

    Attributes:
        cover: (T, H, W) share of each pixel.
        colour: (T, H, W, 3) from 0 to 1.
        depth: (T,) metres.
    """

    cover: Singles
    colour: Singles
    depth: Floats


@dataclass(frozen=True)
class Place:
    """What T frames with M balls are explained by.

    Attributes:
        state: (T, M, 3) u, v in pixels and logarithm of the depth in metres.
        cost: (T,) sum of squares of what is left.
    """

    state: Floats
    cost: Floats


class Fitter:
    """Fits the balls of one setup; pictures are floats from 0 to 1."""

    def __init__(self, setup: Setup) -> None:
        camera, balls = setup.camera, [setup.bodies[k] for k in moving(setup)]
        self.camera, self.focal = camera, camera.focal
        self.colours = np.array([ball.colour for ball in balls], np.float32)
        self.radii = np.array([ball.shape.extent for ball in balls])
        self.plate = empty(setup)[0].astype(np.float32) / 255
        self.middle = np.array([camera.width / 2, camera.height / 2])
        v, u = np.mgrid[: camera.height, : camera.width] + 0.5
        self.grid = np.stack([u, v], -1)
        rays = np.concatenate([(self.grid - self.middle) / self.focal, np.ones((*u.shape, 1))], -1)
        self.rays = (rays / np.linalg.norm(rays, axis=-1, keepdims=True)).astype(np.float32)
        lamps = np.array([light.LAMP_DIRECTION, light.SUN_DIRECTION])
        self.lamps = -(lamps / np.linalg.norm(lamps, axis=1, keepdims=True)) @ camera.rotation.T

    def local(self, state: Floats) -> Floats:
        """(..., 3) metres in the camera's axes."""
        depth = np.exp(state[..., 2:])
        return np.concatenate([(state[..., :2] - self.middle) / self.focal * depth, depth], -1)

    def layer(self, k: int, state: Floats) -> Layer:
        """Ball k at (T, 3)."""
        centre, radius = self.local(state).astype(np.float32), np.float32(_DRAWN * self.radii[k])
        ahead = np.einsum("hwc,tc->thw", self.rays, centre)
        # Squares of the distance from the centre to the line of sight.
        beside = np.einsum("tc,tc->t", centre, centre)[:, None, None] - ahead**2
        pixels = (self.focal / centre[:, 2])[:, None, None].astype(np.float32)
        cover = np.clip((radius - np.sqrt(np.maximum(beside, 0))) * pixels + 0.5, 0, 1)
        into = np.sqrt(np.maximum(radius**2 - beside, 0))
        shade = np.full(ahead.shape, np.float32(light.AMBIENT))
        for way, strength in zip(self.lamps.astype(np.float32), (light.LAMP, light.SUN), strict=True):
            # The normal is (t d - c) / r with t the way to the surface along the line of sight d.
            facing = ((ahead - into) * (self.rays @ way) - (centre @ way)[:, None, None]) / radius
            shade += np.float32(strength) * np.maximum(facing, 0)
        return Layer(cover, np.minimum(shade[..., None] * self.colours[k], 1), np.exp(state[:, 2]))

    def compose(self, layers: list[Layer]) -> tuple[Singles, Singles]:
        """(T, H, W, 3) picture of all layers before the plate, and (T, M, H, W) share of each pixel that each shows."""
        depth = np.stack([layer.depth for layer in layers], 1)
        shown = []
        for k, layer in enumerate(layers):
            free = np.ones_like(layer.cover)
            for j, other in enumerate(layers):
                if j != k:
                    nearer = (depth[:, j] < depth[:, k]) | ((depth[:, j] == depth[:, k]) & (j < k))
                    free *= 1 - other.cover * nearer[:, None, None].astype(np.float32)
            shown.append(layer.cover * free)
        share = np.stack(shown, 1)
        picture = (1 - share.sum(1))[..., None] * self.plate
        for k, layer in enumerate(layers):
            picture = picture + share[:, k, ..., None] * layer.colour
        return picture, share

    def cost(self, frames: Singles, state: Floats) -> Floats:
        """(T,) sum of squares."""
        picture, _ = self.compose([self.layer(k, state[:, k]) for k in range(len(self.radii))])
        return np.asarray(((picture - frames) ** 2).sum((1, 2, 3)), float)

    def slopes(self, frames: Singles, state: Floats) -> tuple[Singles, Singles]:
        """(T, P) what is left of T frames, and (T, 3 M, P) by how much it grows with each number of the state."""
        layers = [self.layer(k, state[:, k]) for k in range(len(self.radii))]
        picture, _ = self.compose(layers)
        rows = []
        for k in range(len(layers)):
            for axis, nudge in enumerate(_NUDGE):
                moved = state[:, k].copy()
                moved[:, axis] += nudge
                # In the order of before, so that two balls at one depth do not change places.
                layer = self.layer(k, moved)
                layer = Layer(layer.cover, layer.colour, layers[k].depth)
                other, _ = self.compose([*layers[:k], layer, *layers[k + 1 :]])
                rows.append(((other - picture) / nudge).reshape(len(frames), -1))
        return (picture - frames).reshape(len(frames), -1), np.stack(rows, 1)

    def fit(self, frames: Singles, state: Floats) -> Place:
        """From a start (T, M, 3): steps that make a frame's cost worse are not taken, and the next one is shorter."""
        count = state.shape[1]
        best = Place(state, self.cost(frames, state))
        damping = np.full(len(frames), _DAMPING)
        for _ in range(_STEPS):
            rest, slopes = self.slopes(frames, best.state)
            square = slopes @ slopes.swapaxes(1, 2)
            ridge = damping[:, None] * (np.einsum("tii->ti", square) + 1e-2)
            step = np.linalg.solve(square + ridge[:, :, None] * np.eye(3 * count), -(slopes @ rest[..., None]))
            step = np.clip(step[..., 0].reshape(-1, count, 3), -np.array(_LONGEST), _LONGEST)
            tried = best.state + step
            cost = self.cost(frames, tried)
            good = cost < best.cost
            damping = np.where(good, damping / 3, damping * 5)
            best = Place(np.where(good[:, None, None], tried, best.state), np.where(good, cost, best.cost))
        return best

    def start(self, video: UInt8, frames: Singles, setup: Setup) -> Floats:
        """(T, M, 3): where a disc of each ball's colour is likeliest, at the depth that explains most on its own."""
        centre, _ = tracker_for(setup).discs(enlarged(video))
        target = float(np.linalg.norm(np.subtract(self.camera.target, self.camera.position)))
        state = np.zeros((*centre.shape[:2], 3))
        state[..., :2] = centre / ENLARGE
        for k in range(len(self.radii)):
            costs = []
            for share in _SCAN:
                state[:, k, 2] = np.log(share * target)
                layer = self.layer(k, state[:, k])
                gone = layer.cover[..., None] * (layer.colour - self.plate)
                costs.append(((self.plate + gone - frames) ** 2).sum((1, 2, 3)))
            state[:, k, 2] = np.log(np.array(_SCAN) * target)[np.argmin(costs, 0)]
        return state


def read_space(video: UInt8, setup: Setup) -> Sight:
    """Read (T, H, W, 3) frames of balls that move freely; areas and axes are at each ball's own distance."""
    fitter, frames = Fitter(setup), video.astype(np.float32) / 255
    place = fitter.fit(frames, fitter.start(video, frames, setup))
    for way in (1, -1):
        # What the frame before, then what the frame after it found, where that explains the picture better.
        order = range(1, len(frames)) if way == 1 else range(len(frames) - 2, -1, -1)
        bad = place.cost > 1.5 * np.median(place.cost)
        for t in (t for t in order if bad[t]):
            other = fitter.fit(frames[t : t + 1], place.state[t - way : t - way + 1])
            if other.cost[0] < place.cost[t]:
                place.state[t], place.cost[t] = other.state[0], other.cost[0]
    return _sight(fitter, frames, place.state)


def _sight(fitter: Fitter, frames: Singles, state: Floats) -> Sight:
    count = state.shape[1]
    layers = [fitter.layer(k, state[:, k]) for k in range(count)]
    picture, share = fitter.compose(layers)
    _, slopes = fitter.slopes(frames, state)
    square = slopes.astype(float) @ slopes.swapaxes(1, 2).astype(float)
    spread = _NOISE * np.sqrt(np.einsum("tii->ti", np.linalg.inv(square + 1e-6 * np.eye(3 * count))))
    local = fitter.local(state)
    distance = np.linalg.norm(local, axis=-1)
    error = spread.reshape(-1, count, 3)[..., 2] * distance / fitter.radii
    measured, area, axes, whole = [], [], [], []
    for k, layer in enumerate(layers):
        behind = picture - share[:, k, ..., None] * layer.colour
        behind = behind / np.maximum(1 - share[:, k], 1e-3)[..., None]
        behind = np.where(share[:, k, ..., None] > 0.999, fitter.plate, behind)
        weight = share[:, k, ..., None]
        before, after = (
            (weight * (behind - frames) ** 2).sum((1, 2, 3)),
            (weight * (picture - frames) ** 2).sum((1, 2, 3)),
        )
        explained = 1 - after / np.maximum(before, 1e-6)
        shown = share[:, k].sum((1, 2)) / np.maximum(layer.cover.sum((1, 2)), 1e-6)
        measured.append((shown > _SHOWN) & (explained > _EXPLAINED) & (error[:, k] < _ERROR))
        found = _matte(fitter, k, frames, layer, behind, state[:, k])
        area.append(found.sum((1, 2)))
        axes.append(_axes(found, fitter.grid))
        size = np.array([fitter.camera.width, fitter.camera.height])
        reach = (fitter.radii[k] * fitter.focal / layer.depth)[:, None]
        inside = ((state[:, k, :2] > reach) & (state[:, k, :2] < size - reach)).all(-1)
        whole.append(inside & (shown > 0.98))
    known = np.stack(measured, 1)
    world = local @ fitter.camera.rotation + np.array(fitter.camera.position)
    position = np.stack([filled(world[:, k], known[:, k]) for k in range(count)], 1)
    return Sight(position, known, np.stack(area, 1), np.stack(axes, 1), np.stack(whole, 1))


def _matte(fitter: Fitter, k: int, frames: Singles, layer: Layer, behind: Singles, state: Floats) -> Singles:
    """(T, H, W) share of each pixel near a ball that looks like it rather than like what is behind it."""
    inside = layer.cover[..., None] > 0.5
    contrast = np.where(inside, layer.colour, _USUAL * fitter.colours[k]) - behind
    like = ((frames - behind) * contrast).sum(-1) / np.maximum((contrast**2).sum(-1), 1e-3)
    away = np.linalg.norm(fitter.grid - state[:, None, None, :2], axis=-1)
    near = away < _REACH * (fitter.radii[k] * fitter.focal / layer.depth)[:, None, None]
    return np.clip(like, 0, 1) * near


def _axes(matte: Singles, grid: Floats) -> Floats:
    """(T, 2) eigenvalues of the covariance, square pixels, the larger first."""
    total = np.maximum(matte.sum((1, 2)), 1e-6)[:, None]
    mean = np.einsum("thw,hwc->tc", matte, grid) / total
    off = grid - mean[:, None, None]
    spread = np.einsum("thw,thwc,thwd->tcd", matte, off, off) / total[..., None]
    return np.maximum(np.linalg.eigvalsh(spread + np.eye(2) / 12)[:, ::-1], 0)
