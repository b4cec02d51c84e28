"""Fits through the prior: identification of law and start, projection onto the feasible set."""

from worldsim.physics.fit._identify import Identified, identify
from worldsim.physics.fit._project import project
from worldsim.physics.fit.levenberg import Fit, levenberg_marquardt

__all__ = ["Fit", "Identified", "identify", "levenberg_marquardt", "project"]
