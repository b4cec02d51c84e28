"""Differentiable signed distances, normals and witness points between shapes, batched over any leading axes."""

from worldsim.physics.geometry.pairs import known_pair, pair_distance
from worldsim.physics.geometry.points import point_distance
from worldsim.physics.geometry.types import PairDistance, PointDistance

__all__ = ["PairDistance", "PointDistance", "known_pair", "pair_distance", "point_distance"]
