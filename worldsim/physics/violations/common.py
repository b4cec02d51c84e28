"""What several laws share: checks, who is where, and in which frames a body flies free."""

from __future__ import annotations

import torch
from torch import Tensor

from worldsim.physics.bodies import Bodies
from worldsim.physics.geometry import distances
from worldsim.physics.geometry.checks import check_bodies, require_finite
from worldsim.physics.trajectory import Trajectory


def check(trajectory: Trajectory, bodies: Bodies, frames: int = 1) -> None:
    """Refuse trajectories that do not fit the bodies, are not finite, or have fewer than `frames` frames."""
    check_bodies(bodies, trajectory.position, trajectory.orientation)
    for name in ("linear_velocity", "angular_velocity", "presence"):
        require_finite(f"trajectory.{name}", getattr(trajectory, name))
    check_frames(trajectory, frames)


def check_frames(trajectory: Trajectory, frames: int) -> None:
    """Refuse trajectories of fewer than `frames` frames."""
    if trajectory.num_frames < frames:
        raise ValueError(f"trajectory: must have at least {frames} frames for this law, got {trajectory.num_frames}")


def vector_of(value: Tensor | tuple[float, float, float], trajectory: Trajectory, field: str) -> Tensor:
    """(3) or (..., 3) tensor of the trajectory's dtype; leading axes get two of one for frames and bodies."""
    tensor = torch.as_tensor(value, dtype=trajectory.position.dtype, device=trajectory.position.device)
    if tensor.dim() < 1 or tensor.shape[-1] != 3:
        raise ValueError(f"{field}: must have shape (..., 3), got {tuple(tensor.shape)}")
    require_finite(field, tensor)
    return tensor if tensor.dim() == 1 else tensor[..., None, None, :]


def per_body(table: Tensor, trajectory: Trajectory) -> Tensor:
    """A (B, N, ...) property of bodies with axes of one for frames, to go with (B, ..., T, N, ...) tensors."""
    if table.shape[0] == 1:
        return table[0]
    between = trajectory.position.dim() - 3
    return table.reshape(table.shape[0], *[1] * between, *table.shape[1:])


def dynamic(bodies: Bodies, like: Tensor) -> Tensor:
    """(N) True for bodies that may move."""
    return ~torch.tensor(bodies.static, device=like.device)


def body_table(count: int, like: Tensor) -> Tensor:
    """(N, 1) places of all bodies."""
    return torch.arange(count, device=like.device)[:, None]


def world_table(like: Tensor) -> Tensor:
    """(1, 0): the world as a whole."""
    return torch.zeros(1, 0, dtype=torch.long, device=like.device)


def present(trajectory: Trajectory) -> Tensor:
    """(..., T, N) whether the body exists."""
    return trajectory.presence > 0.5


@torch.no_grad()
def near(trajectory: Trajectory, bodies: Bodies, margin: float, statics_only: bool = False) -> Tensor:
    """Whether a body may have touched another in the interval that ends at a frame, or in the one that begins there.

    A pair may touch between two frames if it is no farther apart at one of them than it moves, against each other,
    in the longer of that interval and its neighbours.

    Args:
        trajectory: Of the bodies.
        bodies: That move.
        margin: Metres within which bodies count as touching anyway.
        statics_only: Whether only contacts with static bodies count.

    Returns:
        (..., T, N) flags.
    """
    measured = distances(bodies, trajectory.position, trajectory.orientation, check=False)
    table = measured.pairs
    flags = torch.zeros_like(trajectory.presence, dtype=torch.bool)
    if table.shape[0] == 0:
        return flags
    relative = trajectory.position[..., table[:, 1], :] - trajectory.position[..., table[:, 0], :]
    reach = torch.zeros_like(measured.distance)
    if trajectory.num_frames > 1:
        moved = (relative[..., 1:, :, :] - relative[..., :-1, :, :]).norm(dim=-1)
        for shift in (-1, 0, 1, 2):
            frames = torch.arange(trajectory.num_frames, device=moved.device) - shift
            frames = frames.clamp(0, trajectory.num_frames - 2)
            reach = torch.maximum(reach, moved[..., frames, :])
    close = measured.distance < margin + reach
    exists = present(trajectory)
    close = close & exists[..., table[:, 0]] & exists[..., table[:, 1]]
    if statics_only:
        moving = dynamic(bodies, close)
        close = close & ~(moving[table[:, 0]] & moving[table[:, 1]])
    for side in (0, 1):
        for column in range(table.shape[0]):
            flags[..., table[column, side]] |= close[..., column]
    return flags


@torch.no_grad()
def flying(trajectory: Trajectory, bodies: Bodies, margin: float, window: int = 1) -> Tensor:
    """(..., T, N) whether a dynamic body exists and touches nothing within `window` frames to both sides."""
    free = ~near(trajectory, bodies, margin) & present(trajectory) & dynamic(bodies, trajectory.position)
    free = free & (per_group_size(bodies, free) == 1)
    return within(free, window)


def within(flags: Tensor, window: int) -> Tensor:
    """(..., T, K) whether flags (..., T, K) hold in all frames within `window` to both sides; False near the ends."""
    result = flags.clone()
    frames = flags.shape[-2]
    for shift in range(1, window + 1):
        result[..., shift:, :] &= flags[..., : frames - shift, :]
        result[..., : frames - shift, :] &= flags[..., shift:, :]
    result[..., :window, :] = False
    result[..., frames - window :, :] = False
    return result


def per_group_size(bodies: Bodies, like: Tensor) -> Tensor:
    """(N) how many bodies the group of each body has: links of a group push each other, and never fly free."""
    return torch.tensor([bodies.groups.count(group) for group in bodies.groups], device=like.device)
