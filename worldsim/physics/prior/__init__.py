"""The differentiable physics prior: law, impacts at their time, contacts at rest, roll-outs and one-step defects."""

from worldsim.physics.prior.defects import Defects, defects
from worldsim.physics.prior.law import LawParameters, LearnedLaw
from worldsim.physics.prior.prior import PhysicsPrior, PriorConfig
from worldsim.physics.prior.residual import Residual
from worldsim.physics.prior.resting import Solver

__all__ = ["Defects", "LawParameters", "LearnedLaw", "PhysicsPrior", "PriorConfig", "Residual", "Solver", "defects"]
