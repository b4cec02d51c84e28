"""A second take of a scene, as a crew would film it: put up again by hand, hence not quite the same."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np

from worldsim.benchmarks.track import Floats
from worldsim.engines.overlap import overlaps
from worldsim.scene import Body, Scene, State
from worldsim.scene.body import Vector

PLACE = 0.02  # of a body's extent
SPEED = 0.02  # of its velocity and spin
MATTER = 0.03  # of mass, friction, restitution and joint damping
_TRIES = 8


def second_take(scene: Scene, seed: int, place: float = PLACE, speed: float = SPEED, matter: float = MATTER) -> Scene:
    """The scene with its parameters jittered; gravity, camera, shapes, colours and controls stay.

    Places of bodies that neither a joint nor a group holds move across gravity, so that what rests still does; where
    that brings bodies into each other, all go half as far, and so on. Sizes of the jitter are this project's choice:
    how far takes of a filmed scene differ is not published.

    Args:
        scene: The first take.
        seed: Of the jitter.
        place: Standard deviation of places over the body's extent.
        speed: Of the factor on velocities and spins about 1.
        matter: Of the factors on mass, friction, restitution (at most 1) and damping about 1.

    Raises:
        ValueError: For a negative size of jitter.
    """
    for name, value in (("place", place), ("speed", speed), ("matter", matter)):
        if not 0 <= value < 0.5:
            raise ValueError(f"{name}: must be between 0 and 0.5, got {value!r}")
    rng = np.random.default_rng(seed)
    held = {joint.child for joint in scene.joints} | {joint.parent for joint in scene.joints}
    sizes = Counter(body.group for body in scene.bodies if body.group is not None)
    bodies, shifts = [], {}
    for body in scene.bodies:
        factors = np.maximum(1 + matter * rng.standard_normal(3), 0.1)
        pace = max(1 + speed * float(rng.standard_normal()), 0.1)
        shift = _across(scene, rng.standard_normal(3))
        bodies.append(_varied(body, factors, pace))
        if not body.static and body.name not in held and (body.group is None or sizes[body.group] == 1):
            shifts[body.name] = place * body.shape.extent * shift
    joints = tuple(
        dataclasses.replace(joint, damping=joint.damping * max(1 + matter * float(rng.standard_normal()), 0.1))
        for joint in scene.joints
    )
    varied = dataclasses.replace(scene, bodies=tuple(bodies), joints=joints)
    for halvings in range(_TRIES):
        moved = varied.with_states(
            {b.name: _shifted(b, shifts[b.name] / 2**halvings) for b in varied.bodies if b.name in shifts}
        )
        if not overlaps(moved):
            return moved
    return varied


def _across(scene: Scene, step: Floats) -> Floats:
    """The part of a step that does not go along gravity or out of a planar world."""
    if scene.planar:
        step[1] = 0
    pull = np.array(scene.law.gravity)
    if pull.any():
        step = step - pull * (step @ pull) / (pull @ pull)
    return step


def _varied(body: Body, factors: Floats, pace: float) -> Body:
    state = body.state
    assert state is not None
    if not body.static:
        state = dataclasses.replace(
            state,
            linear_velocity=_scaled(state.linear_velocity, pace),
            angular_velocity=_scaled(state.angular_velocity, pace),
        )
    mass, friction, restitution = (float(f) for f in factors)
    return dataclasses.replace(
        body,
        state=state,
        mass=body.mass * mass,
        friction=body.friction * friction,
        restitution=min(body.restitution * restitution, 1.0),
    )


def _scaled(vector: Vector, factor: float) -> Vector:
    x, y, z = vector
    return (factor * x, factor * y, factor * z)


def _shifted(body: Body, shift: Floats) -> State:
    assert body.state is not None
    x, y, z = (float(a + b) for a, b in zip(body.state.position, shift, strict=True))
    return dataclasses.replace(body.state, position=(x, y, z))
