"""Bullet's contact points of a sub-step, in the scene's terms."""

from __future__ import annotations

import numpy as np

from worldsim.engines.pybullet.client import bullet
from worldsim.engines.record import Touches

# Nearer than this a pair touches, metres: bodies that were put down exactly on each other do.
TOUCH = 1e-5


class ContactLog:
    """Collects contacts of one play.

    Args:
        client: Number of the physics client.
        owner: Bullet's (body, link) to the place in Scene.bodies.

    Attributes:
        touches: Of all sub-steps so far.
        pushed: Places in Scene.bodies of all bodies that a contact pushed in the last sub-step.
    """

    def __init__(self, client: int, owner: dict[tuple[int, int], int]) -> None:
        self.client, self.owner = client, owner
        self.touches: list[Touches] = []
        self.pushed: frozenset[int] = frozenset()

    def read(self, time: float | None) -> None:
        """Log the contacts of the sub-step just taken.

        Args:
            time: When that sub-step began, seconds; Bullet looks for contacts there and solves for the force after.
                None for a trial step, which leaves no record.
        """
        points = bullet.getContactPoints(physicsClientId=self.client)
        if not points:
            self.pushed = frozenset()
            return
        rows = [point for point in points if point[8] <= TOUCH]
        places = [(self.owner[p[1], p[3]], self.owner[p[2], p[4]]) for p in rows]
        # Points that are apart were not solved for, and keep the force of the step before on them.
        forces = [point[9] if point[8] <= 0 else 0.0 for point in rows]
        pushed = (pair for force, pair in zip(forces, places, strict=True) if force > 0)
        self.pushed = frozenset(place for pair in pushed for place in pair)
        if rows and time is not None:
            self.touches.append(
                Touches(
                    time,
                    np.array(places, dtype=np.int64),
                    np.array([point[8] for point in rows]),
                    # Bullet's normal points from its second body to its first.
                    -np.array([point[7] for point in rows]),
                    np.array([point[6] for point in rows]),
                    np.array(forces),
                )
            )
