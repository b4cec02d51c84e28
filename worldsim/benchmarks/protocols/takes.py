"""Where Physics-IQ's takes come from: the data set's own folders, or a simulator that plays any scene twice.

The folders are those of google-deepmind/physics-IQ-benchmark, with names such as
split-videos/testing/30FPS/0001_testing-videos_30FPS_perspective-left_take-1_trimmed-ball-and-block-fall.mp4, masks of
the same name in video-masks/real/30FPS with "video-masks" for "testing-videos"; a generated video begins with the id of
its take 1. The original asks for 198 videos of exactly 5 s; here any number counts, at least 5 s long, and the result
says how many of the takes have a video.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from worldsim.benchmarks.ground_truth import ground_truth
from worldsim.benchmarks.protocols.cases import Videos, read_cases
from worldsim.benchmarks.protocols.motion_masks import shrink_picture
from worldsim.benchmarks.protocols.outcome import ProtocolResult, Row
from worldsim.benchmarks.protocols.physics_iq import SHRINK, Reel, comparison_size, reel, result_of, row_of
from worldsim.benchmarks.protocols.second_take import second_take
from worldsim.benchmarks.track import UInt8
from worldsim.benchmarks.video_files import videos_in
from worldsim.data.video import stream_video

SECONDS = 5.0
_TESTING = Path("split-videos") / "testing"
_NAME = re.compile(
    r"(?P<id>\d{4})_testing-videos_(?P<fps>\d+)FPS_(?P<view>[^_]+)_take-(?P<take>[12])_(?P<scenario>.+)\.mp4"
)


@dataclass(frozen=True)
class Takes:
    """Two filmed takes of one scenario and view.

    Attributes:
        first: Path of take 1.
        second: Path of take 2.
        rate: Frames a second of both.
    """

    first: Path
    second: Path
    rate: int


def is_data_set(reference: Path) -> bool:
    """Whether a folder has the layout of the Physics-IQ data set."""
    return (reference / _TESTING).is_dir()


def find_takes(reference: Path, fps: float) -> dict[str, Takes]:
    """The data set's takes by the id of take 1, at a rate of frames where they are there, else at 30.

    Raises:
        ValueError: Where a take lacks its fellow, or nothing is found.
    """
    folder = reference / _TESTING / f"{round(fps)}FPS"
    if not folder.is_dir():
        folder = reference / _TESTING / "30FPS"
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder}: must be a folder of the takes at 30 frames a second, there is no such folder"
        )
    found: dict[tuple[str, str], dict[str, re.Match[str]]] = {}
    for path in sorted(folder.iterdir()):
        match = _NAME.fullmatch(path.name)
        if match:
            found.setdefault((match["view"], match["scenario"]), {})[match["take"]] = match
    takes = {}
    for (view, scenario), pair in found.items():
        if set(pair) != {"1", "2"}:
            raise ValueError(f"reference: must have takes 1 and 2 of {scenario} in {view}, {folder} has {sorted(pair)}")
        first, second = (folder / pair[take].string for take in "12")
        takes[pair["1"]["id"]] = Takes(first, second, int(pair["1"]["fps"]))
    if not takes:
        raise ValueError(f"reference: must hold files ID_testing-videos_..., {folder} has none")
    return takes


def resample(frames: Iterable[UInt8], given: int, wanted: int) -> Iterator[UInt8]:
    """`given` frames as `wanted`: neighbours mixed linearly, both ends kept, cut to whole numbers, as published."""
    if given == wanted:
        yield from itertools.islice(frames, wanted)
        return
    source = iter(frames)
    low, index = next(source), 0
    high = next(source, low)
    for j in range(wanted):
        at = j * (given - 1) / max(wanted - 1, 1)
        while index < int(at):
            low, high, index = high, next(source, high), index + 1
        share = at - int(at)
        yield ((1 - share) * low + share * high).astype(np.uint8)


def _exactly(frames: Iterable[UInt8], count: int, path: Path) -> Iterator[UInt8]:
    """The first `count` frames."""
    told = 0
    for frame in itertools.islice(frames, count):
        told += 1
        yield frame
    if told < count:
        raise ValueError(f"{path}: must have at least {count} frames for the time that is judged, got {told}")


def _stream(path: Path) -> tuple[float, Iterator[UInt8]]:
    """Rate and frames of a file."""
    source = stream_video(path)
    first, rate = next(source)
    return rate, itertools.chain([first], (frame for frame, _ in source))


def _take(path: Path, rate: int, fps: float, seconds: float, size: tuple[int, int] | None, shrink: int) -> Reel:
    """One filmed take at the generated video's rate, with the data set's own masks where they are there."""
    given, wanted = int(seconds * rate + 1e-6), int(seconds * fps + 1e-6)
    frames = _exactly(_stream(path)[1], given, path)
    own = reel(resample(frames, given, wanted), size, shrink)
    shipped = (
        path.parents[3] / "video-masks" / "real" / path.parent.name / path.name.replace("testing-videos", "video-masks")
    )
    if given != wanted or not shipped.exists():
        return own
    size = (own.masks.shape[1], own.masks.shape[2])
    masks = [shrink_picture(mask[..., 0], *size) > 127 for mask in _exactly(_stream(shipped)[1], given, shipped)]
    return replace(own, masks=np.stack(masks))


def _filmed(videos: Path, reference: Path, seconds: float, shrink: int) -> tuple[list[Row], list[str]]:
    rows, total = [], 0
    for path in videos_in(videos):
        fps, frames = _stream(path)
        takes = find_takes(reference, fps)
        total = len(takes)
        key = path.name[:4]
        if key not in takes:
            raise ValueError(
                f"{path}: name must begin with the id of a take 1, such as {min(takes)}_, got {path.name!r}"
            )
        pair = takes[key]
        first = _take(pair.first, pair.rate, fps, seconds, None, shrink)
        size = (first.masks.shape[1], first.masks.shape[2])
        second = _take(pair.second, pair.rate, fps, seconds, size, shrink)
        given = reel(_exactly(frames, len(first.frames), path), size, shrink)
        rows.append(row_of(path.stem, given, first, second))
    return rows, [f"{len(rows)} of the data set's {total} takes have a video."] if len(rows) < total else []


def _played(
    videos: Videos, reference: str | Path | None, fps: float | None, seconds: float, shrink: int, seed: int
) -> list[Row]:
    rows = []
    for case in read_cases(videos, reference, fps):
        scene = case.known_scene
        whole = int(scene.duration * case.fps + 1e-6) + 1
        count = min(whole, int(seconds * case.fps + 1e-6))
        if len(case.frames) < count:
            raise ValueError(f"{case.name}: must have at least {count} frames as its scene has, got {len(case.frames)}")
        height, width = case.frames.shape[1:3]
        size = comparison_size(case.frames[0], shrink)
        first, second = (
            reel(ground_truth(take, height, width, count, case.fps).video, size)
            for take in (scene, second_take(scene, seed))
        )
        rows.append(row_of(case.name, reel(case.frames[:count], size), first, second))
    return rows


def _run(
    verified: bool,
    videos: Videos,
    reference: str | Path | None,
    fps: float | None,
    seconds: float,
    shrink: int,
    seed: int,
) -> ProtocolResult:
    for name, value in (("seconds", seconds), ("shrink", shrink)):
        if not value > 0:
            raise ValueError(f"{name}: must be above 0, got {value!r}")
    if reference is not None and isinstance(videos, (str, Path)) and is_data_set(Path(reference)):
        rows, notes = _filmed(Path(videos), Path(reference), seconds, shrink)
    else:
        rows = _played(videos, reference, fps, seconds, shrink, seed)
        notes = [f"Take 2 is the simulator's, its scene jittered by second_take with seed {seed}."]
    if not rows:
        raise ValueError("videos: must hold at least one clip, got none")
    result = result_of(rows, verified)
    return replace(result, notes=(*result.notes, *notes))


def run_physics_iq(
    videos: Videos,
    reference: str | Path | None = None,
    fps: float | None = None,
    seconds: float = SECONDS,
    shrink: int = SHRINK,
    seed: int = 0,
) -> ProtocolResult:
    """Physics-IQ over the data set's folders or over any scenes.

    Args:
        videos: Folder of generated videos, or cases.
        reference: The Physics-IQ data set, or a folder of scenes NAME.json; the videos' own where left out.
        fps: Frames a second of videos with scenes; the scene's where left out. The data set's takes come at the rate of
            the generated file.
        seconds: That are judged; scenes that are shorter are judged whole.
        shrink: Factor from the pictures to the comparison; 4 is the published one.
        seed: Of the second takes.
    """
    return _run(False, videos, reference, fps, seconds, shrink, seed)


def run_physics_iq_verified(
    videos: Videos,
    reference: str | Path | None = None,
    fps: float | None = None,
    seconds: float = SECONDS,
    shrink: int = SHRINK,
    seed: int = 0,
) -> ProtocolResult:
    """Physics-IQ Verified; arguments as run_physics_iq."""
    return _run(True, videos, reference, fps, seconds, shrink, seed)
