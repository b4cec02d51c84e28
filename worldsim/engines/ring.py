"""A ring as capsules: what engines without a torus collide and draw. Shared, so that every engine has the same ring."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldsim.scene import Ring

MAX_SAGITTA = 5e-4


@dataclass(frozen=True)
class RingCapsules:
    """Equal capsules whose axes form a regular polygon around the ring's z axis.

    Attributes:
        centres: (K, 3) metres, in the ring's body frame.
        orientations: (K, 4) quaternions w x y z that turn a capsule's z axis (its segment) into the ring's frame.
        half_length: Half of a segment's length without the caps, metres.
        radius: Of the capsules, metres.
        sagitta: Largest distance between the polygon and the circle of the tube's middle, metres.
    """

    centres: NDArray[np.float64]
    orientations: NDArray[np.float64]
    half_length: float
    radius: float
    sagitta: float


def ring_capsules(ring: Ring, max_sagitta: float = MAX_SAGITTA) -> RingCapsules:
    """Approximate a torus by capsules.

    With K capsules the polygon's corners lie on radius P and its edges' middles on P cos(pi / K). Taking
    P = 2 R / (1 + cos(pi / K)) puts the tube's circle midway, so that both deviations equal R tan^2(pi / 2K).

    Args:
        ring: The torus.
        max_sagitta: Bound on that deviation, metres; the finest of this and a tenth of the tube's radius holds.

    Returns:
        The capsules, at least 8 and evenly spaced, the first one centred on the body's x axis.
    """
    big = ring.major_radius
    bound = min(max_sagitta, 0.1 * ring.minor_radius) * (1 - 1e-9)
    count = max(8, math.ceil(math.pi / (2 * math.atan(math.sqrt(bound / big)))))
    corner = 2 * big / (1 + math.cos(math.pi / count))
    angle = 2 * math.pi * np.arange(count) / count
    middle = corner * math.cos(math.pi / count)
    centres = np.stack([middle * np.cos(angle), middle * np.sin(angle), np.zeros(count)], axis=-1)
    # A quarter turn back about x turns z into y; turning that about z by the angle lays the segment along the tangent.
    half = angle / 2
    quarter = math.sqrt(0.5)
    orientations = np.stack(
        [np.cos(half) * quarter, -np.cos(half) * quarter, -np.sin(half) * quarter, np.sin(half) * quarter], axis=-1
    )
    return RingCapsules(
        centres,
        orientations,
        corner * math.sin(math.pi / count),
        ring.minor_radius,
        big * math.tan(math.pi / (2 * count)) ** 2,
    )
