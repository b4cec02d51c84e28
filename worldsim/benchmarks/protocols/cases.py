"""Clips to be judged and what is known of them, from memory or from two folders, one at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.benchmarks.ground_truth import backdrop_of, ground_truth
from worldsim.benchmarks.masks_input import load_masks
from worldsim.benchmarks.rays import fit_camera
from worldsim.benchmarks.segment import ColourTracker, tracker_for
from worldsim.benchmarks.track import Floats, UInt8
from worldsim.benchmarks.video_files import base_of, masks_beside, videos_in
from worldsim.benchmarks.video_input import load_video
from worldsim.benchmarks.world import world_of
from worldsim.engines import Rollout, get_engine
from worldsim.physics.trajectory import Trajectory
from worldsim.scene import Camera, Scene, load_scene

Videos = str | Path | Iterable["VideoCase"]


@dataclass(frozen=True)
class VideoCase:
    """One clip.

    Attributes:
        name: In tables and errors.
        frames: (T, H, W, 3) RGB.
        fps: Frames a second.
        scene: Whose future the clip ought to show.
        masks: (T, H, W) ids, body k at k + 1.
        tracks: (T, N, 2) pixels u, v or (T, N, 3) metres of N material points of one object.
        visible: (T, N) which of them are seen; all where left out.
        truth: (T', K, ...) motion of the scene's bodies, T' of at least T; played by MuJoCo where left out.
    """

    name: str
    frames: UInt8
    fps: float
    scene: Scene | None = None
    masks: UInt8 | None = None
    tracks: Floats | None = None
    visible: NDArray[np.bool_] | None = None
    truth: Trajectory | None = None

    @property
    def camera(self) -> Camera:
        """Of the video's size."""
        return fit_camera(self.known_scene.camera, *self.frames.shape[1:3])

    @property
    def known_scene(self) -> Scene:
        """The scene.

        Raises:
            ValueError: Where the clip has none.
        """
        if self.scene is None:
            raise ValueError(
                f"{self.name}: must have a scene, as {self.name}.json in the folder of references, has none"
            )
        return self.scene

    def positions(self) -> Floats:
        """(T, K, 3) true places of all bodies at the video's frames, metres."""
        truth, frames = self.truth, len(self.frames)
        if truth is None:
            played = dataclasses.replace(self.known_scene, fps=self.fps, duration=(frames - 1) / self.fps)
            truth = get_engine("mujoco").simulate(played, render=False).trajectory
        if abs(truth.dt * self.fps - 1) > 1e-3 or truth.num_frames < frames:
            raise ValueError(
                f"{self.name}: truth must have {frames} frames at {self.fps:g} a second, "
                f"got {truth.num_frames} at {1 / truth.dt:g}"
            )
        return np.asarray(truth.position[:frames].double().numpy(), np.float64)

    def tracker(self) -> ColourTracker:
        """The built-in tracker that knows which of the scene's colours to look for."""
        height, width = self.frames.shape[1:3]
        place = backdrop_of(self.known_scene, height, width)
        return tracker_for(world_of(self.known_scene, height, width), place)

    def render(self) -> Rollout:
        """The scene as the simulator shows it, at the video's size, rate and length."""
        height, width = self.frames.shape[1:3]
        return ground_truth(self.known_scene, height, width, len(self.frames), self.fps)


def read_cases(videos: Videos, reference: str | Path | None = None, fps: float | None = None) -> Iterator[VideoCase]:
    """Clips one after another, in memory of one.

    Args:
        videos: Cases, which are passed on, or a folder of videos. Beside NAME.mp4, NAME.npz or NAME_masks has its masks
            and NAME_tracks.npz its point tracks (`tracks`, and `visible` where there is one).
        reference: Folder of scenes, NAME.json; that of the videos where left out.
        fps: Frames a second; left out, the scene's rate, or the file's where there is no scene.
    """
    if not isinstance(videos, (str, Path)):
        yield from videos
        return
    folder = Path(videos)
    known = folder if reference is None else Path(reference)
    if not known.is_dir():
        raise FileNotFoundError(f"{known}: must be a folder of references, there is no such folder")
    for path in videos_in(folder):
        try:
            yield _read_case(path, known / f"{base_of(path).name}.json", fps)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error


def _read_case(path: Path, scene_file: Path, fps: float | None) -> VideoCase:
    base = base_of(path)
    scene = load_scene(scene_file) if scene_file.exists() else None
    given = load_video(path, fps)
    rate = fps if fps is not None else given.fps if scene is None else scene.fps
    file = masks_beside(path)
    num_ids = None if scene is None else len(scene.bodies)
    masks = None if file is None else load_masks(file, given.frames.shape[:3], num_ids)
    tracks = visible = None
    points = base.with_name(base.name + "_tracks.npz")
    if points.exists():
        tracks, visible = _read_tracks(points)
    return VideoCase(base.name, given.frames, rate, scene, masks, tracks, visible)


def _read_tracks(path: Path) -> tuple[Floats, Any]:
    with np.load(path, allow_pickle=False) as data:
        if "tracks" not in data.files:
            raise ValueError(f"{path.name}: must hold an array named tracks, holds {', '.join(data.files) or 'none'}")
        visible = data["visible"].astype(bool) if "visible" in data.files else None
        return np.asarray(data["tracks"], np.float64), visible
