"""The state of N bodies at one instant in each of B worlds, as steps pass it on."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

from worldsim.physics.trajectory import Trajectory


class State(NamedTuple):
    """One instant.

    Attributes:
        position: (B, N, 3) metres, world frame.
        orientation: (B, N, 4) unit quaternions, body to world.
        linear_velocity: (B, N, 3) metres a second, world frame.
        angular_velocity: (B, N, 3) radians a second, world frame.
    """

    position: Tensor
    orientation: Tensor
    linear_velocity: Tensor
    angular_velocity: Tensor

    def map(self, function: Any) -> State:
        """Apply a function to every tensor."""
        return State(*(function(tensor) for tensor in self))

    def take(self, rows: Tensor) -> State:
        """Some of the worlds."""
        return State(*(tensor[rows] for tensor in self))

    def put(self, rows: Tensor | None, part: State) -> State:
        """With some worlds replaced; all of them where rows is None."""
        return State(*(put_rows(tensor, rows, new) for tensor, new in zip(self, part, strict=True)))

    @staticmethod
    def of(trajectory: Trajectory, frame: int) -> State:
        """One frame of a (B, T, N, ...) trajectory."""
        vectors = (
            trajectory.position,
            trajectory.orientation,
            trajectory.linear_velocity,
            trajectory.angular_velocity,
        )
        return State(*(tensor[:, frame] for tensor in vectors))


def put_rows(whole: Tensor, rows: Tensor | None, part: Tensor) -> Tensor:
    """A (B, ...) tensor with some worlds replaced; all of them where rows is None."""
    return part if rows is None else whole.index_copy(0, rows, part)
