"""What the simulator shows of a scene at a video's size: the ground truth, and the place without its moving bodies."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict

import numpy as np

from worldsim.benchmarks.rays import fit_camera
from worldsim.benchmarks.segment import Backdrop
from worldsim.engines import Rollout, get_engine
from worldsim.physics.trajectory import Trajectory
from worldsim.scene import Scene, Setup, State, dumps

_KEPT: OrderedDict[tuple[str, str, int, float], Rollout] = OrderedDict()
_KEEP = 8


def ground_truth(scene: Scene, height: int, width: int, frames: int, fps: float, engine: str = "mujoco") -> Rollout:
    """The scene played at a video's size, rate and length; the last few are kept, since many videos share a scene.

    Robots' controls are one row a frame interval, so that their scenes must be judged at their own rate.
    """
    if scene.robot is not None and abs(fps - scene.fps) > 1e-6:
        raise ValueError(f"fps: must be the scene's {scene.fps:g} for a scene with a robot, got {fps:g}")
    played = dataclasses.replace(
        scene, camera=fit_camera(scene.camera, height, width), fps=fps, duration=(frames - 1) / fps
    )
    key = (dumps(played), engine, frames, fps)
    if key not in _KEPT:
        _KEPT[key] = get_engine(engine).simulate(played)
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
