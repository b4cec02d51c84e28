"""PhyWorld's velocity error (arXiv 2411.02385, id_ood_data/evaluate.py), as published and with an unbiased reader.

Both judge the frames of index 3 and above in which every true ball is wholly in view, in units a second, units being
tenths of the picture's edge, and both keep to the horizontal velocity:

- uniform motion and parabola: |mean_t v - v0|, the ball's start speed v0;
- collision: mean over both balls of |mean_t v - mean_t v_true| after the first |dv_true| > .1 between frames.

`phyworld_legacy` is the original: pixel / W * 10 for the place, which takes v / W off every speed in pictures drawn on
its own grid, and most of the published floor of .0099 is that; a ball without a pixel stands at the border. Time means
forgive jitter, and for the parabola the figure is blind to gravity. `phyworld` reads without the bias and adds the
mean position error on both axes and, for the parabola, the fitted acceleration. A ball that is missing, or whose area
is outside [.5, 2] of the true one, counts with its true speed over that frame, with its way out of view as position
error, and with the whole of gravity where no fit is left. Read the share of missing frames beside: a slow ball's speed
is small.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from worldsim.benchmarks.protocols.cases import VideoCase, Videos, read_cases
from worldsim.benchmarks.protocols.discs import WORLD, Reading, read_discs
from worldsim.benchmarks.protocols.outcome import ProtocolResult, Row, means
from worldsim.benchmarks.track import Flags, Floats
from worldsim.scene import Scene, Sphere

FIRST_JUDGED = 3
IMPACT = 0.1  # units a second
FAMILIES = ("uniform_motion", "parabola", "collision")
_GROUND = "floor "
_UNITS = {
    "velocity_error": "units/s",
    "x_error": "units",
    "z_error": "units",
    "missing": "share",
    "acceleration": "units/s^2",
    "acceleration_error": "units/s^2",
}


def in_view(truth: Floats, radii: Sequence[float]) -> Flags:
    """(T,) frames of index 3 and above in which all balls of (T, N, 2) units are wholly inside the picture."""
    margin = np.asarray(radii)[None, :, None]
    inside = ((truth - margin >= 0) & (truth + margin <= WORLD)).all((1, 2))
    inside[:FIRST_JUDGED] = False
    return np.asarray(inside, bool)


def impact_index(velocity: Floats) -> int | None:
    """First i with |v[i] - v[i - 1]| > .1 for some ball of (T, N) velocities, None where there is none."""
    jumps = np.flatnonzero((np.abs(np.diff(velocity, axis=0)) > IMPACT).any(1))
    return int(jumps[0]) + 1 if len(jumps) else None


def legacy_error(reading: Reading, truth: Floats, radii: Sequence[float], speed: float | None, dt: float) -> float:
    """The published velocity error of one clip.

    Args:
        reading: On the grid "legacy".
        truth: (T, N, 2) units.
        radii: (N,) units.
        speed: v0 of a single ball; None for a collision.
        dt: Seconds a frame.

    Returns:
        Units a second; NaN where fewer than two frames are judged or none lies after the impact.
    """
    judged = in_view(truth, radii)
    # What has no pixel stands at the right border, the left ball of a collision at the left one.
    border = np.array([WORLD] if speed is not None else [0.0, WORLD])
    read = np.where(np.isnan(reading.position[..., 0]), border, reading.position[..., 0])[judged]
    if len(read) < 2:
        return math.nan
    velocity = np.diff(read, axis=0) / dt
    if speed is not None:
        return float(abs(velocity[:, 0].mean() - speed))
    true = np.diff(truth[judged, :, 0], axis=0) / dt
    impact = impact_index(true)
    if impact is None or impact + 1 >= len(true):
        return math.nan
    return float(np.abs(velocity[impact + 1 :].mean(0) - true[impact + 1 :].mean(0)).mean())


def judge(reading: Reading, truth: Floats, radii: Sequence[float], collision: bool, dt: float) -> Row:
    """Our figures of one clip.

    Args:
        reading: On a grid without bias.
        truth: (T, N, 2) units.
        radii: (N,) units.
        collision: Whether only what follows the first impact counts for the velocity.
        dt: Seconds a frame.

    Returns:
        velocity_error in units a second, x_error and z_error in units, missing as a share of judged balls and frames;
        NaN where nothing can be judged in truth.
    """
    judged = in_view(truth, radii)
    there = present(reading, radii)
    row: Row = {"velocity_error": math.nan, "x_error": math.nan, "z_error": math.nan, "missing": math.nan}
    if not judged.any():
        return row
    margin = np.asarray(radii)[None, :, None]
    way_out = np.minimum(truth, WORLD - truth) + margin
    offset = np.where(there[..., None], np.abs(reading.position - truth), way_out)[judged]
    row |= {"x_error": float(offset[..., 0].mean()), "z_error": float(offset[..., 1].mean())}
    row["missing"] = float(1 - there[judged].mean())
    counted = judged[1:] & judged[:-1]
    true = np.diff(truth, axis=0) / dt
    if collision:
        # Frames that follow each other, as the original takes what is in view.
        steps = np.flatnonzero(counted)
        impact = impact_index(true[steps, :, 0])
        if impact is None:
            return row
        counted[: steps[impact] + 1] = False
    if not counted.any():
        return row
    read = np.diff(reading.position[..., 0], axis=0) / dt
    sound = there[1:] & there[:-1]
    errors = []
    for ball in range(len(radii)):
        good, bad = counted & sound[:, ball], counted & ~sound[:, ball]
        drift = abs(float((read[good, ball] - true[good, ball, 0]).mean())) if good.any() else 0.0
        lost = float(np.linalg.norm(true[bad, ball], axis=-1).mean()) if bad.any() else 0.0
        errors.append((good.sum() * drift + bad.sum() * lost) / counted.sum())
    row["velocity_error"] = float(np.mean(errors))
    return row


def present(reading: Reading, radii: Sequence[float]) -> Flags:
    """(T, N) balls that are seen with an area in [.5, 2] of their own."""
    whole = math.pi * (np.asarray(radii) / WORLD * reading.size) ** 2
    share = reading.area / whole
    return np.asarray((share >= 0.5) & (share <= 2) & ~np.isnan(reading.position).any(-1), bool)


def fitted_acceleration(reading: Reading, truth: Floats, radii: Sequence[float], dt: float) -> float:
    """Twice the square term of the least-squares parabola through the ball's heights, units a second squared.

    NaN below four judged frames in which the ball is present.
    """
    frames = np.flatnonzero(in_view(truth, radii) & present(reading, radii)[:, 0])
    if len(frames) < 4:
        return math.nan
    return float(2 * np.polyfit(frames * dt, reading.position[frames, 0, 1], 2)[0])


def cell(scene: Scene) -> str | None:
    """Where a scene lies in PhyWorld's ranges: id, ood radius, ood velocity or ood both; None where it is dropped."""
    collision = scene.family == "collision"
    radii, speeds = _sizes(scene), [abs(v) for v in start_speeds(scene)]
    low, high, least = (0.5, 1.5, 0.5) if collision else (0.7, 1.4, 0.6)
    if min(radii) < least or (collision and min(radii) <= least):
        return None
    radius_in = all(low <= r <= high for r in radii)
    speed_in = all(1.0 <= v <= 4.0 for v in speeds)
    if radius_in and speed_in:
        return "id"
    return "ood radius" if speed_in else "ood velocity" if radius_in else "ood both"


def start_speeds(scene: Scene) -> list[float]:
    """Horizontal start velocities of the balls, units a second; gravity does not change them."""
    return [body.state.linear_velocity[0] for body in scene.bodies if body.state is not None and not body.static]


def _sizes(scene: Scene) -> list[float]:
    return [body.shape.radius for body in scene.bodies if isinstance(body.shape, Sphere) and not body.static]


def _check(case: VideoCase) -> Scene:
    scene = case.known_scene
    if scene.family not in FAMILIES:
        raise ValueError(f"{case.name}: scene.family must be one of {', '.join(FAMILIES)}, got {scene.family!r}")
    for body, colour in zip(scene.bodies, ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0)), strict=False):
        if body.colour != colour:
            raise ValueError(f"{case.name}: body[{body.name}].colour must be {colour}, got {body.colour}")
    return scene


def _row(case: VideoCase, legacy: bool, grid: str, floor: bool) -> Row:
    scene = _check(case)
    radii, dt = _sizes(scene), 1 / case.fps
    collision = scene.family == "collision"
    truth = case.positions()[..., [0, 2]]
    row: Row = {"clip": case.name, "family": scene.family, "cell": cell(scene) or "dropped"}
    videos = {"": case.frames} | ({_GROUND: case.render().video} if floor else {})
    for prefix, video in videos.items():
        if legacy:
            read = read_discs(video, len(radii), "legacy")
            speed = None if collision else abs(start_speeds(scene)[0])
            row[f"{prefix}velocity_error"] = legacy_error(read, truth, radii, speed, dt)
            continue
        # The simulator's own pictures lie on cells, whatever the grid of the video that is judged.
        read = read_discs(video, len(radii), "cells" if prefix else grid)
        found = judge(read, truth, radii, collision, dt)
        if scene.family == "parabola":
            pull = scene.law.gravity[2]
            fitted = fitted_acceleration(read, truth, radii, dt)
            found["acceleration"] = fitted
            found["acceleration_error"] = abs(fitted - pull) if math.isfinite(fitted) else abs(pull)
        row |= {f"{prefix}{name}": value for name, value in found.items()}
    return row


def _result(name: str, rows: list[Row]) -> ProtocolResult:
    figures = {}
    for family in FAMILIES:
        own = [row for row in rows if row["family"] == family]
        for split, keep in (("id", lambda row: row["cell"] == "id"), ("ood", lambda row: row["cell"][:3] == "ood")):
            columns = {p + key: unit for key, unit in _UNITS.items() for p in ("", _GROUND) if p + key in _keys(own)}
            found = means(own, columns, keep)
            figures.update({f"{family} {split} {key}": value for key, value in found.items() if value.count})
    dropped = sum(row["cell"] == "dropped" for row in rows)
    blind = sum(row["cell"] != "dropped" and not math.isfinite(row["velocity_error"]) for row in rows)
    notes = []
    if dropped:
        notes.append(f"{dropped} clips with balls too small for the protocol are left out (r < .6, collision r <= .5).")
    if blind:
        notes.append(f"{blind} clips have no velocity figure: in truth nothing is left in view, or after the impact.")
    return ProtocolResult(name, figures, tuple(rows), tuple(notes))


def _keys(rows: Sequence[Row]) -> set[str]:
    return {key for row in rows for key in row}


def run_phyworld(
    videos: Videos,
    reference: str | None = None,
    fps: float | None = None,
    grid: str = "cells",
    floor: bool = True,
) -> ProtocolResult:
    """PhyWorld's three worlds with the unbiased reader and our bars.

    Args:
        videos: Folder or cases, of scenes of the families uniform_motion, parabola and collision.
        reference: Folder of scenes, NAME.json; the videos' own where left out.
        fps: Frames a second; the scene's where left out.
        grid: How pixels lie over the world: "cells" for this project's pictures, "linspace" for the original's.
        floor: Whether the same figures are read from the simulator's own render of each scene.
    """
    return _result("phyworld", [_row(case, False, grid, floor) for case in read_cases(videos, reference, fps)])


def run_phyworld_legacy(
    videos: Videos, reference: str | None = None, fps: float | None = None, floor: bool = True
) -> ProtocolResult:
    """PhyWorld's published figure, its bias included; arguments as run_phyworld.

    The bias shows on pictures of the original's grid alone: on this project's, which lie on cells, pixel / W * 10 is
    off by a constant half pixel, which no velocity feels.
    """
    return _result(
        "phyworld_legacy", [_row(case, True, "legacy", floor) for case in read_cases(videos, reference, fps)]
    )
