"""How far lines of sight pass the tube of a ring: its outline, outer rim and hole alike."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from worldsim.benchmarks.outline_gaps import Shapes, depth_of, scale_at
from worldsim.benchmarks.rays import rays
from worldsim.physics.rotation import rotate
from worldsim.scene import Camera

_GRID = 32  # places around the circle from which the nearest one is searched
_STEPS = 3  # of Newton's method: a thirty-second of the circle is well inside its reach


@dataclass(frozen=True)
class RingGaps:
    """Gaps of lines of sight to rings, as outline_gaps.Gaps.

    A ring is seen where a line of sight passes its circle at no more than its minor radius, so that an edge of its
    mask, be it of the rim or of the hole, lies at just that distance. The square of the distance between a line and a
    point of a circle is a trigonometric polynomial of second degree in the point's angle.

    Attributes:
        shapes: Of S slots, rings.
        slot: (E,) of each line.
        pixels: (E, 2) u, v of the lines.
        camera: Of the video's size.
    """

    shapes: Shapes
    slot: Tensor
    pixels: Tensor
    camera: Camera

    def __call__(self, position: Tensor, orientation: Tensor) -> Tensor:
        """See Gaps."""
        return self.linear(position, orientation)[0]

    def linear(self, position: Tensor, orientation: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See Gaps."""
        origin, direction = (torch.tensor(part) for part in rays(self.camera, self.pixels.numpy()))
        size, place, turn = self.shapes.size[self.slot], position[self.slot], orientation[self.slot]
        first, second = (size[:, :1] * rotate(turn, axis.expand_as(place)) for axis in torch.eye(3).double()[:2])

        def across(way: Tensor) -> Tensor:
            return way - (way * direction).sum(-1, keepdim=True) * direction

        middle, cosine, sine = across(place - origin), across(first), across(second)
        angle = _nearest(middle, cosine, sine)
        lever = first * angle.cos() + second * angle.sin()
        way = -(middle + cosine * angle.cos() + sine * angle.sin())  # from the circle to the line
        length = way.norm(dim=-1)
        out = way / length.clamp_min(1e-12)[:, None]
        scale = scale_at(depth_of(place + lever, self.camera), self.camera)
        slopes = -torch.cat([out, torch.linalg.cross(lever, out)], -1) * scale[:, None]
        return (length - size[:, 1]) * scale, out @ torch.tensor(self.camera.rotation[:2].T.copy()), slopes

    def take(self, index: Tensor, slot: Tensor, source: Tensor | None) -> RingGaps:
        """See Gaps."""
        return RingGaps(self.shapes.take(source), slot, self.pixels[index], self.camera)


def _nearest(middle: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """(E, 1) angles at which |middle + cosine cos + sine sin|, of (E, 3) vectors, is least."""
    # |..|^2 = p cos + q sin + u cos 2 + v sin 2, and what is constant.
    p, q = 2 * (middle * cosine).sum(-1), 2 * (middle * sine).sum(-1)
    u, v = (cosine.square() - sine.square()).sum(-1) / 2, (cosine * sine).sum(-1)
    grid = torch.arange(_GRID, dtype=middle.dtype) * (2 * math.pi / _GRID)
    waves = torch.stack([grid.cos(), grid.sin(), (2 * grid).cos(), (2 * grid).sin()])
    angle = grid[(torch.stack([p, q, u, v], -1) @ waves).argmin(-1)]
    for _ in range(_STEPS):
        c, s, c2, s2 = angle.cos(), angle.sin(), (2 * angle).cos(), (2 * angle).sin()
        slope = q * c - p * s + 2 * (v * c2 - u * s2)
        bend = -p * c - q * s - 4 * (u * c2 + v * s2)
        step = torch.where(bend > 0, -slope / bend.clamp_min(1e-12), torch.zeros_like(slope))
        angle = angle + step.clamp(-2 * math.pi / _GRID, 2 * math.pi / _GRID)
    return angle[:, None]
