"""MuJoCo from torch: step, roll-out and inverse residual of any MJCF, with derivatives that hold for free joints."""

from worldsim.physics.mujoco_derivatives.dynamics import MujocoDynamics, MujocoRollout
from worldsim.physics.mujoco_derivatives.inverse import InverseResidual, tangent_difference
from worldsim.physics.mujoco_derivatives.model import Layout

__all__ = ["InverseResidual", "Layout", "MujocoDynamics", "MujocoRollout", "tangent_difference"]
