"""A causal video autoencoder: two Haar levels, causal convolutions, 4 x 8 x 8 fewer places.

4n + 1 frames give n + 1 latent frames; the first latent frame holds the first picture alone. As nothing looks ahead, a
long video is coded chunk by chunk with the very result of coding it whole. Design after the causal tokenizers of video
generators (MAGVIT-v2, arXiv 2310.05737, 3.1; Cosmos tokenizer, arXiv 2501.03575, section 4).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from worldsim.models.tokenizer.causal import CausalConv3d, ResidualBlock, Stream, channel_norm
from worldsim.models.tokenizer.haar import merge, split
from worldsim.vision.network_folder import load_network, save_network

_BANDS = 3 * 8 * 8
# Two Haar levels of 8 means each: times this they are orthonormal, so that all bands are learnt at the pixels' pace.
_ORTHONORMAL = 8.0


@dataclass(frozen=True)
class AutoencoderConfig:
    """Shape of a VideoAutoencoder.

    Attributes:
        width: Channels of the convolutions.
        latent: Channels of the latent.
        blocks: Residual blocks on each side.
    """

    width: int = 48
    latent: int = 16
    blocks: int = 2

    def __post_init__(self) -> None:
        for name in ("width", "latent", "blocks"):
            if getattr(self, name) < 1:
                raise ValueError(f"autoencoder.{name}: must be 1 or more, got {getattr(self, name)!r}")


class VideoAutoencoder(nn.Module):
    """A Tokenizer with learned latents.

    Attributes:
        time: Frames a latent frame, but for the first.
        space: Rows and columns a latent place.
        channels: Of the latent.
    """

    time, space = 4, 8

    def __init__(self, config: AutoencoderConfig | None = None) -> None:
        super().__init__()
        self.config = config or AutoencoderConfig()
        width, latent, blocks = self.config.width, self.config.latent, self.config.blocks
        self.channels = latent
        self.embed = CausalConv3d(4 * _BANDS, width, (1, 1, 1))
        self.encoder = nn.ModuleList(ResidualBlock(width) for _ in range(blocks))
        self.to_latent = CausalConv3d(width, latent, (1, 1, 1))
        self.from_latent = CausalConv3d(latent, width)
        self.decoder = nn.ModuleList(ResidualBlock(width) for _ in range(blocks))
        self.to_bands = CausalConv3d(width, 4 * _BANDS, (1, 3, 3))
        # Straight ways in and out keep the contrast that norms take away; what lies between begins as nothing.
        self.skip_in = CausalConv3d(4 * _BANDS, latent, (1, 1, 1))
        self.skip_out = CausalConv3d(latent, 4 * _BANDS, (1, 3, 3))
        for last in (self.to_latent.conv, self.to_bands.conv):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        # Go into checkpoints with the weights: diffusion needs latents of unit size, and trained ones.
        self.mean: Tensor
        self.deviation: Tensor
        self.trained: Tensor
        self.register_buffer("mean", torch.zeros(latent))
        self.register_buffer("deviation", torch.ones(latent))
        self.register_buffer("trained", torch.tensor(False))

    @property
    def compression(self) -> float:
        """Numbers of a long video over numbers of its latent."""
        return 3 * self.time * self.space**2 / self.channels

    def encode(self, video: Tensor, stream: Stream | None = None) -> Tensor:
        """(B, 3, 4n + 1, H, W) in [-1, 1] to (B, C, n + 1, H/8, W/8); 4n frames to n where a stream has begun.

        Raises:
            ValueError: For sizes that do not fit; the message states the arithmetic.
        """
        stream = stream or Stream()
        first = not stream.begun
        frames, height, width = video.shape[2:]
        if (frames - first) % 4 or frames < 1 or height % 8 or width % 8:
            rule = "4n + 1" if first else "4n"
            raise ValueError(
                f"video: must have {rule} frames and multiples of 8 rows and columns, got {frames} frames of "
                f"{height} x {width}; {frames} = 4 x {(frames - first) // 4} + {(frames - first) % 4 + first}"
            )
        bands = _ORTHONORMAL * split(split(video, first), first)
        x = rearrange(bands, "b c t (h ph) (w pw) -> b (c ph pw) t h w", ph=2, pw=2)
        straight = self.skip_in(x, stream)
        x = self.embed(x, stream)
        for block in self.encoder:
            x = block(x, stream)
        stream.begun = True
        latent: Tensor = straight + self.to_latent(functional.silu(channel_norm(x)), stream)
        return (latent - _channels(self.mean)) / _channels(self.deviation)

    def decode(self, latent: Tensor, stream: Stream | None = None) -> Tensor:
        """The way back: (B, C, n + 1, H/8, W/8) to (B, 3, 4n + 1, H, W)."""
        stream = stream or Stream()
        first = not stream.begun
        latent = latent * _channels(self.deviation) + _channels(self.mean)
        x = self.from_latent(latent, stream)
        for block in self.decoder:
            x = block(x, stream)
        bands = self.skip_out(latent, stream) + self.to_bands(functional.silu(channel_norm(x)), stream)
        bands = rearrange(bands, "b (c ph pw) t h w -> b c t (h ph) (w pw)", ph=2, pw=2)
        stream.begun = True
        return merge(merge(bands / _ORTHONORMAL, first), first)

    def encode_chunks(self, chunks: Iterable[Tensor]) -> Iterator[Tensor]:
        """Latents of a long video piece by piece: 4n + 1 frames first, multiples of 4 afterwards."""
        stream = Stream()
        for chunk in chunks:
            yield self.encode(chunk, stream)

    def decode_chunks(self, chunks: Iterable[Tensor]) -> Iterator[Tensor]:
        """Frames of a long latent piece by piece, any number of latent frames each."""
        stream = Stream()
        for chunk in chunks:
            yield self.decode(chunk, stream)

    def loss(self, video: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Reconstruction error of (B, 3, 4n + 1, H, W), with noise on the latent so that neighbours decode alike."""
        latent = self.encode(video)
        noise = torch.randn(latent.shape, generator=generator).to(latent)
        shown = self.decode(latent + 0.02 * noise)
        error = shown - video
        # Little of the absolute error: alone it is content with the median, which is the background.
        absolute, size = 0.1 * error.abs().mean(), 1e-4 * latent.square().mean()
        return {"absolute": absolute, "square": error.square().mean(), "latent": size}

    @torch.no_grad()
    def calibrate(self, videos: Iterable[Tensor]) -> None:
        """Let each latent channel have zero mean and unit variance over these videos, and call the weights trained.

        Args:
            videos: (B, 3, 4n + 1, H, W) each, of the training set.

        Raises:
            ValueError: Where there are none.
        """
        before = self.mean.clone(), self.deviation.clone()
        self.mean.zero_()
        self.deviation.fill_(1)
        try:
            latents = [self.encode(video).transpose(0, 1).flatten(1).double() for video in videos]
        finally:
            # What fails must not leave weights that are called trained without their calibration.
            self.mean.copy_(before[0])
            self.deviation.copy_(before[1])
        if not latents:
            raise ValueError("videos: must be one or more to calibrate on, got none")
        deviation, mean = torch.std_mean(torch.cat(latents, dim=1), dim=1, correction=0)
        self.mean.copy_(mean)
        # A channel that carries nothing must not have its rounding errors blown up.
        self.deviation.copy_(torch.where(deviation > 1e-3 * deviation.max(), deviation, torch.ones_like(deviation)))
        self.trained.fill_(True)

    def save(self, folder: Path, facts: Mapping[str, Any]) -> None:
        """Write weights, and the config with facts such as the PSNR; each file appears whole.

        Raises:
            ValueError: Where the weights are not calibrated.
        """
        if not self.trained:
            raise ValueError("tokenizer: must be trained and calibrated before it is saved, got a new network")
        save_network(folder, "tokenizer", self, self.config, facts)

    @staticmethod
    def load(folder: Path) -> VideoAutoencoder:
        """The autoencoder that `save` wrote, in evaluation mode on the CPU.

        Raises:
            ValueError: Where files are missing or damaged, or weights are not finite or do not fit the config.
        """
        return load_network(folder, "tokenizer", VideoAutoencoder, AutoencoderConfig)


def _channels(values: Tensor) -> Tensor:
    """(C,) for (B, C, T, H, W)."""
    return values[:, None, None, None]
