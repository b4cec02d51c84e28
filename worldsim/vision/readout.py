"""Readouts: from pixels to the states of the bodies that a Setup names.

ColourReadout reads flat-coloured planar worlds in closed form: unmix colours, take moments, go back to metres.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from worldsim.physics.bodies import Bodies
from worldsim.physics.trajectory import Trajectory
from worldsim.vision.colour_masks import colour_masks
from worldsim.vision.moments import Moments, mask_moments, planar_position
from worldsim.vision.raster import View
from worldsim.vision.turns import read_turns

# Share of a body that is seen, from which its place in a frame can be relied on.
SEEN = 0.5


@dataclass(frozen=True)
class Reading:
    """What a readout says of B videos of T frames.

    Attributes:
        trajectory: (B, T, N) with presence the share of its own area that a body shows, at most 1; static bodies stand
            where `fixed` had them. Orientations of planar worlds are continuous in time, and known up to turns after
            which a shape looks the same; angular velocities are zero: one picture does not tell them.
        masks: (B, T, N, H, W) visible share of each pixel.
        moments: Of the masks.
    """

    trajectory: Trajectory
    masks: Tensor
    moments: Moments


class Readout(Protocol):
    """What turns video into states."""

    def __call__(self, video: Tensor, bodies: Bodies, view: View, background: Tensor, fixed: Trajectory) -> Reading:
        """Read (B, 3, T, H, W) video in [-1, 1]; `fixed` (B, 1, N) holds the poses of static bodies."""
        ...


class ColourReadout:
    """Reads planar worlds of flat colours; differentiable, without parameters, each frame on its own."""

    def __init__(self, dt: float) -> None:
        """Prepare for frames that lie dt seconds apart."""
        self.dt = dt

    def __call__(self, video: Tensor, bodies: Bodies, view: View, background: Tensor, fixed: Trajectory) -> Reading:
        """Read (B, 3, T, H, W) video in [-1, 1]; see Reading.

        Raises:
            ValueError: Where the camera is not orthographic, or bodies leave the plane.
        """
        if not view.orthographic:
            raise ValueError("view: must be orthographic for a reading by colour")
        if not bodies.planar:
            raise ValueError("bodies.planar: must be true for a reading by colour, which tells no depth; got False")
        frames = (video.movedim(2, 1) + 1) / 2
        batch = video.shape[0]
        colours = bodies.colour.expand(batch, -1, -1)
        masks = colour_masks(frames, colours, background.expand(batch, -1))
        found = mask_moments(masks)
        position = planar_position(found.centroid, view)
        area = torch.pi * (bodies.size[..., 0] * view.focal[:, None]).square()
        share = torch.where(_spheres(bodies, video), found.area / area[:, None].clamp_min(1e-6), found.area > 1)
        return assemble(masks, found, position, share, bodies, fixed, self.dt)


def assemble(
    masks: Tensor, found: Moments, position: Tensor, share: Tensor, bodies: Bodies, fixed: Trajectory, dt: float
) -> Reading:
    """A Reading from masks and the positions that follow from them.

    Args:
        masks: (B, T, N, H, W).
        found: Moments of the masks.
        position: (B, T, N, 3) metres; those of static bodies are not looked at.
        share: (B, T, N) visible area over the whole one; clamped to [0, 1].
        bodies: Of the worlds.
        fixed: (B, 1, N) poses of static bodies.
        dt: Seconds between frames.
    """
    static = torch.tensor(bodies.static, device=position.device)
    position = torch.where(static[:, None], fixed.position.expand_as(position), position)
    trajectory = Trajectory.from_positions(position, dt)
    presence = torch.where(static, torch.ones_like(share), share.clamp(0, 1))
    orientation = trajectory.orientation
    if bodies.planar:
        half = read_turns(masks, presence > SEEN, bodies) / 2
        orientation = torch.stack([half.cos(), torch.zeros_like(half), half.sin(), torch.zeros_like(half)], -1)
    orientation = torch.where(static[:, None], fixed.orientation.expand_as(orientation), orientation)
    velocity, spin = trajectory.linear_velocity, trajectory.angular_velocity
    return Reading(Trajectory(position, orientation, velocity, spin, presence, dt), masks, found)


def _spheres(bodies: Bodies, like: Tensor) -> Tensor:
    return torch.tensor([kind == "sphere" for kind in bodies.kinds], device=like.device)
