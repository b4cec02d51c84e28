"""Scenario families, one file each. Importing the package registers them."""

from worldsim_envs import crossing_quadrupeds as crossing_quadrupeds
from worldsim_envs import phyworld as phyworld
