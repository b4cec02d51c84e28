"""Twins whose pictures are edited, not their states: a stretched body, exchanged colours."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from worldsim.engines import Rollout, Simulator
from worldsim.engines.rollout import Frames
from worldsim.physics.trajectory import Trajectory


def stretched(rollout: Rollout, motion: Trajectory, k: int, strength: float, onset: int, player: Simulator) -> Frames:
    """From the onset on the body is longer along the picture's horizontal by `strength`, and as thick as before.

    A stretched ball is drawn as the hull of what an engine can draw: balls along the axis would not keep an ellipse, so
    the pictures of the body alone are stretched about its centre, which is the same in an orthographic view and good to
    the second order of size over distance in perspective.
    """
    without = dataclasses.replace(motion, presence=motion.presence.clone())
    without.presence[onset:, k] = 0
    alone = dataclasses.replace(motion, presence=torch.zeros_like(motion.presence))
    alone.presence[onset:, k] = 1
    rest, own = player.render(rollout.scene, without), player.render(rollout.scene, alone)
    pixels = rollout.scene.camera.project(motion.position[:, k].numpy())[0]
    video, ids, depth = rest.video.copy(), rest.ids.copy(), rest.depth.copy()
    width = video.shape[2]
    for t in range(onset, len(video)):
        source = np.floor((np.arange(width) + 0.5 - pixels[t, 0]) / (1 + strength) + pixels[t, 0]).astype(int)
        valid = (source >= 0) & (source < width)
        source = source.clip(0, width - 1)
        front = (own.ids[t][:, source] == k + 1) & valid & (own.depth[t][:, source] < depth[t])
        for target, drawn in ((video, own.video), (ids, own.ids), (depth, own.depth)):
            target[t][front] = drawn[t][:, source][front]
    return dataclasses.replace(rest, video=video, ids=ids, depth=depth)


def recoloured(rollout: Rollout, motion: Trajectory, k: int, other: int, onset: int, player: Simulator) -> Frames:
    """From the onset on two bodies wear each other's colour. Their ids stay: who is who is the matter."""
    bodies = list(rollout.scene.bodies)
    bodies[k], bodies[other] = (
        dataclasses.replace(bodies[k], colour=bodies[other].colour),
        dataclasses.replace(bodies[other], colour=bodies[k].colour),
    )
    swapped = dataclasses.replace(rollout.scene, bodies=tuple(bodies))
    later = player.render(swapped, motion.frames(onset))
    video = np.concatenate([rollout.video[:onset], later.video])
    return Frames(video, rollout.ids, rollout.depth)
