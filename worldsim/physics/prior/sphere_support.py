"""Spheres that rest on each other and on planes: the constant accelerations by which they carry and rub each other."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from worldsim.physics.prior.contact import Points, jacobian
from worldsim.physics.prior.flight import basis
from worldsim.physics.prior.matter import pair_mean
from worldsim.physics.prior.resting import Response, Solver, central_path
from worldsim.physics.prior.spheres import SphereWorld


class Support(NamedTuple):
    """What contacts at rest do over a step.

    Attributes:
        flights: (B, S + P, 18) with the accelerations by contact.
        points: The contact points, among all bodies where every body takes part.
        reply: Their impulses over the step.
    """

    flights: Tensor
    points: Points
    reply: Response


def support(
    flights: Tensor, world: SphereWorld, pressed: Tensor, step: float, solver: Solver, planar: bool, dense: bool
) -> Support:
    """Add the accelerations of pairs that rest on each other.

    Args:
        flights: (B, S + P, 18).
        world: The bodies.
        pressed: (B, S, S + P) pairs that rest on each other.
        step: Seconds.
        solver: Of the contact forces.
        planar: Whether bodies keep to the xz-plane.
        dense: Whether all bodies take part, so that no shape depends on data. Otherwise only as many as rest in some
            world do: the others' rows of the system are zero.
    """
    points = _points(world, flights, pressed, dense)
    part, constants, keep = flights, world.constants, None
    if not dense:
        points, keep = _compact(points, flights.shape[1])
        part = flights.gather(1, keep[..., None].expand(-1, -1, flights.shape[-1]))
        constants = constants.gather(1, keep[..., None].expand(-1, -1, constants.shape[-1]))
    drag = constants[..., 8:9] if world.drags else None
    at = basis(part.new_tensor(step) if drag is None else torch.full_like(drag, step), drag)
    # With drag the velocity decays by itself; what contact must hold is the velocity at the end of the step.
    velocity = part[..., 3:6] if at.chi is None else at.chi * part[..., 3:6]
    velocity = velocity + at.phi * part[..., 6:9]
    spin = part[..., 9:12] + step * part[..., 12:15]
    inverse_inertia = constants[..., 4, None, None] * torch.eye(3, dtype=part.dtype, device=part.device)
    jac = jacobian(points, constants[..., 3], inverse_inertia, planar)
    depth = points.gap
    target = torch.where(depth > 0, -depth / step, (-0.1 * depth / step).clamp_max(1.0))
    reply = central_path(points, jac, velocity, spin, target, points.valid, solver)
    none = torch.zeros_like(reply.velocity)
    change = torch.cat([none, none, reply.velocity / at.phi, none, reply.spin / step, none], -1)
    if keep is not None:
        change = torch.zeros_like(flights).scatter(1, keep[..., None].expand_as(change), change)
    return Support(flights + change, points, reply)


def _points(world: SphereWorld, flights: Tensor, pressed: Tensor, dense: bool) -> Points:
    """The deepest of the contact points of the pressed pairs; each pair of spheres once."""
    num_spheres, num_planes = len(world.spheres), len(world.planes)
    device = flights.device
    first, second = torch.triu_indices(num_spheres, num_spheres, 1, device=device)
    of_plane = torch.arange(num_spheres, device=device).repeat_interleave(num_planes)
    plane = torch.arange(num_planes, device=device).repeat(num_spheres)
    a, b = torch.cat([first, of_plane]), torch.cat([second, num_spheres + plane])
    wanted = pressed[:, a, b]
    limit = min(len(a), 6 * num_spheres)
    if not dense:
        limit = max(1, min(limit, int(wanted.sum(1).amax())))
    with torch.no_grad():
        x = flights[..., :3]
        apart = (x[:, first] - x[:, second]).square().sum(-1).sqrt() - world.radius[:, first] - world.radius[:, second]
        heights = x[:, :num_spheres] @ world.normal.mT - world.offset[:, None] - world.radius[:, :num_spheres, None]
        gap = torch.cat([apart, heights.flatten(1)], 1)
        index = torch.where(wanted, gap, torch.inf).topk(limit, dim=1, largest=False).indices
    a, b, valid = a[index], b[index], wanted.gather(1, index)
    at_a, at_b = _take(flights[..., :3], a), _take(flights[..., :3], b)
    ours, theirs = _take(world.constants, a), _take(world.constants, b)
    on_plane = (b >= num_spheres)[..., None]
    offset = torch.where(valid[..., None] & ~on_plane, at_a - at_b, 1.0)
    distance = offset.square().sum(-1, keepdim=True).sqrt()
    normal = torch.where(on_plane, theirs[..., :3], offset / distance)
    radius, their_radius = ours[..., 5:6], theirs[..., 5:6]
    height = (at_a * theirs[..., :3]).sum(-1) - theirs[..., 9] - ours[..., 5]
    friction = pair_mean(ours[..., 6], theirs[..., 6])
    return Points(
        a=a,
        b=b,
        normal=normal,
        arm_a=-radius * normal,
        arm_b=their_radius * normal,
        gap=torch.where(on_plane[..., 0], height, (distance - radius - their_radius)[..., 0]),
        friction=friction,
        restitution=torch.zeros_like(friction),
        pair=index,
        valid=valid,
    )


def _take(values: Tensor, index: Tensor) -> Tensor:
    return values.gather(1, index[..., None].expand(-1, -1, values.shape[-1]))


def _compact(points: Points, count: int) -> tuple[Points, Tensor]:
    """The points told by place among the bodies that take part, and who these are, (B, M)."""
    valid = points.valid
    rests = torch.zeros(valid.shape[0], count, dtype=torch.long, device=valid.device)
    for end in (points.a, points.b):
        rests = rests.scatter_reduce(1, end, valid.long(), "amax")
    keep = rests.topk(max(1, int(rests.sum(1).amax())), dim=1).indices
    here = torch.arange(keep.shape[1], device=keep.device).expand_as(keep)
    place = torch.zeros_like(rests).scatter(1, keep, here)
    return replace(points, a=place.gather(1, points.a), b=place.gather(1, points.b)), keep
