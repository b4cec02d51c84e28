"""Pass-through: bodies that enter each other and leave on the far side."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import softplus

from worldsim.physics.bodies import Bodies
from worldsim.physics.geometry import collision_pairs, distances
from worldsim.physics.rotation import difference, exponential, multiply, rotate_inverse
from worldsim.physics.trajectory import Trajectory
from worldsim.physics.violations._sweep import sweep_close
from worldsim.physics.violations.common import per_body
from worldsim.physics.violations.contacts import Contacts
from worldsim.physics.violations.result import Violation, settle

MAX_SUBSTEPS = 64


def thickness(bodies: Bodies) -> Tensor:
    """(B, N) half of the smallest width of each body in metres, infinite for planes."""
    columns = []
    for i, kind in enumerate(bodies.kinds):
        size = bodies.size[:, i]
        if kind == "box":
            columns.append(size[:, [0, 2]].amin(-1) if bodies.planar else size.amin(-1))
        elif kind == "ring":
            columns.append(size[:, 1])
        elif kind == "polygon":
            corners = bodies.vertices[:, i]
            edge = corners.roll(-1, -2) - corners
            length = edge.square().sum(-1).sqrt()
            height = corners[..., 0] * edge[..., 1] - corners[..., 1] * edge[..., 0]
            real = length > 0
            columns.append(torch.where(real, height / torch.where(real, length, 1.0), torch.inf).amin(-1))
        elif kind == "plane":
            columns.append(torch.full_like(size[:, 0], torch.inf))
        else:
            columns.append(size[:, 0])
    return torch.stack(columns, -1)


def pass_through(
    trajectory: Trajectory,
    bodies: Bodies,
    substeps: int | None = None,
    tau: float = 0.01,
    depth: float = 0.25,
    contacts: Contacts | None = None,
    smooth: bool = True,
) -> Violation:
    """How often a pair enters deeper than `depth` of the smaller radius and parts on the far side.

    Poses are swept between frames along straight lines and constant turns. An event begins when the signed distance
    falls under 0, counts if its least value falls under -depth times the smaller half width, and ends when the pair
    parts; it is a pass-through if the normal, seen from the first body, then points against the one at entry: the
    pair left on the far side of the feature that it entered. So a ring counts by its material
    and not by its hole, balls that pass behind each other do not count, nor does a deep bounce. A half-space has
    no far side: a body that sinks through the floor is a matter of penetration. Overlaps at the first frame and
    those that last to the end are not events.

    Mean: events a pair and frame. Energy: mean over swept instants of the sum over pairs of
    softplus(-(d + depth r) / tau)^2, which sees what happens between frames. Distribution: events a clip.

    Args:
        trajectory: (..., T, N).
        bodies: That move.
        substeps: Instants swept for each frame interval; left out, as many as keep the step under an eighth of the
            smallest half width, at most 64.
        tau: Width of the energy's corner, metres.
        depth: In half widths of the thinner body.
        contacts: Of the same trajectory and bodies, where they are at hand.
        smooth: Whether the energy above is wanted. Without it only what may touch is swept, several times as fast; the
            events are the same and the energy is their mean square.

    Returns:
        Violation in events, one subject a pair; an event is entered at the frame that ends it. Measurable where both
        bodies exist at both ends of the interval.

    Raises:
        ValueError: For shapes that do not fit, NaN, quaternions not of unit length, one frame only.
    """
    contacts = Contacts.of(trajectory, bodies, contacts, frames=2)
    if not tau > 0:
        raise ValueError(f"tau: must be above 0, got {tau!r}")
    half_width = thickness(bodies)
    count = _substeps(trajectory, bodies, half_width) if substeps is None else substeps
    if count < 1:
        raise ValueError(f"substeps: must be 1 or above, got {substeps!r}")
    pairs, both = contacts.pairs, contacts.both
    half_width = per_body(half_width, trajectory)
    limit = depth * torch.minimum(half_width[..., pairs[:, 0]], half_width[..., pairs[:, 1]])
    measurable = torch.zeros_like(both)
    measurable[..., 1:, :] = both[..., 1:, :] & both[..., :-1, :]
    if not smooth:
        distance, normal = sweep_close(contacts, count)
        return settle("pass_through", "events", _events(distance, normal, limit, measurable, count), measurable, pairs)
    position, orientation = _sweep(trajectory, count)
    measured = distances(bodies, position, orientation, check=False)
    normal = rotate_inverse(orientation[..., pairs[:, 0], :].detach(), measured.normal.detach())
    events = _events(measured.distance, normal, limit, measurable, count)
    valid = measurable[..., 1:, :].repeat_interleave(count, -2)
    swept = measured.distance[..., 1:, :]
    pushed = torch.where(valid, softplus(-(swept + limit) / tau).square(), 0.0)
    return settle("pass_through", "events", events, measurable, pairs, pushed.sum(-1).mean(-1))


def _substeps(trajectory: Trajectory, bodies: Bodies, half_width: Tensor) -> int:
    pairs = collision_pairs(bodies)
    least = float(half_width.min())
    if not pairs or not math.isfinite(least):
        return 1
    table = torch.tensor(pairs, device=trajectory.position.device)
    relative = (trajectory.position[..., table[:, 0], :] - trajectory.position[..., table[:, 1], :]).detach()
    moved = float((relative[..., 1:, :, :] - relative[..., :-1, :, :]).norm(dim=-1).max())
    return min(MAX_SUBSTEPS, max(1, math.ceil(8 * moved / least)))


def _sweep(trajectory: Trajectory, count: int) -> tuple[Tensor, Tensor]:
    """Poses at (T - 1) count + 1 instants."""
    share = torch.arange(1, count + 1, dtype=trajectory.position.dtype, device=trajectory.position.device) / count
    share = share[:, None, None]
    start, move = trajectory.position[..., :-1, :, :], trajectory.position.diff(dim=-3)
    position = (start[..., None, :, :] + share * move[..., None, :, :]).flatten(-4, -3)
    turn = difference(trajectory.orientation[..., :-1, :, :], trajectory.orientation[..., 1:, :, :])
    begin = trajectory.orientation[..., :-1, None, :, :]
    orientation = multiply(exponential(share * turn[..., None, :, :]), begin).flatten(-4, -3)
    return (
        torch.cat([trajectory.position[..., :1, :, :], position], -3),
        torch.cat([trajectory.orientation[..., :1, :, :], orientation], -3),
    )


@torch.no_grad()
def _events(distance: Tensor, normal: Tensor, limit: Tensor, measurable: Tensor, count: int) -> Tensor:
    """(..., T, P) finished pass-throughs by the frame that ends the interval; normals in the first body's frame."""
    limit = limit.squeeze(-2) if limit.dim() == distance.dim() else limit
    events = torch.zeros_like(measurable, dtype=distance.dtype)
    inside = distance < 0
    # Overlaps are rare: their first and last instants are found at once, and looked at one by one.
    change = inside[..., 1:, :] != inside[..., :-1, :]
    limit = limit.expand(distance[..., 0, :].shape)
    for *lead, pair in change.any(-2).nonzero().tolist():
        at = tuple(lead)
        steps = (change[at][:, pair].nonzero()[:, 0] + 1).tolist()
        if bool(inside[at][0, pair]):
            steps = steps[1:]  # began before the first frame
        for begin, end in zip(steps[::2], steps[1::2], strict=False):  # one that lasts to the end has no end
            first, last = (begin - 1) // count + 1, (end - 1) // count + 1
            # The normal just before entry belongs to the feature that is entered, the one after may not.
            far = bool((normal[at][begin - 1, pair] * normal[at][end, pair]).sum() < 0)
            deep = bool(distance[at][begin:end, pair].min() < -limit[at][pair])
            if far and deep and bool(measurable[at][first : last + 1, pair].all()):
                events[at][last, pair] += 1
    return events
