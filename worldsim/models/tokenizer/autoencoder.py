"""A causal video autoencoder: two Haar levels, causal convolutions, 4 x 8 x 8 fewer places.

4n + 1 frames give n + 1 latent frames; the first latent frame holds the first picture alone. As nothing looks ahead, a
long video is coded chunk by chunk with the very result of coding it whole. Design after the causal tokenizers of video
generators (MAGVIT-v2, arXiv 2310.05737, 3.1; Cosmos tokenizer, arXiv 2501.03575, section 4).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from worldsim.models.tokenizer.causal import CausalConv3d, ResidualBlock, Stream, channel_norm
from worldsim.models.tokenizer.haar import merge, split

_BANDS = 3 * 8 * 8


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
        bands = split(split(video, first), first)
        x = rearrange(bands, "b c t (h ph) (w pw) -> b (c ph pw) t h w", ph=2, pw=2)
        x = self.embed(x, stream)
        for block in self.encoder:
            x = block(x, stream)
        stream.begun = True
        latent: Tensor = self.to_latent(functional.silu(channel_norm(x)), stream)
        return latent

    def decode(self, latent: Tensor, stream: Stream | None = None) -> Tensor:
        """The way back: (B, C, n + 1, H/8, W/8) to (B, 3, 4n + 1, H, W)."""
        stream = stream or Stream()
        first = not stream.begun
        x = self.from_latent(latent, stream)
        for block in self.decoder:
            x = block(x, stream)
        bands = self.to_bands(functional.silu(channel_norm(x)), stream)
        bands = rearrange(bands, "b (c ph pw) t h w -> b c t (h ph) (w pw)", ph=2, pw=2)
        stream.begun = True
        return merge(merge(bands, first), first)

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
        size = 1e-4 * latent.square().mean()
        return {"absolute": (shown - video).abs().mean(), "square": (shown - video).square().mean(), "latent": size}
