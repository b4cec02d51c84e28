"""Rollout: all that a simulator says of a scene that was played, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.physics.trajectory import Trajectory
from worldsim.scene import Camera, Scene

UInt8 = NDArray[np.uint8]
Float = NDArray[np.float32]


@dataclass(frozen=True)
class Contacts:
    """Contacts between bodies: one row for each touching pair and frame interval, in order of frame, then pair.

    The row of frame k tells of the interval (k - 1, k] / fps; frame 0 has none but those at the very start. Where a
    pair touches at several points or sub-steps within the interval, the row is that of the deepest.

    Attributes:
        time: (K,) seconds, when the pair was deepest in the interval.
        onset: (K,) seconds, when the pair first touched in the interval.
        frame: (K,) index of the frame that ends the interval.
        pair: (K, 2) ids, the lower first.
        distance: (K,) signed, metres, negative when overlapping.
        normal: (K, 3) unit, from the first body to the second, world frame.
        position: (K, 3) metres, world frame.
        force: (K,) largest normal force in the interval, newtons.
    """

    time: NDArray[np.float64]
    onset: NDArray[np.float64]
    frame: NDArray[np.int32]
    pair: NDArray[np.int32]
    distance: NDArray[np.float64]
    normal: NDArray[np.float64]
    position: NDArray[np.float64]
    force: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.time)

    @staticmethod
    def empty() -> Contacts:
        """No contact at all."""
        return Contacts(
            *(np.zeros(0), np.zeros(0), np.zeros(0, np.int32), np.zeros((0, 2), np.int32)),
            *(np.zeros(0), np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0)),
        )


@dataclass(frozen=True)
class Frames:
    """Pictures of T poses of a scene.

    Attributes:
        video: (T, H, W, 3) RGB.
        ids: (T, H, W) 0 for the background, k for bodies[k - 1].
        depth: (T, H, W) metres along the line of sight, camera.far where nothing is.
    """

    video: UInt8
    ids: UInt8
    depth: Float

    @staticmethod
    def empty(camera: Camera) -> Frames:
        """No picture at all, of the camera's size."""
        size = (0, camera.height, camera.width)
        return Frames(np.zeros((*size, 3), np.uint8), np.zeros(size, np.uint8), np.zeros(size, np.float32))


@dataclass(frozen=True)
class Rollout:
    """A scene that was played.

    Attributes:
        scene: That was played.
        video: (T, H, W, 3) RGB.
        ids: (T, H, W) 0 for the background, k for bodies[k - 1].
        depth: (T, H, W) metres along the line of sight, camera.far where nothing is.
        trajectory: (T, N, ...) of all bodies, static ones and links included, float64.
        contacts: Between all pairs that may collide.
        actions: (T - 1, A) ctrl values that were applied over each frame interval; (T - 1, 0) without a robot.
        engine: Name of the simulator.
        engine_version: Of the simulator.
        events: The event program, a list of plain dicts; filled by captions.
        caption: Level ("prompt", "scene", "events", "quantitative") to text; filled by captions.
        info: Plain values that an engine or a family adds, such as success.
    """

    scene: Scene
    video: UInt8
    ids: UInt8
    depth: Float
    trajectory: Trajectory
    contacts: Contacts
    actions: Float
    engine: str
    engine_version: str
    events: list[dict[str, Any]] = field(default_factory=list)
    caption: dict[str, str] = field(default_factory=dict)
    info: dict[str, Any] = field(default_factory=dict)
