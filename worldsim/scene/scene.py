"""The Scene, which says all that a simulator needs, and the Setup, which withholds how dynamic bodies start."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from worldsim.scene.body import Body, Joint, Robot, State, Vector
from worldsim.scene.camera import Camera
from worldsim.scene.checks import finite, positive, require, vector

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Law:
    """What acts everywhere.

    Attributes:
        gravity: Metres a second squared, world frame.
        drag: Linear drag a mass, 1/s: acceleration is -drag times velocity.
    """

    gravity: Vector = (0.0, 0.0, -9.81)
    drag: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "gravity", vector("law.gravity", self.gravity, 3))
        finite("law.drag", self.drag)
        require("law.drag", "0 or above", self.drag >= 0, self.drag)


@dataclass(frozen=True)
class Setup:
    """What a model may be told: bodies, law, camera and controls, without the start of anything that moves.

    Attributes:
        bodies: Dynamic ones have no state; static ones keep theirs.
        law: Gravity and drag.
        camera: The view.
        fps: Frames a second.
        planar: Whether all bodies keep to the xz-plane at y = 0.
        shading: "flat" (each body one colour) or "shaded" (lit).
        background: Red, green, blue from 0 to 1.
        joints: Between bodies.
        robot: Actuators and their control program.
    """

    bodies: tuple[Body, ...]
    law: Law
    camera: Camera
    fps: float
    planar: bool = False
    shading: str = "shaded"
    background: Vector = (1.0, 1.0, 1.0)
    joints: tuple[Joint, ...] = ()
    robot: Robot | None = None

    def __post_init__(self) -> None:
        for body in self.bodies:
            require(
                f"body[{body.name}].state", "withheld in a Setup", body.static == (body.state is not None), body.state
            )


@dataclass(frozen=True)
class Scene:
    """A world at its start, and how long and from where to look at it.

    Attributes:
        bodies: Body k - 1 has id k in every picture, in every engine; 0 is the background.
        law: Gravity and drag.
        camera: The view.
        duration: Seconds; frames lie at k / fps for every k with k / fps <= duration, the first at the start state.
        fps: Frames a second.
        planar: Whether all bodies keep to the xz-plane at y = 0.
        shading: "flat" (each body one colour) or "shaded" (lit).
        background: Red, green, blue from 0 to 1.
        joints: Between bodies.
        robot: Actuators and their control program.
        family: Name of the scenario family that made the scene, empty for one made by hand.
        seed: That the family was given.
    """

    bodies: tuple[Body, ...]
    law: Law = field(default_factory=Law)
    camera: Camera = field(default_factory=Camera)
    duration: float = 2.0
    fps: float = 24.0
    planar: bool = False
    shading: str = "shaded"
    background: Vector = (1.0, 1.0, 1.0)
    joints: tuple[Joint, ...] = ()
    robot: Robot | None = None
    family: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("bodies", "joints"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "background", vector("scene.background", self.background, 3))
        positive("scene.duration", self.duration)
        positive("scene.fps", self.fps)
        require("scene.shading", "flat or shaded", self.shading in ("flat", "shaded"), self.shading)
        require("scene.bodies", "between 1 and 254 of them", 1 <= len(self.bodies) <= 254, len(self.bodies))
        names = [body.name for body in self.bodies]
        require("scene.bodies", "of unique names", len(set(names)) == len(names), names)
        for body in self.bodies:
            self._check_body(body)
        self._check_joints()
        self._check_view()

    def _check_body(self, body: Body) -> None:
        state = body.state
        require(f"body[{body.name}].state", "given in a Scene", state is not None, state)
        assert state is not None
        if body.shape.kind == "polygon":
            require(f"body[{body.name}].shape", "no polygon unless the scene is planar", self.planar, body.shape)
        if self.planar and not body.static:
            off_plane = (state.position[1], state.linear_velocity[1], state.orientation[1], state.orientation[3])
            require(f"body[{body.name}].state", "in the plane y = 0", max(map(abs, off_plane)) < 1e-9, state)
            spin = state.angular_velocity
            require(f"body[{body.name}].state", "spinning about y only", spin[0] == 0 and spin[2] == 0, spin)

    def _check_joints(self) -> None:
        names = {body.name for body in self.bodies}
        children: set[str] = set()
        for joint in self.joints:
            field = f"joint[{joint.name}]"
            require(f"{field}.child", "the name of a body", joint.child in names, joint.child)
            require(f"{field}.child", "child of one joint only", joint.child not in children, joint.child)
            require(
                f"{field}.parent",
                "the name of a body or None",
                joint.parent is None or joint.parent in names,
                joint.parent,
            )
            require(
                f"{field}.child",
                "a body that is not static",
                not self.bodies[self.index(joint.child)].static,
                joint.child,
            )
            children.add(joint.child)
        for joint in self.joints:
            seen, at = set(), joint.parent
            while at is not None:
                require(f"joint[{joint.name}]", "part of a tree, not of a loop", at not in seen, at)
                seen.add(at)
                at = next((j.parent for j in self.joints if j.child == at), None)
        if self.robot is not None:
            drivable = {joint.name for joint in self.joints if joint.kind in ("hinge", "slide")}
            for actuator in self.robot.actuators:
                require("actuator.joint", "the name of a hinge or slide", actuator.joint in drivable, actuator.joint)

    def _check_view(self) -> None:
        finite_bodies = [b for b in self.bodies if math.isfinite(b.shape.extent) and b.state is not None]
        if not finite_bodies:
            return
        centres = np.array([b.state.position for b in finite_bodies if b.state is not None])
        pixels, depth = self.camera.project(centres)
        radii = np.array([b.shape.extent for b in finite_bodies])
        scale = self.camera.focal if self.camera.kind == "orthographic" else self.camera.focal / np.maximum(depth, 1e-9)
        reach = radii * scale
        size = np.array([self.camera.width, self.camera.height])
        inside = ((pixels + reach[:, None] >= 0) & (pixels - reach[:, None] <= size)).all(-1)
        visible = inside & (depth + radii >= self.camera.near) & (depth - radii <= self.camera.far)
        require("scene.camera", "one that sees a body at the start", bool(visible.any()), self.camera)

    @property
    def num_frames(self) -> int:
        """How many frames the scene has, the start state's included."""
        return int(self.duration * self.fps + 1e-6) + 1

    def index(self, name: str) -> int:
        """Place of the named body in `bodies`."""
        for i, body in enumerate(self.bodies):
            if body.name == name:
                return i
        raise ValueError(f"body: must be one of {[b.name for b in self.bodies]}, got {name!r}")

    def setup(self) -> Setup:
        """What a model may be told of this scene."""
        return Setup(
            bodies=tuple(body if body.static else replace(body, state=None) for body in self.bodies),
            law=self.law,
            camera=self.camera,
            fps=self.fps,
            planar=self.planar,
            shading=self.shading,
            background=self.background,
            joints=self.joints,
            robot=self.robot,
        )

    def with_states(self, states: dict[str, State]) -> Scene:
        """The same scene with other start states for the named bodies."""
        unknown = set(states) - {body.name for body in self.bodies}
        require("states", "of bodies in the scene", not unknown, sorted(unknown))
        bodies = tuple(replace(b, state=states[b.name]) if b.name in states else b for b in self.bodies)
        return replace(self, bodies=bodies)
