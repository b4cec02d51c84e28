"""The laws asked of a video: what each one reads, and the one number that stands for a clip."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import torch
from scipy.ndimage import minimum_filter1d

from worldsim.benchmarks.energy import MAX_ERROR, energy_rise
from worldsim.benchmarks.existence import existence
from worldsim.benchmarks.reading import Reading, Settler, barred
from worldsim.benchmarks.track import Flags, Floats, Tracks
from worldsim.benchmarks.world import Motion, World
from worldsim.physics import violations
from worldsim.physics.trajectory import Trajectory
from worldsim.physics.violations.result import Violation
from worldsim.scene import Law

LAWS = (
    *("penetration", "pass_through", "rigidity", "permanence", "teleport"),
    *("dynamics", "gravity", "energy", "momentum", "stillness"),
    *("unanswered_contact", "uncaused_response", "jitter"),
)
_FLIGHT_SECONDS = 0.2  # either side of the instant whose acceleration is fitted
_REST_SPEED = 0.1  # radii a second under which a body rests
_MAX_DEPTH_ERROR = 0.07  # of the smaller half width: standard error at which a depth of .2 is three times its noise


def read_laws(
    tracks: Tracks, world: World, motion: Motion | None, expected: Trajectory | None, regime: str
) -> dict[str, Reading]:
    """All laws of one video.

    Args:
        tracks: Of the video.
        world: It is judged in.
        motion: Of what could be placed; None in the regime "unknown" and where there is nothing to place.
        expected: (T, N) of all bodies of the world, for stillness.
        regime: "planar", "scene" or "unknown".
    """
    frames = tracks.num_frames
    result = {"permanence": _permanence(tracks, world)}
    if motion is None:
        why = (
            "needs planar=True, a scene or a setup: overlap in the picture may be occlusion, and lengths have no scale"
            if regime == "unknown"
            else "no body can be placed: balls can, in a plane or with a scene boxes, capsules and convex polygons, "
            "with a scene in space rings; links of one object where each has a mask of its own"
        )
        for law in LAWS:
            if law not in result:
                result[law] = barred(frames, "", why)
        return {law: result[law] for law in LAWS}
    radius = _radius(world)
    unit, trajectory, bodies = world.unit, motion.trajectory, motion.bodies
    settled = Settler(world, motion, frames)
    pairs = "no pair of bodies that can be placed"
    result["penetration"] = _penetration(settled, radius)
    through = violations.pass_through(trajectory, bodies, contacts=motion.contacts, smooth=False)
    result["pass_through"] = settled(_sharp(motion, through, balls=False), np.nansum, "events", 1.0, pairs)
    result["rigidity"] = _rigidity(tracks, world, motion, regime)
    short = barred(frames, unit, "needs 4 frames")
    result["teleport"] = (
        settled(violations.teleport(trajectory), np.nanmax, unit, radius, "no body seen in four frames on end")
        if frames >= 4
        else short
    )
    result.update(_laws_of_motion(settled, world, motion, radius))
    result["unanswered_contact"] = _unanswered(settled, radius)
    result["jitter"] = _jitter(settled, expected, radius)
    result["stillness"] = _stillness(settled, expected, radius * (0.4 if regime == "planar" else 1.0))
    return {law: result[law] for law in LAWS}


def _worst_body(entries: Floats) -> float:
    """The largest over bodies of the upper quartile over frames: one body that breaks a law for a while is enough."""
    columns = [column[np.isfinite(column)] for column in entries.T]
    return max(_upper_quartile(column) for column in columns if len(column))


def _upper_quartile(values: Floats) -> float:
    """Of (K,) finite values, between neighbours in a straight line; np.quantile takes ten times as long."""
    ordered = np.sort(values)
    place = 0.75 * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return float(ordered[low] + (place - low) * (ordered[high] - ordered[low]))


def _radius(world: World) -> float:
    """Half the smallest width of the bodies that can be registered."""
    shapes = [world.bodies[k].shape for k in (*world.balls, *world.rigid)]
    return min((shape.thickness for shape in shapes), default=1.0)


def _permanence(tracks: Tracks, world: World) -> Reading:
    objects = world.objects
    exists, known = existence(tracks, objects, world)
    presence = torch.from_numpy(exists.astype(np.float64))
    # Bodies that are there at all are the yardstick, not the first frame, in which one may be missing.
    whole = torch.cat([torch.ones_like(presence[:1]), presence])
    blank = Trajectory.from_positions(torch.zeros(*whole.shape, 3, dtype=torch.float64), 1.0)
    found = violations.permanence(dataclasses.replace(blank, presence=whole)).values[1:].numpy()
    entries = np.where(known, found, np.nan)
    value = float(np.nansum(entries)) if known.any() else float("nan")
    names = tuple(world.bodies[k].name for k in objects)
    reason = "" if known.any() else "no object was ever seen at 12 pixels or more"
    return Reading(value, "object-frames", 3.0, float(known.mean()) if len(known) else 0.0, entries, names, reason)


def _rigidity(tracks: Tracks, world: World, motion: Motion, regime: str) -> Reading:
    """Planar: moments of whole masks against the first frame. In space: axes of a ball's outline."""
    own = [*world.balls, *world.rigid] if regime == "planar" else list(world.balls)
    if not own:
        return barred(tracks.num_frames, "log ratio", "needs a ball or a planar world: turns change other outlines too")
    if regime == "planar":
        covered = np.stack([tracks.neighbour[:, k, 1:].sum(-1) > 0 for k in own], -1)
        whole = torch.from_numpy(~tracks.border[:, own] & ~covered)
        axes = torch.from_numpy(tracks.axes[:, own])
        found = violations.moment_rigidity(torch.from_numpy(tracks.area[:, own]), axes, whole)
        entries = np.where(found.measurable.numpy(), found.values.numpy().astype(np.float64), np.nan)
        entries[0] = np.nan  # the yardstick itself
    else:
        entries = np.stack([motion.registrations[k].stretch for k in own], -1)
    known = np.isfinite(entries)
    judged = known.any()
    value = _worst_body(entries) if judged else float("nan")
    names = tuple(world.bodies[k].name for k in own)
    reason = "" if judged else "no body is seen whole"
    return Reading(value, "log ratio", 1.0, float(known.mean()), entries, names, reason)


def _penetration(settled: Settler, radius: float) -> Reading:
    """Depth of overlap, where both places are known well enough along the way that parts the pair.

    A picture tells little of the distance from the camera, so that two balls side by side can be judged where two
    behind each other cannot. Entries whose standard error exceeds _MAX_DEPTH_ERROR of the smaller half width are not
    measurable.
    """
    motion = settled.motion
    found = _sharp(motion, violations.penetration(motion.trajectory, motion.bodies, contacts=motion.contacts))
    pairs = "no pair of bodies that can be placed well enough along the way that parts them"
    return settled(found, np.nanmax, settled.world.unit, radius, pairs)


def _unanswered(settled: Settler, radius: float) -> Reading:
    """Contacts that do not part, where depths can be told; in radii a second for a reference."""
    motion = settled.motion
    if settled.frames < 2:
        return barred(settled.frames, "m/s", "needs 2 frames")
    found = violations.unanswered_contact(motion.trajectory, motion.bodies, 0.1 * radius, motion.contacts)
    unit = f"{settled.world.unit}/s"
    return settled(_sharp(motion, found), np.nanmax, unit, radius, "no pair is seen to touch")


def _jitter(settled: Settler, expected: Trajectory | None, radius: float) -> Reading:
    """Tremor of bodies that rest, by the scene's own motion where it is known.

    Of bodies whose distance is hardly known it is judged across the line of sight to their mean place.
    """
    motion, window = settled.motion, 4
    if settled.frames < 2 * window + 1:
        return barred(settled.frames, settled.world.unit, f"needs {2 * window + 1} frames")
    rest = None if expected is None else expected.map(lambda x: x[:, list(motion.places)].double())
    position, seen = motion.trajectory.position, motion.trajectory.presence[..., None]
    unseen = (torch.from_numpy(motion.unseen) * seen).sum(0)
    unseen = unseen / unseen.norm(dim=-1, keepdim=True).clamp_min(1e-9)
    flat = position - (position * unseen).sum(-1, keepdim=True) * unseen
    told = dataclasses.replace(motion.trajectory, position=flat)
    found = violations.jitter(told, told if rest is None else rest, window, _REST_SPEED * radius)
    return settled(found, _worst_body, settled.world.unit, radius, "no body rests")


def _sharp(motion: Motion, found: Violation, balls: bool = True) -> Violation:
    """Of a law of pairs, the entries whose distance is known well enough; without `balls`, theirs with each other all.

    What a ball goes through is told from its way, which errs little. Turns that are hardly known flicker: of other
    bodies the distance must be known well for two frames on both sides.
    """
    bodies = motion.bodies
    if found.subjects.shape[0]:
        i, j = found.subjects.numpy().T
        width = violations.thickness(bodies)[0].numpy()
        sharp = torch.from_numpy(motion.gap_variance < (_MAX_DEPTH_ERROR * np.minimum(width[i], width[j])) ** 2)
        if not balls:
            shapes = zip(motion.places, bodies.kinds, strict=True)
            turning = np.array([k in motion.registrations and kind != "sphere" for k, kind in shapes])
            sharp = torch.from_numpy(minimum_filter1d(sharp.numpy(), 5, axis=0))
            sharp |= torch.from_numpy(~(turning[i] | turning[j]))
        found = dataclasses.replace(found, measurable=found.measurable & sharp)
    return found


def _laws_of_motion(settled: Settler, world: World, motion: Motion, radius: float) -> dict[str, Reading]:
    frames, law = settled.frames, world.law
    trajectory, bodies = motion.trajectory, motion.bodies
    names = ("dynamics", "gravity", "energy", "momentum", "uncaused_response")
    if law is None:
        return {name: barred(frames, "", "needs the law of a scene or setup") for name in names}
    if frames < 5:
        return {name: barred(frames, "", "needs 5 frames") for name in names}
    flight = "no body is seen in free flight"
    margin = 0.1 * radius  # a reader's error, within which bodies may touch unseen
    contacts = motion.contacts
    residual = violations.dynamics_residual(trajectory, bodies, law.gravity, law.drag, margin=margin, contacts=contacts)
    pull = float(np.linalg.norm(law.gravity))
    flights = settled.only(lambda body: body.name not in world.jointed)
    alone = torch.from_numpy(motion.apart)

    def free(
        found: Violation, statistic: Callable[[Floats], object], unit: str, reference: float, reason: str
    ) -> Reading:
        apart = alone[:, found.subjects[:, 0]]
        return flights(
            dataclasses.replace(found, measurable=found.measurable & apart), statistic, unit, reference, reason
        )

    result = {
        "dynamics": free(residual, _worst_body, "m", radius, flight),
        "uncaused_response": free(_uncaused(motion, law, margin), np.nanmax, "m/s", radius, flight),
        "gravity": free(_gravity(motion, law, margin), _worst_body, "m/s^2", max(pull, 1.0), flight),
    }
    why = "actuators put in energy and momentum that no picture shows" if world.driven else ""
    if not why and len(motion.registrations) < len(world.objects):
        why = "not all bodies that move can be placed"
    why = why or ("joints hand on energy and momentum that no outline shows" if world.jointed else "")
    if why:
        return {**result, "energy": barred(frames, "", why), "momentum": barred(frames, "", why)}
    drift = violations.momentum_drift(trajectory, bodies, law.gravity, law.drag, margin, contacts)
    mass = bodies.mass[0] * ~torch.tensor(bodies.static)
    size = float((mass * trajectory.linear_velocity.norm(dim=-1)).sum(-1).mean())
    held = "no interval in which nothing touches a static body"
    result["momentum"] = settled(drift, np.nanmean, "N s", max(size, 1e-9), held)
    result["energy"] = _energy(motion, law.gravity)
    return result


def _uncaused(motion: Motion, law: Law, margin: float) -> Violation:
    """Uncaused response over the widest of the windows that the flight around each frame leaves room for.

    A picture that hardly tells how far a body is would accuse it of leaps towards the camera and away: there only what
    is seen across the line of sight counts.
    """
    trajectory, bodies = motion.trajectory, motion.bodies
    unseen = torch.from_numpy(motion.unseen)

    def over(window: int) -> Violation:
        return violations.uncaused_response(
            trajectory, bodies, law.gravity, law.drag, margin, window, motion.contacts, unseen
        )

    found = over(2)
    for window in (3, 4):
        if trajectory.num_frames > 2 * window:
            wider = over(window)
            found = dataclasses.replace(found, values=torch.where(wider.measurable, wider.values, found.values))
    return found


def _gravity(motion: Motion, law: Law, margin: float) -> Violation:
    """Gravity error over _FLIGHT_SECONDS to both sides; over fewer for bodies that never fly for so long."""
    trajectory, contacts = motion.trajectory, motion.contacts
    longest = min(max(2, round(_FLIGHT_SECONDS / trajectory.dt)), (trajectory.num_frames - 1) // 2)
    shortest = min(longest, max(2, round(0.6 * longest)))
    found = violations.gravity_error(trajectory, motion.bodies, law.gravity, law.drag, longest, margin, contacts)
    moving = ~torch.tensor(motion.bodies.static)
    for window in range(longest - 1, shortest - 1, -1):
        wanting = moving & ~found.measurable.any(0, keepdim=True)
        if not bool(wanting.any()):
            break
        other = violations.gravity_error(trajectory, motion.bodies, law.gravity, law.drag, window, margin, contacts)
        values = torch.where(wanting, other.values, found.values)
        found = dataclasses.replace(found, values=values, measurable=found.measurable | (other.measurable & wanting))
    return found


def _energy(motion: Motion, gravity: tuple[float, float, float]) -> Reading:
    """Largest rise of the energy that can be told from the error of reading it."""
    rise, error = energy_rise(motion, gravity)
    entries = np.where(error < MAX_ERROR, rise, np.nan)[:, None]
    known = np.isfinite(entries)
    value = float(np.nanmax(entries)) if known.any() else float("nan")
    reason = "" if known.any() else "all bodies must be measured, and well, before and after an instant"
    return Reading(value, "of kinetic energy", 1.0, float(known.mean()), entries, ("world",), reason)


def _stillness(settled: Settler, expected: Trajectory | None, min_path: float) -> Reading:
    frames = settled.frames
    if expected is None:
        return barred(frames, "1", "needs a scene, whose motion is the yardstick")
    # Paths over some frames at a time: from frame to frame a reader's noise is a path of its own.
    stride = max(1, frames // 8)
    chosen = torch.arange(0, frames, stride)
    moving = [i for i, static in enumerate(settled.motion.bodies.static) if not static]
    places = [settled.motion.places[i] for i in moving]
    observed = settled.motion.trajectory.map(lambda x: x[chosen][:, moving])
    wanted = expected.map(lambda x: x[chosen][:, places].double())
    found = violations.stillness(observed, wanted, min_path=min_path)
    coarse = np.where(found.measurable.numpy(), found.values.numpy(), np.nan)
    entries = np.full((frames, coarse.shape[1]), np.nan)
    entries[chosen.numpy()] = coarse
    value = _pooled(observed, wanted, found.measurable.numpy())
    names = tuple(settled.motion.name(settled.world, (i,)) for i in moving)
    known = np.isfinite(coarse)
    share = float(known.mean())
    return Reading(value, "1", 1.0, share, entries, names, "" if known.any() else "no body is meant to go far")


def _pooled(observed: Trajectory, wanted: Trajectory, known: Flags) -> float:
    """Share of the way of all bodies together that is missing, each up to where it was last seen.

    Which ball of a rack takes the blow is decided by less than any engine or picture tells, how far all go is not.
    """
    total = np.zeros(2)
    for body in np.flatnonzero(known.any(0)):
        last = int(np.flatnonzero(known[:, body])[-1])
        for i, motion in enumerate((observed, wanted)):
            total[i] += float(motion.position[: last + 1, body].diff(dim=0).norm(dim=-1).sum())
    return max(0.0, 1 - total[0] / total[1]) if total[1] else float("nan")
