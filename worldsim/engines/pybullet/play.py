"""Advance a Bullet world through a scene and read it frame by frame."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from worldsim.engines.base import Played
from worldsim.engines.program import refuse_divergence
from worldsim.engines.pybullet.client import bullet
from worldsim.engines.pybullet.contacts import ContactLog
from worldsim.engines.pybullet.world import BulletWorld
from worldsim.engines.stepping import choose_stepping
from worldsim.physics.trajectory import Trajectory
from worldsim.scene import Scene

Array = NDArray[np.float64]


def _step(world: BulletWorld, log: ContactLog, controls: tuple[Array, ...], time: float | None) -> None:
    """One sub-step; its contacts go on record where a time is given."""
    for drive in world.drives:
        drive.apply(controls)
    world.push_links()
    bullet.stepSimulation(physicsClientId=world.client)
    log.read(time)
    for drive in world.drives:
        drive.observe()


def _start(world: BulletWorld, log: ContactLog, control: Array) -> None:
    """Put the scene at its start, multi-bodies with the velocities of half a sub-step earlier.

    Bullet's semi-implicit Euler step becomes the leapfrog scheme, of second order, where velocities are staggered by
    half a step. Free bodies know that shift in closed form; for multi-bodies trial steps measure it. The first of them
    runs without joint forces and teaches the drives what acts besides.
    """
    world.place()
    world.check_start()
    if not world.trees:
        return
    for _ in range(2):
        world.place()
        before = [world.rates(tree) for tree in world.trees]
        _step(world, log, (control,), None)
        after = [world.rates(tree) for tree in world.trees]
    lead = {k: (after[k] - before[k]) / 2 for k, members in enumerate(world.members) if not members & log.pushed}
    world.place(lead)


def play(client: int, scene: Scene, actions: NDArray[np.float32]) -> Played:
    """Play a scene in an empty physics client.

    Args:
        client: Number of the physics client.
        scene: To be played.
        actions: (T - 1, A) ctrl values.

    Raises:
        ValueError: Where a linked body's start contradicts its joints.
        RuntimeError: Where the motion diverges.
    """
    stepping = choose_stepping(scene)
    world = BulletWorld(client, scene, stepping)
    log = ContactLog(client, world.owner)
    frames, count, substeps = scene.num_frames, len(scene.bodies), stepping.substeps
    values = np.asarray(actions, dtype=np.float64)
    position, linear, angular = (np.empty((frames, count, 3)) for _ in range(3))
    orientation = np.empty((frames, count, 4))
    previous: dict[int, tuple[Array, Array]] = {}
    before = values[0] if len(values) else np.zeros(values.shape[1])
    _start(world, log, before)
    for place, body in enumerate(scene.bodies):
        state = body.state
        assert state is not None
        position[:, place], orientation[:, place] = state.position, state.orientation
        linear[:, place] = 0.0 if body.static else state.linear_velocity
        angular[:, place] = 0.0 if body.static else state.angular_velocity
    moving = [i for i, body in enumerate(scene.bodies) if not body.static]
    relatives = {place: members for members in world.members for place in members}
    for k in range(frames):
        if k > 0:
            if scene.planar:
                world.keep_plane()
            for place in moving:
                x, q, v, w = world.read(place)
                if place in world.jointed:
                    # The stored velocity is that of half a sub-step ago; carry it on unless a contact changed it.
                    if not (relatives[place] & log.pushed):
                        v, w = 1.5 * v - 0.5 * previous[place][0], 1.5 * w - 0.5 * previous[place][1]
                elif place not in log.pushed:
                    v = world.flight.to_instant(v)
                position[k, place], orientation[k, place] = x, q
                linear[k, place], angular[k, place] = v, w
            refuse_divergence(scene, k, position[k], linear[k], angular[k])
        # After the last frame one more sub-step tells of the contacts at that very instant.
        last = k == frames - 1
        control = values[min(k, len(values) - 1)] if len(values) else np.zeros(values.shape[1])
        changing = (before, control) if k > 0 and (before != control).any() else (control,)
        before = control
        for i in range(1 if last else substeps):
            if i == substeps - 1:
                previous = {place: world.read(place)[2:] for place in world.jointed}
            _step(world, log, changing if i == 0 else (control,), (k * substeps + i) * stepping.step)
    trajectory = Trajectory(
        position=torch.from_numpy(position),
        orientation=torch.from_numpy(orientation),
        linear_velocity=torch.from_numpy(linear),
        angular_velocity=torch.from_numpy(angular),
        presence=torch.ones(frames, count, dtype=torch.float64),
        dt=1.0 / scene.fps,
    )
    return Played(trajectory, log.touches)
