"""What touched, step by step, and from it the contacts of a rollout. Shared by the engines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldsim.engines.rollout import Contacts

Array = NDArray[np.float64]


@dataclass
class Touches:
    """What touched at one instant, a row a contact point.

    Attributes:
        time: Seconds.
        places: (C, 2) places of the two bodies in the scene.
        distance: (C,) signed, metres.
        normal: (C, 3) from the first to the second, world frame.
        position: (C, 3) metres, world frame.
        force: (C,) newtons.
    """

    time: float
    places: NDArray[np.int64]
    distance: Array
    normal: Array
    position: Array
    force: Array


def reduce_contacts(touches: Sequence[Touches], fps: float) -> Contacts:
    """One row for each pair and frame interval, as Contacts documents: the deepest, the onset, the largest force.

    The force of a pair at one instant is summed over its points.
    """
    if not touches:
        return Contacts.empty()
    counts = [len(t.force) for t in touches]
    instant = np.repeat(np.arange(len(touches)), counts)
    time = np.repeat([t.time for t in touches], counts)
    places = np.concatenate([t.places for t in touches])
    distance = np.concatenate([t.distance for t in touches])
    normal = np.concatenate([t.normal for t in touches])
    position = np.concatenate([t.position for t in touches])
    force = np.concatenate([t.force for t in touches])
    turned = places[:, 0] > places[:, 1]
    normal = np.where(turned[:, None], -normal, normal)
    pair = np.sort(places, axis=1) + 1
    # The interval (k - 1, k] / fps, with room for rounding in the clock.
    frame = np.maximum(np.ceil(time * fps - 1e-6), 0).astype(np.int32)
    at_once = np.stack([instant, pair[:, 0], pair[:, 1]], axis=1)
    _, group = np.unique(at_once, axis=0, return_inverse=True)
    summed = np.bincount(group.ravel(), weights=force)[group.ravel()]
    keys = np.stack([frame, pair[:, 0], pair[:, 1]], axis=1)
    rows, row = np.unique(keys, axis=0, return_inverse=True)
    row = row.ravel()
    order = np.lexsort((time, distance, row))
    deepest = order[np.searchsorted(row[order], np.arange(len(rows)))]
    onset = np.full(len(rows), np.inf)
    np.minimum.at(onset, row, time)
    largest = np.zeros(len(rows))
    np.maximum.at(largest, row, summed)
    return Contacts(
        time=time[deepest],
        onset=onset,
        frame=rows[:, 0].astype(np.int32),
        pair=rows[:, 1:].astype(np.int32),
        distance=distance[deepest],
        normal=normal[deepest],
        position=position[deepest],
        force=largest,
    )
