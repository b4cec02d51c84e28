"""Ways to please single laws without showing the scene; each must score worse than the honest video."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from scipy import ndimage

from worldsim.benchmarks.track import UInt8
from worldsim.benchmarks.twin_frames import NotApplicable, first_free_frame, movers
from worldsim.engines import Rollout, get_engine
from worldsim.physics.trajectory import Trajectory

_BLUR = 0.04  # of the picture's height: standard deviation


def frozen(rollout: Rollout) -> UInt8:
    """All stands still from a third of the clip on."""
    at = first_free_frame(rollout)
    return np.concatenate([rollout.video[:at], np.repeat(rollout.video[at : at + 1], len(rollout.video) - at, 0)])


def static_copy(rollout: Rollout) -> UInt8:
    """The first frame, over and over."""
    return np.repeat(rollout.video[:1], len(rollout.video), 0)


def blurred(rollout: Rollout) -> UInt8:
    """A Gaussian blur from a third of the clip on."""
    at = first_free_frame(rollout)
    sigma = _BLUR * rollout.video.shape[1]
    soft = ndimage.gaussian_filter(rollout.video[at:], (0, sigma, sigma, 0))
    return np.concatenate([rollout.video[:at], soft])


def vanishing(rollout: Rollout) -> UInt8:
    """Everything that moves is gone from a third of the clip on."""
    return _drawn(rollout, movers(rollout))


def one_object(rollout: Rollout) -> UInt8:
    """Of what moves one body is left from a third of the clip on."""
    others = movers(rollout)[1:]
    if not others:
        raise NotApplicable("kind: there is only one body that moves")
    return _drawn(rollout, others)


def merged(rollout: Rollout) -> UInt8:
    """From a third of the clip on the body that moves second farthest stands where the first one is."""
    free = movers(rollout)
    if len(free) < 2:
        raise NotApplicable("kind: there is only one body that moves")
    motion, at = rollout.trajectory, first_free_frame(rollout)
    position = motion.position.clone()
    position[at:, free[1]] = position[at:, free[0]]
    return _render(rollout, dataclasses.replace(motion, position=position))


CHEATS: dict[str, Callable[[Rollout], UInt8]] = {
    "frozen": frozen,
    "static copy": static_copy,
    "blurred": blurred,
    "vanishing": vanishing,
    "one object": one_object,
    "merged": merged,
}


def _drawn(rollout: Rollout, gone: list[int]) -> UInt8:
    presence = rollout.trajectory.presence.clone()
    presence[first_free_frame(rollout) :, gone] = 0
    return _render(rollout, dataclasses.replace(rollout.trajectory, presence=presence))


def _render(rollout: Rollout, motion: Trajectory) -> UInt8:
    return get_engine(rollout.engine).render(rollout.scene, motion).video
