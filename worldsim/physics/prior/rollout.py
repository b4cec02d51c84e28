"""Rolling steps out over frames: sub-steps, wrenches held over a frame, recomputation to save memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from worldsim.physics import rotation
from worldsim.physics.prior.state import State
from worldsim.physics.prior.touch import Touch


class Advanced(NamedTuple):
    """What a step gives.

    Attributes:
        state: After the step.
        turn: (B, M, 3) rotation vector made over the step, where the stepper leaves orientations alone because no
            contact depends on them; None where the state's orientation is up to date.
        touched: (B, M) whether the body took part in an impact.
    """

    state: State
    turn: Tensor | None
    touched: Tensor


class Stepper(Protocol):
    """Advances M of a world's N bodies. Where `log` is a list, every step adds its contacts to it."""

    log: list[Touch] | None

    def enter(self, state: State) -> State:
        """The moving part of a state of all bodies."""
        ...

    def select(self, wrench: Tensor) -> Tensor:
        """The moving bodies' part of (B, N, ...)."""
        ...

    def leave(self, moving: Tensor, start: Tensor) -> Tensor:
        """Put (B, T, M, ...) back among all bodies, the others as in the (B, N, ...) start."""
        ...

    def step(self, state: State, step: float, wrench: Tensor | None) -> Advanced:
        """Advance by `step` seconds under a (B, M, 6) wrench."""
        ...


@dataclass(frozen=True)
class Plan:
    """How long a roll-out is and how it is cut.

    Attributes:
        num_frames: To be made.
        dt: Seconds between them.
        substeps: Steps a frame.
        chunk: Frames that are recomputed together in the backward pass; 0 keeps all.
    """

    num_frames: int
    dt: float
    substeps: int
    chunk: int


def roll_out(
    stepper: Stepper,
    start: State,
    plan: Plan,
    actions: Tensor | None,
    residual: Callable[[State], Tensor] | None,
) -> State:
    """The states of num_frames frames, each tensor (B, T, N, ...).

    Args:
        stepper: Of these bodies.
        start: (B, N, ...).
        plan: Frames and steps.
        actions: (B, T, N, 6) wrenches, None for none.
        residual: From the state of all bodies to a (B, N, 6) wrench, evaluated once a frame.
    """
    step = plan.dt / plan.substeps

    def advance(state: State, wrenches: Tensor | None, count: int) -> tuple[list[State], list[Tensor]]:
        states, turns = [], []
        for k in range(count):
            wrench = None if wrenches is None else wrenches[:, k]
            if residual is not None:
                full = State(*(stepper.leave(m[:, None], s)[:, 0] for m, s in zip(state, start, strict=True)))
                extra = residual(full)
                wrench = extra if wrench is None else wrench + extra
            if wrench is not None:
                wrench = stepper.select(wrench)
            for _ in range(plan.substeps):
                state, turn, _ = stepper.step(state, step, wrench)
                if turn is not None:
                    turns.append(turn)
            states.append(state)
        return states, turns

    state = stepper.enter(start)
    frames: list[State] = []
    turns: list[Tensor] = []
    chunk = plan.chunk or plan.num_frames
    for first in range(0, plan.num_frames, chunk):
        count = min(chunk, plan.num_frames - first)
        part = None if actions is None else actions[:, first : first + count]
        if plan.chunk and torch.is_grad_enabled():
            new, turned = checkpoint(advance, state, part, count, use_reentrant=False)
        else:
            new, turned = advance(state, part, count)
        state = new[-1]
        frames += new
        turns += turned
    stacked = State(*(torch.stack(tensors, 1) for tensors in zip(*frames, strict=True)))
    if turns:
        orientation = _orientations(stepper.enter(start).orientation, torch.stack(turns, 1), plan.substeps)
        stacked = stacked._replace(orientation=orientation)
    return State(*(stepper.leave(moving, whole) for moving, whole in zip(stacked, start, strict=True)))


def _orientations(start: Tensor, turns: Tensor, substeps: int) -> Tensor:
    """(B, T, M, 4) orientations after each frame from (B, T substeps, M, 3) turns, by a scan of logarithmic depth."""
    product = rotation.exponential(turns)
    reach = 1
    while reach < product.shape[1]:
        product = torch.cat([product[:, :reach], rotation.multiply(product[:, reach:], product[:, :-reach])], 1)
        reach *= 2
    return rotation.normalise(rotation.multiply(product[:, substeps - 1 :: substeps], start[:, None]))
