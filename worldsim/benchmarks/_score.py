"""ws.score: the physical violations of one video, of any origin."""

from __future__ import annotations

import dataclasses
import functools
import json
import weakref
from importlib import resources
from typing import Any

import numpy as np

from worldsim.benchmarks._headline import headline, law_score
from worldsim.benchmarks.existence import MIN_AREA
from worldsim.benchmarks.footage import Footage
from worldsim.benchmarks.ground_truth import backdrop_of, film
from worldsim.benchmarks.laws import read_laws
from worldsim.benchmarks.masks_input import load_masks
from worldsim.benchmarks.reading import Reading
from worldsim.benchmarks.result import Figure, Violations
from worldsim.benchmarks.segment import ColourTracker, tracker_for
from worldsim.benchmarks.track import Floats, StreamTracker, Tracker, Tracks, UInt8, measure_tracks, outline
from worldsim.benchmarks.video_input import open_video
from worldsim.benchmarks.world import World, read_motion, world_of, world_of_masks
from worldsim.engines import Rollout
from worldsim.physics.trajectory import Trajectory
from worldsim.scene import Scene, Setup, Sphere

_CONTEXT = 4
_Truth = tuple[dict[str, Reading], Floats, Trajectory]


class _Last:
    """What the last rollout that was given as a scene reads, for the many videos that are judged against one."""

    def __init__(self) -> None:
        self._of: weakref.ref[Rollout] | None = None
        self._found: dict[tuple[Any, ...], _Truth] = {}

    def get(self, played: Rollout | None, key: tuple[Any, ...]) -> _Truth | None:
        """Readings, areas and motion by the reader that the key names; None where they are not at hand."""
        same = played is not None and self._of is not None and self._of() is played
        return self._found.get(key) if same else None

    def put(self, played: Rollout | None, key: tuple[Any, ...], found: _Truth) -> None:
        """Keep them in place of another rollout's."""
        if played is not None:
            if self._of is None or self._of() is not played:
                self._of, self._found = weakref.ref(played), {}
            self._found[key] = found


_LAST = _Last()


def score(
    video: Any,
    masks: Any = None,
    scene: Scene | Rollout | None = None,
    setup: Setup | None = None,
    planar: bool | None = None,
    fps: float | None = None,
    context: int | None = None,
    tracker: Tracker | None = None,
    depth: Any = None,
) -> Violations:
    """Measure how far a video breaks physical laws.

    Three regimes, the one in force named in the result. "planar": an orthographic picture of a
    planar world, from a planar scene or setup, or by planar=True, then in pixels. "scene": camera and sizes from one
    or setup in space. "unknown": neither; overlap may be occlusion and lengths have no scale, so that only permanence
    is judged.

    Floors are what the ground-truth render of the scene reads by the same reader; with a setup only they come from a
    table by regime and size; without either there is none, and the figure says so.

    Args:
        video: Array, tensor, list of frames, or path of a video, GIF or folder of frames; see open_video. A path is
            read a few frames at a time.
        masks: Instance ids, k for bodies[k - 1]; see load_masks. Left out, a tracker finds them.
        scene: That the video is meant to show (or its Rollout). It gives floors and the motion expected.
        setup: The scene without its start, where that is not known.
        planar: True for an orthographic picture of a planar world where neither scene nor setup is given.
        fps: Frames a second; left out, the scene's or setup's, the file's, or 24.
        context: How many frames were given to the model; the objects in them must stay. 4 where left out.
        tracker: Finds objects where no masks are given; left out, the built-in one for flat and simply shaded video.
        depth: (T, H, W) metres along the camera's axis of each pixel, where it is known: places bodies in space to a
            hundredth of their size. The floor is read with the ground truth's own depth.

    Returns:
        Violations.

    Raises:
        ValueError: For bad input, both scene and setup, a planar flag that contradicts them, masks and a tracker, or a
            video whose shape is not the camera's.
    """
    played = scene if isinstance(scene, Rollout) else None
    scene = scene.scene if isinstance(scene, Rollout) else scene
    if scene is not None and setup is not None:
        raise ValueError("scene, setup: must not both be given, the scene tells what the setup does")
    if masks is not None and tracker is not None:
        raise ValueError("masks, tracker: must not both be given")
    told = scene if scene is not None else setup
    if told is not None and planar is not None and planar != told.planar:
        raise ValueError(f"planar: must be {told.planar} as the scene or setup says, got {planar}")
    given = open_video(video, fps if fps is not None or told is None else told.fps)
    frames, height, width = given.shape
    if context is not None and not (isinstance(context, int) and 1 <= context <= frames):
        raise ValueError(f"context: must be a whole number of frames from 1 to {frames}, got {context!r}")
    known = {"linked": masks is not None, "deep": depth is not None}
    world = None if told is None else world_of(told, height, width, **known)
    depths = None if depth is None else _depths(depth, given.shape, world)
    reader = _reader(told, world, masks, tracker)
    regime = "planar" if (told is not None and told.planar) or (told is None and planar) else "scene"
    regime = "unknown" if told is None and not planar else regime
    floors: dict[str, Reading] = {}
    first = None
    expected = None
    if scene is not None:
        told_by = None if tracker is not None else (given.shape, given.fps, masks is not None, depth is not None)
        told_true = None if told_by is None else _LAST.get(played, told_by)
        if told_true is None:
            truth = film(scene, given, played)
            # Before the video's own, so that ids of both are never held at once.
            true_ids = truth.ids() if masks is not None else _read(reader, truth.footage, world)
            true_depth = None if depth is None else truth.depth()
            found, seen, _ = judge(true_ids, world, regime, given.fps, truth.trajectory, depth=true_depth)
            del true_ids
            told_true = found, seen.area, truth.trajectory
            del seen
            if told_by is not None:
                _LAST.put(played, told_by, told_true)
        floors, first, expected = told_true
    num_ids = None if world is None else len(world.bodies)
    ids = _read(reader, given, world) if masks is None else load_masks(masks, given.shape, num_ids, given.size)
    readings, tracks, world = judge(ids, world, regime, given.fps, expected, given.scale, depths)
    table = _floor_table(regime, height) if scene is None and told is not None else {}
    scores, figures = {}, {}
    for law, reading in readings.items():
        floor = floors[law].value if law in floors else table.get(law, float("nan")) * reading.reference
        applies, reason = _applies(reading, floors.get(law), tracks, law)
        share = floors[law].measurable if law in floors else 0.0
        scores[law] = law_score(law, reading, floor, share) if applies else float("nan")
        source = "scene" if law in floors else "table" if law in table else "none"
        figures[law] = _figure(law, reading, floor, source, applies, reason, scores[law])
    notes = given.notes if told is None else (*given.notes, *world.unplaced(scene is not None))
    lost, area = readings["permanence"].entries, tracks.area if first is None else first
    tracked = _tracked(lost, area, world, context or min(_CONTEXT, frames))
    return Violations(
        figures=figures,
        headline=headline(scores, tracked),
        regime=regime,
        reader="tracker" if masks is None else "masks",
        tracked=tracked,
        fps=given.fps,
        notes=notes,
        ids=ids,
    )


def judge(
    ids: UInt8,
    world: World | None,
    regime: str,
    fps: float,
    expected: Trajectory | None,
    scale: float = 1.0,
    depth: Floats | None = None,
) -> tuple[dict[str, Reading], Tracks, World]:
    """All laws of a video whose masks are at hand; without a world, the masks make one, in pixels of `scale` masks'."""
    edges = outline(ids)
    count = int(ids.max(initial=0)) if world is None else len(world.bodies)
    tracks = measure_tracks(ids, count, edges)
    world = _enlarged(world_of_masks(tracks), scale) if world is None else world
    if expected is not None and expected.num_frames != tracks.num_frames:
        raise ValueError(f"scene: must last {tracks.num_frames} frames as the video, got {expected.num_frames}")
    placeable = regime != "unknown" and world.placeable(expected is not None)
    motion = read_motion(tracks, edges, world, fps, depth, expected) if placeable else None
    return read_laws(tracks, world, motion, expected, regime), tracks, world


def _depths(depth: Any, shape: tuple[int, int, int], world: World | None) -> Floats:
    """(T, H, W) checked."""
    if world is None or world.planar:
        raise ValueError("depth: must come with a scene or setup in space, whose bodies it places")
    depths = np.asarray(depth, np.float64)
    if depths.shape != shape:
        raise ValueError(f"depth: must have the video's shape {shape}, got {depths.shape}")
    if not (np.isfinite(depths).all() and (depths > 0).all()):
        raise ValueError("depth: must be finite and above 0 everywhere, metres along the camera's axis")
    return depths


def _enlarged(world: World, scale: float) -> World:
    """A world in pixels at working size in those of the video as it came."""
    bodies = tuple(
        dataclasses.replace(body, shape=Sphere(body.shape.extent * scale), mass=body.mass * scale**2)
        for body in world.bodies
    )
    camera = dataclasses.replace(
        world.camera,
        position=(world.camera.position[0] * scale, -10.0, world.camera.position[2] * scale),
        target=(world.camera.target[0] * scale, 0.0, world.camera.target[2] * scale),
        extent=world.camera.extent * scale,
    )
    return dataclasses.replace(world, bodies=bodies, camera=camera)


def _reader(told: Scene | Setup | None, world: World | None, masks: Any, tracker: Tracker | None) -> Tracker:
    if tracker is not None:
        return tracker
    if told is None or world is None or masks is not None:
        return ColourTracker()
    return tracker_for(world, backdrop_of(told, world.camera.height, world.camera.width))


def _read(tracker: Tracker, footage: Footage, world: World | None) -> UInt8:
    """(T, H, W) ids that a tracker finds, checked."""
    if isinstance(tracker, StreamTracker):
        found = np.empty(footage.shape, np.uint8)
        at = 0
        for chunk in tracker.follow(footage):
            found[at : at + len(chunk)] = chunk
            at += len(chunk)
    else:
        found = tracker(footage.whole())
    return load_masks(found, footage.shape, None if world is None else len(world.bodies))


def _applies(reading: Reading, floor: Reading | None, tracks: Tracks, law: str) -> tuple[bool, str]:
    """Whether a law can be asked: by the ground truth where there is one, else by what the video first shows."""
    if reading.regime_bars:
        return False, reading.reason
    if floor is not None:
        return floor.measurable > 0, floor.reason or reading.reason
    if law in ("penetration", "pass_through") and not reading.subjects:
        return False, reading.reason
    if law in ("dynamics", "gravity", "momentum") and reading.measurable == 0:
        return False, reading.reason  # whether flight was due cannot be told without a scene
    return tracks.num_objects > 0, reading.reason or ("" if tracks.num_objects else "no object is seen")


def _figure(
    law: str, reading: Reading, floor: float, source: str, applies: bool, reason: str, law_score: float
) -> Figure:
    entries = reading.entries
    seen = np.isfinite(entries).any(-1)
    worst = np.full(len(entries), np.nan)
    if seen.any():
        worst[seen] = np.nanmax(entries[seen], -1)
    return Figure(
        law=law,
        value=reading.value,
        unit=reading.unit,
        reference=reading.reference,
        floor=floor,
        floor_source=source,
        measurable=reading.measurable,
        applies=applies,
        reason=reason,
        score=law_score,
        per_frame=worst,
        subjects=reading.subjects,
        entries=entries,
    )


def _tracked(lost: Floats, area: Floats, world: World, context: int) -> float:
    """Mean over the objects of the context of the share of frames in which they exist; 0 where nothing is seen.

    `lost` is (T, K) of the permanence of the world's objects, 1 where one does not exist and NaN where nothing is known
    of it; `area` is (T, N) of the video that tells which objects the context has.
    """
    columns = [i for i, k in enumerate(world.objects) if area[:context, k].max(initial=0) >= MIN_AREA]
    return float(1 - np.nan_to_num(lost[:, columns], nan=1.0).mean()) if columns else 0.0


@functools.cache
def _tables() -> dict[str, dict[str, dict[str, float]]]:
    text = resources.files("worldsim.benchmarks").joinpath("floors.json").read_text("utf-8")
    tables: dict[str, dict[str, dict[str, float]]] = json.loads(text)["floors"]
    return tables


def _floor_table(regime: str, height: int) -> dict[str, float]:
    """Floors in references, from the nearest height in the table."""
    rows = _tables().get(regime, {})
    return rows[min(rows, key=lambda key: abs(int(key) - height))] if rows else {}
