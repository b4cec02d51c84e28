"""Sampling with a WorldModel: what it gives, its options, and long videos chunk by chunk."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from worldsim.data.clip import to_uint8
from worldsim.diffusion import classifier_free, sample
from worldsim.diffusion.samplers import check_options
from worldsim.models.inputs import Given, take_actions, take_law, whole
from worldsim.models.precision import Autocast, without_autocast
from worldsim.models.steering import Guidance, steer
from worldsim.models.world import World
from worldsim.physics import Bodies, LawParameters, violations
from worldsim.physics.trajectory import Trajectory, concatenate
from worldsim.physics.violations import Violation
from worldsim.scene import Law

if TYPE_CHECKING:
    from worldsim.models.world_model import WorldModel


@dataclass(frozen=True)
class Sampling:
    """How to sample.

    Attributes:
        seed: Of the starting noise.
        steps: Of the sampler.
        solver: "euler", "heun" or "ab2".
        hint: Whether the prior's hint is given; off, the same weights run without it.
        law: In place of the Setups' law, such as a learned or a wrong one; a scene's Law is that of all videos.
        guidance: Lever 4, its kind alone for the rest as it is by default; None leaves it out.
        text_scale: Of classifier-free guidance by the text; 1 is plain conditional sampling.
        shift: Of the sampler's times: above 1 more steps are taken near noise, as long token sequences need.
        context_time: Noise time, from 0 to below 1, that the context is told to have, and is given; 0.02 steadies long
            roll-outs of a model whose context_noise reaches it.
    """

    seed: int = 0
    steps: int = 10
    solver: str = "euler"
    hint: bool = True
    law: LawParameters | Law | None = None
    guidance: Guidance | str | None = None
    text_scale: float = 1.0
    shift: float = 1.0
    context_time: float = 0.0

    def __post_init__(self) -> None:
        if not -(1 << 63) <= whole("seed", self.seed) < 1 << 64:
            raise ValueError(f"seed: must fit into 64 bits, got {self.seed}")
        check_options(self.steps, self.solver, self.shift, self.context_time)
        if not isinstance(self.hint, bool | np.bool_):
            raise ValueError(f"hint: must be true or false, got {self.hint!r}")
        if not isinstance(self.text_scale, Real) or not math.isfinite(self.text_scale):
            raise ValueError(f"text_scale: must be a finite number, got {self.text_scale!r}")
        if not isinstance(self.guidance, Guidance | str | None):
            raise ValueError(f"guidance: must be a Guidance, its kind or None, got {self.guidance!r}")
        if isinstance(self.guidance, str):
            Guidance(self.guidance)  # refuses unknown kinds

    @property
    def steering(self) -> Guidance | None:
        """The guidance, of a kind alone made whole."""
        return Guidance(self.guidance) if isinstance(self.guidance, str) else self.guidance


@dataclass(frozen=True)
class Generation:
    """What generate gives: in batches where a tensor came in, without the axis B where one video of pictures did.

    Attributes:
        video: (B, 3, T, H, W) tensor in [-1, 1], or (T, H, W, 3) uint8 array: context and new frames.
        num_context: How many of them were given.
        trajectory: (B, T, N) read from the video; None without Setups.
        prior: (B, T, N) the prior's roll-out from the states read from the context; None without a hint.
        bodies: Of the B worlds; None without Setups.
    """

    video: Any
    num_context: int
    trajectory: Trajectory | None
    prior: Trajectory | None
    bodies: Bodies | None = None

    @cached_property
    def violations(self) -> dict[str, Violation]:
        """What needs no law, by name, of all frames as the model's own readout reads them; empty without Setups.

        The readout is the one that hint and guidance use: to compare models take worldsim.score, whose tracker shares
        nothing with them.
        """
        read, bodies = self.trajectory, self.bodies
        if read is None or bodies is None:
            return {}
        return {
            "penetration": violations.penetration(read, bodies),
            "pass_through": violations.pass_through(read, bodies),
            "permanence": violations.permanence(read),
            "teleport": violations.teleport(read),
        }

    def first(self) -> Generation:
        """The first of a batch, as pictures."""
        trajectory, prior = (None if t is None else t.map(lambda x: x[0]) for t in (self.trajectory, self.prior))
        bodies = None if self.bodies is None else self.bodies.map(lambda x: x[:1])
        return Generation(to_uint8(self.video[0]).cpu().numpy(), self.num_context, trajectory, prior, bodies)


def join(chunks: Sequence[Generation], context: Tensor) -> Generation:
    """One Generation of context and chunks; the prior's part begins where it first spoke."""
    video = torch.cat([context, *(chunk.video[:, :, chunk.num_context :] for chunk in chunks)], dim=2)
    trajectory = _in_row([(chunk.num_context, chunk.trajectory) for chunk in chunks])
    if trajectory is not None:  # differences reach over the borders of chunks
        velocity = Trajectory.from_positions(trajectory.position, trajectory.dt).linear_velocity
        trajectory = dataclasses.replace(trajectory, linear_velocity=velocity)
    prior = _in_row([(chunk.num_context, chunk.prior) for chunk in chunks])
    return Generation(video, context.shape[2], trajectory, prior, chunks[0].bodies)


def _in_row(told: Sequence[tuple[int, Trajectory | None]]) -> Trajectory | None:
    """Trajectories one after the other, all but the first without their context; None where there are none."""
    there = [(known, part) for known, part in told if part is not None]
    parts = [part.frames(known if k else 0) for k, (known, part) in enumerate(there)]
    return concatenate(parts, axis="time") if parts else None


def stream(
    model: WorldModel,
    given: Given,
    num_frames: int,
    sampling: Sampling,
    texts: Sequence[str] | None = None,
    actions: Any = None,
) -> Iterator[Generation]:
    """See WorldModel.stream."""
    config, num_frames = model.config, whole("num_frames", num_frames)
    if num_frames < 1:
        raise ValueError(f"num_frames: must be 1 or more, got {num_frames}")
    shown, known = given.context, given.context.shape[2]
    if not known and num_frames > config.clip_frames and max(config.context_lengths) == 0:
        raise ValueError(
            f"num_frames: must be at most {config.clip_frames} for a model that only opens videos, got {num_frames}"
        )
    actions = take_actions(actions, given, num_frames, config.dit.action_width // config.packing.time)
    if texts is None and sampling.text_scale != 1:
        raise ValueError(f"text_scale: must be 1 without a text, got {sampling.text_scale:g}")
    world = World.of(given.setups, shown.device) if given.setups else None
    sampling = dataclasses.replace(sampling, law=take_law(sampling.law, world))
    generator = torch.Generator().manual_seed(int(sampling.seed))
    start: Trajectory | None = None
    done, before = 0, known
    while done < num_frames:
        new = min(num_frames - done, config.clip_frames - known)
        if not known:  # the opening: afterwards the prior takes over from the states read out of it
            new = min(num_frames, max(config.context_lengths) or new)
        begin = before + done - known
        held = None if actions is None else actions[:, begin : begin + known + new]
        with without_autocast(shown.device) as autocast:
            chunk = _chunk(model, world, shown, new, generator, sampling, start, texts, held, autocast)
        yield chunk
        done += new
        known = known or max(config.context_lengths)
        shown = chunk.video[:, :, chunk.video.shape[2] - known :]
        start = None if chunk.prior is None else chunk.prior.frames(chunk.prior.num_frames - 1)


def _chunk(
    model: WorldModel,
    world: World | None,
    context: Tensor,
    num_frames: int,
    generator: torch.Generator,
    sampling: Sampling,
    start: Trajectory | None,
    texts: Sequence[str] | None,
    actions: Tensor | None,
    autocast: Autocast,
) -> Generation:
    known, packing, guidance, told = context.shape[2], model.config.packing, sampling.steering, sampling.law
    assert not isinstance(told, Law)  # stream has made it LawParameters
    total = known + num_frames
    padded = packing.pad(total)
    foreseen = None
    if world is not None and known and (model.config.hint or guidance is not None):
        foreseen = model.foresee(world, context, padded, law=told, start=start)
    if actions is not None:
        actions = torch.cat([actions, actions[:, -1:].expand(-1, padded - total, -1)], dim=1)
    condition = model.condition(world, foreseen, texts=texts, actions=actions)
    condition = condition if sampling.hint else condition.without_hint()
    hooks = []
    if guidance is not None and known:
        if world is None or foreseen is None:
            raise ValueError("guidance: needs a Setup, and context frames from which the prior's start is read")
        law = told or world.law
        hooks.append(steer(guidance, model.readout, world, foreseen, known, model.prior, model.tokenizer, law))
    denoise = classifier_free(
        autocast()(lambda z, t: model.denoiser(z, t, condition).to(z)),
        autocast()(lambda z, t: model.denoiser(z, t, condition.without_text()).to(z)),
        sampling.text_scale,
    )
    training = model.training
    model.eval()
    try:
        latent = sample(
            denoise,
            model.encode(context),
            packing.latents(padded),
            tubelet=packing.tubelet,
            steps=sampling.steps,
            solver=sampling.solver,
            shift=sampling.shift,
            context_time=sampling.context_time,
            hooks=hooks,
            generator=generator,
        )
    finally:
        model.train(training)
    shown = model.tokenizer.decode(latent)
    video = torch.cat([context, shown[:, :, known:total]], dim=2).clamp(-1, 1)
    prior = None if foreseen is None else foreseen.frames(0, total)
    return Generation(video, known, model.read(video, world), prior, None if world is None else world.bodies)
