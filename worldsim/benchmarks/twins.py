"""Violating twins: a lawful rollout with one law broken, drawn again by the same engine with the same camera.

The states are edited and drawn again, so that how deep, how far or how long is known exactly; deformation alone
stretches the body's picture, since engines draw no ellipsoids.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from worldsim.benchmarks.twin_frames import (
    AROUND,
    NotApplicable,
    first_free_frame,
    flight,
    hits,
    movers,
    need,
    onset_of,
    onsets,
)
from worldsim.benchmarks.twin_pictures import recoloured, stretched
from worldsim.engines import Frames, Rollout, Simulator, get_engine
from worldsim.engines.rollout import Contacts, UInt8
from worldsim.physics import violations
from worldsim.physics.bodies import Bodies
from worldsim.physics.trajectory import Trajectory
from worldsim.scene import Sphere

Edited = tuple[Tensor, Tensor]  # positions (T, N, 3) and presence (T, N)
Broken = tuple[Trajectory, Frames | None]  # states, and pictures where an engine does not draw them from the states


@dataclass(frozen=True)
class Kind:
    """A way to break a law.

    Attributes:
        law: That it breaks first of all.
        strength: Default strength.
        broken: Takes rollout, body, strength and the engine that draws.
        graded: Whether there are other strengths.
    """

    law: str
    strength: float
    broken: Callable[[Rollout, int, float, Simulator], Broken]
    graded: bool = True


def violate(
    rollout: Rollout, kind: str, strength: float | None = None, body: str | None = None, engine: str | None = None
) -> Rollout:
    """A twin of a rollout that breaks one law.

    Args:
        rollout: Lawful, with its pictures.
        kind: One of KINDS.
        strength: Left out, the kind's default. Of an interpenetration the depth over the smaller radius, for 5
            frames; of a deformation the share by which the horizontal axis is longer; of vanishing the frames for
            which the body is gone; of a teleport the leap sideways over the radius; of wrong gravity the factor on
            it in the longest free flight; of an energy gain the share of kinetic energy that is added; of a kick the
            change of velocity in mid air, radii a second; of trembling the amplitude over the radius of a body at
            rest. All others are done or not and take 1 alone.
        body: Name of the free body that is edited; left out, the one that moves farthest in view and can be broken so,
            balls before others. Global kinds (frozen, time_reversal, wrong_gravity, energy_gain) edit all or, for
            falls, this body.
        engine: That draws the twin; left out, the one that played the rollout.

    Returns:
        The twin: states, video, ids and depth edited; contacts, captions and events, which no longer hold, emptied;
        info["twin"] says kind, strength, body and first frame.

    Raises:
        ValueError: For an unknown kind or body, a strength not above 0, or one that the kind does not take.
        NotApplicable: Where the rollout cannot be broken so, such as wrong gravity without free flight.
    """
    if kind not in KINDS:
        raise ValueError(f"kind: must be one of {', '.join(KINDS)}, got {kind!r}")
    chosen = KINDS[kind]
    strength = chosen.strength if strength is None else float(strength)
    if not strength > 0:
        raise ValueError(f"strength: must be above 0, got {strength!r}")
    if not chosen.graded and strength != chosen.strength:
        raise ValueError(f"strength: must be {chosen.strength:g} or left out for kind {kind}, got {strength!r}")
    if body is None:
        order = movers(rollout)
        order.sort(key=lambda k: not isinstance(rollout.scene.bodies[k].shape, Sphere))
        if kind == "trembling":
            order.reverse()
        for place in order[:-1]:
            try:
                return violate(rollout, kind, strength, rollout.scene.bodies[place].name, engine)
            except NotApplicable:
                continue
        place = order[-1]
    else:
        place = rollout.scene.index(body)
    if rollout.scene.bodies[place].static:
        raise ValueError(f"body: must be one that moves, got {body!r}")
    player = get_engine(engine or rollout.engine)
    motion, drawn = chosen.broken(rollout, place, strength, player)
    frames = player.render(rollout.scene, motion) if drawn is None else drawn
    told = {
        "kind": kind,
        "strength": strength,
        "body": rollout.scene.bodies[place].name,
        "frame": _first_change(rollout, frames.video, motion),
    }
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


def _first_change(rollout: Rollout, video: UInt8, motion: Trajectory) -> int:
    """The first frame whose picture differs, or whose states do."""
    differs = (video != rollout.video).any(axis=(1, 2, 3))
    differs |= (motion.position != rollout.trajectory.position).flatten(1).any(-1).numpy()
    return int(np.argmax(differs)) if differs.any() else len(video)


def _edited(
    edit: Callable[[Tensor, Tensor, Rollout, int, float], Edited],
) -> Callable[[Rollout, int, float, Simulator], Broken]:
    """The kind that edits places and presence, of which it is given copies; velocities follow."""

    def broken(rollout: Rollout, k: int, strength: float, player: Simulator) -> Broken:
        base = rollout.trajectory
        position, presence = edit(base.position.clone(), base.presence.clone(), rollout, k, strength)
        if torch.equal(position, base.position):
            return dataclasses.replace(base, presence=presence), None
        velocity = Trajectory.from_positions(position, base.dt).linear_velocity
        return dataclasses.replace(base, position=position, presence=presence, linear_velocity=velocity), None

    return broken


def _frozen(rollout: Rollout, k: int, strength: float, player: Simulator) -> Broken:
    """Nothing moves from the onset on."""
    last = onset_of(rollout, k) - 1
    still = [min(t, last) for t in range(rollout.trajectory.num_frames)]
    return rollout.trajectory.map(lambda x: x[still]), None


def _reversed(rollout: Rollout, k: int, strength: float, player: Simulator) -> Broken:
    """All is played backwards."""
    need(_dissipates(rollout), "time runs as lawfully backwards where nothing is lost in contacts")
    back = rollout.trajectory.map(lambda x: x.flip(0))
    linear, angular = -back.linear_velocity, -back.angular_velocity
    return dataclasses.replace(back, linear_velocity=linear, angular_velocity=angular), None


def _deformed(rollout: Rollout, k: int, strength: float, player: Simulator) -> Broken:
    """The body's picture is stretched from the onset on."""
    motion = rollout.trajectory
    return motion, stretched(rollout, motion, k, strength, onset_of(rollout, k), player)


def _colours_swapped(rollout: Rollout, k: int, strength: float, player: Simulator) -> Broken:
    """Two bodies exchange colours at the onset, and so places to a reader that goes by colour."""
    other = next((i for i in movers(rollout) if i != k), None)
    need(other is not None, "a colour swap needs two bodies that move")
    assert other is not None
    motion = rollout.trajectory
    return motion, recoloured(rollout, motion, k, other, onset_of(rollout, k), player)


def _teleport(position: Tensor, presence: Tensor, rollout: Rollout, k: int, strength: float) -> Edited:
    """The body is elsewhere from the onset on, sideways in the picture, towards its middle."""
    onset, r = onset_of(rollout, k), rollout.scene.bodies[k].shape.thickness
    position[onset:, k] += strength * r * _sideways(rollout, position[onset, k])
    return position, presence


def _sideways(rollout: Rollout, place: Tensor) -> Tensor:
    right = torch.tensor(rollout.scene.camera.rotation[0])
    middle = torch.tensor(rollout.scene.camera.target, dtype=place.dtype)
    return right * (1.0 if float((middle - place) @ right) >= 0 else -1.0)


def _vanish(position: Tensor, presence: Tensor, rollout: Rollout, k: int, strength: float) -> Edited:
    """The body is gone for some frames from the onset on."""
    onset, count = onset_of(rollout, k), round(strength)
    presence[onset : onset + count, k] = 0
    return position, presence


def _appear(position: Tensor, presence: Tensor, rollout: Rollout, k: int, strength: float) -> Edited:
    """The body is not there before the onset."""
    presence[: onset_of(rollout, k), k] = 0
    return position, presence


def _gravity(position: Tensor, presence: Tensor, rollout: Rollout, k: int, strength: float) -> Edited:
    """The longest free flight in view is flown under another gravity, between the same two places at the same times."""
    pull = torch.tensor(rollout.scene.law.gravity, dtype=position.dtype)
    need(float(pull.norm()) > 0.1, "there is no gravity to be changed")
    begin, end = flight(rollout, k)
    time = torch.arange(end - begin, dtype=position.dtype) * rollout.trajectory.dt
    shape = time.square() - time * time[-1]
    position[begin:end, k] += 0.5 * (strength - 1) * shape[:, None] * pull
    return position, presence


def _energy(position: Tensor, presence: Tensor, rollout: Rollout, k: int, strength: float) -> Edited:
    """From one frame on all bodies go along their ways faster, so that kinetic energy grows by this share.

    That is the frame, with all bodies in view and none hit for some frames before and after, in which they are fastest:
    a share of no motion would be nothing, and what an impact takes or gives in the same frame cannot be told from it.
    """
    frames = len(position)
    factor = float(np.sqrt(1 + strength))
    mass = torch.tensor([0.0 if body.static else body.mass for body in rollout.scene.bodies], dtype=position.dtype)
    speed = position.diff(dim=0).square().sum(-1) @ mass
    moving = [i for i, body in enumerate(rollout.scene.bodies) if not body.static]
    seen = np.all([(rollout.ids == i + 1).any(axis=(1, 2)) for i in moving], axis=0).reshape(frames)
    before, after = AROUND, 2 * AROUND
    around = [
        t
        for t in range(first_free_frame(rollout), frames - after)
        if seen[t - before : t + after + 1].all() and not hits(rollout, t - before, t + after)
    ]
    need(bool(around), "the bodies are not all in view and free of impacts for long enough")
    onset = max(around, key=lambda t: float(speed[t - 3 : t + 3].min()))
    least = 0.5 * float(speed[torch.from_numpy(seen[1:])].quantile(0.75))
    need(float(speed[onset - 3 : onset + 3].min()) > least, "the bodies hardly move where they are free of impacts")
    time = torch.arange(frames, dtype=position.dtype)
    clock = torch.where(time > onset, onset + (time - onset) * factor, time)
    # Past the end of the record bodies go on as they last did.
    low = clock.floor().long().clamp(max=frames - 2)
    share = (clock - low)[:, None, None]
    return position[low] + share * (position[low + 1] - position[low]), presence


def _overlap(position: Tensor, presence: Tensor, rollout: Rollout, k: int, strength: float) -> Edited:
    """For five frames the body stands in its nearest partner; over four more on both sides it comes and goes."""
    t, other, offset = next(_approaches(rollout, position, k, strength, room=3))
    away = (torch.arange(len(position), dtype=position.dtype) - t).abs()
    share = ((7 - away) / 5).clamp(0, 1)[:, None]
    position[:, k] += share * (position[:, other] + offset - position[:, k])
    return position, presence


def _approaches(
    rollout: Rollout, position: Tensor, k: int, strength: float, room: int
) -> Iterator[tuple[int, int, Tensor]]:
    """Frames and balls near this one, the nearest first, and offsets at which the two overlap by the strength.

    Both are in view for `room` frames on both sides.
    """
    scene = rollout.scene
    own = scene.bodies[k].shape
    others = [i for i in movers(rollout) if i != k and isinstance(scene.bodies[i].shape, Sphere)]
    need(isinstance(own, Sphere) and bool(others), "an overlap of known depth needs two free balls")
    onset = first_free_frame(rollout)
    both = torch.tensor(
        np.stack([(rollout.ids == k + 1).any(axis=(1, 2)) & (rollout.ids == i + 1).any(axis=(1, 2)) for i in others])
    )
    for _ in range(room):
        shut = torch.zeros_like(both[:, :1])
        both = both & torch.cat([both[:, 1:], shut], 1) & torch.cat([shut, both[:, :-1]], 1)
    gap = torch.stack([(position[:, k] - position[:, i]).norm(dim=-1) for i in others])
    gap = torch.where(both, gap, torch.inf)
    gap[:, :onset], gap[:, -10:] = torch.inf, torch.inf
    need(bool(torch.isfinite(gap).any()), "no two balls are in view together")
    for place in gap.flatten().argsort(stable=True)[: int(torch.isfinite(gap).sum())].tolist():
        which, t = divmod(place, gap.shape[1])
        other = others[which]
        radii = own.extent, scene.bodies[other].shape.extent
        way = position[t, k] - position[t, other]
        unit = way / way.norm().clamp_min(1e-9)
        yield t, other, unit * (sum(radii) - strength * min(radii))


def _through(position: Tensor, presence: Tensor, rollout: Rollout, k: int, strength: float) -> Edited:
    """The body flies straight through its nearest partner, from the side it comes from to the far side and back."""
    for t, other, offset in _approaches(rollout, position, k, 0.0, room=6):
        away = torch.arange(len(position), dtype=position.dtype) - t
        half = min(t - 2, len(position) - 3 - t, 10)
        if half < 5:
            continue
        # In `half` frames on both sides it comes to touch, crosses in the middle third, and goes back to where it is.
        cross = (away / (half / 3)).clamp(-1, 1)
        share = ((half - away.abs()) / (half / 2)).clamp(0, 1)[:, None]
        line = position[:, other] - 1.3 * cross[:, None] * offset
        moved = position.clone()
        moved[:, k] += share * (line - moved[:, k])
        # Under a third one it would be hidden where it parts.
        if not _runs_into(moved, rollout, k, other):
            return moved, presence
    raise NotApplicable("kind: there is no room around any meeting")


def _runs_into(position: Tensor, rollout: Rollout, k: int, other: int) -> bool:
    """Whether a ball stands in another one than its partner at any time, deeper than a tenth of the smaller radius."""
    bodies = rollout.scene.bodies
    for i in movers(rollout):
        if i not in (k, other) and isinstance(bodies[i].shape, Sphere):
            radii = bodies[k].shape.extent, bodies[i].shape.extent
            if bool(((position[:, k] - position[:, i]).norm(dim=-1) < sum(radii) - 0.1 * min(radii)).any()):
                return True
    return False


def _kick(position: Tensor, presence: Tensor, rollout: Rollout, k: int, strength: float) -> Edited:
    """From the onset on the body drifts sideways, towards the picture's middle, over the way that it had.

    The onset is one at which it touches nothing for some frames on both sides, kicked or not: what a contact gave is no
    violation.
    """
    r = rollout.scene.bodies[k].shape.thickness
    bodies, base = Bodies.from_scenes([rollout.scene], dtype=position.dtype), rollout.trajectory
    aloft = violations.Contacts(base, bodies).flying(0.1 * r, AROUND)[:, k]
    for onset in (t for t in onsets(rollout, k) if aloft[t]):
        time = (torch.arange(len(position), dtype=position.dtype) - onset).clamp_min(0) * base.dt
        kicked = position.clone()
        kicked[:, k] += strength * r * time[:, None] * _sideways(rollout, position[onset, k])
        if violations.Contacts(dataclasses.replace(base, position=kicked), bodies).flying(0.1 * r, AROUND)[onset, k]:
            return kicked, presence
    raise NotApplicable("kind: the body is not in full view and in mid air for long enough")


def _tremble(position: Tensor, presence: Tensor, rollout: Rollout, k: int, strength: float) -> Edited:
    """The body trembles sideways, to and fro from frame to frame, for as long as it rests."""
    r, onset = rollout.scene.bodies[k].shape.thickness, first_free_frame(rollout)
    speed = position[:, k].diff(dim=0, prepend=position[:1, k]).norm(dim=-1) / rollout.trajectory.dt
    rests = speed < 0.1 * r
    rests[: min(onset, 5)] = False
    need(int(rests.sum()) >= 12, "the body does not rest for long enough")
    sign = 1 - 2 * (torch.arange(len(position)) % 2)
    position[:, k] += (strength * r * sign * rests)[:, None] * _sideways(rollout, position[onset, k])
    return position, presence


def _dissipates(rollout: Rollout) -> bool:
    """Whether contacts lose energy: some body was hit or rubbed with restitution under 1 or friction."""
    bodies = rollout.scene.bodies
    hit = {int(i) - 1 for i in rollout.contacts.pair.ravel()}
    return any(bodies[k].restitution < 0.95 or bodies[k].friction > 0 for k in hit if not bodies[k].static)


KINDS: dict[str, Kind] = {
    "interpenetration": Kind("penetration", 0.2, _edited(_overlap)),
    "pass_through": Kind("pass_through", 1.0, _edited(_through), graded=False),
    "deformation": Kind("rigidity", 0.15, _deformed),
    "vanishing": Kind("permanence", 3.0, _edited(_vanish)),
    "appearing": Kind("permanence", 1.0, _edited(_appear), graded=False),
    "teleport": Kind("teleport", 1.0, _edited(_teleport)),
    "colour_swap": Kind("teleport", 1.0, _colours_swapped, graded=False),
    "wrong_gravity": Kind("gravity", 1.5, _edited(_gravity)),
    "energy_gain": Kind("energy", 0.2, _edited(_energy)),
    "kick": Kind("uncaused_response", 5.0, _edited(_kick)),
    "trembling": Kind("jitter", 0.1, _edited(_tremble)),
    "frozen": Kind("stillness", 1.0, _frozen, graded=False),
    "time_reversal": Kind("energy", 1.0, _reversed, graded=False),
}
