"""Pictures in layers: what keeps its pose is drawn once, and what moves is laid over it by depth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldsim.physics.trajectory import Trajectory


@dataclass(frozen=True)
class Layer:
    """Pixels as OpenGL gives them.

    Attributes:
        rgb: (..., 3); zeros where colours were not asked for.
        geoms: (...) number of the geom that is seen, counted from 1 in the order of drawing; 0 for none.
        depth: (...) reversed depth buffer, 1 at near, 0 at far and where nothing is.
    """

    rgb: NDArray[np.uint8]
    geoms: NDArray[np.uint32]
    depth: NDArray[np.float32]

    def take(self, pixels: NDArray[np.intp]) -> Layer:
        """The (K,) pixels of these places, counted through the flattened pictures."""
        return Layer(
            self.rgb.reshape(-1, 3)[pixels],
            self.geoms.reshape(-1)[pixels],
            self.depth.reshape(-1)[pixels],
        )


def moving_bodies(trajectory: Trajectory) -> NDArray[np.bool_]:
    """(N,) which bodies change their pose, come or go within the trajectory."""
    parts = (trajectory.position, trajectory.orientation, trajectory.presence[..., None])
    changes = [(part.numpy()[1:] != part.numpy()[:1]).any(axis=(0, 2)) for part in parts]
    result: NDArray[np.bool_] = np.logical_or.reduce(changes)
    return result


def pixels_in_front(top: Layer, base: Layer) -> NDArray[np.intp]:
    """Flat places of the top's (T, H, W) pixels that hide the base's (1, H, W).

    As OpenGL does it, the nearer geom is seen and, at equal depth, the one that is drawn later.
    """
    nearer = (top.depth > base.depth) | ((top.depth == base.depth) & (top.geoms > base.geoms))
    return np.flatnonzero(nearer)
