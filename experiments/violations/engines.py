"""The row of another engine: PyBullet's motion from the clip's own first frame, in MuJoCo's pictures."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from data import NUM_CONTEXT, OVERSAMPLING
from torch import Tensor

import worldsim as ws
from worldsim.data import Clip, average_down
from worldsim.data.clip import to_float
from worldsim.scene import Scene, State


def scene_of(clip: Clip, b: int) -> Scene:
    """The clip's world at its first frame, with the camera that the engine draws with."""
    setup, states = clip.setups[b], clip.trajectory
    bodies = []
    for k, body in enumerate(setup.bodies):
        names = ("position", "orientation", "linear_velocity", "angular_velocity")
        values = [tuple(getattr(states, name)[b, 0, k].tolist()) for name in names]
        bodies.append(body if body.static else dataclasses.replace(body, state=State(*values)))
    names = {f.name for f in dataclasses.fields(Scene)} & {f.name for f in dataclasses.fields(setup)}
    given = {name: getattr(setup, name) for name in names}
    width, height = (OVERSAMPLING * size for size in (setup.camera.width, setup.camera.height))
    given |= {"bodies": tuple(bodies), "camera": dataclasses.replace(setup.camera, width=width, height=height)}
    return Scene(**given, duration=(clip.num_frames - 1) / setup.fps)


def other_engine(clip: Clip, seed: int) -> Tensor:
    """PyBullet plays on from the first frame; the context is the clip's own."""
    videos = []
    for b in range(clip.batch_size):
        scene = scene_of(clip, b)
        take = ws.simulate(scene, engine="pybullet", render=False)
        drawn = ws.get_engine("mujoco").render(scene, take.trajectory)
        shown = dataclasses.replace(take, video=drawn.video, ids=drawn.ids, depth=drawn.depth)
        videos.append(average_down(shown, dataclasses.replace(scene, camera=clip.setups[b].camera)).video)
    return torch.cat([clip.video[:, :, :NUM_CONTEXT], to_float(np.stack(videos))[:, :, NUM_CONTEXT:]], 2)
