"""How the frames of a video are counted as latent frames, and those as tubelets of the denoiser."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Packing:
    """The arithmetic of frames.

    Attributes:
        time: Video frames a latent frame.
        alone: Whether the first video frame has a latent frame of its own, as behind a causal autoencoder.
        tubelet: Latent frames a tubelet.
    """

    time: int = 1
    alone: bool = False
    tubelet: int = 1

    @property
    def lead(self) -> int:
        """Places of the first latent frame that hold no video frame."""
        return (self.time - 1) * self.alone

    @property
    def rule(self) -> str:
        """The counts that fit, in words; n is from 0."""
        step = self.time * self.tubelet
        return f"{step}n + {step - self.lead}" if self.lead else f"multiples of the tubelet's {step} frames"

    def latents(self, frames: int) -> int:
        """Latent frames of a count that fits; 0 of 0."""
        return (frames + self.lead) // self.time if frames else 0

    def pad(self, frames: int) -> int:
        """The least count from `frames` on that fits; 0 stays."""
        step = self.time * self.tubelet
        return -(-(frames + self.lead) // step) * step - self.lead if frames else 0

    def fits(self, frames: int) -> bool:
        """Whether these frames fill whole tubelets; 0 does."""
        return frames >= 0 and self.pad(frames) == frames
