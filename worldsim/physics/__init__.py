"""The differentiable physics prior, and the violations that losses, guidance and benchmark share."""

from worldsim.physics.bodies import Bodies
from worldsim.physics.trajectory import Trajectory, concatenate

__all__ = ["Bodies", "Trajectory", "concatenate"]
