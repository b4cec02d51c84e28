"""The differentiable physics prior, and the violations that losses, guidance and benchmark share."""

from worldsim.physics import rotation, violations
from worldsim.physics.bodies import Bodies
from worldsim.physics.fit import Identified, identify, project
from worldsim.physics.geometry import (
    PairDistance,
    PairDistances,
    PointDistance,
    closest_points,
    collision_pairs,
    distances,
    pair_distance,
    point_distance,
    signed_distance,
)
from worldsim.physics.prior import (
    Defects,
    LawParameters,
    LearnedLaw,
    PhysicsPrior,
    PriorConfig,
    Residual,
    Solver,
    defects,
)
from worldsim.physics.trajectory import Trajectory, concatenate

__all__ = [
    "Bodies",
    "Defects",
    "Identified",
    "LawParameters",
    "LearnedLaw",
    "PairDistance",
    "PairDistances",
    "PhysicsPrior",
    "PointDistance",
    "PriorConfig",
    "Residual",
    "Solver",
    "Trajectory",
    "closest_points",
    "collision_pairs",
    "concatenate",
    "defects",
    "distances",
    "identify",
    "pair_distance",
    "point_distance",
    "project",
    "rotation",
    "signed_distance",
    "violations",
]


def __getattr__(name: str) -> object:
    """MujocoDynamics is loaded when it is asked for, so that importing physics loads no simulator."""
    if name == "MujocoDynamics":
        from worldsim.physics.mujoco_derivatives import MujocoDynamics

        return MujocoDynamics
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
