"""WorldModel: a denoiser paired with the physics prior and a readout.

Trained by loss(clip), which gives named terms; generate() continues context frames under a Setup. The four levers of
the pairing are switches of the config: state supervision, consistency loss, prior conditioning, guidance.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from worldsim.data.clip import Clip, to_uint8
from worldsim.diffusion import Hook, add_noise, expand_time, sample, sample_times
from worldsim.diffusion.path import MIN_TIME
from worldsim.models.conditioning import Conditioning, setup_tokens
from worldsim.models.config import DiTConfig
from worldsim.models.dit import VideoDiT
from worldsim.models.inputs import take_in
from worldsim.models.losses import consistency_terms
from worldsim.models.pairing import draw_hint, fit_start, predict
from worldsim.physics import LawParameters, PhysicsPrior, PriorConfig
from worldsim.physics.bodies import Bodies
from worldsim.physics.trajectory import Trajectory
from worldsim.scene import Setup, State
from worldsim.vision.raster import View
from worldsim.vision.readout import ColourReadout

if TYPE_CHECKING:
    from worldsim.models.pretrained import ModelCard


@dataclass(frozen=True)
class WorldModelConfig:
    """A paired model.

    Attributes:
        dit: Of the denoiser.
        context_lengths: Numbers of context frames that the model is trained for, multiples of the tubelet's frames.
        fps: Frames a second.
        hint: Lever 3, prior conditioning.
        hint_drop: Share of training clips whose hint is dropped, so that the weights also run without it.
        hint_noise: Standard deviation, as a share of the read speed, by which the start of the hint's roll-out is
            perturbed in training, so that the model learns when to distrust it.
        consistency: Lever 2, weight of the consistency loss; 0 leaves it out.
        consistency_t_max: Noise time above which it is silent.
        max_step: Longest step of the prior, seconds.
        context_noise: Noise on context frames in training.
        time_mean: Of the logit of the training times.
        time_std: Of the logit of the training times.
    """

    dit: DiTConfig = field(default_factory=DiTConfig)
    context_lengths: tuple[int, ...] = (4,)
    fps: float = 10.0
    hint: bool = True
    hint_drop: float = 0.2
    hint_noise: float = 0.0
    consistency: float = 0.0
    consistency_t_max: float = 0.5
    max_step: float = 0.1
    context_noise: float = 0.0
    time_mean: float = 0.0
    time_std: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "context_lengths", tuple(self.context_lengths))
        for length in self.context_lengths:
            if length < 0 or length % self.dit.patch[0]:
                raise ValueError(
                    f"world_model.context_lengths: must be multiples of the tubelet's {self.dit.patch[0]} frames, "
                    f"got {length}"
                )
        if self.hint and not self.dit.hint_channels:
            raise ValueError("world_model.hint: must be false where dit.hint_channels is 0, got true")


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


@dataclass(frozen=True)
class World:
    """Setups of a batch as tensors: what prior, rasteriser and readout need.

    Attributes:
        setups: One a world.
        bodies: Of the worlds.
        view: Of the worlds.
        background: (B, 3) from 0 to 1.
        law: Gravity and drag.
        fixed: (B, 1, N) poses of static bodies; dynamic ones stand at the origin.
    """

    setups: tuple[Setup, ...]
    bodies: Bodies
    view: View
    background: Tensor
    law: LawParameters
    fixed: Trajectory

    @staticmethod
    def of(setups: Sequence[Setup], device: torch.device | str = "cpu") -> World:
        """Gather setups of equal layout."""
        origin = State((0.0, 0.0, 0.0))

        def rows(name: str) -> Tensor:
            return torch.tensor([[getattr(b.state or origin, name) for b in s.bodies] for s in setups])[:, None]

        names = ("position", "orientation", "linear_velocity", "angular_velocity")
        values = {name: rows(name) for name in names}
        fixed = Trajectory(**values, presence=torch.ones_like(values["position"][..., 0]), dt=1 / setups[0].fps)
        return World(
            tuple(setups),
            Bodies.from_scenes(setups).to(device),
            View.from_cameras([s.camera for s in setups]).to(device=device),
            torch.tensor([s.background for s in setups], device=device),
            LawParameters.of(setups).to(device),
            fixed.to(device),
        )


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
        from worldsim.models.pretrained import load

        return load(name, denoiser)

    def save_pretrained(self, folder: str | os.PathLike[str], card: ModelCard | None = None) -> None:
        """Write weights, config and model card into a folder that from_pretrained reads."""
        from worldsim.models.pretrained import save

        save(self, folder, card)

    def loss(self, clip: Clip, generator: torch.Generator) -> dict[str, Tensor]:
        """Named scalar terms of a clip whose num_context is one of the config's context lengths.

        A clip of videos alone, without Setups, has the diffusion term only.
        """
        known, tubelet = self._check_context(clip.num_context), self.config.dit.patch[0]
        x = clip.video
        world = World.of(clip.setups, x.device) if clip.setups else None
        condition, foreseen = self.condition(world, x[:, :, :known], clip.num_frames, generator)
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
        self,
        world: World | None,
        context: Tensor,
        num_frames: int,
        generator: torch.Generator | None = None,
        law: LawParameters | None = None,
    ) -> tuple[Conditioning, Trajectory | None]:
        """What the denoiser is told, from the context's pixels and the Setups alone.

        Args:
            world: Setups as tensors; None where there are none.
            context: (B, 3, K, H, W) in [-1, 1].
            num_frames: Of the whole clip.
            generator: Where given, the hint is dropped and perturbed at random as in training.
            law: In place of the Setups' law.

        Returns:
            The conditioning and the prior's (B, T, N) trajectory, None without lever 2 or 3.
        """
        if world is None:
            return Conditioning(), None
        setup = setup_tokens(world.setups).to(context) if self.config.dit.setup_features else None
        foreseen = None
        if context.shape[2] and (self.config.hint or self.config.consistency > 0):
            foreseen = self.foresee(world, context, num_frames, generator, law)
        if not self.config.hint or foreseen is None:
            return Conditioning(setup=setup), foreseen
        hint = draw_hint(foreseen, world.bodies, world.view, world.background, world.setups[0].shading)
        given = torch.ones(context.shape[0])
        if generator is not None:
            given = (torch.rand(context.shape[0], generator=generator) >= self.config.hint_drop).float()
        return Conditioning(setup=setup, hint=hint, hint_given=given.to(context)), foreseen

    @torch.no_grad()
    def foresee(
        self,
        world: World,
        context: Tensor,
        num_frames: int,
        generator: torch.Generator | None = None,
        law: LawParameters | None = None,
    ) -> Trajectory:
        """(B, T, N): the context as read, and the prior's roll-out from its end."""
        law = law or world.law
        reading = self.readout(context, world.bodies, world.view, world.background, world.fixed)
        # Half a pixel: what free flight may miss before an impact is assumed to lie within the context.
        tolerance = 0.5 / world.view.focal[:, None]
        start = fit_start(reading.trajectory, world.bodies, law.gravity, tolerance)
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
        hooks: Sequence[Hook] = (),
    ) -> Generation:
        """Continue videos.

        Args:
            context: (K, H, W, 3) uint8 pictures of one video, or (B, 3, K, H, W) tensor in [-1, 1]; K is one of the
                config's context lengths, or more, of which the last ones are kept.
            setup: One, or one a video; None leaves the denoiser with the context alone.
            num_frames: New frames.
            seed: Of the starting noise.
            steps: Of the sampler.
            solver: "euler" or "heun".
            hint: Whether the prior's hint is given; off, the same weights run without it.
            law: In place of the Setups' law, such as a wrong one.
            hooks: Corrections of each clean estimate, such as guidance.

        Raises:
            ValueError: For wrong frame counts, sizes, rates or numbers: names field, rule and value.
        """
        if num_frames < 1:
            raise ValueError(f"num_frames: must be 1 or more, got {num_frames}")
        device = next(self.parameters()).device
        given = take_in(context, setup, self.config.context_lengths, self.config.fps, device)
        context, known, tubelet = given.context, given.context.shape[2], self.config.dit.patch[0]
        total = known + num_frames
        padded = total + -total % tubelet
        world = World.of(given.setups, context.device) if given.setups else None
        condition, foreseen = self.condition(world, context, padded, law=law)
        if not hint:
            condition = condition.without_hint()
        training = self.training
        self.eval()
        video = sample(
            lambda z, t: self.denoiser(z, t, condition),
            context,
            padded,
            tubelet=tubelet,
            steps=steps,
            solver=solver,
            hooks=hooks,
            generator=torch.Generator().manual_seed(seed),
        )
        self.train(training)
        video = video[:, :, :total].clamp(-1, 1)
        read = None
        if world is not None:
            read = self.readout(video, world.bodies, world.view, world.background, world.fixed).trajectory
        generation = Generation(video, known, read, None if foreseen is None else foreseen.frames(0, total))
        return generation.first() if given.single else generation

    def _check_context(self, known: int) -> int:
        if known not in self.config.context_lengths:
            raise ValueError(f"context: must have one of {self.config.context_lengths} frames, got {known}")
        return known


def config_from_dict(data: dict[str, Any]) -> WorldModelConfig:
    """A WorldModelConfig from plain JSON values, refusing unknown fields."""
    known = {f.name for f in dataclasses.fields(WorldModelConfig)}
    for name in data:
        if name not in known:
            raise ValueError(f"world_model.{name}: must be one of {', '.join(sorted(known))}")
    dit = {f.name for f in dataclasses.fields(DiTConfig)}
    for name in data.get("dit", {}):
        if name not in dit:
            raise ValueError(f"dit.{name}: must be one of {', '.join(sorted(dit))}")
    return WorldModelConfig(**{**data, "dit": DiTConfig(**data.get("dit", {}))})
