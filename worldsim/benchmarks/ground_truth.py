"""What the simulator shows of a scene at a video's size: the ground truth, and the place without its moving bodies."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from worldsim.benchmarks.footage import CHUNK_PIXELS, Footage, footage_of_array, footage_of_stream
from worldsim.benchmarks.rays import fit_camera
from worldsim.benchmarks.segment import Backdrop
from worldsim.benchmarks.track import UInt8
from worldsim.engines import Rollout, get_engine
from worldsim.engines.rollout import Frames
from worldsim.physics.trajectory import Trajectory
from worldsim.scene import Scene, Setup, State, dumps

_KEPT: OrderedDict[tuple[str, str, int, float, bool], Rollout] = OrderedDict()
_KEEP = 8
_KEEP_PIXELS = 1 << 22  # of pictures that are kept: 8 bytes each


@dataclasses.dataclass(frozen=True)
class Film:
    """The ground truth of a video, its pictures drawn when they are asked for.

    Attributes:
        trajectory: (T, N) of all bodies.
        footage: Of the video's size, rate and length.
        pictures: Gives frames, ids and depth of a few frames at a time in order, anew at each call.
    """

    trajectory: Trajectory
    footage: Footage
    pictures: Callable[[], Iterator[Frames]]

    def ids(self) -> UInt8:
        """(T, H, W) ids of all frames."""
        return np.concatenate([part.ids for part in self.pictures()])

    def depth(self) -> NDArray[np.float64]:
        """(T, H, W) metres along the camera's axis."""
        return np.concatenate([part.depth for part in self.pictures()]).astype(np.float64)


def film(scene: Scene, video: Footage, played: Rollout | None = None) -> Film:
    """The ground truth of a video of the scene; `played` is taken where it has the video's size, rate and length."""
    frames, height, width = video.shape
    fits = played is not None and played.ids.shape == video.shape and abs(played.scene.fps - video.fps) < 1e-6
    small = frames * height * width <= _KEEP_PIXELS
    if played is None or not fits:
        played = ground_truth(scene, height, width, frames, video.fps, render=small)
    rollout = played
    if len(rollout.video):
        footage = footage_of_array(rollout.video, video.fps)
        return Film(rollout.trajectory, footage, lambda: iter([Frames(rollout.video, rollout.ids, rollout.depth)]))

    def draw() -> Iterator[Frames]:
        engine = get_engine(rollout.engine)
        most = max(1, CHUNK_PIXELS // (height * width))
        for start in range(0, frames, most):
            yield engine.render(rollout.scene, rollout.trajectory.map(lambda x, s=start: x[s : s + most]))

    def stream(_: list[str]) -> Iterator[tuple[UInt8, float]]:
        return ((frame, video.fps) for part in draw() for frame in part.video)

    return Film(rollout.trajectory, footage_of_stream(stream), draw)


def ground_truth(
    scene: Scene, height: int, width: int, frames: int, fps: float, engine: str = "mujoco", render: bool = True
) -> Rollout:
    """The scene played at a video's size, rate and length; the last few are kept, since many videos share a scene.

    Robots' controls are one row a frame interval, so that their scenes must be judged at their own rate.
    """
    if scene.robot is not None and abs(fps - scene.fps) > 1e-6:
        raise ValueError(f"fps: must be the scene's {scene.fps:g} for a scene with a robot, got {fps:g}")
    played = dataclasses.replace(
        scene, camera=fit_camera(scene.camera, height, width), fps=fps, duration=(frames - 1) / fps
    )
    key = (dumps(played), engine, frames, fps, render)
    if key not in _KEPT:
        _KEPT[key] = get_engine(engine).simulate(played, render=render)
        while len(_KEPT) > _KEEP:
            _KEPT.popitem(last=False)
    return _KEPT[key]


def backdrop_of(told: Scene | Setup, height: int, width: int, engine: str = "mujoco") -> Backdrop:
    """The place drawn without the bodies that move."""
    # Absent bodies are not drawn; a Setup does not tell where they are, so they stand in view, unseen.
    x, y, z = told.camera.target
    anywhere = State((x, 0.0 if told.planar else y, z))
    bodies = tuple(body if body.static else dataclasses.replace(body, state=anywhere) for body in told.bodies)
    scene = Scene(
        bodies,
        told.law,
        fit_camera(told.camera, height, width),
        duration=0.1,
        fps=told.fps,
        planar=told.planar,
        shading=told.shading,
        background=told.background,
        joints=told.joints,
        robot=told.robot,
    )
    start = Trajectory.start_of([scene]).map(lambda x: x[0])
    static = np.array([float(body.static) for body in scene.bodies])
    start = dataclasses.replace(start, presence=start.presence.new_tensor(static)[None])
    drawn = get_engine(engine).render(scene, start)
    return Backdrop(drawn.video[0], drawn.ids[0])
