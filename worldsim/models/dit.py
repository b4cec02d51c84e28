"""VideoDiT: a transformer over space-time patches that predicts the clean video.

Axis legend: B batch, C channels, T H W frames, rows, columns; T' H' W' the same in tokens, P = T' H' W'; S tokens of
Setup and text; D width. Noise time is per latent frame, (B, T'), so one model serves image-to-video, prediction and
roll-out: whatever is known sits at time 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from worldsim.models.conditioning import Conditioning
from worldsim.models.config import DiTConfig
from worldsim.models.copying import CopyHead
from worldsim.models.layers import Block, modulate, rotary_angles, time_features
from worldsim.models.patches import PatchEmbed, PatchHead, last_known, shrink


@dataclass(frozen=True)
class DiTOutput:
    """What a pass gives.

    Attributes:
        video: (B, C, T, H, W) clean estimate.
        features: (B, T', H', W', D) tokens after the state head's block; of the last block without a state head.
        context: (B, S, D) Setup and text tokens at the same place; S may be 0.
    """

    video: Tensor
    features: Tensor
    context: Tensor


class VideoDiT(nn.Module):
    """Peebles and Xie's diffusion transformer (2212.09748) over tubelets, for any duration, size and aspect ratio."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        # Each tubelet is shown beside the last known one, in which two frames tell how things move.
        self.embed = PatchEmbed(2 * config.channels + config.hint_channels, config.patch, width, config.stem)
        if config.hint_channels:
            # Told to all tokens at once: one token alone cannot tell a hint of unseen colour from none.
            self.given = nn.Parameter(torch.zeros(width))
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.to_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        if config.setup_features:
            self.setup = nn.Sequential(nn.Linear(config.setup_features, width), nn.GELU(), nn.Linear(width, width))
        if config.text_width:
            self.text = nn.Linear(config.text_width, width, bias=False)
        if config.action_width:
            self.action = nn.Linear(config.action_width * config.patch[0], width)
        self.blocks = nn.ModuleList(Block(width, config.heads, config.mlp_ratio) for _ in range(config.depth))
        self.head_modulation = nn.Linear(width, 2 * width)
        self.corrects = config.hint_channels == config.channels
        # Two pictures: one painted from the noisy video, one that corrects the hint. One for both falls back to
        # painting from nothing where a hint looks unlike those trained on, such as a body of unseen size.
        self.head = PatchHead(config.channels, config.patch, width, config.stem, pictures=1 + self.corrects)
        self.copies = CopyHead(config.patch, width, config.reach, config.sharp) if config.reach else None
        if self.corrects:
            self.threshold = nn.Parameter(torch.full((config.channels, 1, 1, 1), 1.0))
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        # Gates start at zero, the last layer near it: each block begins as the identity, the estimate as the hint, or
        # the last known frame without it. Not quite zero, since the shrinking has no slope there.
        for weight in (self.to_modulation[-1].weight, self.head_modulation.weight, self.head.gate.weight):
            nn.init.zeros_(weight)  # type: ignore[arg-type]
        with torch.no_grad():
            self.head.last.weight.mul_(0.05)
        if self.copies is not None:
            self.copies.reset()

    def grid(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        """Tokens T', H', W' of a video of shape (..., T, H, W).

        Raises:
            ValueError: Where the patch does not divide the video; the message states the arithmetic.
        """
        sizes = []
        for name, length, patch in zip(("frames", "height", "width"), shape[-3:], self.config.patch, strict=True):
            count, rest = divmod(length, patch)
            if rest or not count:
                raise ValueError(
                    f"video.{name}: must be a multiple of {patch}, got {length} = {count} x {patch} + {rest}"
                )
            sizes.append(count)
        return sizes[0], sizes[1], sizes[2]

    def forward(self, z: Tensor, t: Tensor, condition: Conditioning | None = None) -> Tensor:
        """Predict the clean video.

        Args:
            z: (B, C, T, H, W) noisy video; context frames are clean.
            t: (B, T') noise times, 0 clean to 1 noise.
            condition: What the model is told.

        Returns:
            (B, C, T, H, W).
        """
        return self.run(z, t, condition).video

    def run(self, z: Tensor, t: Tensor, condition: Conditioning | None = None) -> DiTOutput:
        """As forward, with the features that the state head reads."""
        condition = condition or Conditioning()
        grid = self.grid(tuple(z.shape))
        if t.shape != (z.shape[0], grid[0]):
            raise ValueError(f"t: must have shape (B, T') = {(z.shape[0], grid[0])}, got {tuple(t.shape)}")
        hint = self._hint(z, condition)
        known = last_known(z, t)
        x = self.embed(z, known, hint)
        context, heard = self._embed_context(z, condition)
        time = self.time(time_features(t, self.config.width))
        if self.config.action_width and condition.actions is not None:
            time = time + self._embed_actions(condition.actions, grid[0])
        still = self.time(time_features(torch.zeros_like(t[:, :1]), self.config.width))
        given = None
        if condition.hint is not None and self.config.hint_channels:
            given = condition.hint_given if condition.hint_given is not None else z.new_ones(z.shape[0])
            told = given[:, None, None] * self.given
            time, still = time + told, still + told
        modulation = rearrange(self.to_modulation(time), "b t (k d) -> k b t 1 d", k=6)
        context_modulation = rearrange(self.to_modulation(still), "b 1 (k d) -> k b 1 d", k=6)
        angles = rotary_angles(grid, self.config.width // self.config.heads, z.device, torch.float32)
        phases = torch.stack([angles.cos(), angles.sin()], -1)
        x = rearrange(x, "b (t s) d -> b t s d", t=grid[0])
        features, context_features = x, context
        for i, block in enumerate(self.blocks):
            x, context = self._block(i, block, x, context, modulation, context_modulation, phases, heard)
            if i == self.config.state_head_layer or (i == len(self.blocks) - 1 and self.config.state_head_layer < 0):
                features, context_features = x, context
        scale, shift = rearrange(self.head_modulation(time), "b t (k d) -> k b t 1 d", k=2)
        video = self._estimate(modulate(x, scale, shift).flatten(1, 2), grid, z, known, hint, given)
        features = rearrange(features, "b t (h w) d -> b t h w d", h=grid[1])
        return DiTOutput(video, features, context_features)

    def _estimate(
        self,
        tokens: Tensor,
        grid: tuple[int, int, int],
        z: Tensor,
        known: Tensor,
        hint: Tensor | None,
        given: Tensor | None,
    ) -> Tensor:
        """The clean video: the last known frame, repainted, where no hint is given, else the hint with corrections.

        The noisy video has a way around the tokens only where it is painted from: a gate that let it correct the hint
        opens at bodies of unseen size, and noise stays in the picture.
        """
        # In the video's own precision, whatever the tokens have: eight bits a channel need it.
        pictures, gate = (made.to(z) for made in self.head(tokens, grid))
        pictures = pictures.unbind(0)
        painted = known[:, :, -1:] + torch.addcmul(pictures[0], gate, z)
        if self.copies is not None:
            painted = self.copies(tokens, grid, known[:, :, -1], painted)
        if given is None or hint is None or not self.corrects:
            return painted
        corrected = hint + shrink(pictures[1], self.threshold)
        return torch.lerp(painted, corrected, given[:, None, None, None, None])

    def _block(
        self,
        index: int,
        block: nn.Module,
        x: Tensor,
        context: Tensor,
        modulation: Tensor,
        context_modulation: Tensor,
        phases: Tensor,
        heard: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        batch, frames, cells, _ = x.shape
        extra = context.shape[1]
        # Context tokens have no place.
        ahead = phases.new_tensor([1.0, 0.0]).expand(extra, phases.shape[1], 2)
        if self.config.attention == "full":
            updated: tuple[Tensor, Tensor] = block(
                x, context, modulation, context_modulation, torch.cat([ahead, phases]), heard
            )
            return updated
        if index % 2:  # over time, each cell on its own
            spread = modulation.expand(-1, -1, -1, cells, -1)
            sequences, told = (rearrange(v, "... b t s d -> ... (b s) t 1 d") for v in (x, spread))
            none = x.new_zeros(len(sequences), 0, x.shape[-1])
            moved, _ = block(sequences, none, told, context_modulation[:, :1], phases[::cells])
            return rearrange(moved, "(b s) t 1 d -> b t s d", b=batch), context
        # Over space, each frame on its own; every frame reads the context, which takes the mean of what it is told.
        sequences, told = (rearrange(v, "... b t s d -> ... (b t) 1 s d") for v in (x, modulation))
        copies, asked = (v.repeat_interleave(frames, dim=-3) for v in (context, context_modulation))
        listened = None if heard is None else heard.repeat_interleave(frames, dim=0)
        moved, copies = block(sequences, copies, told, asked, torch.cat([ahead, phases[:cells]]), listened)
        return rearrange(moved, "(b t) 1 s d -> b t s d", b=batch), copies.unflatten(0, (batch, frames)).mean(1)

    def _hint(self, z: Tensor, condition: Conditioning) -> Tensor | None:
        """The hint, zero where it is not given; None for a model that takes none."""
        channels = self.config.hint_channels
        if not channels:
            return None
        if condition.hint is None:
            return z.new_zeros(z.shape[0], channels, *z.shape[2:])
        expected = (z.shape[0], channels, *z.shape[2:])
        if tuple(condition.hint.shape) != expected:
            raise ValueError(f"hint: must have shape {expected}, got {tuple(condition.hint.shape)}")
        if condition.hint_given is None:
            return condition.hint
        return condition.hint * condition.hint_given[:, None, None, None, None]

    def _embed_context(self, z: Tensor, condition: Conditioning) -> tuple[Tensor, Tensor | None]:
        """Tokens of Setup and text, and which of them are attended to: not those after the end of a text."""
        parts, heard = [], None
        if self.config.setup_features and condition.setup is not None:
            parts.append(self.setup(condition.setup))
        if self.config.text_width and condition.text is not None:
            heard = (condition.text != 0).any(-1)
            heard = functional.pad(heard, (parts[0].shape[1] if parts else 0, 0), value=True)
            parts.append(self.text(condition.text))
        return torch.cat(parts, dim=1) if parts else z.new_zeros(z.shape[0], 0, self.config.width), heard

    def _embed_actions(self, actions: Tensor, frames: int) -> Tensor:
        width = self.config.action_width
        expected = (frames * self.config.patch[0], width)
        if tuple(actions.shape[1:]) != expected:
            raise ValueError(
                f"actions: must have shape (B, T, A) = (B, {expected[0]}, {width}), got {tuple(actions.shape)}"
            )
        embedded: Tensor = self.action(rearrange(actions, "b (t p) a -> b t (p a)", t=frames))
        return embedded
