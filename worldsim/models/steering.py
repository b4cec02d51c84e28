"""Lever 4: while sampling, physics corrects the estimate of the clean video."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from worldsim.diffusion import Hook, energy_guidance
from worldsim.models.losses import consistency_energies
from worldsim.models.pairing import draw_hint
from worldsim.models.tokenizer import Tokenizer
from worldsim.models.world import World
from worldsim.physics import LawParameters, PhysicsPrior, project
from worldsim.physics.trajectory import Trajectory
from worldsim.vision.readout import Reading, Readout

KINDS = ("energy", "project")


@dataclass(frozen=True)
class Guidance:
    """How sampling is steered.

    Attributes:
        kind: "energy" goes down the gradient of the consistency energies; "project" replaces the read trajectory by the
            nearest one that the prior can make, and moves the picture with it.
        step: Of "energy": largest root-mean-square change an iteration at noise time 0, of pixels in [-1, 1] or of
            latents of unit variance; at noise time t it is (1 - t)^2 of that.
        iterations: Of "energy": gradient steps an evaluation.
        t_max: Noise time above which nothing is done.
    """

    kind: str = "energy"
    step: float = 0.05
    iterations: int = 2
    t_max: float = 0.6

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"guidance.kind: must be one of {', '.join(KINDS)}, got {self.kind!r}")
        if not self.step > 0:
            raise ValueError(f"guidance.step: must be above 0, got {self.step!r}")
        if self.iterations < 1:
            raise ValueError(f"guidance.iterations: must be 1 or more, got {self.iterations!r}")
        if not 0 < self.t_max <= 1:
            raise ValueError(f"guidance.t_max: must be above 0 and at most 1, got {self.t_max!r}")


def steer(
    guidance: Guidance,
    readout: Readout,
    world: World,
    foreseen: Trajectory,
    known: int,
    prior: PhysicsPrior,
    tokenizer: Tokenizer,
    law: LawParameters,
) -> Hook:
    """The hook that a sampler calls with each clean estimate.

    Args:
        guidance: How.
        readout: Reads states, differentiably in the video.
        world: What is known of the scenes.
        foreseen: (B, T, N) the prior's trajectory.
        known: Context frames.
        prior: Its configuration is that of the projection.
        tokenizer: Of what is sampled; states are read from what it decodes.
        law: That the projection keeps.
    """

    def read(video: Tensor) -> Reading:
        return readout(video, world.bodies, world.view, world.background, world.fixed)

    def energy(x: Tensor) -> Tensor:
        reading = read(tokenizer.decode(x))
        return torch.stack(list(consistency_energies(reading, foreseen, world.bodies, known).values())).sum(0)

    def picture(trajectory: Trajectory) -> Tensor:
        return draw_hint(trajectory, world.bodies, world.view, world.background, world.setups[0].shading)

    @torch.no_grad()
    def projection(x: Tensor, now: float) -> Tensor:
        if now > guidance.t_max:
            return x
        video = tokenizer.decode(x)
        found = read(video).trajectory
        nearest = project(found, world.bodies, law=law, prior=prior)
        # What the bodies look like in place stays the model's; only the difference that the motion makes is added, and
        # in latents only the difference of the two, so that what an autoencoder loses is not lost at every step.
        moved = video + picture(nearest) - picture(found)
        return x + tokenizer.encode(moved) - tokenizer.encode(video)

    if guidance.kind == "energy":
        return energy_guidance(energy, guidance.step, guidance.t_max, guidance.iterations)
    return projection
