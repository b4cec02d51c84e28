"""The consistency loss: states read out of the predicted clean video must obey the law."""

from __future__ import annotations

from torch import Tensor

from worldsim.physics.bodies import Bodies
from worldsim.physics.trajectory import Trajectory
from worldsim.vision.readout import Reading


def consistency_terms(
    reading: Reading, foreseen: Trajectory, bodies: Bodies, known: int, t: Tensor, t_max: float
) -> dict[str, Tensor]:
    """Agreement with the prior, and permanence, of the new frames.

    At high noise the estimate is a mean over futures and need not be lawful: the terms are silent above t_max and weigh
    (1 - t)^2 below (DESIGN: lever 2).

    Args:
        reading: Of the estimated clean video, T frames.
        foreseen: (B, T, N) the prior's trajectory.
        bodies: Sizes and static flags.
        known: Context frames, which are left out.
        t: (B,) noise times of the new frames.
        t_max: See above.

    Returns:
        agreement: Charbonnier distance between read and foreseen centres, in the body's own extents.
        permanence: squared difference between the shown and the whole area, as a share, where the prior has the body
            in view.
    """
    weight = (1 - t).square() * (t < t_max)
    moving = [i for i, static in enumerate(bodies.static) if not static]
    extent = bodies.size[:, None, moving, 0].clamp_min(1e-6)
    read, prior = reading.trajectory, foreseen
    gap = (read.position - prior.position.detach())[:, known:, moving].norm(dim=-1) / extent
    agreement = ((gap.square() + 1e-4).sqrt() - 1e-2).mean((1, 2))
    missing = (1 - read.presence[:, known:, moving]).square() * prior.presence[:, known:, moving]
    permanence = missing.mean((1, 2))
    total = weight.sum().clamp_min(1.0)
    return {
        "agreement": (weight * agreement).sum() / total,
        "permanence": (weight * permanence).sum() / total,
    }
