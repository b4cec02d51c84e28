"""Balls that a static body carries: what lies or rolls on a known table is as far away as the table says.

A picture tells a small ball's distance by its apparent size, many times worse than its way across the line of sight.
Where the scene has gravity and something to rest on, the way itself tells whether the ball is carried: in flight it
would fall, and that is seen. A ball that does not fall, and whose apparent size agrees, touches the face beneath it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worldsim.benchmarks.track import Flags, Floats, Ints
from worldsim.scene import Body, Box, Plane

_UPRIGHT = 0.5  # cosine between a face's normal and the way up from which on it carries
_AGREE = 3.0  # standard errors by which the apparent size may contradict
_NEVER = 6.0  # standard errors by which it may in any single frame, as at the end of a fall
_TOLD = 3.0  # standard errors of the way's bend that part a flight from what is carried
_KNOWN = 0.035  # of the radius: error of the height under which nothing need be assumed
SINK = 0.01  # of the radius: how far engines let resting bodies sink in
_GRAZING = 0.1  # sine of the angle between line of sight and face under which nothing is laid on it
_OPEN = 2  # frames of a piece up to which it has no bend
_FLIGHT = (0.5, 2.0)  # share of a flight's bend that is taken for one


@dataclass(frozen=True)
class Face:
    """A flat face of a static body that can carry.

    Attributes:
        body: Id of the static body.
        normal: (3,) unit vector out of it.
        middle: (3,) metres, a point of the face.
        sides: (2, 3) unit vectors along its sides.
        half: (2,) metres to its edges, infinite for planes.
    """

    body: int
    normal: Floats
    middle: Floats
    sides: Floats
    half: Floats


def faces_of(statics: dict[int, Body], gravity: Floats) -> list[Face]:
    """Faces of planes and boxes that look up, against gravity (3,)."""
    pull = float(np.linalg.norm(gravity))
    found: list[Face] = []
    for number, body in statics.items():
        if body.state is None or pull == 0 or not isinstance(body.shape, Plane | Box):
            continue
        turn = body.state.rotation
        middle = np.array(body.state.position)
        if isinstance(body.shape, Plane):
            found.append(Face(number, turn[:, 2], middle, turn[:, :2].T, np.full(2, np.inf)))
            continue
        half = np.array(body.shape.half_extents)
        for axis in range(3):
            others = [i for i in range(3) if i != axis]
            for sign in (-1.0, 1.0):
                normal = sign * turn[:, axis]
                found.append(Face(number, normal, middle + half[axis] * normal, turn[:, others].T, half[others]))
    return [face for face in found if -(face.normal @ gravity) > _UPRIGHT * pull]


def likely(face: Face, centre: Floats, spread: Floats, radius: float) -> Flags:
    """(T,) whether a ball may be on a face, by its free fits (T, 3) and (T, 3, 3), and that says more than these do."""
    height, error = _height(face, centre, spread, radius)
    return np.asarray((np.abs(height) < _AGREE * error) & (error > _KNOWN * radius), bool)


def laid(face: Face, ahead: Floats, radius: float) -> Floats:
    """(T, 3) where lines of sight along (T, 3), in the frame of the camera's place, meet the centres of balls on it."""
    slant = ahead @ face.normal
    reach = (face.middle @ face.normal + radius) / np.minimum(slant, -_GRAZING * np.linalg.norm(ahead, axis=-1))
    return np.asarray(ahead * reach[:, None], np.float64)


def carried(
    face: Face,
    fit: tuple[Floats, Floats],
    known: Flags,
    free: tuple[Floats, Floats],
    placed: Flags,
    pieces: Ints,
    radius: float,
    gravity: Floats,
    dt: float,
) -> tuple[Flags, Floats]:
    """Frames in which a face carries a ball, piece by piece of its way.

    A piece is carried if the ball stays over the face, if the mean height by the apparent size agrees, and if it does
    not fly. A flight bends, where it is laid on the face, in a way that is known: less than half of that bend or more
    than twice, told by _TOLD standard errors, is none, nor is one so high that the apparent size would contradict.
    Pieces of which the apparent size tells nothing count where a neighbour is carried. Those too short to bend count
    where both are; there a hop that lasts as long is an error of the height.

    Args:
        face: In the frame of the centres.
        fit: (T, 3) centres held to the face, metres, and (T, 3, 3) covariances.
        known: (T,) frames in which the fit is of meaning.
        free: As fit, not held to the face.
        placed: (T,) frames in which that is of meaning.
        pieces: (T,) stretches between impacts.
        radius: Metres.
        gravity: (3,) m/s^2.
        dt: Seconds a frame.

    Returns:
        (T,) flags, and (T,) metres: height of a hop that could not be seen.
    """
    flags, hop = np.zeros(len(known), bool), np.zeros(len(known))
    runs = [np.flatnonzero((pieces == number) & known) for number in range(int(pieces.max(initial=-1)) + 1)]
    runs = [run for run in runs if len(run)]
    pull = float(np.linalg.norm(gravity))
    heights = _height(face, *free, radius)
    told = [
        (
            _over(face, fit[0][at]) and _agrees(heights, at[placed[at]], radius),
            placed[at].any() and len(at) > _OPEN,
            _lies(face, fit[0][at], fit[1][at], heights, at, placed, gravity, dt),
        )
        for at in runs
    ]
    sure = [able and seen and lies is True for able, seen, lies in told]
    for number, (at, (able, _, lies)) in enumerate(zip(runs, told, strict=True)):
        beside = [sure[i] for i in (number - 1, number + 1) if 0 <= i < len(runs)]
        between = lies is None and len(at) <= _OPEN and len(beside) == 2 and all(beside)
        flags[at] = sure[number] or (able and ((lies is True and any(beside)) or between))
        hop[at] = pull * ((len(at) + 1) * dt) ** 2 / 8 if between else 0.0
    return flags, hop


def _over(face: Face, place: Floats) -> bool:
    """Whether balls at (K, 3) are over a face and it is not seen from the side."""
    steep = place @ face.normal < -_GRAZING * np.linalg.norm(place, axis=-1)
    return bool(steep.all() and (np.abs((place - face.middle) @ face.sides.T) <= face.half).all())


def _agrees(heights: tuple[Floats, Floats], at: Ints, radius: float) -> bool:
    """Whether heights that are read free agree with none at all, and say no more than the face does."""
    if not len(at):
        return True
    height, error = heights[0][at], heights[1][at]
    off = np.abs(height / error)
    agrees = abs(np.median(height / error)) <= _AGREE and off.max() <= _NEVER
    return bool(np.median(error) >= _KNOWN * radius and agrees)


def _lies(
    face: Face,
    place: Floats,
    spread: Floats,
    heights: tuple[Floats, Floats],
    at: Ints,
    placed: Flags,
    gravity: Floats,
    dt: float,
) -> bool | None:
    """Whether the bend of a way (K, 3) laid on a face is none of a flight's; None where that cannot be told."""
    if len(at) <= _OPEN:
        return None
    ahead = (place / np.linalg.norm(place, axis=-1, keepdims=True)).mean(0)
    down = float(gravity @ face.normal)
    fall = down * (face.normal - ahead / (ahead @ face.normal))  # how a way in flight would bend, laid on the face
    slide = gravity - down * face.normal
    noise = np.sqrt(np.maximum((fall @ spread) @ fall, 1e-24))
    time = (at - at.mean()) * dt
    columns = np.stack([np.ones(len(at)), time, time**2 / 2], -1) / noise[:, None]
    bend, told = np.linalg.pinv(columns) @ ((place @ fall) / noise), np.linalg.inv(columns.T @ columns)[2, 2]
    size = float(fall @ fall)
    share, doubt = (float(bend[2]) - float(slide @ fall)) / size, float(np.sqrt(told)) / size
    low, high = _FLIGHT
    if _TOLD * doubt > max(1.0, low - share, share - high):
        return None
    seen = at[placed[at]]
    if not low < share < high or not len(seen):
        return not low < share < high
    mean = -share * down * ((at[-1] - at[0] + 1) * dt) ** 2 / 12  # of a flight from the face and back
    return bool(np.median((mean - heights[0][seen]) / heights[1][seen]) > _AGREE)


def _height(face: Face, centre: Floats, spread: Floats, radius: float) -> tuple[Floats, Floats]:
    """(K,) metres between the face and balls at (K, 3), and standard errors."""
    height = (centre - face.middle) @ face.normal - radius
    return height, np.sqrt(np.maximum((face.normal @ spread) @ face.normal, 0.0))
