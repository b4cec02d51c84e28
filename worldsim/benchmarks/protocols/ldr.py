"""LDR's position error (arXiv 2608.09926), in and out of distribution, over its five worlds, and their ratio.

The error of a clip is the mean distance of the ball's centre from the true one over the frames of index 3 and above in
which every true ball is wholly in view, in units of the world (10 to a picture in the planar worlds), then the mean
over balls. In distribution are speeds in [1, 4] and radii in [.7, 1.4]; out of distribution what else lies in [.05, 6]
and [.6, 2].

The paper publishes neither code nor its reader, so that its numbers and ours agree in what is measured and not to the
last
digit: planar balls are read by the unbiased colour threshold, the looming ball from the solid angle of its pixels; its
error is three-dimensional, and its floor, printed beside, is larger. A ball that is missing, or in the planar worlds
one whose area is outside [.5, 2] of the true one, counts with its way out of view: a model that loses the ball does not
get a better mean than one that misplaces it. Averages over balls and frames hide when an error happens.
"""

from __future__ import annotations

import math

import numpy as np

from worldsim.benchmarks.protocols.cases import VideoCase, Videos, read_cases
from worldsim.benchmarks.protocols.discs import ball_pixels, read_discs
from worldsim.benchmarks.protocols.outcome import Measured, ProtocolResult, Row, mean_of
from worldsim.benchmarks.protocols.phyworld import FIRST_JUDGED, present
from worldsim.benchmarks.rays import rays
from worldsim.benchmarks.track import Flags, Floats, UInt8
from worldsim.scene import Body, Camera, Scene, Sphere

FAMILIES = ("uniform_motion", "parabola", "collision", "bouncing", "looming")


def split_of(scene: Scene) -> str | None:
    """Where a scene's balls lie in LDR's ranges: id or ood; None outside both."""
    balls = _balls(scene)
    radii = [body.shape.extent for body in balls]
    speeds = [_speed(body) for body in balls]
    if all(0.7 <= r <= 1.4 for r in radii) and all(1 <= v <= 4 for v in speeds):
        return "id"
    return "ood" if all(0.6 <= r <= 2 for r in radii) and all(0.05 <= v <= 6 for v in speeds) else None


def _speed(body: Body) -> float:
    """Start speed as drawn; under gravity the horizontal one."""
    assert body.state is not None
    vx, vy, vz = body.state.linear_velocity
    return math.hypot(vx, vy, vz)


def _balls(scene: Scene) -> list[Body]:
    return [body for body in scene.bodies if isinstance(body.shape, Sphere) and not body.static]


def way_out(camera: Camera, truth: Floats, radii: Floats) -> Floats:
    """(T, N) how far balls wholly in view must go across the line of sight to be wholly out of it, units.

    Args:
        camera: Of the video's size.
        truth: (T, N, 3) centres.
        radii: (N,) units.
    """
    pixels, depth = camera.project(truth)
    scale = np.full(depth.shape, camera.focal) if camera.kind == "orthographic" else camera.focal / depth
    room = np.minimum(pixels, np.array([camera.width, camera.height]) - pixels).min(-1)
    return np.asarray(room / scale + radii, np.float64)


def judged_frames(camera: Camera, truth: Floats, radii: Floats) -> Flags:
    """(T,) frames of index 3 and above in which all balls are wholly in view."""
    inside = np.asarray((way_out(camera, truth, radii) >= 2 * radii).all(-1), bool)
    inside[:FIRST_JUDGED] = False
    return inside


def read_positions(video: UInt8, scene: Scene, camera: Camera) -> Floats:
    """(T, N, 3) centres of the scene's balls as the video shows them, units; NaN where one is missing."""
    balls = _balls(scene)
    radii = [body.shape.extent for body in balls]
    if scene.planar:
        read = read_discs(video, len(balls), "cells")
        flat = np.where(present(read, radii)[..., None], read.position, np.nan)
        return np.stack([flat[..., 0], np.zeros(flat.shape[:2]), flat[..., 1]], -1)
    return sphere_of_pixels(ball_pixels(video, 0), camera, radii[0])[:, None]


def sphere_of_pixels(masks: Flags, camera: Camera, radius: float) -> Floats:
    """Centre of a ball that is wholly seen in perspective, from the solid angle and the mean direction of its pixels.

    A ball of radius r at distance d fills the cone of half angle a with sin a = r / d, whose solid angle is
    2 pi (1 - cos a) and whose mean direction is the way to the centre, wherever it stands in the picture.

    Args:
        masks: (T, H, W) its pixels.
        camera: Perspective, of the video's size.
        radius: Units.

    Returns:
        (T, 3) units, world frame; NaN where there is no pixel.
    """
    v, u = np.mgrid[: masks.shape[1], : masks.shape[2]] + 0.5
    origin, direction = rays(camera, np.stack([u, v], -1))
    ahead = direction @ camera.rotation[2]
    angle = ahead**3 / camera.focal**2  # solid angle of each pixel
    total = np.where(masks.any((1, 2)), (masks * angle).sum((1, 2)), np.nan)
    mean = np.einsum("thw,hw,hwc->tc", masks, angle, direction)
    cosine = 1 - total / (2 * math.pi)
    distance = radius / np.sqrt(1 - cosine**2)
    return np.asarray(
        origin[0, 0] + distance[:, None] * mean / np.linalg.norm(mean, axis=-1, keepdims=True), np.float64
    )


def position_error(read: Floats, truth: Floats, camera: Camera, radii: Floats) -> tuple[float, float]:
    """Mean distance over judged frames and balls, and the share of them that is missing; NaN where none is judged.

    Args:
        read: (T, N, 3), NaN where a ball is missing.
        truth: (T, N, 3).
        camera: Of the video's size.
        radii: (N,).
    """
    judged = judged_frames(camera, truth, radii)
    if not judged.any():
        return math.nan, math.nan
    gone = np.asarray(np.isnan(read).any(-1), bool)
    distance = np.where(gone, way_out(camera, truth, radii), np.linalg.norm(read - truth, axis=-1))
    return float(distance[judged].mean()), float(gone[judged].mean())


def _row(case: VideoCase, floor: bool) -> Row:
    scene = case.known_scene
    if scene.family not in FAMILIES:
        raise ValueError(f"{case.name}: scene.family must be one of {', '.join(FAMILIES)}, got {scene.family!r}")
    moving = [k for k, body in enumerate(scene.bodies) if not body.static]
    truth, camera = case.positions()[:, moving], case.camera
    radii = np.array([body.shape.extent for body in _balls(scene)])
    error, missing = position_error(read_positions(case.frames, scene, camera), truth, camera, radii)
    row: Row = {"clip": case.name, "family": scene.family, "split": split_of(scene) or "outside"}
    row |= {"position_error": error, "missing": missing}
    if floor:
        own = read_positions(case.render().video, scene, camera)
        row["floor"] = position_error(own, truth, camera, radii)[0]
    return row


def run_ldr(
    videos: Videos, reference: str | None = None, fps: float | None = None, floor: bool = True
) -> ProtocolResult:
    """LDR's table for the clips that are given.

    Args:
        videos: Folder or cases, of scenes of the families uniform_motion, parabola, collision, bouncing and looming.
        reference: Folder of scenes, NAME.json; the videos' own where left out.
        fps: Frames a second; the scene's where left out.
        floor: Whether the same reader reads the simulator's own render of each scene.
    """
    rows = [_row(case, floor) for case in read_cases(videos, reference, fps)]
    figures: dict[str, Measured] = {}
    names = ("position_error", "missing") + (("floor",) if floor else ())
    for name in names:
        unit = "share" if name == "missing" else "units"
        for split in ("id", "ood"):
            own = {
                family: mean_of([r[name] for r in rows if (r["family"], r["split"]) == (family, split)], unit)
                for family in FAMILIES
            }
            found = {family: value for family, value in own.items() if value.count}
            figures.update({f"{family} {split} {name}": value for family, value in found.items()})
            if found:
                # Worlds weigh the same, however many clips each has.
                mean = float(np.mean([value.value for value in found.values()]))
                figures[f"mean {split} {name}"] = Measured(mean, unit, sum(value.count for value in found.values()))
    both = [figures.get(f"mean {split} position_error") for split in ("id", "ood")]
    if both[0] is not None and both[1] is not None:
        ratio = both[1].value / both[0].value if both[0].value > 0 else math.nan
        figures["ood over id"] = Measured(ratio, "", both[0].count + both[1].count)
    outside = sum(row["split"] == "outside" for row in rows)
    notes = (f"{outside} clips lie outside LDR's ranges of speed and radius and are left out.",) if outside else ()
    return ProtocolResult("ldr", figures, tuple(rows), notes)
