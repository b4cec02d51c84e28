"""What several laws share: checks, tables of who is judged, and flags over time."""

from __future__ import annotations

import torch
from torch import Tensor

from worldsim.physics.bodies import Bodies
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


def within(flags: Tensor, window: int) -> Tensor:
    """(..., T, K) whether flags (..., T, K) hold in all frames within `window` to both sides; False near the ends."""
    result = torch.zeros_like(flags)
    if flags.shape[-2] > 2 * window:
        result[..., window : flags.shape[-2] - window, :] = flags.unfold(-2, 2 * window + 1, 1).all(-1)
    return result


def check_window(window: int, drag: float) -> None:
    """Refuse a window below one frame and a negative drag."""
    if not isinstance(window, int) or window < 1:
        raise ValueError(f"window: must be a whole number from 1, got {window!r}")
    if not drag >= 0:
        raise ValueError(f"drag: must be 0 or above, got {drag!r}")


def root(square: Tensor) -> Tensor:
    """Square root with gradient 0 at 0, where the derivative of the root itself is infinite."""
    zero = square <= torch.finfo(square.dtype).tiny
    return torch.where(zero, 0.0, torch.where(zero, 1.0, square).sqrt())


def windowed_length(error: Tensor, window: int) -> Tensor:
    """(..., T, N) lengths of (..., T - 2 window, N, 3) errors, zero at the frames that have no whole window.

    The gradient of a length of zero is zero.
    """
    return torch.nn.functional.pad(root(error.square().sum(-1)), (0, 0, window, window))
