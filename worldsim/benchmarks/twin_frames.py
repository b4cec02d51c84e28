"""When a rollout can be broken: which bodies move, and frames in which they are in full view and free of contacts."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from numpy.typing import NDArray

from worldsim.engines import Rollout

AROUND = 4  # frames on both sides of a change in which nothing else may happen


class NotApplicable(ValueError):
    """The rollout cannot be broken in this way."""


def need(holds: bool, reason: str) -> None:
    """Refuse a rollout that cannot be broken so."""
    if not holds:
        raise NotApplicable(f"kind: {reason}")


def movers(rollout: Rollout) -> list[int]:
    """Bodies that joints do not hold, in order of how far they go while in view."""
    scene = rollout.scene
    held = {joint.child for joint in scene.joints} | {joint.parent for joint in scene.joints}
    free = [k for k, b in enumerate(scene.bodies) if not b.static and b.name not in held and b.group is None]
    need(bool(free), "the scene has no free body")
    way = rollout.trajectory.position.diff(dim=0).norm(dim=-1)
    seen = torch.tensor(np.stack([(rollout.ids[1:] == k + 1).any(axis=(1, 2)) for k in free], -1))
    path = (way[:, free] * seen).sum(0)
    return [free[int(i)] for i in path.argsort(descending=True)]


def first_free_frame(rollout: Rollout) -> int:
    """The first frame that may differ: after the context that a model would be given."""
    return max(5, len(rollout.video) // 3)


def onset_of(rollout: Rollout, k: int) -> int:
    """The frame in which a body begins to differ: in full view, and touching nothing two frames before and after.

    A leap within the step of an impact is told from the rebound by nothing that a picture shows.
    """
    frames = onsets(rollout, k)
    need(bool(frames), "the body is not in full view and free of contacts for long enough")
    return frames[0]


def onsets(rollout: Rollout, k: int) -> list[int]:
    """All frames that would do."""
    frames = len(rollout.video)
    clear = in_full_view(rollout, k)
    hit = rollout.contacts.frame[(rollout.contacts.pair == k + 1).any(-1)]
    resting = np.bincount(hit, minlength=frames).cumsum()
    # A body that touches something all the while, as on a floor, need not come free of it.
    lasting = len(hit) > frames // 2
    return [
        t
        for t in range(first_free_frame(rollout), frames - 5)
        if clear[t - 2 : t + 6].all() and (lasting or resting[t + 2] == resting[t - 3])
    ]


def in_full_view(rollout: Rollout, k: int) -> NDArray[np.bool_]:
    """(T,) whether a body of 12 pixels or more is seen, not at the picture's edge and with nothing before its rim.

    The floor that a body stands on begins a little nearer than its foot; what covers it is nearer by its size.
    """
    own = rollout.ids == k + 1
    size = rollout.scene.bodies[k].shape.extent
    margin = np.array([np.inf, *(size if body.static else 0.1 * size for body in rollout.scene.bodies)])
    hidden = np.zeros(len(own), bool)
    for axis in (1, 2):
        for way in (slice(None, -1), slice(1, None)):
            back = slice(1, None) if way.start is None else slice(None, -1)
            here, there = [slice(None)] * 3, [slice(None)] * 3
            here[axis], there[axis] = way, back
            rim = own[tuple(here)] & ~own[tuple(there)]
            nearer = rollout.depth[tuple(here)] - rollout.depth[tuple(there)] > margin[rollout.ids[tuple(there)]]
            hidden |= (rim & nearer).any(axis=(1, 2))
    edge = own[:, [0, -1]].any(axis=(1, 2)) | own[:, :, [0, -1]].any(axis=(1, 2))
    return np.asarray((own.sum(axis=(1, 2)) >= 12) & ~hidden & ~edge, bool)


def flight(rollout: Rollout, k: int) -> tuple[int, int]:
    """The longest run of frames in which a body touches nothing, is seen, and moves."""
    frames = len(rollout.video)
    touched = np.zeros(frames, bool)
    touched[rollout.contacts.frame[(rollout.contacts.pair == k + 1).any(-1)]] = True
    seen = (rollout.ids == k + 1).any(axis=(1, 2))
    free = ~touched & seen
    best, begin = (0, 0), None
    for t in range(frames + 1):
        if t < frames and free[t]:
            begin = t if begin is None else begin
        elif begin is not None:
            best, begin = max(best, (begin, t), key=lambda run: run[1] - run[0]), None
    need((best[1] - best[0]) * rollout.trajectory.dt >= 0.4 and best[1] - best[0] >= 7, "nothing flies for long enough")
    return best


def hits(rollout: Rollout, begin: int, end: int) -> bool:
    """Whether a pair that did not touch in the frame before begins to touch in frames from `begin` to `end`."""
    frame, pair = rollout.contacts.frame, rollout.contacts.pair
    touching = [set(map(tuple, pair[frame == t].tolist())) for t in range(begin - 1, end + 1)]
    return any(now - was for was, now in itertools.pairwise(touching))
