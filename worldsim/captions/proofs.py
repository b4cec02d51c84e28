"""Proofs: each claim is tested on positions, contacts and ids directly, not on the events that wrote it."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from worldsim.captions.events import objects
from worldsim.captions.templates import Claim
from worldsim.engines.rollout import Rollout
from worldsim.scene import Ring

# Half a unit of the last decimal written.
ROUNDING = 0.005 + 1e-9


def prove(claim: Claim, rollout: Rollout) -> float | None:
    """The time at which a claim holds first, seconds; 0 for what holds of the scene itself; None where it is false."""
    time = _PROOFS[claim.kind](claim, rollout)
    if time is None or claim.time is None:
        return time
    # Times are known to a frame interval; contacts to the sub-step.
    slack = ROUNDING if claim.kind == "contact" else ROUNDING + 1 / rollout.scene.fps
    return time if abs(time - claim.time) <= slack else None


def _members(claim: Claim, rollout: Rollout) -> tuple[list[int], list[int]]:
    members = objects(rollout.scene)
    return members.get(claim.subject, []), members.get(claim.other, [])


def _touching(claim: Claim, rollout: Rollout) -> NDArray[np.intp]:
    subject, other = ({i + 1 for i in group} for group in _members(claim, rollout))
    hits = [
        k
        for k, (a, b) in enumerate(rollout.contacts.pair.tolist())
        if (a in subject and b in other) or (b in subject and a in other)
    ]
    return np.array(hits, dtype=np.intp)


def _contact(claim: Claim, rollout: Rollout) -> float | None:
    rows = _touching(claim, rollout)
    return float(rollout.contacts.onset[rows].min()) if len(rows) else None


def _support(claim: Claim, rollout: Rollout) -> float | None:
    scene, subject = rollout.scene, _members(claim, rollout)[0]
    rows = _touching(claim, rollout)
    carried = np.zeros(scene.num_frames, dtype=bool)
    for k in rows:
        second = rollout.contacts.pair[k, 1] - 1
        lift = rollout.contacts.normal[k, 2] * (1 if second in subject else -1)
        carried[rollout.contacts.frame[k]] |= lift > 0.7
    # Support is what lasts a quarter of a second, with a normal within 45 degrees of the vertical.
    needed = max(3, round(0.25 * scene.fps))
    for start in range(len(carried) - needed + 1):
        if carried[start : start + needed].all():
            return start / scene.fps
    return None


def _rest(claim: Claim, rollout: Rollout) -> float | None:
    subject, _ = _members(claim, rollout)
    dynamic = [i for i in subject if not rollout.scene.bodies[i].static]
    path = rollout.trajectory.position[:, dynamic].numpy()
    extent = np.array([rollout.scene.bodies[i].shape.extent for i in dynamic])
    step = np.linalg.norm(np.diff(path, axis=0), axis=-1) * rollout.scene.fps / extent
    turn = rollout.trajectory.orientation[:, dynamic].numpy()
    cosine = np.abs((turn[1:] * turn[:-1]).sum(axis=-1)).clip(0, 1)
    step = step + 2 * np.arccos(cosine) * rollout.scene.fps
    quick = np.flatnonzero((step > 0.11).any(axis=1))
    start = int(quick[-1]) + 1 if len(quick) else 0
    remaining = (rollout.scene.num_frames - 1 - start) / rollout.scene.fps
    return start / rollout.scene.fps if remaining >= 0.15 else None


def _seen(members: list[int], rollout: Rollout) -> NDArray[np.bool_]:
    flags: NDArray[np.bool_] = np.asarray(np.isin(rollout.ids, [i + 1 for i in members]).any(axis=(1, 2)))
    return flags


def _inside_picture(members: list[int], rollout: Rollout) -> NDArray[np.bool_]:
    seen = rollout.scene.camera.sees(rollout.trajectory.position[:, members].numpy())
    flags: NDArray[np.bool_] = np.asarray(seen.any(axis=1))
    return flags


def _exit(claim: Claim, rollout: Rollout) -> float | None:
    subject, _ = _members(claim, rollout)
    seen = np.flatnonzero(_seen(subject, rollout))
    if not len(seen) or seen[-1] == rollout.scene.num_frames - 1:
        return None
    gone = int(seen[-1]) + 1
    return None if _inside_picture(subject, rollout)[gone:].any() else gone / rollout.scene.fps


def _unseen_inside(claim: Claim, rollout: Rollout) -> NDArray[np.intp]:
    subject, _ = _members(claim, rollout)
    seen = _seen(subject, rollout)
    frames = np.flatnonzero(~seen & _inside_picture(subject, rollout))
    return frames[frames > int(np.argmax(seen))] if seen.any() else frames[:0]


def _hidden(claim: Claim, rollout: Rollout) -> float | None:
    """Unseen though in the picture, with the other object nearer to the camera along the line of sight."""
    subject, other = _members(claim, rollout)
    for frame in _unseen_inside(claim, rollout):
        centre = rollout.trajectory.position[frame, subject].numpy().mean(axis=0)
        pixels, depth = rollout.scene.camera.project(centre)
        row, column = int(pixels[1]), int(pixels[0])
        if not (0 <= row < rollout.ids.shape[1] and 0 <= column < rollout.ids.shape[2]):
            continue
        covered = int(rollout.ids[frame, row, column]) - 1
        if covered in other and rollout.depth[frame, row, column] < float(depth):
            return float(frame) / rollout.scene.fps
    return None


def _reappear(claim: Claim, rollout: Rollout) -> float | None:
    if _hidden(claim, rollout) is None:
        return None
    subject, _ = _members(claim, rollout)
    seen = _seen(subject, rollout)
    back = [f for f in _unseen_inside(claim, rollout) if f + 1 < len(seen) and seen[f + 1]]
    return float(back[0] + 1) / rollout.scene.fps if back else None


def _through(claim: Claim, rollout: Rollout) -> float | None:
    scene, (subject, other) = rollout.scene, _members(claim, rollout)
    for ring in other:
        shape, state = scene.bodies[ring].shape, scene.bodies[ring].state
        if not isinstance(shape, Ring) or state is None:
            continue
        for body in subject:
            local = (rollout.trajectory.position[:, body].numpy() - np.array(state.position)) @ state.rotation
            for k in range(len(local) - 1):
                if local[k, 2] * local[k + 1, 2] < 0:
                    share = local[k, 2] / (local[k, 2] - local[k + 1, 2])
                    at = local[k] + share * (local[k + 1] - local[k])
                    if math.hypot(at[0], at[1]) < shape.major_radius - shape.minor_radius:
                        return (k + float(share)) / scene.fps
    return None


def _contain(claim: Claim, rollout: Rollout) -> float | None:
    """No centre ever crosses the wall centres' hull along an axis, nor a plane; fewer than three walls hold nothing."""
    scene, (subject, other) = rollout.scene, _members(claim, rollout)
    if len(other) < 3:
        return None
    path = rollout.trajectory.position[:, subject].numpy().reshape(-1, 3)
    boxes = []
    for i in other:
        state = scene.bodies[i].state
        if state is None:
            return None
        if scene.bodies[i].shape.kind == "plane":
            if ((path - np.array(state.position)) @ state.rotation[:, 2]).min() <= 0:
                return None
        else:
            boxes.append(state.position)
    for axis in range(3):
        places = sorted(p[axis] for p in boxes)
        encloses = bool(places) and places[-1] > places[0] + 1e-6
        if encloses and (path[:, axis].min() <= places[0] or path[:, axis].max() >= places[-1]):
            return None
    return 0.0


def direction_of(vector: NDArray[np.float64], rollout: Rollout) -> str:
    """The word for a displacement in world axes, by its largest component in camera axes."""
    local = rollout.scene.camera.rotation @ vector
    axis = int(np.argmax(np.abs(local)))
    words = (("to the left", "to the right"), ("up", "down"), ("towards the camera", "away from the camera"))
    return words[axis][int(local[axis] > 0)]


def _displacement(claim: Claim, rollout: Rollout) -> NDArray[np.float64]:
    subject, _ = _members(claim, rollout)
    path = rollout.trajectory.position[:, subject].numpy()
    moved: NDArray[np.float64] = (path[-1] - path[0]).mean(axis=0)
    return moved


def _moves(claim: Claim, rollout: Rollout) -> float | None:
    moved = _displacement(claim, rollout)
    far = float(np.linalg.norm(moved)) > 1e-3
    return 0.0 if far and direction_of(moved, rollout) == claim.direction else None


def _still(claim: Claim, rollout: Rollout) -> float | None:
    subject, _ = _members(claim, rollout)
    path = rollout.trajectory.position[:, subject].numpy()
    extent = max(rollout.scene.bodies[i].shape.extent for i in subject)
    return 0.0 if float(np.abs(path - path[:1]).max()) < 0.05 * extent else None


def _objects(claim: Claim, rollout: Rollout) -> float | None:
    return 0.0 if sorted(claim.names) == sorted(objects(rollout.scene)) else None


def _gravity(claim: Claim, rollout: Rollout) -> float | None:
    pull = rollout.scene.law.gravity
    strength = math.hypot(*pull)
    if claim.kind == "weightless":
        return 0.0 if strength == 0 else None
    if claim.kind == "gravity":
        return 0.0 if pull[2] < 0 else None
    return 0.0 if claim.number is not None and abs(strength - claim.number) <= ROUNDING else None


def _planar(claim: Claim, rollout: Rollout) -> float | None:
    return 0.0 if float(rollout.trajectory.position[..., 1].diff(dim=0).abs().max()) < 1e-6 else None


def start_velocity(members: list[int], rollout: Rollout) -> NDArray[np.float64]:
    """(3,) mass-weighted mean of an object's start velocities, m/s."""
    bodies = [rollout.scene.bodies[i] for i in members if not rollout.scene.bodies[i].static]
    total = sum(body.mass for body in bodies)
    rows = [np.array(body.state.linear_velocity) * body.mass for body in bodies if body.state is not None]
    velocity: NDArray[np.float64] = np.sum(rows, axis=0) / total
    return velocity


def _start(claim: Claim, rollout: Rollout) -> float | None:
    velocity = start_velocity(_members(claim, rollout)[0], rollout)
    speed = float(np.linalg.norm(velocity))
    if claim.kind == "starts_still":
        return 0.0 if speed < 1e-9 else None
    if claim.kind == "starts_moving":
        return 0.0 if speed >= 1e-9 and direction_of(velocity, rollout) == claim.direction else None
    return 0.0 if claim.number is not None and abs(speed - claim.number) <= ROUNDING else None


def _mass(claim: Claim, rollout: Rollout) -> float | None:
    bodies = [rollout.scene.bodies[i] for i in _members(claim, rollout)[0]]
    mass = sum(body.mass for body in bodies if not body.static)
    return 0.0 if claim.number is not None and abs(mass - claim.number) <= ROUNDING else None


def _width(claim: Claim, rollout: Rollout) -> float | None:
    bodies = [rollout.scene.bodies[i] for i in _members(claim, rollout)[0]]
    width = 2 * max(body.shape.extent for body in bodies)
    return 0.0 if claim.number is not None and abs(width - claim.number) <= ROUNDING else None


_PROOFS: dict[str, Callable[[Claim, Rollout], float | None]] = {
    "contact": _contact,
    "support": _support,
    "rest": _rest,
    "exit": _exit,
    "hidden": _hidden,
    "reappear": _reappear,
    "through": _through,
    "contain": _contain,
    "moves": _moves,
    "still": _still,
    "objects": _objects,
    "gravity": _gravity,
    "weightless": _gravity,
    "gravity_value": _gravity,
    "planar": _planar,
    "starts_moving": _start,
    "starts_still": _start,
    "speed": _start,
    "mass": _mass,
    "width": _width,
}
