"""Pictures in layers: what keeps its pose is drawn once, and what moves is laid over it by depth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldsim.engines.ring import MAX_SAGITTA
from worldsim.physics.trajectory import Trajectory
from worldsim.scene import Scene


@dataclass(frozen=True)
class Layer:
    """Pixels as OpenGL gives them.

    Attributes:
        rgb: (..., 3); None where colours were not asked for.
        geoms: (...) number of the geom that is seen, counted from 1 in the order of drawing, or of another geom of
            the same body; of no meaning where nothing is.
        depth: (...) reversed depth buffer, 1 at near, 0 at far and where nothing is.
    """

    rgb: NDArray[np.uint8] | None
    geoms: NDArray[np.uint16]
    depth: NDArray[np.float32]

    def take(self, pixels: NDArray[np.intp]) -> Layer:
        """The (K,) pixels of these places, counted through the flattened pictures."""
        return Layer(
            None if self.rgb is None else self.rgb.reshape(-1, 3)[pixels],
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
    drawn = np.flatnonzero(top.depth > 0)
    below = drawn % base.depth.size
    depth, under = top.depth.reshape(-1)[drawn], base.depth.reshape(-1)[below]
    later = top.geoms.reshape(-1)[drawn] > base.geoms.reshape(-1)[below]
    result: NDArray[np.intp] = drawn[(depth > under) | ((depth == under) & later)]
    return result


class Windows:
    """Where in the picture each body can be seen, by the ball around it.

    Args:
        scene: Its camera and the extents of its bodies.
        position: (T, N, 3) metres.
        shown: (T, N) which bodies are drawn.

    Attributes:
        apart: (T,) whether no two windows overlap, so that every pixel that is drawn tells by its place whose it is.
    """

    def __init__(self, scene: Scene, position: NDArray[np.float64], shown: NDArray[np.bool_]) -> None:
        camera = scene.camera
        self.places = np.flatnonzero(shown.any(axis=0))
        self.shown = shown[:, self.places]
        local = (position[:, self.places] - np.array(camera.position)) @ camera.rotation.T
        # Engines draw a ring as capsules that reach out a little farther.
        radius = np.array([scene.bodies[i].shape.extent for i in self.places]) + MAX_SAGITTA
        across, depth = local[..., :2], local[..., 2]
        near, far = depth - radius, depth + radius
        size = np.array([camera.width, camera.height])
        low, high = across - radius[:, None], across + radius[:, None]
        if camera.kind == "perspective":
            # What reaches behind the camera may be seen anywhere.
            behind = (near < camera.near)[..., None]
            front, back = np.where(behind, 1.0, near[..., None]), np.where(behind, 1.0, far[..., None])
            low = np.where(behind, -np.inf, np.minimum(low / front, low / back))
            high = np.where(behind, np.inf, np.maximum(high / front, high / back))
        # One pixel more on every side, for what rounding draws.
        self.low = np.floor(np.clip(low * camera.focal + size / 2 - 1, 0, size)).astype(np.int64)
        self.high = np.ceil(np.clip(high * camera.focal + size / 2 + 1, 0, size)).astype(np.int64)
        self.height = camera.height
        seen = self.shown & (self.low < self.high).all(axis=-1)
        overlap = (self.low[:, :, None] < self.high[:, None]) & (self.low[:, None] < self.high[:, :, None])
        both = overlap.all(axis=-1) & seen[:, :, None] & seen[:, None]
        self.apart: NDArray[np.bool_] = both.sum(axis=(1, 2)) == seen.sum(axis=1)

    def of(self, frame: int) -> Iterator[tuple[int, slice, slice]]:
        """Place in the scene, rows counted from the lowest, and columns of each body that is drawn."""
        for k in np.flatnonzero(self.shown[frame]):
            (left, top), (right, bottom) = self.low[frame, k].tolist(), self.high[frame, k].tolist()
            yield int(self.places[k]), slice(self.height - bottom, self.height - top), slice(left, right)
