"""The diffusion path and its conversions, timestep sampling, samplers, guidance."""

from worldsim.diffusion.guidance import classifier_free, energy_guidance
from worldsim.diffusion.path import add_noise, expand_time, sample_times, shift_time, to_data, to_noise, to_velocity
from worldsim.diffusion.samplers import Denoise, Hook, sample, time_grid

__all__ = [
    "Denoise",
    "Hook",
    "add_noise",
    "classifier_free",
    "energy_guidance",
    "expand_time",
    "sample",
    "sample_times",
    "shift_time",
    "time_grid",
    "to_data",
    "to_noise",
    "to_velocity",
]
