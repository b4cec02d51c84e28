"""Distances between frames, swept only where bodies may come to touch."""

from __future__ import annotations

import torch
from torch import Tensor

from worldsim.physics.geometry import pair_distance, pairs_by_kinds
from worldsim.physics.rotation import difference, exponential, multiply, rotate_inverse
from worldsim.physics.violations._rigidity import reach
from worldsim.physics.violations.common import per_body
from worldsim.physics.violations.contacts import Contacts


@torch.no_grad()
def sweep_close(contacts: Contacts, count: int) -> tuple[Tensor, Tensor]:
    """Distances at the frames and at `count` - 1 instants between each two, along straight lines and constant turns.

    No distance changes faster than its bodies' points move (Lipschitz), so that a pair whose distances at both ends
    add up to more than that way stays apart in between, and is not looked at.

    Args:
        contacts: Of (..., T, N) trajectories.
        count: Instants an interval, its end counted.

    Returns:
        (..., (T - 1) count + 1, P) signed distances in metres, infinite where a pair was found to stay apart; and
        (..., the same, P, 3) normals in the frame of the first body, zero there.
    """
    trajectory, bodies, measured = contacts.trajectory, contacts.bodies, contacts.distances
    position, orientation, table = trajectory.position.detach(), trajectory.orientation.detach(), measured.pairs
    first, second = table.unbind(-1)
    at_frames = measured.distance.detach()
    frames, num_pairs = at_frames.shape[-2:]
    lead = at_frames.shape[:-2]
    swept = at_frames.new_full((*lead, (frames - 1) * count + 1, num_pairs), torch.inf)
    normal = at_frames.new_zeros((*swept.shape, 3))
    swept[..., ::count, :] = at_frames
    normal[..., ::count, :, :] = rotate_inverse(orientation.index_select(-2, first), measured.normal.detach())
    if count == 1 or num_pairs == 0:
        return swept, normal
    move = position.diff(dim=-3)
    turn = difference(orientation[..., :-1, :, :], orientation[..., 1:, :, :])
    angle = turn.norm(dim=-1)
    rim = torch.where(angle > 0, angle * per_body(reach(bodies), trajectory), 0.0)
    way = (move.index_select(-2, second) - move.index_select(-2, first)).norm(dim=-1)
    way = way + rim.index_select(-1, first) + rim.index_select(-1, second)
    close = at_frames[..., :-1, :] + at_frames[..., 1:, :] <= way * (1 + 1e-6)
    listed = tuple((int(i), int(j)) for i, j in table)
    share = torch.arange(1, count, dtype=position.dtype, device=position.device)[:, None] / count
    # One world in front for all, so that an entry is a world, an interval and a pair.
    worlds = max(1, lead.numel())
    shape = (worlds, frames - 1, bodies.num_bodies)
    start, turned = position[..., :-1, :, :].reshape(*shape, 3), orientation[..., :-1, :, :].reshape(*shape, 4)
    move, turn, close = move.reshape(*shape, 3), turn.reshape(*shape, 3), close.reshape(worlds, frames - 1, num_pairs)
    flat, flat_normal = swept.view(worlds, -1, num_pairs), normal.view(worlds, -1, num_pairs, 3)
    # A batch of bodies stands for the first of the leading axes.
    of_world = torch.arange(worlds, device=position.device) * bodies.size.shape[0] // worlds

    def posed(world: Tensor, t: Tensor, body: Tensor) -> tuple[Tensor, Tensor]:
        centre = start[world, t, body][:, None] + share * move[world, t, body][:, None]
        spun = multiply(exponential(share * turn[world, t, body][:, None]), turned[world, t, body][:, None])
        return centre, spun

    for (kind_a, kind_b), places in pairs_by_kinds(bodies.kinds, listed):
        chosen = torch.tensor(places, device=position.device)
        world, t, pick = close.index_select(-1, chosen).nonzero().unbind(-1)
        if not len(world):
            continue
        pair = chosen[pick]
        a, b, own = first[pair], second[pair], of_world[world]
        centre_a, turn_a = posed(world, t, a)
        centre_b, turn_b = posed(world, t, b)
        size, vertices = bodies.size, bodies.vertices
        found = pair_distance(
            kind_a,
            size[own, a][:, None],
            vertices[own, a][:, None],
            centre_a,
            turn_a,
            kind_b,
            size[own, b][:, None],
            vertices[own, b][:, None],
            centre_b,
            turn_b,
            bodies.planar,
        )
        instant = t[:, None] * count + torch.arange(1, count, device=position.device)
        flat[world[:, None], instant, pair[:, None]] = found.distance
        flat_normal[world[:, None], instant, pair[:, None]] = rotate_inverse(turn_a, found.normal)
    return swept, normal
