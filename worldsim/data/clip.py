"""Clip: a batch of rollouts as a model takes them, and how rollouts become one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldsim.engines import Rollout
from worldsim.physics import Bodies, LawParameters, Trajectory, concatenate
from worldsim.physics.bodies import MAX_VERTICES
from worldsim.scene import Camera, Setup


@dataclass(frozen=True)
class Clip:
    """A batch of B videos of T frames, with all that is known of them.

    Attributes:
        video: (B, 3, T, H, W) RGB in [-1, 1].
        ids: (B, T, H, W) uint8, 0 for the background, k for body k - 1.
        trajectory: (B, T, N, ...) of all bodies.
        bodies: Shapes, matter and groups of the B worlds; their kinds agree body by body.
        cameras: One a world.
        fps: Frames a second, one for all.
        law: Gravity and drag, one row a world.
        actions: (B, T - 1, A) ctrl applied over each frame interval; A is 0 without a robot.
        captions: One text a video, empty where it has none.
        num_context: How many frames at the start are given to the model.
        setups: What a model may be told of each world; none for videos of which nothing else is known.
    """

    video: Tensor
    ids: Tensor
    trajectory: Trajectory
    bodies: Bodies
    cameras: tuple[Camera, ...]
    fps: float
    law: LawParameters
    actions: Tensor
    captions: tuple[str, ...]
    num_context: int
    setups: tuple[Setup, ...]

    @property
    def batch_size(self) -> int:
        """How many videos."""
        return self.video.shape[0]

    @property
    def num_frames(self) -> int:
        """How many frames, the context's included."""
        return self.video.shape[2]

    @property
    def camera(self) -> Camera:
        """The camera that all worlds share.

        Raises:
            ValueError: Where they do not share one.
        """
        for i, camera in enumerate(self.cameras):
            if camera != self.cameras[0]:
                raise ValueError(f"cameras[{i}]: must equal cameras[0] to be called the clip's camera, got {camera}")
        return self.cameras[0]

    def map(self, function: Any) -> Clip:
        """Apply a function to every tensor."""
        changed: dict[str, Any] = {n: function(getattr(self, n)) for n in ("video", "ids", "actions")}
        changed |= {n: getattr(self, n).map(function) for n in ("trajectory", "bodies", "law")}
        return dataclasses.replace(self, **changed)

    def to(self, device: torch.device | str) -> Clip:
        """Move every tensor to a device; types stay."""
        return self.map(lambda tensor: tensor.to(device))

    def pin_memory(self) -> Clip:
        """Page-locked copies, as torch's DataLoader asks for."""
        return self.map(lambda tensor: tensor.pin_memory())


def to_float(video: Any) -> Tensor:
    """(..., T, H, W, 3) uint8 RGB as (..., 3, T, H, W) float32 in [-1, 1]."""
    tensor = torch.from_numpy(np.ascontiguousarray(video)) if not isinstance(video, Tensor) else video
    return tensor.movedim(-1, -4).to(torch.float32).div(127.5).sub(1.0).contiguous()


def to_uint8(video: Tensor) -> Tensor:
    """(..., 3, T, H, W) floats in [-1, 1] as (..., T, H, W, 3) uint8 RGB; what lies outside is clamped."""
    return video.detach().clamp(-1, 1).add(1.0).mul(127.5).round().to(torch.uint8).movedim(-4, -1).contiguous()


def collate(
    rollouts: Sequence[Rollout],
    num_context: int,
    num_frames: int | None = None,
    start: int = 0,
    caption_level: str = "prompt",
) -> Clip:
    """Batch rollouts.

    Args:
        rollouts: Whose bodies agree in kinds, static flags and groups, and whose pictures agree in size and rate.
        num_context: Frames at the start of the clip that a model is given, from 0 to the number of frames.
        num_frames: Of the clip; None is all that the shortest rollout has from `start` on.
        start: First frame of the clip.
        caption_level: Which of a rollout's captions is its text.

    Raises:
        ValueError: Where rollouts cannot share a batch, or a number is out of range: names the field.
    """
    if not rollouts:
        raise ValueError("rollouts: must be at least one, got none")
    available = min(r.trajectory.num_frames for r in rollouts) - start
    frames = available if num_frames is None else num_frames
    if not 1 <= frames <= available or start < 0:
        raise ValueError(f"num_frames: must be between 1 and {available} from frame {start} on, got {frames}")
    if not 0 <= num_context <= frames:
        raise ValueError(f"num_context: must be between 0 and {frames}, got {num_context}")
    first = rollouts[0]
    for i, rollout in enumerate(rollouts):
        _check_like(rollout, first, i)
    scenes = [rollout.scene for rollout in rollouts]
    cut = slice(start, start + frames)
    bodies = Bodies.from_scenes(scenes)  # refuses worlds that differ in layout
    trajectory = concatenate([r.trajectory.frames(start, start + frames) for r in rollouts], axis="batch")
    actions = np.stack([r.actions[start : start + frames - 1] for r in rollouts])
    return Clip(
        video=to_float(np.stack([r.video[cut] for r in rollouts])),
        ids=torch.from_numpy(np.stack([r.ids[cut] for r in rollouts])),
        trajectory=trajectory.to(torch.float32),
        bodies=bodies,
        cameras=tuple(scene.camera for scene in scenes),
        fps=first.scene.fps,
        law=LawParameters.of(scenes),
        actions=torch.from_numpy(actions.astype(np.float32)),
        captions=tuple(r.caption.get(caption_level, "") for r in rollouts),
        num_context=num_context,
        setups=tuple(scene.setup() for scene in scenes),
    )


def of_videos(videos: Any, fps: float, num_context: int) -> Clip:
    """A clip of (B, T, H, W, 3) uint8 RGB videos of which nothing else is known: no bodies, no Setups."""
    batch, frames, height, width = videos.shape[:4]
    if not 0 <= num_context <= frames:
        raise ValueError(f"num_context: must be between 0 and {frames}, got {num_context}")
    none = torch.zeros(batch, 0)
    nobody = Bodies(
        kinds=(),
        size=torch.zeros(batch, 0, 3),
        vertices=torch.zeros(batch, 0, MAX_VERTICES, 2),
        mass=none,
        inertia=torch.zeros(batch, 0, 3),
        friction=none,
        restitution=none,
        colour=torch.zeros(batch, 0, 3),
        static=(),
        groups=(),
    )
    return Clip(
        video=to_float(videos),
        ids=torch.zeros(batch, frames, height, width, dtype=torch.uint8),
        trajectory=Trajectory.from_positions(torch.zeros(batch, frames, 0, 3), 1 / fps),
        bodies=nobody,
        cameras=(),
        fps=fps,
        law=LawParameters(torch.zeros(batch, 3)),
        actions=torch.zeros(batch, frames - 1, 0),
        captions=("",) * batch,
        num_context=num_context,
        setups=(),
    )


def _check_like(rollout: Rollout, first: Rollout, i: int) -> None:
    frames = rollout.trajectory.num_frames
    for name in ("video", "ids"):
        array = getattr(rollout, name)
        if len(array) != frames:
            raise ValueError(f"rollouts[{i}].{name}: must have {frames} frames, got {len(array)}; render it or load it")
        if array.shape[1:] != getattr(first, name).shape[1:]:
            expected = getattr(first, name).shape[1:]
            raise ValueError(
                f"rollouts[{i}].{name}: must have the frame shape of the first, {expected}, got {array.shape[1:]}"
            )
    if rollout.scene.fps != first.scene.fps:
        raise ValueError(
            f"rollouts[{i}].scene.fps: must be that of the first, {first.scene.fps}, got {rollout.scene.fps}"
        )
    if rollout.actions.shape[1:] != first.actions.shape[1:]:
        raise ValueError(
            f"rollouts[{i}].actions: must have {first.actions.shape[1:]} columns as the first, "
            f"got {rollout.actions.shape[1:]}"
        )
