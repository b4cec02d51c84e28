"""Configs of the transformer and of the paired model, and the named sizes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

from worldsim.diffusion.path import MIN_TIME
from worldsim.models.conditioning import SETUP_FEATURES
from worldsim.models.tokenizer import AutoencoderConfig, Packing, PixelTokenizer, VideoAutoencoder
from worldsim.scene.checks import finite, in_range, positive, require

ATTENTION = ("full", "factorised")
READOUTS = ("colour", "learned", "learned_space")
TOKENIZERS = ("pixel", "autoencoder")


@dataclass(frozen=True)
class DiTConfig:
    """Shape of a VideoDiT.

    Attributes:
        channels: Of the video or latent.
        hint_channels: Of the prior's rasterised roll-out; 0 leaves the hint out.
        patch: Frames, rows and columns of a tubelet.
        stem: Channels at half the resolution, through which tubelets overlap; 0 for a linear patch embedding.
        reach: Pixels over which what is painted may be copied from the last known frame; 0 leaves copying out.
        sharp: Whether copies are cut sharp, for a model that has learned where they come from; see models/copying.py.
        width: Of the residual stream.
        depth: Blocks.
        heads: Attention heads; width / heads is even and at least 12, for three rotary axes.
        mlp_ratio: Hidden width of the perceptron over width.
        attention: "full" over space and time at once, or "factorised": space and time in turn, block by block.
        setup_features: Width of a Setup token, 0 leaves them out.
        text_width: Of a text token, 0 leaves text out.
        action_width: Of an action a frame interval, 0 leaves actions out.
        state_head_layer: Block after which the auxiliary state head reads the features; -1 leaves the head out.
    """

    channels: int = 3
    hint_channels: int = 3
    patch: tuple[int, int, int] = (2, 4, 4)
    stem: int = 0
    reach: int = 0
    sharp: bool = False
    width: int = 128
    depth: int = 6
    heads: int = 4
    mlp_ratio: float = 3.0
    attention: str = "full"
    setup_features: int = 32
    text_width: int = 0
    action_width: int = 0
    state_head_layer: int = -1

    def __post_init__(self) -> None:
        object.__setattr__(self, "patch", tuple(self.patch))
        for name in ("channels", "width", "depth", "heads"):
            require(f"dit.{name}", "1 or more", getattr(self, name) >= 1, getattr(self, name))
        for name in ("hint_channels", "reach", "text_width", "action_width"):
            require(f"dit.{name}", "0 or more", getattr(self, name) >= 0, getattr(self, name))
        positive("dit.mlp_ratio", self.mlp_ratio)
        setup, text = self.setup_features, self.text_width
        require("dit.setup_features", f"0 or {SETUP_FEATURES}", setup in (0, SETUP_FEATURES), setup)
        require("dit.text_width", "a multiple of the text encoder's 4 heads", text % 4 == 0, text)
        if self.attention not in ATTENTION:
            raise ValueError(f"dit.attention: must be one of {', '.join(ATTENTION)}, got {self.attention!r}")
        if len(self.patch) != 3 or min(self.patch) < 1:
            raise ValueError(f"dit.patch: must be three whole numbers from 1, got {self.patch!r}")
        if self.stem < 0 or (self.stem and (self.patch[1] % 2 or self.patch[2] % 2)):
            raise ValueError(
                f"dit.stem: must be 0, or above it with an even patch, got {self.stem} with patch {self.patch}"
            )
        if self.sharp and not self.reach:
            raise ValueError("dit.sharp: must be false where dit.reach is 0, got true")
        head = self.width // self.heads
        if self.width % self.heads or head % 2 or head < 12:
            raise ValueError(f"dit.width: must be heads times an even number from 12, got {self.width} / {self.heads}")
        if not -1 <= self.state_head_layer < self.depth:
            raise ValueError(
                f"dit.state_head_layer: must be between -1 and {self.depth - 1}, got {self.state_head_layer}"
            )


PRESETS: dict[str, DiTConfig] = {
    "nano": DiTConfig(width=96, depth=4, heads=4),
    "tiny": DiTConfig(width=128, depth=6, heads=4),
    "small": DiTConfig(width=192, depth=8, heads=6),
    "base": DiTConfig(width=768, depth=12, heads=12, mlp_ratio=4.0, attention="factorised"),
    "large": DiTConfig(width=1024, depth=24, heads=16, mlp_ratio=4.0, attention="factorised"),
    "xl": DiTConfig(width=1152, depth=28, heads=16, mlp_ratio=4.0, attention="factorised"),
}


def preset(name: str, **changes: Any) -> DiTConfig:
    """A named size, with changes; nano to small are for CPUs, base to xl for GPUs."""
    if name not in PRESETS:
        raise ValueError(f"preset: must be one of {', '.join(PRESETS)}, got {name!r}")
    return replace(PRESETS[name], **changes)


@dataclass(frozen=True)
class WorldModelConfig:
    """A paired model.

    Attributes:
        dit: Of the denoiser; behind an autoencoder its channels are those of the latent, its patch counts latent frames
            and places, and its action_width is that of the actions of a latent frame, 4 times that of one.
        tokenizer: What the denoiser works on: "pixel", or the latents of an "autoencoder", a VideoAutoencoder whose
            weights are trained beforehand and stay as they are.
        autoencoder: Its shape.
        context_lengths: Numbers of context frames that the model is trained for: multiples of the tubelet's frames, or
            4n + 1 behind an autoencoder whose latent frames are one a tubelet.
        clip_frames: Longest clip that one pass makes, context included; longer videos are made chunk by chunk.
        clip_lengths: Numbers of frames that training clips have, one drawn a batch, each above the longest context and
            at most clip_frames; none means clip_frames alone. A mix makes a model of any duration.
        fps: Frames a second.
        readout: What turns pixels into states: "colour" for flat planar worlds, or "learned" for lit scenes, a
            LearnedReadout whose weights are trained beforehand and stay as they are; "learned_space" is one that takes
            the depth of balls from their apparent area, where "learned" knows that they keep to the plane y = 0.
        hint: Lever 3, prior conditioning.
        hint_drop: Share of training clips whose hint is dropped, so that the weights also run without it.
        hint_noise: Standard deviation, as a share of the read speed, by which the start of the hint's roll-out is
            perturbed in training, so that the model learns when to distrust it.
        state: Lever 1, weight of the state supervision; 0 leaves it and its head out.
        text_drop: Share of training clips whose text is dropped, for classifier-free guidance.
        consistency: Lever 2, weight of the consistency loss; 0 leaves it out.
        consistency_t_max: Noise time above which it is silent: there the estimate is a mean over futures, which need
            not be lawful.
        max_step: Longest step of the prior, seconds.
        context_noise: Noise on context frames in training.
        time_mean: Of the logit of the training times.
        time_std: Of the logit of the training times.
        time_shift: Above 1 moves the training times towards noise, as long token sequences need; see shift_time.
        time_floor: Errors count in velocity space, divided by the noise time, but by this where it is less; 1 counts
            pixels alike at all times, so that a hint that is right already is not retouched for the last noise.
    """

    dit: DiTConfig = field(default_factory=DiTConfig)
    tokenizer: str = "pixel"
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    context_lengths: tuple[int, ...] = (4,)
    clip_frames: int = 16
    clip_lengths: tuple[int, ...] = ()
    fps: float = 10.0
    readout: str = "colour"
    hint: bool = True
    hint_drop: float = 0.2
    hint_noise: float = 0.0
    state: float = 0.0
    text_drop: float = 0.1
    consistency: float = 0.0
    consistency_t_max: float = 0.5
    max_step: float = 0.1
    context_noise: float = 0.0
    time_mean: float = 0.0
    time_std: float = 1.0
    time_shift: float = 1.0
    time_floor: float = MIN_TIME

    def __post_init__(self) -> None:
        object.__setattr__(self, "context_lengths", tuple(self.context_lengths))
        require("world_model.context_lengths", "one number or more", len(self.context_lengths) > 0, ())
        for name in ("fps", "max_step", "time_std", "time_shift"):
            positive(f"world_model.{name}", getattr(self, name))
        for name in ("hint_noise", "state", "consistency", "context_noise"):
            in_range(f"world_model.{name}", getattr(self, name), 0, math.inf)
        for name in ("hint_drop", "text_drop", "consistency_t_max"):
            in_range(f"world_model.{name}", getattr(self, name), 0, 1)
        finite("world_model.time_mean", self.time_mean)
        if self.tokenizer not in TOKENIZERS:
            raise ValueError(f"world_model.tokenizer: must be one of {', '.join(TOKENIZERS)}, got {self.tokenizer!r}")
        packing = self.packing
        for length in self.context_lengths:
            if not packing.fits(length):
                raise ValueError(f"world_model.context_lengths: must be {packing.rule}, got {length}")
        longest = max(self.context_lengths)
        if not packing.fits(self.clip_frames) or self.clip_frames <= longest:
            raise ValueError(
                f"world_model.clip_frames: must be among {packing.rule}, above the longest context, {longest}, "
                f"got {self.clip_frames}"
            )
        object.__setattr__(self, "clip_lengths", tuple(self.clip_lengths))
        for length in self.clip_lengths:
            if not packing.fits(length) or not longest < length <= self.clip_frames:
                raise ValueError(
                    f"world_model.clip_lengths: must be among {packing.rule}, above the longest context, {longest}, "
                    f"and at most clip_frames, {self.clip_frames}, got {length}"
                )
        self._check_channels()
        if self.readout not in READOUTS:
            raise ValueError(f"world_model.readout: must be one of {', '.join(READOUTS)}, got {self.readout!r}")
        if not 0 < self.time_floor <= 1:
            raise ValueError(f"world_model.time_floor: must be above 0 and at most 1, got {self.time_floor}")
        if self.hint and not self.dit.hint_channels:
            raise ValueError("world_model.hint: must be false where dit.hint_channels is 0, got true")
        if self.state > 0 and (self.dit.state_head_layer < 0 or not self.dit.setup_features):
            raise ValueError(
                "world_model.state: must be 0 unless dit.state_head_layer is from 0 and dit.setup_features from 1, "
                f"got {self.state}"
            )

    @property
    def packing(self) -> Packing:
        """How video frames become tubelets of the denoiser."""
        if self.tokenizer == "autoencoder":
            return Packing(VideoAutoencoder.time, alone=True, tubelet=self.dit.patch[0])
        return Packing(tubelet=self.dit.patch[0])

    def _check_channels(self) -> None:
        latent = self.tokenizer == "autoencoder"
        if not latent and self.autoencoder != AutoencoderConfig():
            raise ValueError("world_model.autoencoder: must be left as it is where tokenizer is 'pixel'")
        wanted = self.autoencoder.latent if latent else PixelTokenizer.channels
        of = "channels of the autoencoder's latent" if latent else "colours of a pixel"
        for name, allowed in (("channels", (wanted,)), ("hint_channels", (0, wanted))):
            found = getattr(self.dit, name)
            if found not in allowed:
                told = " or ".join(map(str, allowed))
                raise ValueError(f"world_model.dit.{name}: must be {told}, for the {wanted} {of}, got {found}")
        if self.dit.action_width % self.packing.time:
            raise ValueError(
                f"world_model.dit.action_width: must be a multiple of a latent frame's {self.packing.time} frames, "
                f"got {self.dit.action_width}"
            )
