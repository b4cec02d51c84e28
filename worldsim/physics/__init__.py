"""The differentiable physics prior, and the violations that losses, guidance and benchmark share."""

from worldsim.physics import rotation, violations
from worldsim.physics.bodies import Bodies
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
    "pair_distance",
    "point_distance",
    "rotation",
    "signed_distance",
    "violations",
]
