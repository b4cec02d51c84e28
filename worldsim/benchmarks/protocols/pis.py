"""Physical Invariance Score of NewtonGen (arXiv 2509.21309, pandayuanyu/NewtonGen, evaluation_PIS).

A quantity q that the motion keeps constant, read from an object's masks, scores

    pis = 1 / (1 + std(q) / (|mean(q)| + 1e-8))

over the six frames in the middle of the clip. Places are mean pixels with the origin at the lower left, in metres,
averaged over five frames; velocities and accelerations are central differences; `energy` is speed^2 / 2 + 9.8 y, and
`energy_x_only` leaves out vy; `omega` is the rate of the mask's long axis, by moments here, by the rectangle of least
area there; `omega_center`, `radius2` and `speed2` belong to circles about the picture's middle. Frames without the
object enter as zeros.

Where the original is biased: where the mean is near 0, as of an acceleration where there is none, noise is the score;
where a height is added, the zero of height is (energy looks more constant the higher up the object is); gravity is 9.8
whatever the scene's; what rests or is gone all along has no spread and scores 1; a wrong constant is as good as the
right one; only six frames are looked at. Here the published figure stands, with that of the simulator's own pictures as
its floor, and beside it, where there is a scene, the `true` one: the mean over frames of 1 / (1 + |q - q_true| / s),
q_true read alike off the simulator's pictures, with the scene's gravity, and 0 where the object should have been seen
for four frames to both sides and was not. The scale s is the root mean square v of the true speed (no less than the
body's size a second) for velocities, v^2 for energies and speed2, gravity or else v a second for accelerations, the
body's size for y, v over it or over the distance from the middle for rates of turning, and the mean of the true
radius2. The truth scores 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from worldsim.benchmarks.protocols.cases import VideoCase, Videos, read_cases
from worldsim.benchmarks.protocols.outcome import ProtocolResult, Row, means
from worldsim.benchmarks.protocols.pisa import centroids, dropped_body
from worldsim.benchmarks.track import Flags, Floats, measure_tracks
from worldsim.scene import Body

# What the published motions keep constant; families of this project that are such motions.
MOTIONS = {
    "uniform": ("y", "vx", "energy"),
    "acceleration": ("y", "ax", "ay", "energy"),
    "parabola": ("vx", "ay", "energy", "energy_x_only"),
    "circular": ("omega_center", "radius2", "speed2"),
    "rotation": ("omega", "energy"),
    "rotating_parabola": ("vx", "ay", "omega", "energy"),
}
FAMILIES = {"uniform_motion": "uniform", "parabola": "parabola"}
_EPS, _EARTH = 1e-8, 9.8
_SMOOTH, _TRIM, _SHOWN = 5, 3, 6  # frames that are averaged, left out at both ends, and scored
_WINDOW = _SMOOTH // 2 + 2  # frames to both sides that an acceleration is read from


def pis(values: Floats) -> float:
    """The published score of (T,) values of a quantity."""
    return float(1 / (1 + values.std() / (abs(values.mean()) + _EPS)))


def middle_frames(frames: int) -> list[int]:
    """The six frames that are scored: in the middle of all but three at both ends, spread out where there are fewer."""
    first = _TRIM if frames > 2 * _TRIM else 0
    left = frames - 2 * first
    if left >= _SHOWN:
        start = first + (left - _SHOWN) // 2
        return list(range(start, start + _SHOWN))
    return [first + round(place) for place in np.linspace(0, left - 1, _SHOWN)]


def quantities(masks: Flags, metres: float, fps: float, gravity: float = _EARTH) -> dict[str, Floats]:
    """(T,) of each quantity of an object's masks, SI units.

    Args:
        masks: (T, H, W) of the object.
        metres: That a pixel is wide.
        fps: Frames a second.
        gravity: Metres a second squared, downwards in the picture.
    """
    _, height, width = masks.shape
    seen = _shown(masks)
    place = centroids(masks)
    place[:, 1] = height - place[:, 1]
    place = _smoothed(np.where(seen[:, None], place, 0.0)) * metres
    x, y = place.T
    vx, vy = _rate(x, fps), _rate(y, fps)
    covariance = measure_tracks(masks.astype(np.uint8), 1).covariance[:, 0]
    tilt = 0.5 * np.arctan2(-2 * covariance[:, 0, 1], covariance[:, 0, 0] - covariance[:, 1, 1])
    tilt = 0.5 * np.unwrap(2 * np.where(seen, tilt, 0.0))
    across, up = x - width * metres / 2, y - height * metres / 2
    energy_x = 0.5 * vx**2 + gravity * y
    return {
        "y": y,
        "vx": vx,
        "ax": _rate(vx, fps),
        "ay": _rate(vy, fps),
        "energy": energy_x + 0.5 * vy**2,
        "energy_x_only": energy_x,
        "omega": _rate(tilt, fps),
        "omega_center": _rate(np.unwrap(np.arctan2(up, across)), fps),
        "radius2": across**2 + up**2,
        "speed2": vx**2 + vy**2,
    }


def _smoothed(values: Floats) -> Floats:
    """Means over five frames, over fewer at the ends."""
    half = _SMOOTH // 2
    return np.stack([values[max(0, t - half) : t + half + 1].mean(0) for t in range(len(values))])


def _rate(values: Floats, fps: float) -> Floats:
    """Central differences, 0 at both ends."""
    result = np.zeros_like(values)
    if len(values) > 2:
        result[1:-1] = (values[2:] - values[:-2]) * fps / 2
    return result


def true_scores(seen: Flags, true: Flags, names: Sequence[str], case: VideoCase, body: Body) -> Row:
    """Scores against the truth, as at the top of this file.

    Args:
        seen: (T, H, W) where the video shows the object.
        true: (T, H, W) where it is.
        names: Of quantities.
        case: With its scene.
        body: Of the scene, that is judged.
    """
    pull, size = -case.known_scene.law.gravity[2], body.shape.extent
    found, ought = (quantities(masks, 1 / case.camera.focal, case.fps, pull) for masks in (seen, true))
    read, due = (_around(_shown(masks)) for masks in (seen, true))
    if not due.any():
        return {f"true {name}": math.nan for name in names}
    speed = max(float(np.sqrt(ought["speed2"][due].mean())), size)
    around = float(np.sqrt(ought["radius2"][due].mean()))
    scales = {
        "y": size,
        "vx": speed,
        "ax": max(abs(pull), speed),
        "ay": max(abs(pull), speed),
        "omega": speed / size,
        "omega_center": speed / max(around, size),
        "radius2": around**2,
    }
    row: Row = {}
    for name in names:
        off = np.abs(found[name] - ought[name]) / scales.get(name, speed**2)
        row[f"true {name}"] = float(np.where(read, 1 / (1 + off), 0.0)[due].mean())
    return row


def _shown(masks: Flags) -> Flags:
    return np.asarray(masks.any((1, 2)), bool)


def _around(seen: Flags) -> Flags:
    """(T,) whether an object is there in all frames that the quantities of a frame are read from."""
    held = np.ones(len(seen), bool)
    for shift in range(-_WINDOW, _WINDOW + 1):
        held &= np.array([0 <= t + shift < len(seen) and seen[t + shift] for t in range(len(seen))])
    return held


def _names(case: VideoCase, motion: str | None) -> tuple[str, ...]:
    if motion is None:
        motion = FAMILIES.get(case.scene.family if case.scene else "")
    if motion not in MOTIONS:
        known = ", ".join(MOTIONS)
        raise ValueError(f"{case.name}: motion: must be one of {known}, which its family does not tell, got {motion!r}")
    return MOTIONS[motion]


def _row(case: VideoCase, motion: str | None, body: str | None, metres: float | None) -> Row:
    scene, names = case.scene, _names(case, motion)
    if scene is None:
        if case.masks is None or metres is None:
            raise ValueError(f"{case.name}: must have a scene, or masks and `metres` a pixel, has neither")
        place, told, truth = 0, "object 1", None
        ids = case.masks
    else:
        if not scene.planar:
            raise ValueError(f"{case.name}: scene.planar: must be true, since lengths are read off the picture")
        place, metres = dropped_body(case) if body is None else scene.index(body), 1 / case.camera.focal
        told, truth = scene.bodies[place].name, case.render()
        ids = case.masks if case.masks is not None else case.tracker()(case.frames)
    seen = np.asarray(ids == place + 1, bool)
    read, shown = quantities(seen, metres, case.fps), middle_frames(len(seen))
    row: Row = {"clip": case.name, "body": told} | {f"pis {name}": pis(read[name][shown]) for name in names}
    if scene is not None and truth is not None:
        row |= true_scores(seen, np.asarray(truth.ids == place + 1, bool), names, case, scene.bodies[place])
        own = quantities(np.asarray(truth.ids == place + 1, bool), metres, case.fps)
        row |= {f"floor pis {name}": pis(own[name][shown]) for name in names}
    return row


def run_pis(
    videos: Videos,
    reference: str | None = None,
    fps: float | None = None,
    motion: str | None = None,
    body: str | None = None,
    metres: float | None = None,
) -> ProtocolResult:
    """PIS of one object a clip, quantity by quantity.

    Args:
        videos: Folder or cases; their masks where there are some, else the built-in tracker finds the body.
        reference: Folder of planar scenes, NAME.json; the videos' own where left out.
        fps: Frames a second; the scene's or the file's where left out.
        motion: One of MOTIONS, what the object is meant to do; told by the scene's family where left out.
        body: Name of the object that is judged; the free one that starts highest where left out.
        metres: That a pixel is wide, for clips without a scene, of which the object of id 1 is judged; the original's
            is 1 / 12.
    """
    rows = [_row(case, motion, body, metres) for case in read_cases(videos, reference, fps)]
    columns = dict.fromkeys(key for row in rows for key in row if key not in ("clip", "body"))
    found = means(rows, dict.fromkeys(columns, ""))
    return ProtocolResult("pis", {name: value for name, value in found.items() if value.count}, tuple(rows))
