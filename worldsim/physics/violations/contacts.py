"""How far bodies are apart over a trajectory, who may touch whom, and who flies free: worked out once for all laws."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from worldsim.physics.bodies import Bodies
from worldsim.physics.geometry import PairDistances, collision_pairs, distances
from worldsim.physics.trajectory import Trajectory
from worldsim.physics.violations.common import check, check_frames, dynamic, present, within


class Contacts:
    """Signed distances of a trajectory's bodies and what follows from them.

    Laws make their own where none is given. Who asks several laws of one trajectory makes one for all of them, which
    then share the work and, where gradients are asked for, the graph.

    Args:
        trajectory: (..., T, N).
        bodies: That move.

    Raises:
        ValueError: For shapes that do not fit, NaN, quaternions not of unit length.
    """

    def __init__(self, trajectory: Trajectory, bodies: Bodies) -> None:
        check(trajectory, bodies)
        self.trajectory = trajectory
        self.bodies = bodies
        self._near: dict[tuple[float, bool], Tensor] = {}

    @staticmethod
    def of(trajectory: Trajectory, bodies: Bodies, given: Contacts | None, frames: int = 1) -> Contacts:
        """Those given, which must be of the same trajectory and bodies, or new ones; refuses too few frames."""
        contacts = Contacts(trajectory, bodies) if given is None else given
        if contacts.trajectory is not trajectory or contacts.bodies is not bodies:
            raise ValueError("contacts: must be of the trajectory and bodies that are judged, got those of others")
        check_frames(trajectory, frames)
        return contacts

    @cached_property
    def pairs(self) -> Tensor:
        """(P, 2) places of the bodies that may collide, in the order of distances."""
        device = self.trajectory.position.device
        return torch.tensor(collision_pairs(self.bodies), dtype=torch.long, device=device).reshape(-1, 2)

    @cached_property
    def distances(self) -> PairDistances:
        """Of all pairs that may collide, in every frame."""
        position, orientation = self.trajectory.position, self.trajectory.orientation
        # Whoever asks first, another law may want the gradient.
        with torch.set_grad_enabled(position.requires_grad or orientation.requires_grad):
            return distances(self.bodies, position, orientation, check=False)

    @cached_property
    def _plain(self) -> PairDistances:
        """The same without gradients, for flags."""
        position, orientation = self.trajectory.position, self.trajectory.orientation
        if "distances" in self.__dict__ or not (position.requires_grad or orientation.requires_grad):
            return self.distances
        return distances(self.bodies, position.detach(), orientation.detach(), check=False)

    @cached_property
    def both(self) -> Tensor:
        """(..., T, P) whether both bodies of a pair exist."""
        exists, pairs = present(self.trajectory), self.pairs
        return exists[..., pairs[:, 0]] & exists[..., pairs[:, 1]]

    @torch.no_grad()
    def near(self, margin: float, statics_only: bool = False) -> Tensor:
        """Whether a body may have touched another in the interval that ends at a frame, or in that which begins there.

        A pair may touch between two frames if it is no farther apart at one of them than it moves, against each other,
        in the longer of that interval and its neighbours.

        Args:
            margin: Metres within which bodies count as touching anyway.
            statics_only: Whether only contacts with static bodies count.

        Returns:
            (..., T, N) flags.
        """
        key = (margin, statics_only)
        if key not in self._near:
            self._near[key] = self._find_near(margin, statics_only)
        return self._near[key]

    def _find_near(self, margin: float, statics_only: bool) -> Tensor:
        position, table = self.trajectory.position, self.pairs
        if table.shape[0] == 0:
            return torch.zeros_like(self.trajectory.presence, dtype=torch.bool)
        first, second = table.unbind(-1)
        close = self._plain.distance < margin + self._reach
        close = close & self.both
        if statics_only:
            moving = dynamic(self.bodies, close)
            close = close & ~(moving[first] & moving[second])
        member = torch.zeros(len(table), self.bodies.num_bodies, dtype=position.dtype, device=position.device)
        member.scatter_(1, table, 1.0)
        return close.to(position.dtype) @ member > 0

    @cached_property
    def _reach(self) -> Tensor:
        """(..., T, P) metres that a pair moves against each other in the longest of the four intervals around."""
        frames, table = self.trajectory.num_frames, self.pairs
        if frames < 2:
            return torch.zeros_like(self._plain.distance)
        position = self.trajectory.position.detach()
        relative = position.index_select(-2, table[:, 1]) - position.index_select(-2, table[:, 0])
        moved = relative.diff(dim=-3).norm(dim=-1)
        around = torch.arange(frames, device=moved.device)[:, None] + torch.arange(-2, 2, device=moved.device)
        around = around.clamp(0, frames - 2)
        longest: Tensor = moved.index_select(-2, around.flatten()).unflatten(-2, (frames, 4)).amax(-2)
        return longest

    @torch.no_grad()
    def flying(self, margin: float, window: int = 1) -> Tensor:
        """(..., T, N) whether a dynamic body exists and touches nothing within `window` frames to both sides.

        Links of a group push each other and never fly free.
        """
        return within(~self.near(margin) & self._loose, window)

    @cached_property
    def _loose(self) -> Tensor:
        """(..., T, N) whether a body exists, may move and is an object of its own."""
        groups, exists = self.bodies.groups, present(self.trajectory)
        alone = torch.tensor([groups.count(group) == 1 for group in groups], device=exists.device)
        loose: Tensor = exists & dynamic(self.bodies, exists) & alone
        return loose
