"""WorldModel: a denoiser paired with the physics prior and a readout.

Trained by loss(clip), which gives named terms; generate() continues context frames under a Setup. The four levers of
the pairing are switches of the config: state supervision, consistency loss, prior conditioning, guidance.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from worldsim.data.clip import Clip, to_uint8
from worldsim.diffusion import add_noise, expand_time, sample, sample_times
from worldsim.diffusion.path import MIN_TIME
from worldsim.models.conditioning import Conditioning, setup_tokens
from worldsim.models.config import WorldModelConfig
from worldsim.models.dit import VideoDiT
from worldsim.models.inputs import take_in
from worldsim.models.losses import consistency_terms
from worldsim.models.pairing import draw_hint, fit_start, keep_where_seen, predict
from worldsim.models.steering import Guidance, steer
from worldsim.models.world import World
from worldsim.physics import LawParameters, PhysicsPrior, PriorConfig
from worldsim.physics.trajectory import Trajectory, concatenate
from worldsim.scene import Setup
from worldsim.vision.readout import ColourReadout

if TYPE_CHECKING:
    from worldsim.models.pretrained import ModelCard


@dataclass(frozen=True)
class Generation:
    """What generate gives: in batches where a tensor came in, without the axis B where one video of pictures did.

    Attributes:
        video: (B, 3, T, H, W) tensor in [-1, 1], or (T, H, W, 3) uint8 array: context and new frames.
        num_context: How many of them were given.
        trajectory: (B, T, N) read from the video; None without Setups.
        prior: (B, T, N) the prior's roll-out from the states read from the context; None without a hint.
    """

    video: Any
    num_context: int
    trajectory: Trajectory | None
    prior: Trajectory | None

    def first(self) -> Generation:
        """The first of a batch, as pictures."""
        trajectory, prior = (None if t is None else t.map(lambda x: x[0]) for t in (self.trajectory, self.prior))
        return Generation(to_uint8(self.video[0]).cpu().numpy(), self.num_context, trajectory, prior)


class WorldModel(nn.Module):
    """Denoiser, prior and readout. The denoiser is a VideoDiT unless another one that meets its protocol is given."""

    def __init__(self, config: WorldModelConfig, denoiser: nn.Module | None = None) -> None:
        super().__init__()
        self.config = config
        self.denoiser = denoiser if denoiser is not None else VideoDiT(config.dit)
        self.prior = PhysicsPrior(config=PriorConfig(max_step=config.max_step))
        self.readout = ColourReadout(1 / config.fps)

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike[str], denoiser: nn.Module | None = None) -> WorldModel:
        """Load a checkpoint that is shipped under that name, or a folder; see worldsim.models.pretrained."""
        from worldsim.models.pretrained import from_pretrained

        return from_pretrained(name, denoiser)

    def save_pretrained(self, folder: str | os.PathLike[str], card: ModelCard | None = None) -> None:
        """Write weights, config and model card into a folder that from_pretrained reads."""
        from worldsim.models.pretrained import save_pretrained

        save_pretrained(self, folder, card)

    def loss(self, clip: Clip, generator: torch.Generator) -> dict[str, Tensor]:
        """Named scalar terms of a clip whose num_context is one of the config's context lengths.

        A clip of videos alone, without Setups, has the diffusion term only.
        """
        known, tubelet = self._check_context(clip.num_context), self.config.dit.patch[0]
        x = clip.video
        world = World.of(clip.setups, x.device) if clip.setups else None
        foreseen = None
        if world is not None and known and (self.config.hint or self.config.consistency > 0):
            foreseen = self.foresee(world, x[:, :, :known], clip.num_frames, generator)
        condition = self.condition(world, foreseen, generator)
        latent = clip.num_frames // tubelet
        t = sample_times(
            x.shape[0],
            latent,
            known // tubelet,
            mean=self.config.time_mean,
            std=self.config.time_std,
            context_noise=self.config.context_noise,
            generator=generator,
            device=x.device,
        )
        noise = torch.randn(x.shape, generator=generator).to(x)
        estimate = self.denoiser(add_noise(x, noise, t), t, condition)
        time = expand_time(t, x)[:, :, known:]
        error = (estimate - x)[:, :, known:] / time.clamp_min(MIN_TIME)
        terms = {"diffusion": error.square().mean()}
        if self.config.consistency > 0 and world is not None and foreseen is not None:
            video = torch.cat([x[:, :, :known], estimate[:, :, known:]], dim=2)
            reading = self.readout(video, world.bodies, world.view, world.background, world.fixed)
            named = consistency_terms(reading, foreseen, world.bodies, known, t[:, -1], self.config.consistency_t_max)
            terms |= {name: self.config.consistency * value for name, value in named.items()}
        return terms

    def condition(
        self, world: World | None, foreseen: Trajectory | None, generator: torch.Generator | None = None
    ) -> Conditioning:
        """What the denoiser is told.

        Args:
            world: Setups as tensors; None where there are none.
            foreseen: (B, T, N) what the prior foresees; None gives no hint.
            generator: Where given, the hint is dropped at random as in training.
        """
        if world is None:
            return Conditioning()
        setup = None
        if self.config.dit.setup_features:
            setup = setup_tokens(world.setups).to(world.background.device)
        if not self.config.hint or foreseen is None:
            return Conditioning(setup=setup)
        hint = draw_hint(foreseen, world.bodies, world.view, world.background, world.setups[0].shading)
        given = torch.ones(len(world.setups))
        if generator is not None:
            given = (torch.rand(len(given), generator=generator) >= self.config.hint_drop).float()
        return Conditioning(setup=setup, hint=hint, hint_given=given.to(hint))

    @torch.no_grad()
    def foresee(
        self,
        world: World,
        context: Tensor,
        num_frames: int,
        generator: torch.Generator | None = None,
        law: LawParameters | None = None,
        start: Trajectory | None = None,
    ) -> Trajectory:
        """(B, T, N): the context as read, and the prior's roll-out from its end.

        Args:
            world: Setups as tensors.
            context: (B, 3, K, H, W) in [-1, 1].
            num_frames: Of the whole clip.
            generator: Where given, the start is perturbed at random as in training.
            law: In place of the Setups' law.
            start: (B, 1, N) what the prior holds true of the last context frame, which the picture may contradict.
        """
        law = law or world.law
        reading = self.readout(context, world.bodies, world.view, world.background, world.fixed)
        # Half a pixel: what free flight may miss before an impact is assumed to lie within the context.
        tolerance = 0.5 / world.view.focal[:, None]
        read = fit_start(reading.trajectory, world.bodies, law.gravity, tolerance)
        start = read if start is None else keep_where_seen(start, read, world.bodies)
        if generator is not None and self.config.hint_noise > 0:
            speed = start.linear_velocity.norm(dim=-1, keepdim=True)
            jitter = torch.randn(start.linear_velocity.shape, generator=generator).to(speed)
            jitter[..., 1] = 0 if world.bodies.planar else jitter[..., 1]
            velocity = start.linear_velocity + self.config.hint_noise * speed * jitter
            start = dataclasses.replace(start, linear_velocity=velocity)
        return predict(self.prior, start, reading.trajectory, world.bodies, num_frames - context.shape[2], law)

    @torch.no_grad()
    def generate(
        self,
        context: Any,
        setup: Setup | Sequence[Setup] | None,
        num_frames: int = 16,
        *,
        seed: int = 0,
        steps: int = 10,
        solver: str = "euler",
        hint: bool = True,
        law: LawParameters | None = None,
        guidance: Guidance | None = None,
    ) -> Generation:
        """Continue videos.

        Args:
            context: (K, H, W, 3) uint8 pictures of one video, or (B, 3, K, H, W) tensor in [-1, 1]; K is one of the
                config's context lengths, or more, of which the last ones are kept.
            setup: One, or one a video; None leaves the denoiser with the context alone.
            num_frames: New frames; where they exceed a clip of the config's length, the video grows chunk by chunk.
            seed: Of the starting noise.
            steps: Of the sampler.
            solver: "euler" or "heun".
            hint: Whether the prior's hint is given; off, the same weights run without it.
            law: In place of the Setups' law, such as a wrong one.
            guidance: Lever 4; None leaves it out.

        Raises:
            ValueError: For wrong frame counts, sizes, rates or numbers: names field, rule and value.
        """
        given = take_in(context, setup, self.config.context_lengths, self.config.fps, next(self.parameters()).device)
        options: dict[str, Any] = {"seed": seed, "steps": steps, "solver": solver, "hint": hint}
        chunks = list(
            self.stream(given.context, given.setups or None, num_frames, law=law, guidance=guidance, **options)
        )
        video = torch.cat([given.context, *(chunk.video[:, :, chunk.num_context :] for chunk in chunks)], dim=2)
        read = self.read(video, World.of(given.setups, video.device) if given.setups else None)
        parts = [chunk.prior.frames(chunk.num_context if k else 0) for k, chunk in enumerate(chunks) if chunk.prior]
        prior = concatenate(parts, axis="time") if parts else None
        generation = Generation(video, given.context.shape[2], read, prior)
        return generation.first() if given.single else generation

    @torch.no_grad()
    def stream(
        self,
        context: Any,
        setup: Setup | Sequence[Setup] | None,
        num_frames: int,
        *,
        seed: int = 0,
        steps: int = 10,
        solver: str = "euler",
        hint: bool = True,
        law: LawParameters | None = None,
        guidance: Guidance | None = None,
    ) -> Iterator[Generation]:
        """Continue videos chunk by chunk, so that memory does not grow with their length; arguments as of generate.

        Each chunk's context is the end of the one before. The prior goes on from its own state where the video shows
        a body within half its extent of it, else from what is read.

        Yields:
            Generations of tensors, whose first num_context frames are the end of what came before.
        """
        if num_frames < 1:
            raise ValueError(f"num_frames: must be 1 or more, got {num_frames}")
        device = next(self.parameters()).device
        given = take_in(context, setup, self.config.context_lengths, self.config.fps, device)
        known, shown = given.context.shape[2], given.context
        world = World.of(given.setups, device) if given.setups else None
        generator = torch.Generator().manual_seed(seed)
        start: Trajectory | None = None
        while num_frames > 0:
            new = min(num_frames, self.config.clip_frames - known)
            chunk = self._chunk(world, shown, new, generator, steps, solver, hint, law, guidance, start)
            yield chunk
            num_frames -= new
            shown = chunk.video[:, :, chunk.video.shape[2] - known :]
            start = None if chunk.prior is None else chunk.prior.frames(chunk.prior.num_frames - 1)

    def read(self, video: Tensor, world: World | None) -> Trajectory | None:
        """(B, T, N) states of (B, 3, T, H, W) video; None where no Setups are known."""
        if world is None:
            return None
        return self.readout(video, world.bodies, world.view, world.background, world.fixed).trajectory

    def _chunk(
        self,
        world: World | None,
        context: Tensor,
        num_frames: int,
        generator: torch.Generator,
        steps: int,
        solver: str,
        hint: bool,
        law: LawParameters | None,
        guidance: Guidance | None,
        start: Trajectory | None,
    ) -> Generation:
        known, tubelet = context.shape[2], self.config.dit.patch[0]
        total = known + num_frames
        padded = total + -total % tubelet
        foreseen = None
        if world is not None and known and (self.config.hint or guidance is not None):
            foreseen = self.foresee(world, context, padded, law=law, start=start)
        condition = self.condition(world, foreseen)
        hooks = []
        if guidance is not None:
            if world is None or foreseen is None:
                raise ValueError("guidance: needs a Setup, and context frames from which the prior's start is read")
            hooks.append(steer(guidance, self.readout, world, foreseen, known, self.prior))
        training = self.training
        self.eval()
        video = sample(
            lambda z, t: self.denoiser(z, t, condition if hint else condition.without_hint()),
            context,
            padded,
            tubelet=tubelet,
            steps=steps,
            solver=solver,
            hooks=hooks,
            generator=generator,
        )
        self.train(training)
        video = video[:, :, :total].clamp(-1, 1)
        prior = None if foreseen is None else foreseen.frames(0, total)
        return Generation(video, known, self.read(video, world), prior)

    def _check_context(self, known: int) -> int:
        if known not in self.config.context_lengths:
            raise ValueError(f"context: must have one of {self.config.context_lengths} frames, got {known}")
        return known
