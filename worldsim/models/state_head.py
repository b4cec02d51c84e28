"""State supervision (lever 1): the transformer's features must tell where each body is and how it moves.

Axis legend: B worlds, T frames, T' latent frames of P frames each, H' W' cells, N bodies, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from worldsim.models.layers import norm
from worldsim.physics.bodies import Bodies
from worldsim.physics.trajectory import Trajectory
from worldsim.vision import View, pixels_per_metre, project

STATE_WIDTH = 5
_HEADS = 4
_WAVES = 4
# Velocity is in tenths of the picture's half height a frame, so that it weighs about as much as place.
_SPEED_SCALE = 10.0


def picture_states(trajectory: Trajectory, bodies: Bodies, view: View) -> tuple[Tensor, Tensor]:
    """States as a picture shows them, and which of them count.

    Args:
        trajectory: (B, T, N).
        bodies: Of B worlds.
        view: Of B worlds.

    Returns:
        (B, T, N, 5): centre right and down of the picture's middle in half heights; logarithm of the pixels that a
        metre takes over the picture's height, which is what of the apparent size a Setup does not tell; velocity right
        and down in tenths of a half height a frame. And (B, T, N), true for moving bodies that exist and whose centre
        is in the picture.
    """
    pixels, depth = project(trajectory.position, view)
    later, _ = project(trajectory.position + trajectory.linear_velocity * trajectory.dt, view)
    size = pixels.new_tensor([view.width, view.height])
    half = view.height / 2
    scale = (pixels_per_metre(trajectory.position, view) / view.height).log()[..., None]
    states = torch.cat([(pixels - size / 2) / half, scale, (later - pixels) / half * _SPEED_SCALE], -1)
    moves = ~torch.tensor(bodies.static, device=pixels.device)
    inside = ((pixels >= 0) & (pixels <= size)).all(-1) & (depth > view.near)
    return states, inside & moves & (trajectory.presence > 0.5)


class StateHead(nn.Module):
    """Each body's Setup token looks over the tokens of a latent frame; a perceptron says its states in that frame.

    It is given features and Setup tokens of the denoiser and nothing else; true states are its target only.
    """

    def __init__(self, width: int, frames: int) -> None:
        """Prepare for features of D = width, latent frames of P = frames frames."""
        super().__init__()
        self.frames = frames
        self.ask = nn.Linear(width, width)
        self.offer = nn.Linear(width, 2 * width)
        self.place = nn.Linear(4 * _WAVES, 2 * width, bias=False)
        self.tell = nn.Sequential(
            nn.Linear(2 * width + 2 * _HEADS, width), nn.GELU(), nn.Linear(width, frames * STATE_WIDTH)
        )

    def forward(self, features: Tensor, tokens: Tensor) -> Tensor:
        """Predict states.

        Args:
            features: (B, T', H', W', D).
            tokens: (B, N, D), one a body.

        Returns:
            (B, T' P, N, 5) as picture_states; the centre is what the first head looks at, and a correction.
        """
        batch, frames, height, width, _ = features.shape
        centres = _cell_centres(height, width).to(features)
        waves = torch.cat([f(centres[:, None] * rate) for rate in _rates() for f in (torch.sin, torch.cos)], 1).flatten(
            1
        )
        keys, values = (self.offer(norm(features)).flatten(2, 3) + self.place(waves)).chunk(2, -1)
        queries = self.ask(norm(tokens))
        heads = [x.unflatten(-1, (_HEADS, -1)) for x in (queries, keys, values)]
        scores = torch.einsum("bnhe,btphe->btnhp", heads[0], heads[1])
        attention = (scores / heads[0].shape[-1] ** 0.5).softmax(-1)
        seen = torch.einsum("btnhp,btphe->btnhe", attention, heads[2]).flatten(-2)
        looked = attention @ centres
        told = tokens[:, None].expand(-1, frames, -1, -1)
        out = self.tell(torch.cat([seen, norm(told), looked.flatten(-2)], -1)).unflatten(-1, (self.frames, -1))
        states = torch.cat([out[..., :2] + looked[..., :1, :], out[..., 2:]], -1)
        return states.permute(0, 1, 3, 2, 4).reshape(batch, frames * self.frames, tokens.shape[1], STATE_WIDTH)


def state_loss(predicted: Tensor, states: Tensor, counted: Tensor, t: Tensor) -> Tensor:
    """Huber distance of the states that count, weighed by 1 - t: at high noise the features need not know the future.

    Args:
        predicted: (B, T, N, 5).
        states: (B, T, N, 5) the truth.
        counted: (B, T, N).
        t: (B, T') noise times.
    """
    off = functional.huber_loss(
        predicted, torch.where(counted[..., None], states, predicted.detach()), reduction="none"
    )
    frames = predicted.shape[1] // t.shape[1]
    weight = (1 - t).repeat_interleave(frames, 1)[..., None] * counted
    return (off.mean(-1) * weight).sum() / weight.sum().clamp_min(1e-6)


def _cell_centres(height: int, width: int) -> Tensor:
    """(H' W', 2) right and down of the picture's middle, in half heights."""
    rows = (torch.arange(height) + 0.5) / height * 2 - 1
    columns = ((torch.arange(width) + 0.5) * 2 - width) / height
    return torch.stack([columns.repeat(height), rows.repeat_interleave(width)], -1)


def _rates() -> list[float]:
    return [torch.pi / 2 * 2**k for k in range(_WAVES)]
