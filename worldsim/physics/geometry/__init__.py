"""Differentiable signed distances, normals and witness points between shapes, batched over any leading axes."""

from worldsim.physics.geometry._distances import PairDistances, collision_pairs, distances, pairs_by_kinds
from worldsim.physics.geometry._signed_distance import Pose, closest_points, signed_distance
from worldsim.physics.geometry.pairs import known_pair, pair_distance
from worldsim.physics.geometry.points import point_distance
from worldsim.physics.geometry.types import PairDistance, PointDistance

__all__ = [
    "PairDistance",
    "PairDistances",
    "PointDistance",
    "Pose",
    "closest_points",
    "collision_pairs",
    "distances",
    "known_pair",
    "pair_distance",
    "pairs_by_kinds",
    "point_distance",
    "signed_distance",
]
