"""The fit that identification and projection share: a roll-out through observed positions and orientations."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from worldsim.physics import rotation
from worldsim.physics.bodies import Bodies
from worldsim.physics.fit.levenberg import Fit, levenberg_marquardt
from worldsim.physics.fit.parameters import Packing
from worldsim.physics.prior import LawParameters, PhysicsPrior
from worldsim.physics.trajectory import Trajectory, concatenate

# A frame interval holds an impact where velocities jump by more than this many standard deviations of noise.
JUMP = 6.0


@dataclass(frozen=True)
class Problem:
    """What is fitted.

    Attributes:
        observed: (B, T, N); presence 0 where a frame is missing or a body unseen.
        bodies: Of the worlds.
        law: Figures that do not vary, and the guess of those that do.
        prior: That rolls out.
        packing: What varies.
        noise: Standard deviation of positions, metres.
        turn_noise: Of orientations, radians.
    """

    observed: Trajectory
    bodies: Bodies
    law: LawParameters
    prior: PhysicsPrior
    packing: Packing
    noise: float
    turn_noise: float

    def rows(self, world: Tensor) -> Problem:
        """The problem of the given worlds, one row each."""

        def take(value: Tensor) -> Tensor:
            return value[world] if value.dim() and value.shape[0] == self.observed.position.shape[0] else value

        return Problem(
            self.observed.map(take),
            self.bodies.map(take),
            self.law.map(take),
            self.prior,
            self.packing,
            self.noise,
            self.turn_noise,
        )

    def roll(self, theta: Tensor, frames: int) -> Trajectory:
        """(B, frames, N) roll-out of (B, P) parameters, the start included."""
        # A body unseen in some frame still exists there.
        begin = self.observed.frames(0, 1)
        begin = replace(begin, presence=(self.observed.presence > 0.5).any(1, keepdim=True).to(theta.dtype))
        start, law = self.packing.unpack(theta, begin, self.bodies, self.law)
        if frames == 1:
            return start
        future = self.prior(start, self.bodies, frames - 1, self.observed.dt, law=law, check=False)
        return concatenate([start, future])

    def residual(self, theta: Tensor, frames: int) -> Tensor:
        """(B, R) misfit of the first `frames` frames in standard deviations; zero where nothing was observed."""
        rolled, dynamic = self.roll(theta, frames), list(self.packing.dynamic)
        seen = self.observed.frames(0, frames)
        weight = seen.presence[:, :, dynamic, None]
        parts = [(rolled.position - seen.position)[:, :, dynamic][..., self.packing.axes] * (weight / self.noise)]
        if self.packing.turns:
            turn = rotation.difference(seen.orientation[:, :, dynamic], rolled.orientation[:, :, dynamic])
            parts.append(turn[..., self.packing.turns] * (weight / self.turn_noise))
        return torch.cat([part.flatten(1) for part in parts], 1)


def first_guess(problem: Problem) -> Tensor:
    """(B, P) start from the first two frames in which each body is seen, under the guessed gravity."""
    observed, law = problem.observed, problem.law
    batch, frames = observed.presence.shape[:2]
    seen = observed.presence > 0.5
    order = torch.where(seen, torch.arange(frames, device=seen.device)[:, None], frames)
    early = order.sort(dim=1).values[:, :2].clamp_max(frames - 1)  # (B, 2, N)
    index = early[..., None].expand(-1, -1, -1, 3)
    place = observed.position.gather(1, index)
    time = early.to(place.dtype)[..., None] * observed.dt
    gravity = law.gravity if law.gravity.dim() == 3 else law.gravity.expand(batch, 3)[:, None]
    place = place - 0.5 * gravity[:, None] * time.square()
    velocity = (place[:, 1] - place[:, 0]) / (time[:, 1] - time[:, 0]).clamp_min(observed.dt)
    static = torch.tensor(problem.bodies.static, device=place.device)[:, None]
    velocity = torch.where(static, torch.zeros_like(velocity), velocity)
    position = torch.where(static, observed.position[:, 0], place[:, 0] - time[:, 0] * velocity)
    turn = observed.orientation.gather(1, early[..., None].expand(-1, -1, -1, 4))
    spin = rotation.difference(turn[:, 0], turn[:, 1]) / (time[:, 1] - time[:, 0]).clamp_min(observed.dt)
    spin = torch.where(static, torch.zeros_like(spin), spin)
    start = Trajectory(
        position[:, None],
        observed.orientation[:, :1],
        velocity[:, None],
        spin[:, None] if problem.packing.turns else torch.zeros_like(spin)[:, None],
        observed.presence[:, :1],
        observed.dt,
    )
    return problem.packing.pack(start, problem.bodies, law)


def impact_frames(problem: Problem) -> list[int]:
    """Frames after which velocities jump in some world: where the horizon of the fit stops first.

    The third difference of positions is free of any constant acceleration and of start states; its noise is sqrt(20)
    times that of a position.
    """
    position = problem.observed.position[:, :, list(problem.packing.dynamic)]
    presence = problem.observed.presence[:, :, list(problem.packing.dynamic)]
    if position.shape[1] < 5:
        return []
    third = position.diff(n=3, dim=1).norm(dim=-1)
    known = presence[:, 3:] * presence[:, 2:-1] * presence[:, 1:-2] * presence[:, :-3]
    size = third.new_tensor(JUMP * 20**0.5 * problem.noise + 1e-3 * float(position.diff(dim=1).abs().amax()))
    jumps = ((third > size) & (known > 0.5)).any(-1).any(0)
    return [int(k) + 2 for k in jumps.nonzero()[:, 0]]


def fit_rollout(problem: Problem, iterations: int) -> Fit:
    """Fit over growing horizons: the flight before the first impact, then one impact more at a time, then all."""
    frames = problem.observed.num_frames
    theta = first_guess(problem)
    impacts = impact_frames(problem)
    horizons = sorted({min(max(4, k), frames) for k in impacts[:1]} | {min(k + 4, frames) for k in impacts} | {frames})
    for horizon in horizons[:-1]:
        # What a horizon does not show yet keeps its guess: damping by the diagonal leaves flat directions alone.
        theta = _fit(problem, theta, horizon, max(6, iterations // 3)).theta
    return _fit(problem, theta, frames, iterations)


def _fit(problem: Problem, theta: Tensor, frames: int, iterations: int) -> Fit:
    return levenberg_marquardt(
        lambda value, world: problem.rows(world).residual(value, frames), theta, iterations=iterations
    )
