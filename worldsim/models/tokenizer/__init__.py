"""Tokenizers: video to the latent that a denoiser works on, and back."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from worldsim.models.tokenizer.autoencoder import AutoencoderConfig, VideoAutoencoder
from worldsim.models.tokenizer.causal import Stream
from worldsim.models.tokenizer.packing import Packing


class Tokenizer(Protocol):
    """What codes (B, 3, T, H, W) video in [-1, 1] as a latent (B, C, T', H', W').

    Attributes:
        time: Frames a latent frame.
        space: Rows and columns a latent place.
        channels: C.
    """

    time: int
    space: int
    channels: int

    def encode(self, video: Tensor) -> Tensor:
        """Video to latent."""
        ...

    def decode(self, latent: Tensor) -> Tensor:
        """Latent to video."""
        ...


class PixelTokenizer:
    """Video as it is: the denoiser's own tubelets do the rest. For 32 to 64 pixels."""

    time, space, channels = 1, 1, 3

    def encode(self, video: Tensor) -> Tensor:
        """The video itself."""
        return video

    def decode(self, latent: Tensor) -> Tensor:
        """The latent itself."""
        return latent


__all__ = ["AutoencoderConfig", "Packing", "PixelTokenizer", "Stream", "Tokenizer", "VideoAutoencoder"]
