"""The real PyBullet module, and physics clients that are closed whatever happens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

try:
    import pybullet
except ImportError as error:
    raise ImportError(
        "engine pybullet: PyBullet is not installed; `pip install pybullet numpy` installs it on CPython up to 3.11, "
        "where its wheels stop. On later versions use engine='mujoco'."
    ) from error

VERSION = version("pybullet")
bullet: Any = pybullet
Quaternion = tuple[float, float, float, float]

# Share of a penetration that the solver takes away in one sub-step. Free bodies get it as a shift of position apart
# from their velocity (split impulse); links get it as velocity, which adds up to this share to an impact's outgoing
# speed, so that it has to be well under one per cent.
POSITION_GAIN = 0.005
SOLVER_ITERATIONS = 200


@contextmanager
def physics_client() -> Iterator[int]:
    """A Bullet world of its own in this process, as a client number; Bullet has 1024 of them, so it is given back."""
    client = int(bullet.connect(bullet.DIRECT))
    if client < 0:
        raise RuntimeError("engine pybullet: Bullet gave no physics client; all 1024 of this process are in use")
    try:
        yield client
    finally:
        bullet.disconnect(physicsClientId=client)


def set_engine(client: int, step: float, slop: float = 0.0) -> None:
    """Make a client's solver exact at impacts: no velocity threshold, split impulses, fixed order.

    Args:
        client: Number of the physics client.
        step: Sub-step, seconds.
        slop: By how many metres bodies may come nearer in the step of an impact for free; Bullet's own 1e-5 takes up to
            12 % off slow impacts.
    """
    bullet.setPhysicsEngineParameter(
        fixedTimeStep=step,
        numSubSteps=0,
        numSolverIterations=SOLVER_ITERATIONS,
        solverResidualThreshold=1e-12,
        restitutionVelocityThreshold=0.0,
        contactSlop=slop,
        useSplitImpulse=1,
        # Bullet splits where the penetration is under this value; this one covers every penetration.
        splitImpulsePenetrationThreshold=1e9,
        contactERP=POSITION_GAIN,
        deterministicOverlappingPairs=1,
        physicsClientId=client,
    )


def to_bullet(quaternion: Any) -> Quaternion:
    """A quaternion w x y z as Bullet's x y z w."""
    w, x, y, z = (float(value) for value in quaternion)
    return (x, y, z, w)
