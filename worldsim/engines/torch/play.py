"""Playing a scene with the prior, in float64, and telling its contacts."""

from __future__ import annotations

import numpy as np
import torch

from worldsim.engines.base import Played
from worldsim.engines.program import refuse_divergence
from worldsim.engines.record import Touches
from worldsim.physics import Bodies, LawParameters, PriorConfig, Trajectory, rotation
from worldsim.physics.prior.matter import resolve
from worldsim.physics.prior.prior import make_stepper
from worldsim.physics.prior.state import State
from worldsim.physics.prior.touch import Touch
from worldsim.scene import Scene
from worldsim.scene.checks import require


@torch.no_grad()
def play(scene: Scene, config: PriorConfig) -> Played:
    """Play a scene without joints.

    Raises:
        ValueError: Where the scene has joints.
        RuntimeError: Where the motion diverges.
    """
    names = [joint.name for joint in scene.joints]
    require(
        "scene.joints", "empty for engine torch (play articulated scenes with mujoco or pybullet)", not names, names
    )
    dtype = torch.float64
    bodies = Bodies.from_scenes([scene], dtype)
    start = State.of(Trajectory.start_of([scene], dtype), 0)
    matter = resolve(bodies, LawParameters.of([scene], dtype), 1, None)
    stepper = make_stepper(bodies, matter, start, config)
    frame = 1 / scene.fps
    substeps = config.substeps(bodies, frame)
    state, states, touches = start, [start], []
    for k in range(1, scene.num_frames):
        for sub in range(substeps):
            stepper.log = []
            advanced = stepper.step(stepper.enter(state), frame / substeps, None)
            moving = advanced.state
            if advanced.turn is not None:
                turned = rotation.multiply(rotation.exponential(advanced.turn), moving.orientation)
                moving = moving._replace(orientation=rotation.normalise(turned))
            state = State(*(stepper.leave(m[:, None], s)[:, 0] for m, s in zip(moving, start, strict=True)))
            clock = (k - 1) * frame + sub * frame / substeps
            touches += [told for touch in stepper.log for told in _tell(touch, clock, frame)]
        refuse_divergence(scene, k, *(part.numpy() for part in (state.position, state.linear_velocity)))
        states.append(state)
    all_frames = State(*(torch.cat(parts) for parts in zip(*states, strict=True)))
    presence = torch.ones_like(all_frames.position[..., 0])
    return Played(Trajectory(**all_frames._asdict(), presence=presence, dt=frame), touches)


def _tell(touch: Touch, clock: float, frame: float) -> list[Touches]:
    """The record's contacts, those of one instant together; a collision's force is its impulse over a frame."""
    told = []
    valid = touch.valid[0].numpy()
    time = touch.time[0].numpy()
    force = (touch.impulse[0] / frame + touch.force[0]).numpy()
    for moment in np.unique(time[valid]):
        rows = valid & (time == moment)
        told.append(
            Touches(
                time=clock + float(moment),
                places=np.stack([touch.a[0].numpy()[rows], touch.b[0].numpy()[rows]], 1),
                distance=touch.gap[0].numpy()[rows],
                normal=-touch.normal[0].numpy()[rows],
                position=touch.position[0].numpy()[rows],
                force=force[rows],
            )
        )
    return told
