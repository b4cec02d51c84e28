"""Energies of the states read out of an estimated video, and the consistency loss made of them."""

from __future__ import annotations

import dataclasses

from torch import Tensor

from worldsim.physics import violations
from worldsim.physics.bodies import Bodies
from worldsim.physics.trajectory import Trajectory
from worldsim.vision.readout import Reading

# Corner of the penetration energy, as a share of the smallest moving body's extent.
_CORNER = 0.05
# A moving body read farther from where it is foreseen, in its extents, is lost rather than sunk into another one.
_LOST = 4.0


def consistency_energies(reading: Reading, foreseen: Trajectory, bodies: Bodies, known: int) -> dict[str, Tensor]:
    """Agreement with the prior, permanence and interpenetration of the new frames, a number a clip.

    The consistency loss takes their mean, guidance their gradient.

    Args:
        reading: Of the estimated clean video, T frames.
        foreseen: (B, T, N) the prior's trajectory.
        bodies: Sizes and static flags.
        known: Context frames, which are left out.

    Returns:
        agreement: (B,) Charbonnier distance between read and foreseen centres, in the body's own extents, of bodies
            that the prior knows of.
        permanence: (B,) squared difference between the shown and the whole area, as a share, where the prior has the
            body in view.
        penetration: (B,) energy of violations.penetration, scaled so that deep overlap counts with the square of its
            share of the smallest moving body's extent, of bodies read near where they are foreseen; left out where
            nothing can overlap.
    """
    moving = [i for i, static in enumerate(bodies.static) if not static]
    size = bodies.size[..., moving, 0].clamp_min(1e-6)
    read = reading.trajectory
    gap = (read.position - foreseen.position.detach())[:, known:, moving].norm(dim=-1) / size[:, None]
    there = foreseen.presence[:, known:, moving]
    missing = (1 - read.presence[:, known:, moving]).square() * there
    terms = {
        "agreement": (((gap.square() + 1e-4).sqrt() - 1e-2) * there).mean((1, 2)),
        "permanence": missing.mean((1, 2)),
    }
    if len(moving) > 1 or len(moving) < len(bodies.static):
        presence = foreseen.presence[:, known:].clone()
        presence[..., moving] = presence[..., moving] * (gap.detach() < _LOST)
        new = dataclasses.replace(read.frames(known, read.num_frames), presence=presence)
        energy = violations.penetration(new, bodies, tau=_CORNER * float(size.min())).energy
        terms["penetration"] = _CORNER**2 * energy
    return terms


def consistency_terms(
    reading: Reading, foreseen: Trajectory, bodies: Bodies, known: int, t: Tensor
) -> dict[str, Tensor]:
    """The energies as scalar loss terms, which weigh (1 - t)^2.

    Args:
        reading: Of the estimated clean video, T frames.
        foreseen: (B, T, N) the prior's trajectory.
        bodies: Sizes and static flags.
        known: Context frames, which are left out.
        t: (B,) noise times of the new frames.
    """
    weight = (1 - t).square()
    total = weight.sum().clamp_min(1.0)
    energies = consistency_energies(reading, foreseen, bodies, known)
    return {name: (weight * value).sum() / total for name, value in energies.items()}
