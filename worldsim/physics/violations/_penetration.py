"""Interpenetration: how deep bodies stand in each other."""

from __future__ import annotations

import torch
from torch.nn.functional import softplus

from worldsim.physics.bodies import Bodies
from worldsim.physics.trajectory import Trajectory
from worldsim.physics.violations.contacts import Contacts
from worldsim.physics.violations.result import Violation, settle


def penetration(
    trajectory: Trajectory, bodies: Bodies, tau: float = 0.01, contacts: Contacts | None = None
) -> Violation:
    """Depth of overlap of every pair of bodies of different groups, of which one moves, in each frame.

    The depth is the least distance that parts a convex pair; for a ring, how far its tube is pressed in. Engines
    leave .1 to .4 mm under bodies at rest, so that a violation starts near 1 mm in scenes of metres.

    Mean: a loss that vanishes with the last overlap. Energy: the mean over frames of sum over pairs of
    softplus(-d / tau)^2, which already pushes at contact and keeps its gradient in deep overlap, for guidance and
    projection (smooth barrier of Chen and Mangasarian 1996); on its own it is satisfied by
    bodies that vanish, so pair it with permanence. Distribution: the benchmark's penetration figure.

    Args:
        trajectory: (..., T, N).
        bodies: That move.
        tau: Width of the energy's corner, metres.
        contacts: Of the same trajectory and bodies, where they are at hand.

    Returns:
        Violation in m, one subject a pair; measurable where both bodies exist.

    Raises:
        ValueError: For shapes that do not fit, NaN, quaternions not of unit length, a tau not above 0.
    """
    if not tau > 0:
        raise ValueError(f"tau: must be above 0, got {tau!r}")
    contacts = Contacts.of(trajectory, bodies, contacts)
    measured, both = contacts.distances, contacts.both
    pushed = torch.where(both, softplus(-measured.distance / tau).square(), 0.0)
    energy = pushed.sum(-1).mean(-1)
    return settle("penetration", "m", (-measured.distance).clamp_min(0), both, measured.pairs, energy)
