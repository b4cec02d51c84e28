"""What poses and sizes must be; the batched core trusts, the public functions ask here first."""

from __future__ import annotations

import torch
from torch import Tensor

from worldsim.physics.bodies import Bodies

_SIZES = {"sphere": 1, "box": 3, "capsule": 2, "ring": 2}  # numbers out of Bodies.size that a kind has


def require_finite(field: str, tensor: Tensor) -> None:
    """Refuse NaN and infinity, naming the first place that holds one."""
    finite = torch.isfinite(tensor)
    if not bool(finite.all()):
        place = tuple(int(i) for i in (~finite).nonzero()[0])
        raise ValueError(f"{field}: must be finite, got {tensor[place].item()!r} at {place}")


def check_position(field: str, position: Tensor) -> None:
    """Refuse anything but finite (..., 3)."""
    if position.dim() < 1 or position.shape[-1] != 3:
        raise ValueError(f"{field}: must have shape (..., 3), got {tuple(position.shape)}")
    require_finite(field, position)


def check_orientation(field: str, orientation: Tensor) -> None:
    """Refuse anything but (..., 4) quaternions of length 1 within 1e-5 (1e-3 in single precision)."""
    if orientation.dim() < 1 or orientation.shape[-1] != 4:
        raise ValueError(f"{field}: must have shape (..., 4), got {tuple(orientation.shape)}")
    require_finite(field, orientation)
    norm = orientation.detach().square().sum(-1).sqrt()
    tolerance = 1e-5 if orientation.dtype == torch.float64 else 1e-3
    wrong = (norm - 1).abs() > tolerance
    if bool(wrong.any()):
        place = tuple(int(i) for i in wrong.nonzero()[0])
        raise ValueError(f"{field}: must be unit quaternions w x y z, got length {norm[place].item():.6g} at {place}")


def check_bodies(bodies: Bodies, position: Tensor, orientation: Tensor) -> None:
    """Refuse poses that do not fit the bodies, sizes below zero or empty, and anything not finite."""
    check_position("position", position)
    check_orientation("orientation", orientation)
    count, batch = bodies.num_bodies, bodies.size.shape[0]
    if position.dim() < 2 or position.shape[-2] != count:
        raise ValueError(f"position: must have shape (..., {count}, 3), got {tuple(position.shape)}")
    if orientation.shape[:-1] != position.shape[:-1]:
        raise ValueError(
            f"orientation: must have shape {(*position.shape[:-1], 4)} like position, got {tuple(orientation.shape)}"
        )
    if batch != 1 and (position.dim() < 3 or position.shape[0] != batch):
        raise ValueError(f"position: must have {batch} worlds in front, as bodies do, got {tuple(position.shape)}")
    require_finite("bodies.size", bodies.size)
    needed = torch.tensor([_SIZES.get(kind, 0) for kind in bodies.kinds], device=bodies.size.device)
    empty = (bodies.size <= 0) & (torch.arange(3, device=needed.device) < needed[:, None])
    if bool(empty.any()):
        _, i, axis = (int(place) for place in empty.nonzero()[0])
        got = bodies.size[:, i, axis].min().item()
        raise ValueError(f"bodies.size[{i}]: must be above 0 for a {bodies.kinds[i]}, got {got:.6g}")
    for i, kind in enumerate(bodies.kinds):
        if kind == "polygon":
            require_finite(f"bodies.vertices[{i}]", bodies.vertices[:, i])
