"""A video transformer of diffusers as a denoiser: hint as further channels, Setup tokens in place of the text."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from worldsim.diffusion.path import PREDICTIONS, to_data
from worldsim.models.conditioning import SETUP_FEATURES, Conditioning


class DiffusersDenoiser(nn.Module):
    """Gives WorldModel's denoiser protocol, (z, t, condition) -> clean estimate, to a transformer such as Wan's.

    The transformer is called as WanTransformer3DModel is: (B, C, T, H, W) in, a time for each token from 0 to 1000, and
    (B, S, D) conditions; so context frames can sit at time 0. It is not imported here: build it, from its config or
    from local weights, and hand it over.

    Args:
        transformer: With config fields in_channels, out_channels, patch_size and text_dim.
        channels: Of the video.
        hint_channels: Of the prior's rasterised roll-out; 0 leaves the hint out.
        prediction: What the transformer says of the path: "v" (noise - data), "x" or "noise".

    Raises:
        ValueError: Where its channels do not fit or `prediction` is unknown.

    Attributes:
        refuses: What it cannot be told: Setup tokens take the place of the text, and there is none for actions.
    """

    refuses = ("text", "actions")

    def __init__(
        self, transformer: nn.Module, channels: int = 3, hint_channels: int = 3, prediction: str = "v"
    ) -> None:
        super().__init__()
        config: Any = transformer.config
        for name, wanted in (("in_channels", channels + hint_channels), ("out_channels", channels)):
            found = getattr(config, name)
            if found != wanted:
                raise ValueError(f"transformer.config.{name}: must be {wanted}, for video and hint, got {found}")
        if prediction not in PREDICTIONS:
            raise ValueError(f"prediction: must be one of {', '.join(PREDICTIONS)}, got {prediction!r}")
        self.transformer, self.hint_channels, self.prediction = transformer, hint_channels, prediction
        self.patch: tuple[int, int, int] = tuple(config.patch_size)
        self.setup = nn.Linear(SETUP_FEATURES, config.text_dim)
        self.nothing = nn.Parameter(torch.zeros(1, 1, config.text_dim))

    def forward(self, z: Tensor, t: Tensor, condition: Conditioning) -> Tensor:
        """Predict the clean video.

        Args:
            z: (B, C, T, H, W) noisy video; context frames are clean.
            t: (B, T') noise times, 0 clean to 1 noise.
            condition: Hint and Setup tokens are used.

        Returns:
            (B, C, T, H, W).

        Raises:
            ValueError: Where patches do not divide the video, times are not one a latent frame, or text or actions
                are told.
        """
        for name in self.refuses:
            if getattr(condition, name) is not None:
                raise ValueError(f"condition.{name}: must be None, a DiffusersDenoiser takes none")
        frames, height, width = (self._count(*pair) for pair in zip(z.shape[2:], self.patch, strict=True))
        if t.shape != (z.shape[0], frames):
            raise ValueError(f"t: must have shape (B, T') = {(z.shape[0], frames)}, got {tuple(t.shape)}")
        told = self.nothing.expand(z.shape[0], -1, -1)
        if condition.setup is not None:
            told = torch.cat([told, self.setup(condition.setup)], dim=1)
        times = 1000 * t.repeat_interleave(height * width, dim=1)
        (out,) = self.transformer(self._with_hint(z, condition), times, told, return_dict=False)
        return to_data(out, z, t, self.prediction)

    @staticmethod
    def _count(length: int, patch: int) -> int:
        count, rest = divmod(length, patch)
        if rest or not count:
            raise ValueError(f"video: must have sides that are multiples of the patch, got {length} with {patch}")
        return count

    def _with_hint(self, z: Tensor, condition: Conditioning) -> Tensor:
        if not self.hint_channels:
            return z
        hint = condition.hint
        if hint is None:
            hint = z.new_zeros(z.shape[0], self.hint_channels, *z.shape[2:])
        elif condition.hint_given is not None:
            hint = hint * condition.hint_given[:, None, None, None, None]
        return torch.cat([z, hint], dim=1)
