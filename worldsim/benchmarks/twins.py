"""Violating twins: a lawful rollout with one law broken, drawn again by the same engine with the same camera.

The states are edited and drawn again, so that how deep, how far or how long is known exactly; deformation alone
stretches the body's picture, since engines draw no ellipsoids.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from worldsim.engines import Rollout, Simulator, get_engine
from worldsim.engines.rollout import Contacts, Frames
from worldsim.physics.trajectory import Trajectory
from worldsim.scene import Box, Capsule, Ring, Shape, Sphere

Edited = tuple[Tensor, Tensor]  # positions (T, N, 3) and presence (T, N)


@dataclass(frozen=True)
class Kind:
    """A way to break a law.

    Attributes:
        law: That it breaks first of all.
        strength: Default strength.
        meaning: Of the strength.
        edit: Takes positions, presence, rollout, body and strength; None for what is not an edit of poses alone.
    """

    law: str
    strength: float
    meaning: str
    edit: Callable[[Tensor, Tensor, Rollout, int, float], Edited] | None = None


class NotApplicable(ValueError):
    """The rollout cannot be broken in this way."""


def violate(
    rollout: Rollout, kind: str, strength: float | None = None, body: str | None = None, engine: str | None = None
) -> Rollout:
    """A twin of a rollout that breaks one law.

    Args:
        rollout: Lawful, with its pictures.
        kind: One of KINDS.
        strength: Its meaning depends on the kind, see KINDS; left out, the kind's default.
        body: Name of the free body that is edited; left out, the one that moves farthest in view. Global kinds
            (frozen, time_reversal, wrong_gravity, energy_gain) edit all or, for falls, this body.
        engine: That draws the twin; left out, the one that played the rollout.

    Returns:
        The twin: states, video, ids and depth edited; contacts, captions and events, which no longer hold, emptied;
        info["twin"] says kind, strength, body and first frame.

    Raises:
        ValueError: For an unknown kind or body, or a strength not above 0.
        NotApplicable: Where the rollout cannot be broken so, such as wrong gravity without free flight.
    """
    if kind not in KINDS:
        raise ValueError(f"kind: must be one of {', '.join(KINDS)}, got {kind!r}")
    chosen = KINDS[kind]
    strength = chosen.strength if strength is None else float(strength)
    if not strength > 0:
        raise ValueError(f"strength: must be above 0, got {strength!r}")
    place = _movers(rollout)[0] if body is None else rollout.scene.index(body)
    if rollout.scene.bodies[place].static:
        raise ValueError(f"body: must be one that moves, got {body!r}")
    scene, drawn, onset = rollout.scene, None, _onset(rollout)
    position, presence = rollout.trajectory.position.clone(), rollout.trajectory.presence.clone()
    player = get_engine(engine or rollout.engine)
    if chosen.edit is not None:
        position, presence = chosen.edit(position, presence, rollout, place, strength)
    motion = _moved(rollout.trajectory, position, presence)
    if kind == "frozen":
        still = [min(t, onset - 1) for t in range(motion.num_frames)]
        motion = motion.map(lambda x: x[still])
    elif kind == "time_reversal":
        _need(_dissipates(rollout), "time runs as lawfully backwards where nothing is lost in contacts")
        motion = dataclasses.replace(
            motion.map(lambda x: x.flip(0)),
            linear_velocity=-motion.linear_velocity.flip(0),
            angular_velocity=-motion.angular_velocity.flip(0),
        )
    elif kind == "deformation":
        drawn = _stretched(rollout, motion, place, strength, player)
    elif kind == "colour_swap":
        other = next((k for k in _movers(rollout) if k != place), None)
        _need(other is not None, "a colour swap needs two bodies that move")
        assert other is not None
        drawn = _recoloured(rollout, motion, place, other, player)
    frames = player.render(scene, motion) if drawn is None else drawn
    told = {"kind": kind, "strength": strength, "body": scene.bodies[place].name, "frame": _onset(rollout)}
    return dataclasses.replace(
        rollout,
        video=frames.video,
        ids=frames.ids,
        depth=frames.depth,
        trajectory=motion,
        contacts=Contacts.empty(),
        events=[],
        caption={},
        info={**rollout.info, "twin": told},
    )


def _need(holds: bool, reason: str) -> None:
    if not holds:
        raise NotApplicable(f"kind: {reason}")


def _movers(rollout: Rollout) -> list[int]:
    """Bodies that joints do not hold, in order of how far they go while in view."""
    scene = rollout.scene
    held = {joint.child for joint in scene.joints} | {joint.parent for joint in scene.joints}
    free = [k for k, b in enumerate(scene.bodies) if not b.static and b.name not in held and b.group is None]
    _need(bool(free), "the scene has no free body")
    way = rollout.trajectory.position.diff(dim=0).norm(dim=-1)
    seen = torch.tensor(np.stack([(rollout.ids[1:] == k + 1).any(axis=(1, 2)) for k in free], -1))
    path = (way[:, free] * seen).sum(0)
    return [free[int(i)] for i in path.argsort(descending=True)]


def _onset(rollout: Rollout) -> int:
    """The frame in which a twin begins to differ: after the context that a model would be given."""
    return max(5, len(rollout.video) // 3)


def half_width(shape: Shape) -> float:
    """Half of the smallest width, the radius of balls; metres."""
    if isinstance(shape, (Sphere, Capsule)):
        return shape.radius
    if isinstance(shape, Box):
        return min(shape.half_extents)
    if isinstance(shape, Ring):
        return shape.minor_radius
    return shape.extent


def _moved(base: Trajectory, position: Tensor, presence: Tensor) -> Trajectory:
    if torch.equal(position, base.position):
        return dataclasses.replace(base, presence=presence)
    velocity = Trajectory.from_positions(position, base.dt).linear_velocity
    return dataclasses.replace(base, position=position, presence=presence, linear_velocity=velocity)


def _teleport(position: Tensor, presence: Tensor, rollout: Rollout, k: int, strength: float) -> Edited:
    """The body is elsewhere from the onset on, sideways in the picture, towards its middle."""
    onset, r = _onset(rollout), half_width(rollout.scene.bodies[k].shape)
    position[onset:, k] += strength * r * _sideways(rollout, position[onset, k])
    return position, presence


def _sideways(rollout: Rollout, place: Tensor) -> Tensor:
    right = torch.tensor(rollout.scene.camera.rotation[0])
    middle = torch.tensor(rollout.scene.camera.target, dtype=place.dtype)
    return right * (1.0 if float((middle - place) @ right) >= 0 else -1.0)


def _vanish(position: Tensor, presence: Tensor, rollout: Rollout, k: int, strength: float) -> Edited:
    onset, count = _in_view(rollout, k), round(strength)
    presence[onset : onset + count, k] = 0
    return position, presence


def _in_view(rollout: Rollout, k: int) -> int:
    """First frame from the onset on in which the body is seen whole enough to be missed, and for three more."""
    area = (rollout.ids == k + 1).sum(axis=(1, 2))
    enough = area >= max(12, 0.6 * area.max())
    for t in range(_onset(rollout), len(area) - 5):
        if enough[t - 2 : t + 6].all():
            return t
    raise NotApplicable("kind: the body is not in full view for long enough")


def _appear(position: Tensor, presence: Tensor, rollout: Rollout, k: int, strength: float) -> Edited:
    _need(_in_view(rollout, k) >= 1, "the body is not in full view")
    presence[: _onset(rollout), k] = 0
    return position, presence


def _gravity(position: Tensor, presence: Tensor, rollout: Rollout, k: int, strength: float) -> Edited:
    """The longest free flight in view is flown under another gravity, between the same two places at the same times."""
    pull = torch.tensor(rollout.scene.law.gravity, dtype=position.dtype)
    _need(float(pull.norm()) > 0.1, "there is no gravity to be changed")
    begin, end = _flight(rollout, k)
    time = torch.arange(end - begin, dtype=position.dtype) * rollout.trajectory.dt
    shape = time.square() - time * time[-1]
    position[begin:end, k] += 0.5 * (strength - 1) * shape[:, None] * pull
    return position, presence


def _flight(rollout: Rollout, k: int) -> tuple[int, int]:
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
    _need(
        (best[1] - best[0]) * rollout.trajectory.dt >= 0.4 and best[1] - best[0] >= 7, "nothing flies for long enough"
    )
    return best


def _energy(position: Tensor, presence: Tensor, rollout: Rollout, k: int, strength: float) -> Edited:
    """From the onset on all bodies go along their ways faster, so that kinetic energy grows by this share."""
    onset, frames = _onset(rollout), len(position)
    factor = float(np.sqrt(1 + strength))
    time = torch.arange(frames, dtype=position.dtype)
    clock = torch.where(time > onset, onset + (time - onset) * factor, time)
    _need(bool(clock[onset + 1] < frames - 1), "the clip is too short")
    # Past the end of the record bodies go on as they last did.
    low = clock.floor().long().clamp(max=frames - 2)
    share = (clock - low)[:, None, None]
    return position[low] + share * (position[low + 1] - position[low]), presence


def _overlap(position: Tensor, presence: Tensor, rollout: Rollout, k: int, strength: float) -> Edited:
    """For five frames the body stands in its nearest partner; over four more on both sides it comes and goes."""
    t, other, offset = _approach(rollout, position, k, strength, room=3)
    away = (torch.arange(len(position), dtype=position.dtype) - t).abs()
    share = ((7 - away) / 5).clamp(0, 1)[:, None]
    position[:, k] += share * (position[:, other] + offset - position[:, k])
    return position, presence


def _approach(rollout: Rollout, position: Tensor, k: int, strength: float, room: int) -> tuple[int, int, Tensor]:
    """Frame and ball nearest to this one, and the offset at which the two overlap by the strength.

    Both are in view for `room` frames on both sides.
    """
    scene = rollout.scene
    own = scene.bodies[k].shape
    others = [i for i in _movers(rollout) if i != k and isinstance(scene.bodies[i].shape, Sphere)]
    _need(isinstance(own, Sphere) and bool(others), "an overlap of known depth needs two free balls")
    onset = _onset(rollout)
    both = torch.tensor(
        np.stack([(rollout.ids == k + 1).any(axis=(1, 2)) & (rollout.ids == i + 1).any(axis=(1, 2)) for i in others])
    )
    for _ in range(room):
        shut = torch.zeros_like(both[:, :1])
        both = both & torch.cat([both[:, 1:], shut], 1) & torch.cat([shut, both[:, :-1]], 1)
    gap = torch.stack([(position[:, k] - position[:, i]).norm(dim=-1) for i in others])
    gap = torch.where(both, gap, torch.inf)
    gap[:, :onset], gap[:, -10:] = torch.inf, torch.inf
    _need(bool(torch.isfinite(gap).any()), "no two balls are in view together")
    which, t = divmod(int(gap.argmin()), gap.shape[1])
    other = others[which]
    radii = own.extent, scene.bodies[other].shape.extent
    way = position[t, k] - position[t, other]
    unit = way / way.norm().clamp_min(1e-9)
    return t, other, unit * (sum(radii) - strength * min(radii))


def _through(position: Tensor, presence: Tensor, rollout: Rollout, k: int, strength: float) -> Edited:
    """The body flies straight through its nearest partner, from the side it comes from to the far side and back."""
    t, other, offset = _approach(rollout, position, k, 0.0, room=6)
    away = torch.arange(len(position), dtype=position.dtype) - t
    half = min(t - 2, len(position) - 3 - t, 10)
    _need(half >= 5, "there is no room before or after the meeting")
    # In `half` frames on both sides it comes to touch, crosses in the middle third, and goes back to where it belongs.
    cross = (away / (half / 3)).clamp(-1, 1)
    share = ((half - away.abs()) / (half / 2)).clamp(0, 1)[:, None]
    line = position[:, other] - 1.3 * cross[:, None] * offset
    position[:, k] += share * (line - position[:, k])
    return position, presence


def _dissipates(rollout: Rollout) -> bool:
    """Whether contacts lose energy: some body was hit or rubbed with restitution under 1 or friction."""
    bodies = rollout.scene.bodies
    hit = {int(i) - 1 for i in rollout.contacts.pair.ravel()}
    return any(bodies[k].restitution < 0.95 or bodies[k].friction > 0 for k in hit if not bodies[k].static)


def _stretched(rollout: Rollout, motion: Trajectory, k: int, strength: float, player: Simulator) -> Frames:
    """From the onset on the body is longer along the picture's horizontal by `strength`, and as thick as before.

    A stretched ball is drawn as the hull of what an engine can draw: balls along the axis would not keep an ellipse, so
    the pictures of the body alone are stretched about its centre, which is the same in an orthographic view and good to
    the second order of size over distance in perspective.
    """
    onset = _onset(rollout)
    without = dataclasses.replace(motion, presence=motion.presence.clone())
    without.presence[onset:, k] = 0
    alone = dataclasses.replace(motion, presence=torch.zeros_like(motion.presence))
    alone.presence[onset:, k] = 1
    rest, own = player.render(rollout.scene, without), player.render(rollout.scene, alone)
    pixels = rollout.scene.camera.project(motion.position[:, k].numpy())[0]
    video, ids, depth = rest.video.copy(), rest.ids.copy(), rest.depth.copy()
    width = video.shape[2]
    for t in range(onset, len(video)):
        source = np.floor((np.arange(width) + 0.5 - pixels[t, 0]) / (1 + strength) + pixels[t, 0]).astype(int)
        valid = (source >= 0) & (source < width)
        source = source.clip(0, width - 1)
        front = (own.ids[t][:, source] == k + 1) & valid & (own.depth[t][:, source] < depth[t])
        for target, drawn in ((video, own.video), (ids, own.ids), (depth, own.depth)):
            target[t][front] = drawn[t][:, source][front]
    return dataclasses.replace(rest, video=video, ids=ids, depth=depth)


def _recoloured(rollout: Rollout, motion: Trajectory, k: int, other: int, player: Simulator) -> Frames:
    """From the onset on two bodies wear each other's colour. Their ids stay: who is who is the matter."""
    bodies = list(rollout.scene.bodies)
    bodies[k], bodies[other] = (
        dataclasses.replace(bodies[k], colour=bodies[other].colour),
        dataclasses.replace(bodies[other], colour=bodies[k].colour),
    )
    onset = _onset(rollout)
    swapped = dataclasses.replace(rollout.scene, bodies=tuple(bodies))
    later = player.render(swapped, motion.frames(onset))
    video = np.concatenate([rollout.video[:onset], later.video])
    return Frames(video, rollout.ids, rollout.depth)


KINDS: dict[str, Kind] = {
    "interpenetration": Kind(
        "penetration", 0.2, "depth of the overlap over the smaller radius, for 5 frames", _overlap
    ),
    "pass_through": Kind("pass_through", 1.0, "1: straight through the centre; no other strength", _through),
    "deformation": Kind("rigidity", 0.15, "share by which the horizontal axis is longer"),
    "vanishing": Kind("permanence", 3.0, "frames for which the body is gone", _vanish),
    "appearing": Kind("permanence", 1.0, "1: the body is not there before the onset; no other strength", _appear),
    "teleport": Kind("teleport", 1.0, "sideways leap over the body's radius", _teleport),
    "colour_swap": Kind(
        "teleport", 1.0, "1: two bodies exchange colours, and so places to a reader that goes by colour"
    ),
    "wrong_gravity": Kind("gravity", 1.5, "factor on gravity in the longest free flight", _gravity),
    "energy_gain": Kind("energy", 0.2, "share of kinetic energy that is added at the onset", _energy),
    "frozen": Kind("stillness", 1.0, "1: nothing moves after the onset; no other strength"),
    "time_reversal": Kind("energy", 1.0, "1: played backwards; no other strength"),
}
