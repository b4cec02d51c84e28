"""The built-in tracker of flat and simply shaded video: backdrop, colour classes, components, association."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

from worldsim.benchmarks.footage import Footage, footage_of_array
from worldsim.benchmarks.matting import luma_chroma, settle_edges
from worldsim.benchmarks.track import Floats, UInt8
from worldsim.benchmarks.world import World

_NEW = 254  # most objects that ids can hold
_MIN_PART = 4  # pixels
_PARTED = 2.5  # radii of a disc as large as the largest part, within which the others lie
_EXACT = 2  # grey levels by which an exact picture may differ from its backdrop
_SHOWN = 0.98  # share of the pixels asked that must be exact


@dataclasses.dataclass(frozen=True)
class Backdrop:
    """What is seen where no moving body is.

    Attributes:
        picture: (H, W, 3) RGB.
        ids: (H, W) of static bodies.
    """

    picture: UInt8
    ids: UInt8


@dataclasses.dataclass(frozen=True)
class ColourTracker:
    """Finds objects that differ in colour from what is behind them.

    Shading changes a colour's length more than its direction, so that classes go by direction; what is darker than the
    backdrop and more like it than like any object is a shadow. Objects of one colour that touch are one component until
    they part; textured objects fall into several. Bring another Tracker for those.

    Attributes:
        threshold: Grey levels by which a channel must differ from the backdrop.
        colours: (K, 3) from 0 to 1 of the objects to find, object k at row k - 1; left out, they are found.
        labels: (K,) their ids.
        backdrop: Left out, it is the colour that fills most of the picture or else the median over time.
    """

    threshold: int = 24
    colours: tuple[tuple[float, float, float], ...] | None = None
    labels: tuple[int, ...] = ()
    backdrop: Backdrop | None = None

    def __call__(self, frames: UInt8) -> UInt8:
        """(T, H, W) ids of (T, H, W, 3) frames at hand."""
        return np.concatenate(list(self.follow(footage_of_array(frames, 1.0))))

    def follow(self, footage: Footage) -> Iterator[UInt8]:
        """(n, H, W) ids chunk by chunk; backdrop and colours come from the footage's sample."""
        backdrop = self.backdrop or _backdrop(footage.sample, self.threshold)
        known = self.colours is not None
        directions = _unit(np.asarray(self.colours, np.float64)) if known else self._classes(footage.sample, backdrop)
        kinds, members = _merge(directions)
        labels = self.labels if known else ()
        behind = _Behind(backdrop, self.threshold)
        book = _Book([[labels[i] for i in group] for group in members] if known else [[] for _ in kinds], known)
        time = 0
        for chunk in footage.chunks():
            ids = np.repeat(backdrop.ids[None], len(chunk), 0)
            for frame, out in zip(chunk, ids, strict=True):
                ahead = behind.covered(frame)
                kind = np.full(frame.shape[:2], -1)
                kind[ahead] = _kind(frame[ahead], backdrop.picture[ahead], kinds)
                for index in range(len(kinds)):
                    book.assign(time, index, kind == index, out)
                exact = behind.shown(frame, ahead)
                out[:] = settle_edges(frame, out, backdrop.picture, backdrop.ids, exact)
                if exact:
                    book.complete(time, np.where(out == backdrop.ids, kind, -1), out)
                time += 1
            yield ids

    def _classes(self, frames: UInt8, backdrop: Backdrop) -> Floats:
        """Directions of colours in what moves, the most frequent first, none within 12 degrees of another."""
        behind = _Behind(backdrop, self.threshold)
        # Rims are blended with what lies behind, in colours that no object has.
        found = np.concatenate([frame[_cores(behind.covered(frame))] for frame in frames]).astype(np.float64)
        if not len(found):
            return np.zeros((0, 3))
        coarse, counts = np.unique(np.round(_unit(found) * 12), axis=0, return_counts=True)
        classes: list[Floats] = []
        for i in np.argsort(-counts):
            direction = _unit(coarse[i][None])[0]
            if counts[i] >= max(_MIN_PART, 0.005 * len(found)) and all(direction @ c < 0.978 for c in classes):
                classes.append(direction)
        return np.array(classes).reshape(-1, 3)


def _cores(ahead: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels two deep in what is ahead, or one deep in parts that are too thin for that."""
    deep = ndimage.binary_erosion(ahead, iterations=2)
    parts, _ = ndimage.label(ahead, np.ones((3, 3), int))
    thin = ~np.isin(parts, np.unique(parts[deep]))
    return np.asarray(deep | (ndimage.binary_erosion(ahead) & thin), bool)


class _Behind:
    """What is seen where no moving body is, and how far compression may have smeared it."""

    def __init__(self, backdrop: Backdrop, threshold: int) -> None:
        self.picture = backdrop.picture.astype(np.int16)
        self.threshold = threshold
        picture = backdrop.picture.astype(np.float32)
        spread = ndimage.maximum_filter(picture, (5, 5, 1)) - ndimage.minimum_filter(picture, (5, 5, 1))
        # A known backdrop is sharp, the video's is not: near its own edges, luma within a pixel and chroma within two
        # may be those of the neighbours (4:2:0), and half the threshold is left for the encoder's noise.
        self.edges = spread.max(-1) > threshold
        parts = luma_chroma(picture)
        size = [(3, 3), (5, 5), (5, 5)]
        low = [ndimage.minimum_filter(parts[..., i], size[i])[self.edges] for i in range(3)]
        high = [ndimage.maximum_filter(parts[..., i], size[i])[self.edges] for i in range(3)]
        self.low, self.high = np.stack(low, -1) - threshold / 2, np.stack(high, -1) + threshold / 2

    def covered(self, frame: UInt8) -> NDArray[np.bool_]:
        """(H, W) where a moving body is in front."""
        ahead = np.asarray(np.abs(frame.astype(np.int16) - self.picture).max(-1) > self.threshold, bool)
        parts = luma_chroma(frame[self.edges])
        ahead[self.edges] &= ((parts < self.low) | (parts > self.high)).any(-1)
        return ahead

    def shown(self, frame: UInt8, ahead: NDArray[np.bool_]) -> bool:
        """Whether the backdrop is seen exactly, beside what is ahead and at its own edges, which blur moves first."""
        full = np.ones((3, 3), bool)
        around = ndimage.binary_dilation(ahead, full, 2)
        asked = (self.edges | ndimage.binary_dilation(around, full, 4)) & ~around
        like = np.abs(frame[asked].astype(np.int16) - self.picture[asked]).max(-1) <= _EXACT
        return bool(like.mean() > _SHOWN) if len(like) else False


class _Book:
    """Who is who: objects of each colour class, where they were and where they are bound for."""

    def __init__(self, members: list[list[int]], fixed: bool) -> None:
        self.members = members
        self.fixed = fixed
        self.place: dict[int, tuple[int, Floats, Floats, float]] = {}

    def assign(self, t: int, kind: int, mask: NDArray[np.bool_], out: UInt8) -> None:
        """Give the components of one class in one frame to its objects, and write their ids into `out`."""
        parts, count = ndimage.label(mask, np.ones((3, 3), int))
        if not count:
            return
        sizes = np.bincount(parts.ravel())[1:]
        # Rims of blended pixels fall into stray classes; they are no objects.
        big = [i for i in np.argsort(-sizes) if sizes[i] >= max(_MIN_PART, 0.05 * sizes.max())]
        if self.fixed and len(self.members[kind]) == 1:
            big = big[:1]
        centres = np.array(ndimage.center_of_mass(mask, parts, [i + 1 for i in big]))
        cost = np.array([[self._cost(t, own, c, sizes[i]) for own in self.members[kind]] for c, i in zip(centres, big)])
        taken: dict[int, int] = {}
        if cost.size:
            for row, column in zip(*linear_sum_assignment(np.minimum(cost, 1e6))):
                if cost[row, column] < 1e6:
                    taken[row] = self.members[kind][column]
        for row, i in enumerate(big):
            own = taken.get(row)
            if own is None:
                own = self._new(kind)
                if own is None:
                    continue
            out[parts == i + 1] = own
            self._note(t, own, centres[row], float(sizes[i]))

    def complete(self, t: int, left: NDArray[np.int64], out: UInt8) -> None:
        """Give what is left (H, W) of the classes of one known object each to it, near where it is seen.

        What stands before an object may part it. Such parts are told from rims only where colours are never mixed.
        """
        if not self.fixed:
            return
        y, x = np.nonzero(left >= 0)
        kind = left[y, x]
        for index in np.unique(kind).tolist():
            own = self.members[index]
            last, place, _, size = self.place.get(own[0], (-1, np.zeros(2), np.zeros(2), 0.0))
            if len(own) == 1 and last == t:
                away = np.hypot(y - place[0], x - place[1])
                chosen = (kind == index) & (away < _PARTED * np.sqrt(size / np.pi))
                out[y[chosen], x[chosen]] = own[0]

    def _new(self, kind: int) -> int | None:
        used = sum(map(len, self.members))
        if self.fixed or used >= _NEW:
            return None
        self.members[kind].append(used + 1)
        return used + 1

    def _cost(self, t: int, own: int, centre: Floats, size: float) -> float:
        if own not in self.place:
            return 1e3 if self.fixed else 1e6
        last, place, velocity, area = self.place[own]
        away = float(np.linalg.norm(place + velocity * (t - last) - centre))
        # Without a list of objects, one that turns up far from where it is due is a new one.
        reach = 3 * np.sqrt(area) + 0.1 * (t - last) * np.sqrt(area) + 4
        if not self.fixed and away > reach:
            return 1e6
        return away + 4 * abs(float(np.log(size / area)))

    def _note(self, t: int, own: int, centre: Floats, size: float) -> None:
        velocity = np.zeros(2)
        if own in self.place:
            last, place, _, _ = self.place[own]
            velocity = (centre - place) / max(1, t - last)
        self.place[own] = (t, centre, velocity, size)


def _kind(seen: UInt8, behind: UInt8, kinds: Floats) -> NDArray[np.int64]:
    """(K,) nearest class of what differs from the backdrop; -1 for shadows: the backdrop's colour, but darker."""
    if not len(kinds):
        return np.full(len(seen), -1)
    direction = _unit(seen.astype(np.float64))
    like = direction @ kinds.T
    dimmed = seen.sum(-1, dtype=np.int64) < behind.sum(-1, dtype=np.int64)
    shadow = dimmed & ((direction * _unit(behind.astype(np.float64))).sum(-1) > like.max(-1))
    return np.asarray(np.where(shadow, -1, np.argmax(like, -1)), np.int64)


def _unit(colours: Floats) -> Floats:
    return np.asarray(colours / np.maximum(np.linalg.norm(colours, axis=-1, keepdims=True), 1e-9), np.float64)


def _merge(directions: Floats) -> tuple[Floats, list[list[int]]]:
    """Classes of colours that can be told apart (4 degrees), and who belongs to each."""
    kinds: list[Floats] = []
    members: list[list[int]] = []
    for i, direction in enumerate(directions):
        near = [j for j, kind in enumerate(kinds) if direction @ kind > 0.9976]
        if near:
            members[near[0]].append(i)
        else:
            kinds.append(direction)
            members.append([i])
    return np.array(kinds).reshape(-1, 3), members


def _backdrop(sample: UInt8, threshold: int) -> Backdrop:
    """One colour where it fills most of the picture, else the median over time."""
    coarse = (sample // 16).astype(np.uint16) @ np.array([256, 16, 1], np.uint16)
    like = coarse == np.argmax(np.bincount(coarse.ravel()))
    plain = np.median(sample[like], axis=0).astype(np.uint8)
    median = np.median(sample, axis=0).astype(np.uint8)
    near = (np.abs(median.astype(np.int16) - plain.astype(np.int16)).max(-1) <= threshold).mean()
    picture = np.broadcast_to(plain, median.shape) if near > 0.5 and like.mean() > 0.5 else median
    return Backdrop(np.ascontiguousarray(picture), np.zeros(median.shape[:2], np.uint8))


def tracker_for(world: World, backdrop: Backdrop) -> ColourTracker:
    """The tracker that knows which colours to look for."""
    objects = world.objects
    return ColourTracker(
        colours=tuple(world.bodies[k].colour for k in objects),
        labels=tuple(k + 1 for k in objects),
        backdrop=backdrop,
    )
