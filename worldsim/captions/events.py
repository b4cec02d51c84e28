"""The event program: what happened to which object and when, read from states, contacts and ids of a rollout."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.engines.rollout import Rollout
from worldsim.scene import Body, Box, Ring, Scene

# How long a contact or a halt must last to be called support or rest, seconds.
LASTING = 0.25
# Speed of a body at rest at its surface, as a share of its extent a second.
REST_SPEED = 0.1
# A support's normal leans at most this far from the vertical (cosine).
UPRIGHT = 0.7

KINDS = ("contact", "support", "rest", "exit", "hidden", "reappear", "through", "contain")


@dataclass(frozen=True)
class Event:
    """One event.

    Attributes:
        kind: One of KINDS.
        time: Seconds from the start.
        subject: Name of the object (group) that it happens to.
        other: Name of the second object, empty where there is none.
        values: Plain numbers that belong to it, in SI units.
    """

    kind: str
    time: float
    subject: str
    other: str = ""
    values: dict[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"kind": self.kind, "time": self.time, "subject": self.subject, "other": self.other, **self.values}


# The scene last asked for and its objects: every event and every proof asks for them.
_last: tuple[Scene | None, dict[str, list[int]]] = (None, {})


def objects(scene: Scene) -> dict[str, list[int]]:
    """Object name to the indices of its bodies, in order of first appearance; to be read only."""
    global _last
    known, members = _last
    if known is not scene:
        members = {}
        for i, body in enumerate(scene.bodies):
            members.setdefault(body.object_name, []).append(i)
        _last = (scene, members)
    return members


def moving(scene: Scene, members: list[int]) -> bool:
    """Whether any body of an object can move."""
    return any(not scene.bodies[i].static for i in members)


def extract_events(rollout: Rollout) -> list[Event]:
    """All events of a rollout, in order of time."""
    scene = rollout.scene
    events = [
        *_first_contacts(rollout),
        *_supports(rollout),
        *_rests(rollout),
        *_sightings(rollout),
        *_passages(rollout),
        *_containments(rollout),
    ]
    order = {kind: i for i, kind in enumerate(KINDS)}
    names = list(objects(scene))
    return sorted(events, key=lambda e: (round(e.time, 6), order[e.kind], names.index(e.subject), e.other))


def pair_rows(rollout: Rollout) -> dict[tuple[str, str], NDArray[np.intp]]:
    """Rows of the contact table for each pair of objects; the first name's bodies come first in the scene."""
    scene, contacts = rollout.scene, rollout.contacts
    order = {name: i for i, name in enumerate(objects(scene))}
    rows: dict[tuple[str, str], list[int]] = {}
    for k, (first, second) in enumerate(contacts.pair):
        a, b = scene.bodies[first - 1].object_name, scene.bodies[second - 1].object_name
        if a != b:
            key = (a, b) if order[a] < order[b] else (b, a)
            rows.setdefault(key, []).append(k)
    return {key: np.array(value) for key, value in rows.items()}


def _subject_first(scene: Scene, a: str, b: str) -> tuple[str, str]:
    members = objects(scene)
    return (a, b) if moving(scene, members[a]) else (b, a)


def _first_contacts(rollout: Rollout) -> list[Event]:
    found = []
    for (a, b), rows in pair_rows(rollout).items():
        onset = float(rollout.contacts.onset[rows].min())
        if onset <= 1 / rollout.scene.fps:
            continue  # what touches from the start does not come to touch
        subject, other = _subject_first(rollout.scene, a, b)
        found.append(Event("contact", onset, subject, other))
    return found


def supporting_frames(rollout: Rollout, subject: str, other: str) -> NDArray[np.bool_]:
    """(T,) whether `other` carries `subject` from below over the interval that ends at each frame."""
    members, contacts = objects(rollout.scene), rollout.contacts
    carried, carrier = np.zeros((2, len(rollout.scene.bodies) + 1), dtype=bool)
    carried[np.array(members[subject]) + 1] = carrier[np.array(members[other]) + 1] = True
    first, second, up = contacts.pair[:, 0], contacts.pair[:, 1], contacts.normal[:, 2]
    # The normal points from the first body to the second; it points up where the second one is carried.
    lifts = (carrier[first] & carried[second] & (up > UPRIGHT)) | (carried[first] & carrier[second] & (up < -UPRIGHT))
    frames = np.zeros(rollout.trajectory.num_frames, dtype=bool)
    frames[contacts.frame[lifts]] = True
    return frames


def runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """(start, stop) of each stretch of true values, stop exclusive."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def lasting_frames(scene: Scene) -> int:
    """How many frames in a row a lasting state needs."""
    return max(3, round(LASTING * scene.fps))


def _supports(rollout: Rollout) -> list[Event]:
    scene, members = rollout.scene, objects(rollout.scene)
    found = []
    for pair in pair_rows(rollout):
        for subject, other in (pair, pair[::-1]):
            if not moving(scene, members[subject]):
                continue
            for start, stop in runs(supporting_frames(rollout, subject, other)):
                if stop - start >= lasting_frames(scene):
                    found.append(Event("support", start / scene.fps, subject, other, {"until": (stop - 1) / scene.fps}))
                    break
    return found


def speed(rollout: Rollout, members: list[int]) -> NDArray[np.float64]:
    """(T,) largest speed of any surface point of an object's bodies, as a share of the body's extent a second."""
    trajectory = rollout.trajectory
    linear = trajectory.linear_velocity[:, members].norm(dim=-1).numpy()
    angular = trajectory.angular_velocity[:, members].norm(dim=-1).numpy()
    extent = np.array([rollout.scene.bodies[i].shape.extent for i in members])
    result: NDArray[np.float64] = (linear / extent + angular).max(axis=1)
    return result


def _rests(rollout: Rollout) -> list[Event]:
    scene = rollout.scene
    found = []
    for name, members in objects(scene).items():
        dynamic = [i for i in members if not scene.bodies[i].static]
        if not dynamic:
            continue
        still = runs(speed(rollout, dynamic) < REST_SPEED)
        # Rest is a state that lasts to the end; a ball at the top of its flight does not rest.
        long = bool(still) and still[-1][1] - still[-1][0] >= lasting_frames(scene)
        if long and still[-1][1] == scene.num_frames and still[-1][0] > 0:
            found.append(Event("rest", still[-1][0] / scene.fps, name))
    return found


def in_picture(rollout: Rollout, members: list[int]) -> NDArray[np.bool_]:
    """(T,) whether any of an object's bodies has its centre in the picture."""
    positions = rollout.trajectory.position[:, members].numpy()
    result: NDArray[np.bool_] = np.asarray(rollout.scene.camera.sees(positions).any(axis=1))
    return result


def visible_area(rollout: Rollout, members: list[int]) -> NDArray[np.int64]:
    """(T,) pixels that show an object."""
    result: NDArray[np.int64] = np.isin(rollout.ids, [i + 1 for i in members]).sum(axis=(1, 2))
    return result


def _sightings(rollout: Rollout) -> list[Event]:
    """Exits from the picture, and the first disappearance behind something with the return."""
    scene = rollout.scene
    if len(rollout.ids) == 0:
        return []
    found = []
    for name, members in objects(scene).items():
        if not moving(scene, members):
            continue
        area, inside = visible_area(rollout, members), in_picture(rollout, members)
        if not area.any():
            continue
        last = int(np.flatnonzero(area)[-1])
        if last + 1 < scene.num_frames and not inside[last + 1 :].any():
            found.append(Event("exit", (last + 1) / scene.fps, name))
        for start, stop in runs((area == 0) & inside):
            if start == 0 or not area[:start].any():
                continue
            hider = _hider(rollout, members, start, stop)
            if not hider:
                continue
            found.append(Event("hidden", start / scene.fps, name, hider))
            if stop < scene.num_frames and area[stop]:
                found.append(Event("reappear", stop / scene.fps, name, hider))
            break
    return found


def _hider(rollout: Rollout, members: list[int], start: int, stop: int) -> str:
    """The object that covers the centre of the hidden one in most frames, empty where none does."""
    scene, votes = rollout.scene, dict[str, int]()
    height, width = rollout.ids.shape[1:]
    for frame in range(start, stop):
        pixels, _ = scene.camera.project(rollout.trajectory.position[frame, members].numpy().mean(axis=0))
        u, v = int(pixels[0]), int(pixels[1])
        if 0 <= u < width and 0 <= v < height and rollout.ids[frame, v, u]:
            name = scene.bodies[int(rollout.ids[frame, v, u]) - 1].object_name
            votes[name] = votes.get(name, 0) + 1
    return max(votes, key=lambda name: votes[name]) if votes else ""


def _passages(rollout: Rollout) -> list[Event]:
    """A body's centre crosses the disc that a ring encloses."""
    scene, position = rollout.scene, rollout.trajectory.position.numpy()
    found = []
    for r, body in enumerate(scene.bodies):
        if not isinstance(body.shape, Ring) or not body.static or body.state is None:
            continue
        axis = body.state.rotation[:, 2]
        for i, other in enumerate(scene.bodies):
            if other.static or i == r:
                continue
            height, radius = along_and_off(position[:, i] - np.array(body.state.position), axis)
            for k in np.flatnonzero(np.sign(height[:-1]) * np.sign(height[1:]) < 0):
                share = height[k] / (height[k] - height[k + 1])
                hole = body.shape.major_radius - body.shape.minor_radius
                if radius[k] + share * (radius[k + 1] - radius[k]) < hole:
                    found.append(Event("through", (k + share) / scene.fps, other.object_name, body.object_name))
                    break
    return found


def along_and_off(
    offset: NDArray[np.float64], axis: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Split (T, 3) offsets into (T,) coordinates along a unit axis and (T,) distances from it."""
    along = offset @ axis
    return along, np.linalg.norm(offset - along[:, None] * axis, axis=-1)


def _containments(rollout: Rollout) -> list[Event]:
    """An object stays, from the first frame to the last, inside the walls of a static group."""
    scene, members = rollout.scene, objects(rollout.scene)
    found = []
    for walls, parts in members.items():
        if len(parts) < 3 or moving(scene, parts):
            continue
        for name, indices in members.items():
            if moving(scene, indices) and bool(inside_walls(rollout, indices, parts).all()):
                found.append(Event("contain", 0.0, name, walls))
    return found


def inside_walls(rollout: Rollout, members: list[int], walls: list[int]) -> NDArray[np.bool_]:
    """(T,) whether all centres of an object lie between the centres of finite walls and above all plane walls.

    An axis on which all finite walls lie level encloses nothing and is left out; what lies higher than the top of all
    walls lies on them, not inside.
    """
    scene = rollout.scene
    position = rollout.trajectory.position[:, members].numpy()
    inside = np.ones(position.shape[0], dtype=bool)
    finite, tops, bounded = [], [], False
    for i in walls:
        state = scene.bodies[i].state
        assert state is not None
        if scene.bodies[i].shape.kind != "plane":
            finite.append(state.position)
            tops.append(state.position[2] + _reach_up(scene.bodies[i]))
            continue
        inside &= ((position - np.array(state.position)) @ state.rotation[:, 2] > 0).all(axis=1)
        bounded = True
    if finite:
        inside &= (position[..., 2] < max(tops)).all(axis=1)
        low, high = np.min(finite, axis=0), np.max(finite, axis=0)
        for axis in np.flatnonzero(high - low > 1e-6):
            inside &= ((position[..., axis] > low[axis]) & (position[..., axis] < high[axis])).all(axis=1)
            bounded = True
    return inside & bounded


def _reach_up(body: Body) -> float:
    """How far a static body reaches above its centre, metres; its bounding ball's radius unless it is a box."""
    if not isinstance(body.shape, Box) or body.state is None:
        return body.shape.extent
    return float(sum(abs(r) * h for r, h in zip(body.state.rotation[2], body.shape.half_extents, strict=True)))
