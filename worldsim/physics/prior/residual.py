"""A residual network for what the law leaves out: small accelerations learned from a body's motion and shape."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from worldsim.physics.bodies import Bodies

_KINDS = ("sphere", "box", "capsule", "plane", "polygon", "ring")


class Residual(nn.Module):
    """A perceptron for each body on its velocities, size and kind; blind to where and when, zero at the start.

    Blind to position, it is the same at every place; it starts as the pure law, since its last layer is zero.

    Args:
        width: Of the two hidden layers.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Linear(9 + len(_KINDS), width), nn.Tanh()),
            *(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 6)),
        )
        last = self.layers[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(
        self, position: Tensor, orientation: Tensor, linear_velocity: Tensor, angular_velocity: Tensor, bodies: Bodies
    ) -> Tensor:
        """Extra accelerations.

        Args:
            position: (B, N, 3), not looked at.
            orientation: (B, N, 4), not looked at.
            linear_velocity: (B, N, 3) metres a second, world frame.
            angular_velocity: (B, N, 3) radians a second, world frame.
            bodies: Theirs are size and kind.

        Returns:
            (B, N, 6) linear (m/s^2) and angular (rad/s^2) acceleration, world frame.
        """
        batch = linear_velocity.shape[0]
        kind = torch.zeros(len(bodies.kinds), len(_KINDS), dtype=linear_velocity.dtype, device=linear_velocity.device)
        for i, name in enumerate(bodies.kinds):
            kind[i, _KINDS.index(name)] = 1.0
        size = bodies.size.expand(batch, -1, -1)
        features = [linear_velocity, angular_velocity, size, kind.expand(batch, -1, -1)]
        out: Tensor = self.layers(torch.cat(features, -1))
        return out
