"""What the prior refuses at its border, and how a roll-out that diverged is reported."""

from __future__ import annotations

import torch
from torch import Tensor

from worldsim.physics.bodies import Bodies
from worldsim.physics.geometry.checks import check_bodies, require_finite
from worldsim.physics.prior.law import LawParameters
from worldsim.physics.trajectory import Trajectory


def check_shapes(state: Trajectory, bodies: Bodies, num_frames: int, dt: float, actions: Tensor | None) -> None:
    """Refuse shapes that do not fit each other; costs nothing, so it always runs."""
    if state.position.dim() != 4:
        raise ValueError(f"state.position: must have shape (B, T, N, 3), got {tuple(state.position.shape)}")
    batch, _, count = state.position.shape[:3]
    if count != bodies.num_bodies:
        raise ValueError(f"state.position: must have {bodies.num_bodies} bodies as bodies has, got {count}")
    if bodies.mass.shape[0] not in (1, batch):
        raise ValueError(f"bodies.mass: must have 1 or {batch} worlds as the state has, got {bodies.mass.shape[0]}")
    if bodies.mass.dtype != state.position.dtype:
        raise ValueError(f"bodies.mass: must have the state's dtype {state.position.dtype}, got {bodies.mass.dtype}")
    if not (isinstance(num_frames, int) and num_frames >= 1):
        raise ValueError(f"num_frames: must be a whole number from 1, got {num_frames!r}")
    if not 0 < dt < float("inf"):
        raise ValueError(f"dt: must be above 0 and finite, got {dt!r}")
    if actions is not None and tuple(actions.shape) != (batch, num_frames, count, 6):
        raise ValueError(
            f"actions: must be wrenches of shape {(batch, num_frames, count, 6)}, got {tuple(actions.shape)}"
        )
    for i, kind in enumerate(bodies.kinds):
        if kind == "plane" and not bodies.static[i]:
            raise ValueError(f"bodies.static[{i}]: must be true for a plane, got False")
        if kind == "polygon" and not bodies.planar:
            raise ValueError(f"bodies.kinds[{i}]: must be no polygon unless bodies are planar, got {kind!r}")


def check_values(state: Trajectory, bodies: Bodies, actions: Tensor | None, law: LawParameters) -> None:
    """Refuse NaN, quaternions that are not unit, masses not above zero and coefficients out of range."""
    check_bodies(bodies, state.position[:, -1], state.orientation[:, -1])
    require_finite("state.linear_velocity", state.linear_velocity)
    require_finite("state.angular_velocity", state.angular_velocity)
    if actions is not None:
        require_finite("actions", actions)
    free = torch.tensor([not static for static in bodies.static], device=bodies.mass.device)
    for field, value in (("bodies.mass", bodies.mass), ("bodies.inertia", bodies.inertia.amin(-1))):
        if bool(((value <= 0) & free).any()) or not bool(torch.isfinite(value).all()):
            raise ValueError(f"{field}: must be above 0 and finite, got {value.detach().amin().item():.6g}")
    require_finite("law.gravity", law.gravity)
    limits: tuple[tuple[str, Tensor | None, float, float], ...] = (
        ("bodies.friction", bodies.friction, 0.0, torch.inf),
        ("bodies.restitution", bodies.restitution, 0.0, 1.0),
        ("law.friction", law.friction, 0.0, torch.inf),
        ("law.friction_scale", law.friction_scale, 0.0, torch.inf),
        ("law.restitution", law.restitution, 0.0, 1.0),
        ("law.drag", law.drag, 0.0, torch.inf),
        ("law.mass", law.mass, torch.finfo(bodies.mass.dtype).tiny, torch.inf),
    )
    for name, figure, lowest, highest in limits:
        if figure is None:
            continue
        require_finite(name, figure)
        if bool(((figure < lowest) | (figure > highest)).any()):
            rule = f"{lowest:.3g} or above" if highest == torch.inf else f"from {lowest:g} to {highest:g}"
            low, high = figure.detach().amin().item(), figure.detach().amax().item()
            raise ValueError(f"{name}: must be {rule}, got values from {low:.6g} to {high:.6g}")


def check_finite_result(result: Trajectory) -> None:
    """Refuse a roll-out that diverged.

    Raises:
        ValueError: Naming the first step that is not finite, its world and its body.
    """
    parts = (result.position, result.orientation, result.linear_velocity, result.angular_velocity)
    bad = ~torch.isfinite(torch.cat([part.detach() for part in parts], -1)).all(-1)  # (B, T, N)
    if bool(bad.any()):
        step = int(bad.any(-1).any(0).nonzero()[0])
        world, body = (int(i) for i in bad[:, step].nonzero()[0])
        raise ValueError(
            f"rollout: must stay finite, diverged in world {world} at step {step} (body {body}, "
            f"{step * result.dt:.4g} s); a shorter max_step or smaller wrenches may help"
        )
