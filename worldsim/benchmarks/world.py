"""The world that a video is judged in, and its motion as read: moving bodies registered, static bodies as given."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy.ndimage import maximum_filter1d

from worldsim.benchmarks.pieces import smooth
from worldsim.benchmarks.rays import fit_camera
from worldsim.benchmarks.register import Registration, View, register_balls
from worldsim.benchmarks.register_rigid import KINDS, register_rigid
from worldsim.benchmarks.track import Flags, Floats, Outline, Tracks
from worldsim.physics.bodies import Bodies
from worldsim.physics.rotation import difference
from worldsim.physics.trajectory import Trajectory
from worldsim.physics.violations import Contacts
from worldsim.scene import Body, Camera, Law, Scene, Setup, Sphere, State

_GAP = 8  # frames over which a covered disc is carried on in a straight line


@dataclass(frozen=True)
class World:
    """What is known beforehand of what a video shows.

    Attributes:
        bodies: Body k - 1 has id k.
        camera: Of the video's size.
        planar: Whether all keep to the xz-plane.
        law: None where it is not known.
        unit: Of lengths, "m", or "px" where sizes come from the video itself.
        jointed: Names of bodies that joints hold.
        driven: Whether actuators put energy in.
        linked: Whether masks tell the bodies of one object apart, as given ones do.
        deep: Whether depth is given.
    """

    bodies: tuple[Body, ...]
    camera: Camera
    planar: bool
    law: Law | None
    unit: str = "m"
    jointed: tuple[str, ...] = ()
    driven: bool = False
    linked: bool = False
    deep: bool = False

    @property
    def behind(self) -> tuple[int, ...]:
        """Ids of static bodies, which a ball in space mostly stands in front of; in planar worlds nothing does."""
        return () if self.planar else tuple(k + 1 for k, body in enumerate(self.bodies) if body.static)

    @property
    def balls(self) -> tuple[int, ...]:
        """Places of the balls that can be registered."""
        return tuple(k for k in self.objects if not self._barred(k) and isinstance(self.bodies[k].shape, Sphere))

    @property
    def rigid(self) -> tuple[int, ...]:
        """Places of the bodies of other shapes that can be registered, in space from a scene's start on."""
        return tuple(k for k in self.objects if not self._barred(k) and self.bodies[k].shape.kind in KINDS)

    @cached_property
    def _links(self) -> frozenset[int]:
        """Places of the bodies that are joined to others."""
        sizes = Counter(body.group for body in self.bodies if body.group is not None)
        return frozenset(
            k
            for k, body in enumerate(self.bodies)
            if body.name in self.jointed or (body.group is not None and sizes[body.group] > 1)
        )

    def _barred(self, k: int) -> str:
        """Why a body that moves cannot be registered at all; empty where it can."""
        kind = self.bodies[k].shape.kind
        if k in self._links and not self.linked:
            return "links of one object are told apart by masks of each body alone"
        if k in self._links and kind != "sphere" and not (self.planar or self.deep):
            return "neighbours cut the outlines of links, which in space tell no distance without depth"
        if kind == "ring" and self.planar:
            return "a ring in a plane is seen edge on, which hides its hole"
        return ""

    def unplaced(self, started: bool) -> tuple[str, ...]:
        """Which bodies that move cannot be registered, and why; `started` as for placeable."""
        why: dict[str, list[str]] = {}
        for k in self.objects:
            reason = self._barred(k)
            if not reason and k in self.rigid and not (self.planar or started):
                reason = "of a body that is no ball several turns look alike without a scene"
            if reason:
                why.setdefault(reason, []).append(self.bodies[k].name)
        return tuple(f"not placed: {', '.join(names)}: {reason}" for reason, names in why.items())

    def placeable(self, started: bool) -> bool:
        """Whether any body can be registered; `started` says whether poses are known to begin from."""
        return len(self.balls) > 0 or (len(self.rigid) > 0 and (self.planar or started))

    @property
    def objects(self) -> tuple[int, ...]:
        """Places of the bodies that move."""
        return tuple(k for k, body in enumerate(self.bodies) if not body.static)


def world_of(told: Scene | Setup, height: int, width: int, linked: bool = False, deep: bool = False) -> World:
    """The world of a scene or setup, seen at a video's size; `linked` where masks are given, `deep` where depth is."""
    jointed = {joint.child for joint in told.joints} | {j.parent for j in told.joints if j.parent is not None}
    camera = fit_camera(told.camera, height, width)
    return World(
        told.bodies,
        camera,
        told.planar,
        told.law,
        jointed=tuple(sorted(jointed)),
        driven=told.robot is not None,
        linked=linked,
        deep=deep,
    )


def world_of_masks(tracks: Tracks) -> World:
    """A planar world in pixels, whose discs have the sizes that the video shows of them first.

    Objects that are not seen whole, or are no discs where they are first seen, get a size of nothing but their area and
    are left out of what needs registration by `disc_like`.
    """
    height, width = tracks.ids.shape[1:]
    bodies = []
    for k in range(tracks.num_objects):
        whole = (tracks.area[:, k] > 0) & ~tracks.border[:, k] & (tracks.neighbour[:, k, 1:].sum(-1) == 0)
        at = int(np.argmax(whole)) if whole.any() else int(np.argmax(tracks.area[:, k]))
        radius = float(np.sqrt(max(tracks.area[at, k], 1.0) / np.pi))
        round_ = bool(whole[at]) and disc_like(tracks.area[at, k], tracks.covariance[at, k])
        group = None if round_ else "not round"
        bodies.append(Body(f"object {k + 1}", Sphere(radius), State((0.0, 0.0, 0.0)), mass=radius**2, group=group))
    camera = Camera("orthographic", (width / 2, -10.0, height / 2), (width / 2, 0.0, height / 2), extent=height)
    camera = dataclasses.replace(camera, width=width, height=height)
    jointed = tuple(body.name for body in bodies if body.group is not None)
    return World(tuple(bodies), camera, True, None, unit="px", jointed=jointed)


def disc_like(area: float, covariance: Floats) -> bool:
    """Whether a mask's moments are those of a disc: both axes alike, and as wide as its area asks."""
    low, high = np.linalg.eigvalsh(covariance)
    return bool(area >= 12 and high / low < 1.35 and 0.85 < (low + high) / 2 / (area / (4 * np.pi)) < 1.15)


@dataclass(frozen=True)
class Motion:
    """What the reader found of the bodies that can be placed.

    Attributes:
        places: (N',) places in World.bodies of the trajectory's bodies.
        trajectory: (T, N'); presence tells where a body was measured, not whether it exists.
        smoothed: The same between impacts, fitted by parabolas, with their velocities; presence tells where there is
            such a fit.
        bodies: Of the same bodies.
        registrations: By place, of the bodies that move.
        pose_covariance: (T, N', 6, 6) of the errors of position and rotation vector, world frame, metres and radians.
        spans: (T, N') seconds of the stretch between impacts that each fit rests on; 0 where there is none.
        apart: (T, N') whether no moving body that could not be placed is seen beside it, who may hold or hit it.
        eye: (3,) metres, where a perspective camera is; None for an orthographic one.
    """

    places: tuple[int, ...]
    trajectory: Trajectory
    smoothed: Trajectory
    bodies: Bodies
    registrations: dict[int, Registration]
    pose_covariance: Floats
    spans: Floats
    apart: Flags
    eye: tuple[float, float, float] | None = None

    @property
    def unseen(self) -> Floats:
        """(T, N', 3) unit lines of sight along which places err more than twice as much as across; 0 elsewhere."""
        position = self.trajectory.position.numpy()
        if self.eye is None:
            return np.zeros_like(position)
        ahead = position - np.array(self.eye)
        ahead /= np.maximum(np.linalg.norm(ahead, axis=-1, keepdims=True), 1e-9)
        along = np.einsum("tni,tnij,tnj->tn", ahead, self.covariance, ahead)
        across = (np.trace(self.covariance, axis1=-2, axis2=-1) - along) / 2
        return np.asarray(ahead * (along > 4 * across)[..., None], np.float64)

    @property
    def covariance(self) -> Floats:
        """(T, N', 3, 3) of the positions' errors, square metres."""
        return self.pose_covariance[..., :3, :3]

    @cached_property
    def contacts(self) -> Contacts:
        """Of the trajectory, for all laws that ask."""
        return Contacts(self.trajectory, self.bodies)

    @cached_property
    def gap_variance(self) -> Floats:
        """(T, P) square metres: of the distances between the pairs of contacts, by the errors of both bodies' poses."""
        measured, position = self.contacts.distances, self.trajectory.position.numpy()
        normal, places = measured.normal.numpy(), measured.pairs.numpy()
        square = np.zeros(normal.shape[:-1])
        for k, witness in ((places[:, 0], measured.witness_a), (places[:, 1], measured.witness_b)):
            # A turn moves the point of contact by its lever.
            lever = witness.numpy() - position[:, k]
            way = np.concatenate([normal, np.cross(lever, normal)], -1)
            square += np.einsum("tki,tkij,tkj->tk", way, self.pose_covariance[:, k], way)
        # What a ball's distance was taken from cannot be what it is measured against.
        for row, pair in enumerate(places.tolist()):
            for one, other in (pair, pair[::-1]):
                own = self.registrations.get(self.places[one])
                if own is not None and own.carried is not None:
                    square[own.carried == self.places[other] + 1, row] = np.inf
        return square

    def name(self, world: World, entry: tuple[int, ...]) -> str:
        """Names of a law's subject."""
        return " / ".join(world.bodies[self.places[i]].name for i in entry) or "world"


def read_motion(
    tracks: Tracks,
    edges: Outline,
    world: World,
    fps: float,
    depth: Floats | None = None,
    start: Trajectory | None = None,
) -> Motion:
    """Register all bodies that can be, and put the static ones beside them; `start` as for register_rigid."""
    frames = tracks.num_frames
    pull = None if world.law is None else np.array(world.law.gravity)
    statics = {k: world.bodies[k - 1] for k in world.behind}
    view = View(tracks, edges, world.camera, world.planar, statics, depth, pull, 1 / fps)
    registered = register_balls(view, {k + 1: world.bodies[k].shape.extent for k in world.balls})
    found = {number - 1: registration for number, registration in registered.items()}
    found.update(register_rigid(view, {k: world.bodies[k] for k in world.rigid}, start))
    places = tuple(k for k, body in enumerate(world.bodies) if body.static or k in found)
    position = np.zeros((frames, len(places), 3))
    orientation = np.tile(np.array([1.0, 0, 0, 0]), (frames, len(places), 1))
    presence, covariance = np.ones((frames, len(places))), np.zeros((frames, len(places), 6, 6))
    fitted, velocity, firm, spin = position.copy(), position.copy(), presence.copy(), position.copy()
    spans = np.zeros((frames, len(places)))
    for column, k in enumerate(places):
        state = world.bodies[k].state
        if k in found:
            position[:, column], orientation[:, column] = _filled(found[k].position), found[k].orientation
            presence[:, column], covariance[:, column, :3, :3] = found[k].measured, found[k].covariance
            place, speed, lasting = smooth(position[:, column], found[k].measured, found[k].pieces, 1 / fps, pull)
            spans[:, column] = np.nan_to_num(lasting)
            firm[:, column] = np.isfinite(speed[:, 0])
            fitted[:, column], velocity[:, column] = np.nan_to_num(place), np.nan_to_num(speed)
            told = found[k].pose_covariance
            if told is not None:
                covariance[:, column] = told
                spin[:, column] = _spin(found[k], 1 / fps)
                if not world.planar and depth is None:
                    spans[:, column] = 0  # silhouettes alone err alike for many frames, so that no fit averages it out
            if world.planar:
                presence[_hidden(tracks, k, found[k].measured), column] = 1
        elif state is not None:
            position[:, column], orientation[:, column] = state.position, state.orientation
            fitted[:, column] = state.position
    turn = torch.from_numpy(orientation)
    plain = Trajectory.from_positions(torch.from_numpy(position), 1 / fps)
    trajectory = dataclasses.replace(plain, orientation=turn, presence=torch.from_numpy(presence))
    smoothed = dataclasses.replace(
        trajectory,
        position=torch.from_numpy(fitted),
        linear_velocity=torch.from_numpy(velocity),
        angular_velocity=torch.from_numpy(spin),
        presence=torch.from_numpy(firm),
    )
    apart = _apart(tracks, world, places, presence > 0.5)
    eye = world.camera.position if world.camera.kind == "perspective" and not world.planar else None
    return Motion(places, trajectory, smoothed, _bodies(world, places), found, covariance, spans, apart, eye)


def _apart(tracks: Tracks, world: World, places: tuple[int, ...], known: Flags) -> Flags:
    """(T, N') whether no mask of a moving body whose place is not known touches a body's mask, nor did or will soon."""
    lost = np.tile([not body.static for body in world.bodies], (tracks.num_frames, 1))
    lost[:, list(places)] &= ~known
    beside = ((tracks.neighbour[:, :, 1:] > 0) & lost[:, None]).any(-1)
    return np.asarray(~maximum_filter1d(beside, 2 * _GAP + 1, axis=0)[:, list(places)], bool)


def _spin(found: Registration, dt: float) -> Floats:
    """(T, 3) radians a second of the stretches between impacts, by the turns from frame to frame; 0 where not known."""
    turn = torch.from_numpy(found.orientation)
    way = np.zeros((len(turn), 3))
    way[1:] = difference(turn[:-1], turn[1:]).numpy().cumsum(0)
    return np.nan_to_num(smooth(way, found.measured, found.pieces, dt)[1])


def _hidden(tracks: Tracks, k: int, measured: Flags) -> Flags:
    """(T,) short gaps in which a body is under another one: in a plane that is to be inside it, and must be judged."""
    time, known = np.arange(len(measured)), np.flatnonzero(measured)
    if len(known) < 2:
        return np.zeros(len(measured), bool)
    before = known[np.clip(np.searchsorted(known, time, "right") - 1, 0, None)]
    after = known[np.clip(np.searchsorted(known, time), None, len(known) - 1)]
    gap = ~measured & (before < time) & (time < after) & (after - before <= _GAP)
    touching = tracks.neighbour[:, k, 1:].sum(-1) > 0
    return np.asarray(gap & touching[before] & touching[after], bool)


def _bodies(world: World, places: tuple[int, ...]) -> Bodies:
    if not places:
        raise ValueError("world: must have a body that can be placed, got none")
    chosen = tuple(world.bodies[k] for k in places)
    withheld = tuple(body if body.static else dataclasses.replace(body, state=None) for body in chosen)
    setup = Setup(withheld, world.law or Law(), world.camera, 1.0, world.planar)
    return Bodies.from_scenes([setup], dtype=torch.float64)


def _filled(position: Floats) -> Floats:
    """Straight lines over the gaps, whose values count for nothing but must be finite."""
    known = np.isfinite(position[:, 0])
    if not known.any():
        return np.zeros_like(position)
    time = np.arange(len(position))
    return np.stack([np.interp(time, time[known], position[known, i]) for i in range(3)], -1)
