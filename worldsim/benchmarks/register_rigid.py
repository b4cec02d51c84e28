"""Amodal registration of boxes, capsules, rings and convex polygons: place and turn behind what is seen of them.

Edges between a body's mask and what lies behind are its own outline, wherever it stands; edges against what may be in
front only say that it reaches at least as far. Gauss-Newton over both finds the pose, of all bodies of a kind in all
frames at once, from the centre of the mask and the turn, out of several, that fits best. Frames in which that fails,
as where most of a body is hidden, start again from a neighbour's pose. Where outlines hardly tell a pose from its
mirror image in depth, how far the two are apart counts as error.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from worldsim.benchmarks.fit_balls import EDGE_NOISE
from worldsim.benchmarks.fit_poses import Evidence, cost, fit, told
from worldsim.benchmarks.outline_gaps import BothGaps, Gaps, PointGaps, Shapes, SightGaps, depth_of, scale_at
from worldsim.benchmarks.pieces import cut
from worldsim.benchmarks.rays import on_plane, rays, shadow_radius
from worldsim.benchmarks.register import (
    MAX_SPREAD,
    MIN_EDGES,
    OUTLINE_WEIGHT,
    Registration,
    View,
    own_edges,
    seen_surface,
)
from worldsim.benchmarks.ring_gaps import RingGaps
from worldsim.benchmarks.steady import steady_depth
from worldsim.benchmarks.track import Flags, Floats, Ints
from worldsim.benchmarks.turns import continuous, reversed_in_depth, symmetries, turned
from worldsim.physics.bodies import Bodies
from worldsim.physics.rotation import exponential
from worldsim.physics.trajectory import Trajectory
from worldsim.scene import Body, Law, Polygon, Setup

KINDS = ("box", "capsule", "polygon", "ring")
_ANGLES = 72  # turns of a planar body that are tried, over the full circle
_THIN = 3  # edges of which one is looked at where turns are compared
_GOOD = 0.55  # pixels of root mean square: an outline that fits; pixels alone leave .3
_POOR = 1.5  # pixels above which a pose is none
_POOR_SURFACE = 0.3  # the same where depth is given, which is good to a hundredth of a pixel
_POINTS = 64  # of a surface in a frame, where depth is given
_SLACK = 0.02  # square pixels by which a clear neighbour may fit worse than what is told by a hidden outline alone
_STEPS = 8
_ROUNDS = 8  # in which poses are handed on from frame to frame
_TURN_NOISE = 1.0  # radians: what is known of a turn before anything is seen
_PLAIN = 25.0  # chi^2 by which a mirror image must fit better to be taken


@dataclasses.dataclass(frozen=True)
class _Task:
    """K bodies of one kind in T frames: S = K T slots, body by body.

    Attributes:
        evidence: Of the slots.
        shapes: Of the slots.
        guess: (S, 3) metres where masks' centres are.
        extent: (S,) metres.
        prior: (S, D, D) see fit_poses.fit.
        seen: (K, T) whether there is a mask.
        clear: (K, T) whether nothing may be in front and the picture's edge cuts nothing off.
    """

    evidence: Evidence
    shapes: Shapes
    guess: Tensor
    extent: Tensor
    prior: Tensor
    seen: Flags
    clear: Flags

    def fit(self, slots: Tensor, position: Tensor, orientation: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Poses of some of the slots from guesses, and their cost."""
        evidence = self.evidence.take(slots)
        found = fit(evidence, position, orientation, self.prior[slots], self.extent[slots], _STEPS)
        return *found, cost(evidence, *found)


def register_rigid(view: View, bodies: Mapping[int, Body], start: Trajectory | None = None) -> dict[int, Registration]:
    """Place bodies of any of KINDS in every frame.

    Args:
        view: Of the video.
        bodies: By place.
        start: (T, N) poses of all bodies, from which the search begins in space; the masks decide. Without
            it nothing is placed there: several turns of a box have outlines that no picture of its size tells apart.

    Returns:
        By place.
    """
    found: dict[int, Registration] = {}
    if start is None and not view.planar:
        return found
    for kind in KINDS:
        own = {k: body for k, body in bodies.items() if body.shape.kind == kind}
        if own:
            found.update(_of_kind(view, own, start))
    return found


def _of_kind(view: View, bodies: dict[int, Body], start: Trajectory | None) -> dict[int, Registration]:
    frames, places = view.tracks.num_frames, list(bodies)
    guess, distance = _guesses(view, bodies)
    shapes = _shapes(view, bodies, frames)
    evidence = _evidence(view, bodies, shapes, distance)
    seen = view.tracks.area[:, places].T > 0
    hidden = np.bincount(evidence.slot[evidence.one_sided].numpy(), minlength=seen.size).reshape(seen.shape) > 0
    flat = torch.from_numpy(guess.reshape(-1, 3))
    extent = torch.tensor([body.shape.extent for body in bodies.values()]).double().repeat_interleave(frames)
    clear = seen & ~hidden & ~view.tracks.border[:, places].T
    task = _Task(evidence, shapes, flat, extent, _prior(view, flat), seen, clear)
    if view.planar:
        begins = [(flat, _best_angle(task, bodies))]
    else:
        assert start is not None
        place, turn = (
            part[:, places].double().transpose(0, 1).flatten(0, 1) for part in (start.position, start.orientation)
        )
        # From the place alone that masks tell, points of a surface may be taken for another side's.
        begins = [(flat, turn), (place, turn)]
    position, orientation = _handed_on(task, begins)
    doubt = torch.zeros(len(flat), 6, 6, dtype=torch.float64)
    if not view.planar and view.depth is None:
        position, orientation, doubt = _weighed(view, task, bodies, position, orientation)
    done = told(evidence, position, orientation, task.prior)
    covariance = (done.covariance + doubt).numpy()
    worst = _POOR if view.depth is None else _POOR_SURFACE
    measured = ((done.count >= MIN_EDGES) & (done.rms < worst)).numpy().reshape(seen.shape) & seen
    result = {}
    for row, (k, body) in enumerate(bodies.items()):
        at = slice(row * frames, (row + 1) * frames)
        result[k] = _settled(view, body, position[at], orientation[at], covariance[at], measured[row])
    return result


def _best_angle(task: _Task, bodies: dict[int, Body]) -> Tensor:
    """(S, 4) turns of planar bodies about their masks' centres that fit best."""
    fold = min(len(symmetries(body.shape, True)) for body in bodies.values())
    best = torch.full((len(task.guess),), torch.inf, dtype=torch.float64)
    turn = torch.zeros(len(task.guess), 4, dtype=torch.float64)
    few = task.evidence.thin(_THIN)
    for i in range(_ANGLES // fold):
        angle = torch.tensor([0.0, 2 * math.pi * i / _ANGLES, 0.0], dtype=torch.float64)
        tried = exponential(angle).expand_as(turn)
        costs = cost(few, task.guess, tried)
        turn = torch.where((costs < best)[:, None], tried, turn)
        best = torch.minimum(best, costs)
    return turn


def _handed_on(task: _Task, begins: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Poses of all slots, the best that a guess leads to; what does not fit or is hidden starts from a neighbour."""
    count, frames = task.seen.shape
    every = torch.arange(count * frames)
    position, orientation, costs = task.fit(every, *begins[0])
    for begin in begins[1:]:
        place, tilt, price = task.fit(every, *begin)
        better = price < costs
        position, orientation = (
            torch.where(better[:, None], new, old) for new, old in ((place, position), (tilt, orientation))
        )
        costs = torch.minimum(costs, price)
    own = torch.bincount(task.evidence.slot[~task.evidence.one_sided], minlength=count * frames).numpy() >= MIN_EDGES
    fits = (costs.numpy() < _GOOD**2) & own & task.seen.ravel()
    firm = fits & task.clear.ravel()
    for turn_of in range(_ROUNDS):
        wanting = np.flatnonzero(task.seen.ravel() & ~(firm if turn_of == 0 else fits))
        nearest = _nearest((firm if turn_of == 0 and firm.any() else fits).reshape(count, frames)).ravel()[wanting]
        wanting, nearest = wanting[nearest >= 0], nearest[nearest >= 0]
        if not len(wanting):
            break
        at, near = torch.from_numpy(wanting), torch.from_numpy(nearest)
        shift = task.guess[at] - task.guess[near] if turn_of % 2 else torch.zeros_like(task.guess[at])
        place, tilt, price = task.fit(at, position[near] + shift, orientation[near])
        better = price < costs[at] + (_SLACK if turn_of == 0 and task.shapes.planar else 0.0)
        taken = at[better]
        position[taken], orientation[taken], costs[taken] = place[better], tilt[better], price[better]
        now = (costs.numpy() < _GOOD**2) & own & task.seen.ravel()
        if turn_of > 1 and (now == fits).all():
            break
        fits = now
    return position, orientation


def _weighed(
    view: View, task: _Task, bodies: dict[int, Body], position: Tensor, orientation: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Poses or their mirror images in depth, where those fit plainly better, and the (S, 6, 6) error of that choice.

    The error is the square of the way to the other pose times that one's probability by what both leave unexplained.
    """
    if view.camera.kind == "orthographic":
        ahead = torch.tensor(view.camera.rotation[2].copy()).expand_as(position)
    else:
        way = position - torch.tensor(view.camera.position, dtype=torch.float64)
        ahead = way / way.norm(dim=-1, keepdim=True).clamp_min(1e-9)
    every = torch.arange(len(position))
    place, tilt, price = task.fit(every, position, reversed_in_depth(orientation, ahead))
    edges = torch.bincount(task.evidence.slot, minlength=len(position))
    gain = (cost(task.evidence, position, orientation) - price).nan_to_num() * edges / EDGE_NOISE**2
    taken = (gain > _PLAIN)[:, None]
    position, place = torch.where(taken, place, position), torch.where(taken, position, place)
    orientation, tilt = torch.where(taken, tilt, orientation), torch.where(taken, orientation, tilt)
    frames = view.tracks.num_frames
    at = [slice(row * frames, (row + 1) * frames) for row in range(len(bodies))]
    turns = [turned(body.shape, orientation[k], tilt[k]) for body, k in zip(bodies.values(), at, strict=True)]
    way = torch.cat([place - position, torch.cat(turns)], -1)
    share = torch.sigmoid(torch.where(taken[:, 0], -gain, gain) / 2)
    return position, orientation, share[:, None, None] * way[:, :, None] * way[:, None, :]


def _nearest(good: Flags) -> Ints:
    """(K, T) slot of the nearest good frame of the same body other than itself, -1 where there is none."""
    count, frames = good.shape
    time = np.arange(frames)
    before = np.maximum.accumulate(np.where(good, time, -frames * 4), axis=1)
    before = np.concatenate([np.full((count, 1), -frames * 4), before[:, :-1]], 1)
    after = np.minimum.accumulate(np.where(good, time, frames * 8)[:, ::-1], axis=1)[:, ::-1]
    after = np.concatenate([after[:, 1:], np.full((count, 1), frames * 8)], 1)
    chosen = np.where(time - before <= after - time, before, after)
    there = (chosen >= 0) & (chosen < frames)
    return np.where(there, chosen + np.arange(count)[:, None] * frames, -1)


def _settled(
    view: View, body: Body, position: Tensor, orientation: Tensor, covariance: Floats, measured: Flags
) -> Registration:
    """Registration of one body from its poses in all frames: turns made continuous, distances made steady."""
    camera = view.camera
    centre, turn = (
        position.numpy(),
        continuous(orientation.numpy(), measured, symmetries(body.shape, view.planar).numpy()),
    )
    scale = scale_at(depth_of(position, camera), camera).numpy()
    eye = np.array(camera.position)
    flat = ((centre - eye) @ camera.rotation.T)[:, :2] * scale[:, None]
    across = camera.rotation[:2] @ covariance[:, :3, :3] @ camera.rotation[:2].T
    known = measured & np.isfinite(across).all((-1, -2))
    noise = (
        float(np.median(np.sqrt(np.trace(across, axis1=-2, axis2=-1)[known] / 2) * scale[known]))
        if known.any()
        else 1.0
    )
    pieces = cut(flat, measured, max(0.2 * EDGE_NOISE, noise))
    covariance = covariance.copy()
    if not view.planar and view.depth is None and camera.kind == "perspective":
        steady, spread = steady_depth(centre - eye, covariance[:, :3, :3], measured, pieces, flat)
        ahead = (steady / np.linalg.norm(steady, axis=-1, keepdims=True))[:, :, None]
        old, new = (ahead.swapaxes(-1, -2) @ part @ ahead for part in (covariance[:, :3, :3], spread))
        shrink = np.tile(np.eye(6), (len(steady), 1, 1))
        shrink[:, :3, :3] += (np.sqrt(new / np.maximum(old, 1e-18)) - 1) * ahead * ahead.swapaxes(-1, -2)
        covariance, centre = shrink @ covariance @ shrink, steady + eye
    width = np.sqrt(np.linalg.eigvalsh(covariance[:, :3, :3])[:, -1])
    measured = measured & (width < MAX_SPREAD * body.shape.extent)
    centre = np.where(measured[:, None], centre, np.nan)
    blank = np.full(len(centre), np.nan)
    return Registration(centre, turn, measured, covariance[:, :3, :3], blank, pieces, covariance)


def _shapes(view: View, bodies: dict[int, Body], frames: int) -> Shapes:
    alone = tuple(dataclasses.replace(body, state=None, group=None) for body in bodies.values())
    table = Bodies.from_scenes([Setup(alone, Law(), view.camera, 1.0, view.planar)], dtype=torch.float64)
    corners = max((len(b.shape.vertices) for b in alone if isinstance(b.shape, Polygon)), default=1)
    size, vertices = (part[0].repeat_interleave(frames, 0) for part in (table.size, table.vertices[:, :, :corners]))
    return Shapes(table.kinds[0], size, vertices, view.planar)


def _evidence(view: View, bodies: dict[int, Body], shapes: Shapes, distance: Floats) -> Evidence:
    """All edges of the bodies, and points of their surfaces where depth is given.

    Args:
        view: Of the video.
        bodies: K of them, by place.
        shapes: Of K T slots.
        distance: (K, T) metres from the camera, by apparent size.
    """
    frames, edges, camera = view.tracks.num_frames, view.edges, view.camera
    slots, picked, one_sided = [], [], []
    for row, k in enumerate(bodies):
        # What is nearer than the body's middle may stand in it, and hide part of it, as a floor that it sinks into.
        use, _ = own_edges(view, k + 1, 0.0, distance[row])
        mine = np.flatnonzero(edges.own == k + 1)
        slots.append(row * frames + edges.frame[mine])
        picked.append(mine)
        one_sided.append(~use[mine])
    at = np.concatenate(picked)
    pixels, slot = edges.point[at], torch.from_numpy(np.concatenate(slots))
    upright = torch.from_numpy(pixels[:, 0] % 1 == 0)
    sided = torch.from_numpy(np.concatenate(one_sided))
    if view.planar:
        points = torch.from_numpy(on_plane(camera, pixels))
        gaps: Gaps = PointGaps(shapes, slot, points, scale_at(depth_of(points, camera), camera))
    else:
        sights = RingGaps if shapes.kind == "ring" else SightGaps
        gaps = sights(shapes, slot, torch.from_numpy(pixels), camera)
    weight, edge = torch.ones(len(slot), dtype=torch.float64), torch.ones(len(slot), dtype=torch.bool)
    if view.depth is None or view.planar:
        return Evidence(slot, gaps, sided, weight, upright, edge)
    return _with_surface(view, bodies, shapes, Evidence(slot, gaps, sided, weight, upright, edge))


def _with_surface(view: View, bodies: dict[int, Body], shapes: Shapes, outline: Evidence) -> Evidence:
    """Evidence of outlines and of points of the surfaces that are seen, _POINTS a slot where there are as many."""
    frames, camera = view.tracks.num_frames, view.camera
    found = [_thinned(*seen_surface(view, k + 1)) for k in bodies]
    points = torch.from_numpy(np.concatenate([part for part, _ in found]) + np.array(camera.position))
    slot = torch.from_numpy(np.concatenate([row * frames + at for row, (_, at) in enumerate(found)]))
    inner = PointGaps(shapes, slot, points, scale_at(depth_of(points, camera), camera))
    count = len(slot)
    no = torch.zeros(count, dtype=torch.bool)
    return Evidence(
        torch.cat([outline.slot, slot]),
        BothGaps(outline.gaps, inner, len(outline.slot)),
        torch.cat([outline.one_sided, no]),
        torch.cat([outline.weight, torch.full((count,), 1 / OUTLINE_WEIGHT, dtype=torch.float64)]),
        torch.cat([outline.upright, no]),
        torch.cat([outline.edge, no]),
    )


def _thinned(points: Floats, frame: Ints) -> tuple[Floats, Ints]:
    """About _POINTS points of each frame, spread over all there are."""
    count = np.bincount(frame, minlength=1)
    first = np.cumsum(count) - count
    stride = np.maximum(1, count // _POINTS)[frame]
    keep = (np.arange(len(frame)) - first[frame]) % stride == 0
    return points[keep], frame[keep]


def _guesses(view: View, bodies: dict[int, Body]) -> tuple[Floats, Floats]:
    """(K, T, 3) metres where masks' centres are, and (K, T) metres from the camera, both by apparent size."""
    tracks, camera, places = view.tracks, view.camera, list(bodies)
    area, seen = tracks.area[:, places].T, tracks.area[:, places].T > 0
    middle = np.where(seen[..., None], tracks.centroid[:, places].swapaxes(0, 1), 0.0)
    if view.planar:
        return on_plane(camera, middle), np.full(area.shape, np.inf)
    origin, direction = rays(camera, middle)
    if camera.kind == "orthographic":
        away = float(np.linalg.norm(np.subtract(camera.target, camera.position)))
        return origin + away * direction, np.full(area.shape, np.inf)
    radius = np.array([shadow_radius(body.shape) for body in bodies.values()])[:, None]
    distance = camera.focal * radius / np.sqrt(np.maximum(area, 1.0) / np.pi)
    if view.depth is not None:
        distance = np.where(seen, _depths(view, places) / (direction @ camera.rotation[2]) + 0.5 * radius, distance)
    return origin + distance[..., None] * direction, distance


def _depths(view: View, places: list[int]) -> Floats:
    """(K, T) mean metres along the camera's axis of what is seen of bodies; 0 where nothing is."""
    assert view.depth is not None
    ids, frames = view.tracks.ids, view.tracks.num_frames
    count = max(places) + 2
    flat = (np.arange(frames)[:, None, None] * count + np.minimum(ids, count - 1) * (ids < count)).ravel()
    total = np.bincount(flat, view.depth.ravel(), minlength=frames * count).reshape(frames, count)
    number = np.bincount(flat, minlength=frames * count).reshape(frames, count)
    return np.asarray((total / np.maximum(number, 1))[:, np.array(places) + 1].T, np.float64)


def _prior(view: View, guess: Tensor) -> Tensor:
    """(S, D, D) information about the guess over EDGE_NOISE^2: turns within a radian, distances within a half."""
    size = 3 if view.planar else 6
    turn = (EDGE_NOISE / _TURN_NOISE) ** 2
    prior = torch.diag(torch.tensor([1e-6] * (size // 3 + 1) + [turn] * (size - size // 3 - 1), dtype=torch.float64))
    prior = prior.expand(len(guess), size, size).clone()
    if not view.planar:
        way = guess - torch.tensor(view.camera.position, dtype=torch.float64)
        distance = way.norm(dim=-1, keepdim=True).clamp_min(1e-9)
        ahead = way / distance
        prior[:, :3, :3] += (EDGE_NOISE / (0.5 * distance[..., None])) ** 2 * ahead[:, :, None] * ahead[:, None, :]
    return prior
