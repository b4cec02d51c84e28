"""Convolutions over time that see no later frame, and carry their past from chunk to chunk."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Stream:
    """The past of one video on its way through a network: the last inputs of each convolution."""

    def __init__(self) -> None:
        self.past: dict[int, Tensor] = {}
        self.begun = False


class CausalConv3d(nn.Module):
    """A convolution whose frame t reads frames t - k + 1 to t; zeros come before the first."""

    def __init__(self, inputs: int, outputs: int, kernel: tuple[int, int, int] = (3, 3, 3)) -> None:
        super().__init__()
        self.before = kernel[0] - 1
        self.conv = nn.Conv3d(inputs, outputs, kernel, padding=(0, kernel[1] // 2, kernel[2] // 2))

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        """(B, C, T, H, W) to (B, C', T, H, W)."""
        if not self.before:
            out: Tensor = self.conv(x)
            return out
        past = stream.past.get(id(self))
        if past is None:
            past = x.new_zeros(*x.shape[:2], self.before, *x.shape[3:])
        x = torch.cat([past, x], dim=2)
        stream.past[id(self)] = x[:, :, -self.before :].detach()
        out = self.conv(x)
        return out


class ResidualBlock(nn.Module):
    """Two causal convolutions beside a skip, each after a norm over channels alone, which mixes no frames."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = CausalConv3d(width, width), CausalConv3d(width, width)
        nn.init.zeros_(self.second.conv.weight)
        nn.init.zeros_(self.second.conv.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        """(B, C, T, H, W) to the same."""
        inner = self.first(functional.silu(channel_norm(x)), stream)
        out: Tensor = x + self.second(functional.silu(channel_norm(inner)), stream)
        return out


def channel_norm(x: Tensor) -> Tensor:
    """Divide by the root mean square over channels at each place."""
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-6)
