"""How far a video's energy rises, with the error of what is read: flights between impacts, and what they carry."""

from __future__ import annotations

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view

from worldsim.benchmarks.track import Floats
from worldsim.benchmarks.world import Motion
from worldsim.physics import violations

_FRAMES = 6  # whose median stands for the energy before, and after, a frame
_REACH = 12  # frames within which they must lie
MAX_ERROR = 0.1  # of the kinetic energy: standard error of a rise above which it cannot be read


def energy_rise(motion: Motion, gravity: tuple[float, float, float]) -> tuple[Floats, Floats]:
    """Rise of the energy at each frame over its lowest before, as a share of the kinetic energy.

    A closed world's energy never rises: it is handed on in contacts, and lost in them. Energies are those of
    violations.mechanical_energy at the fits of the stretches between impacts; of the _FRAMES known frames up to a frame
    and of those after it the median counts, and the least median so far is what the later ones are held against, so
    that a gain is found whole whether it comes at once or creeps in. The spin of balls leaves no trace in an outline:
    what friction turns from spin into speed counts as a gain, in lawful motion too, and so in the floor.

    The error of a body's energy follows from that of its place: m g times it, and m v sqrt(12) times it over the time
    that the stretch lasts, the slope of a line through points with that error at its ends; that of its turn enters
    alike with the largest moment of inertia.

    Args:
        motion: Of all bodies that move.
        gravity: m/s^2.

    Returns:
        (T,) rises and (T,) their standard errors, in upper quartiles of the kinetic energy; NaN where the bodies are
        not all measured in _FRAMES frames within _REACH on both sides.
    """
    smoothed, bodies = motion.smoothed, motion.bodies
    moving = ~np.array(bodies.static)
    total, kinetic = (
        violations.mechanical_energy(smoothed, bodies, torch.tensor(pull, dtype=torch.float64)).sum(-1).numpy()
        for pull in (gravity, (0.0, 0.0, 0.0))
    )
    known = np.flatnonzero((smoothed.presence.numpy()[:, moving] > 0.5).all(-1))
    frames = len(total)
    rise, error = np.full(frames, np.nan), np.full(frames, np.nan)
    if len(known) < 2 * _FRAMES:
        return rise, error
    scale = max(float(np.quantile(kinetic[known], 0.75)), 1e-12)
    noise = np.sqrt(_variance(motion, gravity)[:, moving].sum(-1).clip(0))
    # Medians of the _FRAMES known frames from each on.
    level, spread = (np.median(sliding_window_view(x[known], _FRAMES), -1) for x in (total, noise))
    end = np.searchsorted(known, np.arange(frames))  # of the frames before each
    t = np.flatnonzero((end >= _FRAMES) & (end <= len(known) - _FRAMES))
    t = t[(t - known[end[t] - _FRAMES] <= _REACH) & (known[end[t] + _FRAMES - 1] - t < _REACH)]
    if len(t):
        before, after = end[t] - _FRAMES, end[t]
        lowest = np.minimum.accumulate(level[before])
        lower = np.concatenate([[True], level[before[1:]] < lowest[:-1]])
        at_lowest = spread[before[np.maximum.accumulate(np.where(lower, np.arange(len(t)), 0))]]
        rise[t] = np.maximum(0.0, level[after] - lowest) / scale
        error[t] = np.hypot(at_lowest, spread[after]) / scale
    return rise, error


def _variance(motion: Motion, gravity: tuple[float, float, float]) -> Floats:
    """(T, N) squares of the standard errors of the bodies' energies, joules squared."""
    velocity = motion.smoothed.linear_velocity.numpy()
    mass = motion.bodies.mass[0].numpy()
    pull = np.array(gravity)
    place = np.einsum("i,tnij,j->tn", pull, motion.covariance, pull)
    span = np.maximum(motion.spans, 1e-6)
    speed = 12 * np.einsum("tni,tnij,tnj->tn", velocity, motion.covariance, velocity) / span**2
    inertia, spin = motion.bodies.inertia[0].amax(-1).numpy(), motion.smoothed.angular_velocity.numpy()
    turn = 12 * np.einsum("tni,tnij,tnj->tn", spin, motion.pose_covariance[..., 3:, 3:], spin) / span**2
    return np.asarray(mass**2 * (place + speed) + inertia**2 * turn, np.float64)
