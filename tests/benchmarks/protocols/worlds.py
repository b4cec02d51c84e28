"""Cases whose truth is a closed form and whose pictures are drawn here, without an engine."""

import numpy as np
import torch

from worldsim.benchmarks.protocols import VideoCase
from worldsim.benchmarks.protocols.discs import draw_discs
from worldsim.physics import Trajectory
from worldsim.scene import make_scene


def flight(scene):
    """(T, N, 3) free flight of a scene's bodies that move."""
    bodies = [body for body in scene.bodies if not body.static]
    time = np.arange(scene.num_frames)[:, None, None] / scene.fps
    start = np.array([body.state.position for body in bodies])
    velocity = np.array([body.state.linear_velocity for body in bodies])
    return start + velocity * time + 0.5 * np.array(scene.law.gravity) * time**2


def case_of(scene, shown=None, pixels=64, name="clip"):
    """A case of a planar scene in free flight; `shown` are the (T, N, 3) places that the video shows."""
    truth = flight(scene)
    shown = truth if shown is None else shown
    radii = [body.shape.radius for body in scene.bodies if not body.static]
    video = draw_discs(shown[..., [0, 2]], radii, pixels, "cells")
    trajectory = Trajectory.from_positions(torch.from_numpy(truth), 1 / scene.fps)
    return VideoCase(name, video, scene.fps, scene, truth=trajectory)


def ball_case(family="uniform_motion", seed=0, split="id", **options):
    return case_of(make_scene(family, seed=seed, split=split), **options)
