"""The engine mujoco: plays scenes under the project's pair law, and draws them."""

from worldsim.engines.mujoco.model import to_mjcf
from worldsim.engines.mujoco.simulator import MujocoSimulator

__all__ = ["MujocoSimulator", "to_mjcf"]
