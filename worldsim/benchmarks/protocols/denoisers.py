"""Denoisers as LikePhys asks them: our world models with the hint on and off, transformers and pipelines of diffusers.

Nothing here imports diffusers: what is handed in is used through the interface that its classes share.
"""

from __future__ import annotations

import os
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor

from worldsim.benchmarks.protocols.likephys import DenoisingLoss
from worldsim.data.clip import Clip
from worldsim.diffusion import add_noise, to_noise
from worldsim.models.inputs import check_clip
from worldsim.models.world import World
from worldsim.models.world_model import WorldModel

Encode = Callable[[Tensor], Tensor]


class WorldModelLoss:
    """A WorldModel's error of the predicted noise on the frames after the context; no text is given.

    Args:
        model: Whose denoiser predicts the clean video.
        hint: Whether the prior's hint, drawn from the context's pixels, is given.
    """

    def __init__(self, model: WorldModel, hint: bool = True) -> None:
        if hint and not model.config.hint:
            raise ValueError("hint: must be false for a model that was trained without one, got true")
        self.model, self.hint = model.eval(), hint

    def noise_shape(self, clip: Clip) -> tuple[int, ...]:
        """Of the latents, which are the pixels where the model works on these."""
        return tuple(self.model.encode(clip.video).shape)

    def __call__(self, clip: Clip, time: float, noise: Tensor) -> Tensor:
        """(B,) mean squared error of the noise; see DenoisingLoss."""
        x, known, packing = clip.video, clip.num_context, self.model.config.packing
        check_clip(clip, self.model.config)
        world = World.of(clip.setups, x.device)
        foreseen = self.model.foresee(world, x[:, :, :known], clip.num_frames) if self.hint and known else None
        condition = self.model.condition(world, foreseen, actions=self.model.actions_of(clip))
        latent, held = self.model.encode(x), packing.latents(known)
        t = torch.full((x.shape[0], latent.shape[2] // packing.tubelet), time, dtype=x.dtype, device=x.device)
        t[:, : held // packing.tubelet] = 0
        z = add_noise(latent, noise, t)
        predicted = to_noise(self.model.denoiser(z, t, condition), z, t, "x")
        return (predicted - noise)[:, :, held:].square().mean((1, 2, 3, 4))


class DiffusersLoss:
    """The error of the predicted noise of a text-to-video transformer in the form of diffusers.

    Noise is put in as the scheduler's kind says: flow matching, z = (1 - t) x + t n with the prediction n - x (a
    scheduler without alphas_cumprod); else z = sqrt(a) x + sqrt(1 - a) n with a at the t-th share of its training steps
    and the prediction of its config, "epsilon", "sample" or "v_prediction".

    Args:
        transformer: Called with hidden_states, timestep and encoder_hidden_states, and return_dict=False.
        scheduler: Of diffusers; only its config and alphas_cumprod are read.
        prompt_embeds: (1, S, D) text features.
        encode: From (B, 3, T, H, W) in [-1, 1] to (B, C, T', H', W') latents as the transformer takes them; pixels as
            they are where left out.
        frames_first: Whether the transformer takes (B, T', C, H', W'), as CogVideoX does.
        arguments: Further named arguments of the transformer.
    """

    def __init__(
        self,
        transformer: Any,
        scheduler: Any,
        prompt_embeds: Tensor,
        encode: Encode | None = None,
        frames_first: bool | None = None,
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        self.transformer, self.scheduler, self.prompt_embeds = transformer, scheduler, prompt_embeds
        self.encode = encode or (lambda video: video)
        named = type(transformer).__name__.startswith(("CogVideoX", "ConsisID"))
        self.frames_first = named if frames_first is None else frames_first
        self.arguments = dict(arguments or {})
        alphas = getattr(scheduler, "alphas_cumprod", None)
        # Schedulers that serve both say so in their config; those of flow matching alone have no alphas.
        flow = alphas is None or bool(getattr(scheduler.config, "use_flow_sigmas", False))
        self.kind = "flow" if flow else str(scheduler.config.prediction_type)
        self.alphas = None if flow else cast(Tensor, alphas)
        self.steps = int(scheduler.config.num_train_timesteps)
        kinds = ("flow", "epsilon", "sample", "v_prediction")
        if self.kind not in kinds:
            raise ValueError(f"scheduler.config.prediction_type: must be one of {', '.join(kinds)}, got {self.kind!r}")
        self._encoded: tuple[Tensor, Tensor] | None = None

    @classmethod
    def of_pipeline(cls, pipeline: Any, prompt: str = "", arguments: Mapping[str, Any] | None = None) -> DiffusersLoss:
        """From a text-to-video pipeline with vae, transformer, scheduler and encode_prompt.

        Raises:
            ValueError: Where a part is missing, or the transformer takes more channels than the video's latents have,
                as those that are given an image do: write a DenoisingLoss for them.
        """
        for part in ("vae", "transformer", "scheduler", "encode_prompt"):
            if getattr(pipeline, part, None) is None:
                raise ValueError(f"pipeline: must have a {part}, {type(pipeline).__name__} has none")
        latents = int(getattr(pipeline.vae.config, "z_dim", None) or pipeline.vae.config.latent_channels)
        taken = int(pipeline.transformer.config.in_channels)
        if taken != latents:
            raise ValueError(
                f"pipeline.transformer: must take the {latents} channels of its latents alone, takes {taken}; "
                "for one that is given an image, hand in a DenoisingLoss of your own"
            )
        embeds = pipeline.encode_prompt(prompt, do_classifier_free_guidance=False)[0]
        return cls(pipeline.transformer, pipeline.scheduler, embeds, latents_of(pipeline.vae), None, arguments)

    def noise_shape(self, clip: Clip) -> tuple[int, ...]:
        """Of the latents."""
        return tuple(self._latents(clip.video).shape)

    def _latents(self, video: Tensor) -> Tensor:
        """Encoded once a clip, for all times and draws."""
        if self._encoded is None or self._encoded[0] is not video:
            with torch.no_grad():
                self._encoded = (video, self.encode(video))
        return self._encoded[1]

    def __call__(self, clip: Clip, time: float, noise: Tensor) -> Tensor:
        """(B,) mean squared error of the noise; see DenoisingLoss."""
        x = self._latents(clip.video)
        noise = noise.to(x)
        if self.alphas is None:
            step = time * self.steps
            z = (1 - time) * x + time * noise
        else:
            index = min(int(time * self.steps), self.steps - 1)
            step, a = float(index), float(self.alphas[index])
            z = a**0.5 * x + (1 - a) ** 0.5 * noise
        predicted = self._predict(z, step)
        if self.kind == "flow":
            predicted = z + (1 - time) * predicted
        elif self.kind == "sample":
            predicted = (z - a**0.5 * predicted) / (1 - a) ** 0.5
        elif self.kind == "v_prediction":
            predicted = a**0.5 * predicted + (1 - a) ** 0.5 * z
        return (predicted - noise).square().flatten(1).mean(1)

    def _predict(self, z: Tensor, step: float) -> Tensor:
        batch = len(z)
        dtype = next(self.transformer.parameters()).dtype
        found = self.transformer(
            hidden_states=(z.transpose(1, 2) if self.frames_first else z).to(dtype),
            timestep=torch.full((batch,), step, device=z.device),
            encoder_hidden_states=self.prompt_embeds.expand(batch, -1, -1).to(z.device, dtype),
            return_dict=False,
            **self.arguments,
        )[0]
        return cast(Tensor, found.transpose(1, 2) if self.frames_first else found).to(z.dtype)


def latents_of(vae: Any) -> Encode:
    """The latents that a diffusers pipeline works on: the mode, normalised as the autoencoder's config says."""
    config = vae.config
    mean, std = getattr(config, "latents_mean", None), getattr(config, "latents_std", None)

    def encode(video: Tensor) -> Tensor:
        z: Tensor = vae.encode(video.to(next(vae.parameters()).dtype)).latent_dist.mode()
        if mean is not None and std is not None:
            shape = (1, -1, 1, 1, 1)
            return (z - torch.tensor(mean).view(shape).to(z)) / torch.tensor(std).view(shape).to(z)
        return z * float(getattr(config, "scaling_factor", None) or 1.0)

    return encode


def losses_of(model: object) -> dict[str, DenoisingLoss]:
    """What a user's word for a model is asked as: a world model with the hint on and off, anything callable as it is.

    Args:
        model: A WorldModel, the name or folder of one, package.module:loss, a diffusers pipeline, or a DenoisingLoss.

    Raises:
        ValueError: For anything else, or a module or name that cannot be imported.
    """
    if isinstance(model, (str, os.PathLike)):
        model = _named(os.fspath(model))
    if isinstance(model, WorldModel):
        on = {"hint on": WorldModelLoss(model, True)} if model.config.hint else {}
        off = {"hint off" if model.config.hint else "model": WorldModelLoss(model, False)}
        return cast("dict[str, DenoisingLoss]", on | off)
    if hasattr(model, "transformer") and hasattr(model, "scheduler") and not isinstance(model, DiffusersLoss):
        return {"model": DiffusersLoss.of_pipeline(model)}
    if not callable(model):
        raise ValueError(f"model: must be a WorldModel, its name or folder, a pipeline or a loss, got {model!r}")
    return {"model": cast(DenoisingLoss, model)}


def _named(word: str) -> object:
    if ":" not in word or os.path.exists(word):
        return WorldModel.from_pretrained(word)
    try:
        return pkgutil.resolve_name(word)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"model: must be package.module:loss, {word} cannot be imported: {error}") from error
