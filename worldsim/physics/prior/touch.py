"""A record of contacts for who asks for one: which bodies touched, when within the step, how hard."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from worldsim.physics.prior.contact import Points


class Touch(NamedTuple):
    """K contacts in each of B worlds at one moment of a step; bodies by their place among all bodies.

    Attributes:
        time: (B, K) seconds since the start of the step.
        a: (B, K) first body.
        b: (B, K) second body.
        normal: (B, K, 3) unit, from b to a, world frame.
        position: (B, K, 3) metres, world frame.
        gap: (B, K) metres.
        impulse: (B, K) normal impulse of a collision, newton seconds; 0 for contacts at rest.
        force: (B, K) normal force of a contact at rest, newtons; 0 for collisions.
        valid: (B, K) whether there is such a contact.
    """

    time: Tensor
    a: Tensor
    b: Tensor
    normal: Tensor
    position: Tensor
    gap: Tensor
    impulse: Tensor
    force: Tensor
    valid: Tensor


@torch.no_grad()
def touch_of(points: Points, position: Tensor, time: Tensor, impulse: Tensor, span: Tensor | None) -> Touch:
    """The record of contact points that got a (B, C) normal impulse.

    Args:
        points: Contact points, by body place.
        position: (B, N, 3) centres.
        time: (B, 1) or (B, C) seconds since the start of the step.
        impulse: (B, C) newton seconds.
        span: Seconds over which a force at rest gave it, broadcast against it; None for a collision.
    """
    at = position.gather(1, points.a[..., None].expand(-1, -1, 3)) + points.arm_a
    none = torch.zeros_like(impulse)
    return Touch(
        time=time.expand_as(impulse),
        a=points.a,
        b=points.b,
        normal=points.normal,
        position=at,
        gap=points.gap,
        impulse=impulse if span is None else none,
        force=none if span is None else impulse / span,
        valid=impulse > 1e-3 * impulse.amax(1, keepdim=True),
    )
