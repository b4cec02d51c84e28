"""Rollouts made by hand and a small data set's config, shared by the tests of worldsim.data."""

import numpy as np
import torch

from worldsim.data import GenerateConfig
from worldsim.engines import Contacts, Rollout
from worldsim.physics import Trajectory
from worldsim.scene import Body, Box, Camera, Scene, Sphere, State

SMALL = GenerateConfig(scene="uniform_motion", num_rollouts=8, shard_size=3, pixels=16, num_frames=5)


def make_rollout(seed=0, frames=6, height=16, width=24, bodies=2, rendered=True, fps=24.0):
    """Random pictures and motions in a valid scene."""
    rng = np.random.default_rng(seed)
    shapes = [Sphere(0.2), *[Box((0.1, 0.2, 0.3))] * (bodies - 1)]
    scene = Scene(
        bodies=tuple(Body(f"b{i}", s, State((0.0, i * 0.5, 1.0))) for i, s in enumerate(shapes)),
        camera=Camera(height=height, width=width),
        duration=(frames - 1) / fps,
        fps=fps,
        family="toy",
        seed=seed,
    )
    # Smooth pictures, so that a lossy codec has a fair task.
    y, x = np.mgrid[:height, :width]
    phases = rng.uniform(0, 6, 3)
    waves = [np.sin(x / 8 + phases[c] + t / 6) * np.cos(y / 9 + c) for t in range(frames) for c in range(3)]
    video = (127 + 100 * np.array(waves).reshape(frames, 3, height, width).transpose(0, 2, 3, 1)).astype(np.uint8)
    ids = rng.integers(0, bodies + 1, (frames, height, width)).astype(np.uint8)
    depth = rng.uniform(1, 20, (frames, height, width)).astype(np.float32)
    depth[rng.random(depth.shape) < 0.2] = scene.camera.far
    trajectory = Trajectory.from_positions(torch.from_numpy(rng.normal(size=(frames, bodies, 3))), 1 / fps)
    contacts = Contacts(
        time=np.array([0.1]), onset=np.array([0.09]), frame=np.array([3], np.int32), pair=np.array([[1, 2]], np.int32),
        distance=np.array([-1e-4]), normal=np.array([[0.0, 1.0, 0.0]]), position=np.array([[0.0, 0.2, 1.0]]),
        force=np.array([3.5]),
    )  # fmt: skip
    keep = slice(None) if rendered else slice(0, 0)
    return Rollout(
        scene=scene, video=video[keep], ids=ids[keep], depth=depth[keep], trajectory=trajectory, contacts=contacts,
        actions=rng.normal(size=(frames - 1, 2)).astype(np.float32), engine="toy", engine_version="1.2",
        events=[{"kind": "contact", "frame": np.int64(3)}], caption={"prompt": "two bodies"},
        info={"success": np.bool_(True)},
    )  # fmt: skip


def tree_bytes(root):
    return {path.name: path.read_bytes() for path in sorted(root.iterdir())}
