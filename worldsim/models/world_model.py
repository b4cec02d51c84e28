"""WorldModel: a denoiser paired with the physics prior and a readout.

Trained by loss(clip), which gives named terms; generate() continues context frames under a Setup. The four levers of
the pairing are switches of the config: state supervision, consistency loss, prior conditioning, guidance.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from worldsim.data.clip import Clip
from worldsim.diffusion import add_noise, expand_time, sample_times
from worldsim.models.conditioning import Conditioning, setup_tokens
from worldsim.models.config import WorldModelConfig
from worldsim.models.denoiser import check_fits
from worldsim.models.dit import VideoDiT
from worldsim.models.generation import Generation, Sampling, join, stream
from worldsim.models.inputs import Given, check_clip, take_in, take_texts
from worldsim.models.losses import consistency_terms
from worldsim.models.pairing import check_foreseeable, draw_hint, fit_start, keep_where_seen, predict
from worldsim.models.precision import Autocast, without_autocast
from worldsim.models.state_head import StateHead, picture_states, state_loss
from worldsim.models.text import GrammarEncoder, TextEncoder
from worldsim.models.tokenizer import PixelTokenizer, Tokenizer, VideoAutoencoder
from worldsim.models.world import World
from worldsim.physics import LawParameters, PhysicsPrior, PriorConfig
from worldsim.physics.trajectory import Trajectory
from worldsim.scene import Scene, Setup
from worldsim.vision import pixels_per_metre
from worldsim.vision.learned_readout import LearnedReadout, LearnedReadoutConfig
from worldsim.vision.readout import ColourReadout, Readout

if TYPE_CHECKING:
    from worldsim.models.model_card import ModelCard


class WorldModel(nn.Module):
    """Tokenizer, denoiser, prior and readout.

    The denoiser is a VideoDiT unless another Denoiser is given; check_denoiser tells whether one fits. Of a config with
    an autoencoder, the trained one is given as `tokenizer`, or comes with the weights of a checkpoint; it is frozen.
    Where the config has a text width, texts are encoded by a GrammarEncoder, or by another TextEncoder given as `text`.

    Raises:
        ValueError: Where a tokenizer is given that is not the config's, a text encoder of another width, or a denoiser
            that cannot take what the config has it told.
    """

    def __init__(
        self,
        config: WorldModelConfig,
        denoiser: nn.Module | None = None,
        tokenizer: VideoAutoencoder | None = None,
        text: TextEncoder | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.tokenizer: Tokenizer = PixelTokenizer()
        if config.tokenizer == "autoencoder":
            self.tokenizer = (tokenizer or VideoAutoencoder(config.autoencoder)).requires_grad_(False)
        if tokenizer is not None and (tokenizer is not self.tokenizer or tokenizer.config != config.autoencoder):
            told = config.autoencoder if config.tokenizer == "autoencoder" else "left out, as its config says 'pixel'"
            raise ValueError(f"tokenizer: must be {told}, got {tokenizer.config}")
        if denoiser is not None:
            check_fits(denoiser, config)
        self.denoiser = denoiser if denoiser is not None else VideoDiT(config.dit)
        self.prior = PhysicsPrior(config=PriorConfig(max_step=config.max_step))
        self.readout: Readout = ColourReadout(1 / config.fps)
        if config.readout != "colour":
            in_plane = config.readout == "learned"
            self.readout = LearnedReadout(LearnedReadoutConfig(in_plane=in_plane)).requires_grad_(False)
        width = config.dit.text_width
        if text is not None and text.width != width:
            raise ValueError(f"text: must be of width {width} as dit.text_width, got one of {text.width}")
        self.text: TextEncoder | None = text
        if width and text is None:
            self.text = GrammarEncoder(width)
        self.state_head: StateHead | None = None
        if config.state > 0:
            self.state_head = StateHead(config.dit.width, config.packing.time * config.packing.tubelet)

    @classmethod
    def from_pretrained(
        cls, name: str | os.PathLike[str], denoiser: nn.Module | None = None, text: TextEncoder | None = None
    ) -> WorldModel:
        """Load a checkpoint that is shipped under that name, or a folder; see worldsim.models.pretrained."""
        from worldsim.models.pretrained import from_pretrained

        return from_pretrained(name, denoiser, text)

    def save_pretrained(self, folder: str | os.PathLike[str], card: ModelCard | None = None) -> None:
        """Write weights, config and model card into a folder that from_pretrained reads."""
        from worldsim.models.pretrained import save_pretrained

        save_pretrained(self, folder, card)

    def take_readout(self, readout: LearnedReadout) -> None:
        """Read states by a copy of a trained readout's weights, of the kind that the config names.

        Raises:
            ValueError: Where the config names another kind.
        """
        own = self.readout.config if isinstance(self.readout, LearnedReadout) else None
        if own != readout.config:
            told = f"{own}, as readout={self.config.readout!r} says" if own else "left out where readout is 'colour'"
            raise ValueError(f"readout: must be {told}, got one of {readout.config}")
        self.readout.load_state_dict(readout.state_dict())  # type: ignore[attr-defined]

    def compile(self, *args: Any, **options: Any) -> None:
        """Compile the denoiser by torch.compile: training calls loss, which nn.Module's own compile does not reach."""
        name = "run" if hasattr(self.denoiser, "run") else "forward"
        setattr(self.denoiser, name, torch.compile(getattr(self.denoiser, name), *args, **options))

    def encode(self, video: Tensor) -> Tensor:
        """(B, 3, T, H, W) video in [-1, 1] as the (B, C, T', H', W') latent that the denoiser works on; T may be 0.

        Raises:
            ValueError: For an autoencoder that was never trained, or sizes that do not fit it.
        """
        tokenizer = self.tokenizer
        if isinstance(tokenizer, VideoAutoencoder) and not tokenizer.trained:
            raise ValueError(
                "tokenizer: must have trained weights, see experiments/tokenizer, got those of a new network"
            )
        if not video.shape[2]:
            height, width = (size // tokenizer.space for size in video.shape[3:])
            return video.new_zeros(video.shape[0], tokenizer.channels, 0, height, width)
        return tokenizer.encode(video)

    def loss(self, clip: Clip, generator: torch.Generator) -> dict[str, Tensor]:
        """Named scalar terms of a clip whose num_context is one of the config's context lengths.

        A clip of videos alone, without Setups, has the diffusion term only.

        Raises:
            ValueError: Where rate or counts of frames are not the config's, or a video is not finite.
        """
        check_clip(clip, self.config)
        with without_autocast(clip.video.device) as autocast:
            return self._terms(clip, generator, autocast)

    def _terms(self, clip: Clip, generator: torch.Generator, autocast: Autocast) -> dict[str, Tensor]:
        known, packing, x = clip.num_context, self.config.packing, clip.video
        with torch.no_grad():
            latent = self.encode(x)
        held = packing.latents(known)
        world = World.of(clip.setups, x.device) if clip.setups else None
        foreseen = None
        if world is not None and known and (self.config.hint or self.config.consistency > 0):
            foreseen = self.foresee(world, x[:, :, :known], clip.num_frames, generator)
        texts = clip.captions if self.text is not None and clip.captions else None
        condition = self.condition(world, foreseen, generator, texts, self.actions_of(clip))
        t = sample_times(
            x.shape[0],
            latent.shape[2] // packing.tubelet,
            held // packing.tubelet,
            mean=self.config.time_mean,
            std=self.config.time_std,
            shift=self.config.time_shift,
            context_noise=self.config.context_noise,
            generator=generator,
            device=x.device,
        )
        noise = torch.randn(latent.shape, generator=generator).to(x)
        z, passed = add_noise(latent, noise, t), None
        with autocast():
            if self.state_head is None or world is None:
                estimate = self.denoiser(z, t, condition)
            else:
                passed = self.denoiser.run(z, t, condition)  # type: ignore[operator]
                estimate = passed.video
        estimate = estimate.to(z)
        time = expand_time(t, latent)[:, :, held:]
        error = (estimate - latent)[:, :, held:] / time.clamp_min(self.config.time_floor)
        terms = {"diffusion": error.square().mean()}
        rows = torch.nonzero(t[:, -1] < self.config.consistency_t_max).flatten()
        if self.config.consistency > 0 and world is not None and foreseen is not None and len(rows):
            part = World.of([world.setups[i] for i in rows.tolist()], x.device)
            shown = self.tokenizer.decode(torch.cat([latent[rows, :, :held], estimate[rows, :, held:]], dim=2))
            video = torch.cat([x[rows, :, :known], shown[:, :, known:]], dim=2)
            reading = self.readout(video, part.bodies, part.view, part.background, part.fixed)
            named = consistency_terms(reading, foreseen.map(lambda v: v[rows]), part.bodies, known, t[rows, -1])
            terms |= {name: self.config.consistency * value for name, value in named.items()}
        if self.state_head is not None and passed is not None and world is not None:
            # The world's token comes first, then one a body.
            tokens = passed.context[:, 1 : 1 + world.bodies.num_bodies]
            predicted = self.state_head(passed.features.to(z), tokens.to(z))
            states, counted = picture_states(clip.trajectory, world.bodies, world.view)
            if packing.lead:
                states = functional.pad(states, (0, 0, 0, 0, packing.lead, 0))
                counted = functional.pad(counted, (0, 0, packing.lead, 0))
            terms["state"] = self.config.state * state_loss(predicted, states, counted, t)
        return terms

    def actions_of(self, clip: Clip) -> Tensor | None:
        """(B, T, A) actions of a clip as condition and generate take them; None for a model without.

        What leads to the first frame is not known, and zero.
        """
        return functional.pad(clip.actions, (0, 0, 1, 0)) if self.config.dit.action_width else None

    def condition(
        self,
        world: World | None,
        foreseen: Trajectory | None,
        generator: torch.Generator | None = None,
        texts: Sequence[str] | None = None,
        actions: Tensor | None = None,
    ) -> Conditioning:
        """What the denoiser is told.

        Args:
            world: Setups as tensors; None where there are none.
            foreseen: (B, T, N) what the prior foresees; None gives no hint.
            generator: Where given, hint and text are dropped at random as in training.
            texts: One a video; of use to a model with text.
            actions: (B, T, A), of use to a model with actions; A is dit.action_width over the frames a latent frame.

        Raises:
            ValueError: For text or actions to a model that was built without, or actions of another width.
        """
        for name, value, width in (
            ("text", texts, self.config.dit.text_width),
            ("actions", actions, self.config.dit.action_width),
        ):
            if value is not None and not width:
                raise ValueError(f"{name}: must be left out, this model was built without (dit.{name[:6]}_width is 0)")
        text = None
        if texts is not None and self.text is not None:
            if generator is not None:
                kept = (torch.rand(len(texts), generator=generator) >= self.config.text_drop).tolist()
                texts = [t if keep else "" for t, keep in zip(texts, kept, strict=True)]
            text = self.text(texts)
        if actions is not None:
            actions = self._fold(actions)
        if world is None:
            return Conditioning(text=text, actions=actions)
        setup = None
        if self.config.dit.setup_features:
            setup = setup_tokens(world.setups).to(world.background.device)
        if not self.config.hint or foreseen is None:
            return Conditioning(setup=setup, text=text, actions=actions)
        with torch.no_grad():
            drawn = draw_hint(foreseen, world.bodies, world.view, world.background, world.setups[0].shading)
            hint = self.encode(drawn)
        given = torch.ones(len(world.setups))
        if generator is not None:
            given = (torch.rand(len(given), generator=generator) >= self.config.hint_drop).float()
        return Conditioning(setup=setup, hint=hint, hint_given=given.to(hint), text=text, actions=actions)

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

        Raises:
            ValueError: For joints or robots, and for shaded pictures without a learned readout.
        """
        check_foreseeable(world.setups, isinstance(self.readout, ColourReadout))
        law = law or world.law
        reading = self.readout(context, world.bodies, world.view, world.background, world.fixed)
        # Half a pixel: what free flight may miss before an impact is assumed to lie within the context.
        tolerance = 0.5 / pixels_per_metre(reading.trajectory.position[:, -1], world.view)
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
        setup: Setup | Scene | Sequence[Setup | Scene] | None,
        num_frames: int = 16,
        *,
        text: str | Sequence[str] | None = None,
        actions: Any = None,
        **sampling: Any,
    ) -> Generation:
        """Continue videos, or open them.

        Args:
            context: (K, H, W, 3) uint8 pictures of one video, or (B, 3, K, H, W) tensor in [-1, 1]; K is one of the
                config's context lengths, or more, of which the last ones are kept. With K of 0 the model samples the
                opening, and the prior takes over from the states read out of it; None stands for K of 0 in the size of
                the Setups' cameras, one video of pictures for one Setup.
            setup: One, or one a video; None leaves the denoiser with the context alone. Of a Scene its Setup is taken.
            num_frames: New frames; where they exceed a clip of the config's length, the video grows chunk by chunk.
            text: One, or one a video.
            actions: (B, K + num_frames, A) ctrl held over the frame interval that ends at each frame, of torch or
                numpy, or without B for one video of pictures; a model with actions must be given some.
            **sampling: Fields of Sampling: seed, steps, solver, hint, law, guidance, text_scale, shift, context_time.

        Raises:
            ValueError: For wrong frame counts, sizes, rates or numbers: names field, rule and value.
        """
        given = self._take_in(context, setup)
        made = join(list(self._stream(given, num_frames, text, actions, sampling)), given.context)
        return made.first() if given.single else made

    @torch.no_grad()
    def stream(
        self,
        context: Any,
        setup: Setup | Scene | Sequence[Setup | Scene] | None,
        num_frames: int,
        *,
        text: str | Sequence[str] | None = None,
        actions: Any = None,
        **sampling: Any,
    ) -> Iterator[Generation]:
        """Continue videos chunk by chunk, so that memory does not grow with their length; arguments as of generate.

        Each chunk's context is the end of the one before. The prior goes on from its own state where the video shows
        a body within half its extent of it, else from what is read.

        Yields:
            Generations of tensors, whose first num_context frames are the end of what came before.
        """
        yield from self._stream(self._take_in(context, setup), num_frames, text, actions, sampling)

    def _stream(
        self,
        given: Given,
        num_frames: int,
        text: str | Sequence[str] | None,
        actions: Any,
        sampling: dict[str, Any],
    ) -> Iterator[Generation]:
        texts = take_texts(text, len(given.context))
        return stream(self, given, num_frames, Sampling(**sampling), texts, actions)

    def read(self, video: Tensor, world: World | None) -> Trajectory | None:
        """(B, T, N) states of (B, 3, T, H, W) video; None where no Setups are known."""
        if world is None:
            return None
        return self.readout(video, world.bodies, world.view, world.background, world.fixed).trajectory

    def _fold(self, actions: Tensor) -> Tensor:
        """(B, T, A) actions as (B, T', P A): those of the P frames of each latent frame side by side."""
        packing, width = self.config.packing, self.config.dit.action_width
        if actions.shape[-1] * packing.time != width:
            raise ValueError(f"actions: must have {width // packing.time} numbers a frame, got {actions.shape[-1]}")
        folded: Tensor = functional.pad(actions, (0, 0, packing.lead, 0)).unflatten(1, (-1, packing.time)).flatten(2)
        return folded

    def _take_in(self, context: Any, setup: Setup | Scene | Sequence[Setup | Scene] | None) -> Given:
        held = next(itertools.chain(self.parameters(), self.buffers()), None)
        # A model that holds nothing, as with a denoiser without weights, works where its context lies.
        device = None if held is None else held.device
        return take_in(context, setup, self.config.context_lengths, self.config.fps, device)
