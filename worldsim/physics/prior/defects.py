"""One-step defects: how far each frame of a trajectory is from where the law takes the frame before, all at once."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from worldsim.physics import rotation
from worldsim.physics.bodies import Bodies
from worldsim.physics.prior.checks import check_shapes, check_values
from worldsim.physics.prior.law import LawParameters, default_law
from worldsim.physics.prior.matter import Matter, resolve
from worldsim.physics.prior.prior import PriorConfig, make_stepper
from worldsim.physics.prior.state import State
from worldsim.physics.trajectory import Trajectory


@dataclass(frozen=True)
class Defects:
    """Observed minus predicted, for K frames of B worlds of N bodies.

    Attributes:
        position: (B, K, N, 3) metres.
        rotation: (B, K, N, 3) rotation vector from the predicted to the observed orientation, radians.
        linear_velocity: (B, K, N, 3) metres a second; None where velocities came from differences.
        angular_velocity: (B, K, N, 3) radians a second; None likewise.
        valid: (B, K, N) whether the figure means anything: the body is there, moves freely, and the interval from
            which its velocity was read holds no impact.
        first: Index of the frame that the first defect belongs to.
    """

    position: Tensor
    rotation: Tensor
    linear_velocity: Tensor | None
    angular_velocity: Tensor | None
    valid: Tensor
    first: int


def defects(
    trajectory: Trajectory,
    bodies: Bodies,
    dt: float | None = None,
    law: LawParameters | None = None,
    velocities: str = "differences",
    actions: Tensor | None = None,
    config: PriorConfig | None = None,
    check: bool = True,
) -> Defects:
    """Defects x_(t+1) - f(x_t, v_t) of all frames, as one batch of B (T - 1) or B (T - 2) worlds.

    With velocities from differences, the backward difference is the velocity half a frame ago; the law, contacts at
    rest included, takes it on by dt / 2 first, else it would be off by g dt / 2. A loss takes a robust norm of this
    (Charbonnier, say) with a scale of sqrt 6 times the position noise, which is what second differences carry.

    Args:
        trajectory: (B, T, N), T of 2 or more with velocities "trajectory", 3 or more with "differences".
        bodies: Of B worlds or of one.
        dt: Seconds between frames; the trajectory's own where left out.
        law: Earth's gravity where left out.
        velocities: "differences" or "trajectory" (the trajectory's own velocities).
        actions: (B, T - 1, N, 6) wrenches held between frames, world frame.
        config: Steps and solver of the prior.
        check: Whether values are checked.

    Raises:
        ValueError: For wrong shapes, values, or an unknown way to get velocities.
    """
    if velocities not in ("differences", "trajectory"):
        raise ValueError(f"velocities: must be differences or trajectory, got {velocities!r}")
    least = 3 if velocities == "differences" else 2
    dt = trajectory.dt if dt is None else dt
    check_shapes(trajectory, bodies, max(1, trajectory.num_frames - 1), dt, actions)
    if trajectory.num_frames < least:
        raise ValueError(f"trajectory: must have {least} frames or more, got {trajectory.num_frames}")
    law = default_law(bodies) if law is None else law
    if check and not torch.compiler.is_compiling():
        check_values(trajectory, bodies, actions, law)
    config = config or PriorConfig()
    first = 0 if velocities == "trajectory" else 1
    run = _Fold(trajectory, bodies, law, first, config)
    state = run.start
    wrench = None if actions is None else run.fold(actions[:, first:])
    valid = (trajectory.presence[:, first:-1] > 0.5) & (trajectory.presence[:, first + 1 :] > 0.5)
    valid = valid & torch.tensor([not static for static in bodies.static], device=valid.device)
    if velocities == "differences":
        v = (trajectory.position[:, 1:-1] - trajectory.position[:, :-2]) / dt
        w = rotation.difference(trajectory.orientation[:, :-2], trajectory.orientation[:, 1:-1]) / dt
        state = state._replace(linear_velocity=run.fold(v), angular_velocity=run.fold(w))
        half, _ = run.advance(state, dt / 2, wrench)
        state = state._replace(linear_velocity=half.linear_velocity, angular_velocity=half.angular_velocity)
    after, touched = run.advance(state, dt, wrench)
    after = State(*(run.unfold(part) for part in after))
    if velocities == "differences":
        # The velocity at frame t was read between t - 1 and t: no use where the law sees an impact there.
        struck = run.unfold(touched)
        valid = valid & ~torch.cat([torch.zeros_like(struck[:, :1]), struck[:, :-1]], 1)
    seen = State(*_parts(trajectory, first + 1, None))
    given = velocities == "trajectory"
    return Defects(
        position=seen.position - after.position,
        rotation=rotation.difference(after.orientation, seen.orientation),
        linear_velocity=seen.linear_velocity - after.linear_velocity if given else None,
        angular_velocity=seen.angular_velocity - after.angular_velocity if given else None,
        valid=valid,
        first=first + 1,
    )


def _parts(trajectory: Trajectory, start: int, stop: int | None = -1) -> tuple[Tensor, ...]:
    names = ("position", "orientation", "linear_velocity", "angular_velocity")
    return tuple(getattr(trajectory, name)[:, start:stop] for name in names)


class _Fold:
    """Frames folded into the batch: one step of B K worlds in place of K steps of B worlds."""

    def __init__(
        self, trajectory: Trajectory, bodies: Bodies, law: LawParameters, first: int, config: PriorConfig
    ) -> None:
        self.batch, self.count = trajectory.position.shape[0], trajectory.num_frames - 1 - first
        presence = trajectory.presence[:, first:-1]
        everyone = not torch.compiler.is_compiling() and bool((presence > 0.5).all())
        wide = resolve(bodies, law, self.batch, None).map(self._widen)
        self.matter: Matter = dataclasses.replace(wide, presence=None if everyone else self.fold(presence))
        self.bodies = bodies.map(self._widen)
        self.config = config
        self.start = State(*(self.fold(part) for part in _parts(trajectory, first)))
        self.stepper: Any = make_stepper(self.bodies, self.matter, self.start, config)

    def _widen(self, tensor: Tensor) -> Tensor:
        """What the frames of a world share, (B, ...) to (B K, ...); without a copy where all worlds share it."""
        if tensor.shape[0] == 1 or tensor.stride(0) == 0:
            return tensor[:1].expand(self.batch * self.count, *tensor.shape[1:])
        return tensor.repeat_interleave(self.count, 0)

    def fold(self, tensor: Tensor) -> Tensor:
        """(B, K, ...) to (B K, ...)."""
        return tensor[:, : self.count].reshape(-1, *tensor.shape[2:])

    def unfold(self, tensor: Tensor) -> Tensor:
        """(B K, ...) to (B, K, ...)."""
        return tensor.view(self.batch, self.count, *tensor.shape[1:])

    def advance(self, state: State, time: float, wrench: Tensor | None) -> tuple[State, Tensor]:
        """The state of all bodies after a time, and which took part in an impact."""
        stepper, substeps = self.stepper, self.config.substeps(self.bodies, time)
        moving = stepper.enter(state)
        orientation = moving.orientation
        push = None if wrench is None else stepper.select(wrench)
        hit: Tensor | None = None
        for _ in range(substeps):
            moving, turn, touched = stepper.step(moving, time / substeps, push)
            hit = touched if hit is None else hit | touched
            if turn is not None:
                orientation = rotation.normalise(rotation.multiply(rotation.exponential(turn), orientation))
        assert hit is not None
        if turn is not None:
            moving = moving._replace(orientation=orientation)
        full = State(*(stepper.leave(m[:, None], s)[:, 0] for m, s in zip(moving, state, strict=True)))
        still = torch.zeros_like(state.position[..., 0])
        hits = stepper.leave(hit.to(still.dtype)[:, None, :, None], still[..., None])[:, 0, :, 0] > 0.5
        return full, hits
