"""Violations of the law, pure tensor functions: losses take the mean, guidance the gradient, benchmarks the values."""

from worldsim.physics.violations._dynamics import Step, dynamics_residual, free_flight, observed_states
from worldsim.physics.violations._energy import energy_gain, mechanical_energy
from worldsim.physics.violations._gravity import gravity_error
from worldsim.physics.violations._jitter import jitter
from worldsim.physics.violations._momentum import momentum_drift
from worldsim.physics.violations._pass_through import pass_through, thickness
from worldsim.physics.violations._penetration import penetration
from worldsim.physics.violations._permanence import permanence
from worldsim.physics.violations._response import unanswered_contact, uncaused_response
from worldsim.physics.violations._rigidity import (
    group_rigidity,
    mask_moments,
    mask_rigidity,
    moment_rigidity,
    point_rigidity,
)
from worldsim.physics.violations._stillness import stillness
from worldsim.physics.violations._teleport import teleport
from worldsim.physics.violations._volume import penetration_volume
from worldsim.physics.violations.contacts import Contacts
from worldsim.physics.violations.result import Violation

__all__ = [
    "Contacts",
    "Step",
    "Violation",
    "dynamics_residual",
    "energy_gain",
    "free_flight",
    "gravity_error",
    "group_rigidity",
    "jitter",
    "mask_moments",
    "mask_rigidity",
    "mechanical_energy",
    "moment_rigidity",
    "momentum_drift",
    "observed_states",
    "pass_through",
    "penetration",
    "penetration_volume",
    "permanence",
    "point_rigidity",
    "stillness",
    "teleport",
    "thickness",
    "unanswered_contact",
    "uncaused_response",
]
