"""Who can play a scene: MuJoCo, PyBullet and the prior itself, behind one Simulator protocol."""

from worldsim.engines.check import check_simulator
from worldsim.engines.overlap import refuse_overlap
from worldsim.engines.protocol import ENGINES, PRESETS, Simulator, get_engine
from worldsim.engines.rollout import Contacts, Frames, Rollout

__all__ = [
    "ENGINES",
    "PRESETS",
    "Contacts",
    "Frames",
    "Rollout",
    "Simulator",
    "check_simulator",
    "get_engine",
    "refuse_overlap",
]
