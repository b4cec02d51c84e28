"""Poses of rigid bodies from gaps of edges and points, all frames and bodies at once, by Gauss-Newton."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from worldsim.benchmarks.fit_balls import EDGE_NOISE
from worldsim.benchmarks.outline_gaps import Gaps
from worldsim.physics.rotation import exponential, multiply, normalise

_STILL = 1e-5  # metres and radians: a step that changes nothing
_MOST_TURN = 0.4  # radians a step
_LOST = 4.0  # pixels beyond which an edge pulls no harder
_SIDES = 64  # directions of normals that are told apart


@dataclass(frozen=True)
class Evidence:
    """Edges and points that tell of S slots; a slot is a body in a frame.

    Attributes:
        slot: (E,) of each.
        gaps: Signed distances in pixels, see outline_gaps.
        one_sided: (E,) edges against what may be in front: the body reaches at least as far.
        weight: (E,) of its square.
        upright: (E,) whether the edge runs down the picture; False for points of a surface.
        edge: (E,) False for points of a surface, whose errors are apart from each other.
    """

    slot: Tensor
    gaps: Gaps
    one_sided: Tensor
    weight: Tensor
    upright: Tensor
    edge: Tensor

    def take(self, source: Tensor) -> Evidence:
        """Of new slots, which are the old ones of `source` (S',); a slot may be taken more than once."""
        order = torch.argsort(self.slot, stable=True)
        length = torch.bincount(self.slot, minlength=int(source.max()) + 1)
        first = length.cumsum(0) - length
        count = length[source]
        slot = torch.repeat_interleave(torch.arange(len(source)), count)
        within = torch.arange(len(slot)) - (count.cumsum(0) - count)[slot]
        index = order[first[source][slot] + within]
        # Edges come before points, as the gaps want them.
        sort = torch.argsort((~self.edge[index]).byte(), stable=True)
        return self._of(index[sort], slot[sort], source)

    def thin(self, stride: int) -> Evidence:
        """Every so many edges and points alone."""
        index = torch.arange(0, len(self.slot), stride)
        return self._of(index, self.slot[index], None)

    def _of(self, index: Tensor, slot: Tensor, source: Tensor | None) -> Evidence:
        return Evidence(
            slot,
            self.gaps.take(index, slot, source),
            *(part[index] for part in (self.one_sided, self.weight, self.upright, self.edge)),
        )


@dataclass(frozen=True)
class Fitted:
    """Poses of S slots.

    Attributes:
        position: (S, 3) metres.
        orientation: (S, 4).
        covariance: (S, 6, 6) of position and rotation vector, world frame, metres and radians.
        rms: (S,) weighted root mean square of the gaps, pixels, those of one-sided edges only where they are broken.
        count: (S,) two-sided edges and points.
    """

    position: Tensor
    orientation: Tensor
    covariance: Tensor
    rms: Tensor
    count: Tensor


def moved(position: Tensor, orientation: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """Poses (S, 3) and (S, 4) after steps (S, 3) of x, z and the turn about y, or (S, 6) of position and rotation."""
    if step.shape[-1] == 3:
        zero = torch.zeros_like(step[..., :1])
        shift, turn = (
            torch.cat([step[..., :1], zero, step[..., 1:2]], -1),
            torch.cat([zero, step[..., 2:], zero], -1),
        )
    else:
        shift, turn = step[..., :3], step[..., 3:]
    return position + shift, normalise(multiply(exponential(turn), orientation))


def cost(evidence: Evidence, position: Tensor, orientation: Tensor) -> Tensor:
    """(S,) weighted mean square of the gaps, pixels^2, far ones held to _LOST; infinite where nothing tells."""
    residual = evidence.gaps(position, orientation)
    own = _sided(evidence, residual).clamp(-_LOST, _LOST).square() * evidence.weight
    total = _sum(evidence.slot, torch.stack([own, evidence.weight * ~evidence.one_sided], -1), len(position))
    return torch.where(total[:, 1] > 0, total[:, 0] / total[:, 1].clamp_min(1e-12), torch.inf)


def fit(
    evidence: Evidence, position: Tensor, orientation: Tensor, prior: Tensor, extent: Tensor, steps: int
) -> tuple[Tensor, Tensor]:
    """Poses whose gaps are least.

    Args:
        evidence: Of S slots.
        position: (S, 3) metres, a guess.
        orientation: (S, 4), a guess.
        prior: (S, D, D) information about where the guess is, D = 3 in a plane and 6 in space, over EDGE_NOISE^2.
        extent: (S,) metres: no step is longer.
        steps: Of Gauss-Newton.

    Returns:
        (S, 3) and (S, 4).
    """
    gone = torch.zeros(prior.shape[:2], dtype=torch.float64)
    eye = torch.eye(prior.shape[-1], dtype=torch.float64)
    for _ in range(steps):
        residual, slopes, _ = _linear(evidence, position, orientation, prior.shape[-1])
        held = residual.clamp(-_LOST, _LOST)
        information, slope = _normal(evidence, slopes, held, len(position))
        information = information + prior
        slope = slope + (prior @ gone[..., None]).squeeze(-1)
        damping = 1e-3 * information.diagonal(dim1=-2, dim2=-1).clamp_min(1e-6)
        step = -torch.linalg.solve(information + damping[..., None] * eye, slope[..., None]).squeeze(-1)
        way = 2 if step.shape[-1] == 3 else 3
        share = torch.minimum(
            extent / step[:, :way].norm(dim=-1).clamp_min(1e-12),
            _MOST_TURN / step[:, way:].norm(dim=-1).clamp_min(1e-12),
        )
        step = step * share.clamp_max(1.0)[:, None]
        position, orientation = moved(position, orientation, step)
        gone = gone + step
        if float(step.abs().max()) < _STILL:
            break
    return position, orientation


def told(evidence: Evidence, position: Tensor, orientation: Tensor, prior: Tensor) -> Fitted:
    """Poses with their errors.

    Edges along a straight side err together: where it runs along rows or columns of pixels, all by the same share of a
    pixel. With m steps of the stair that a side makes, its mean is good to one (m + 1)th of an edge's error. This
    comes on top of errors of each edge apart.
    """
    count, size = prior.shape[:2]
    residual, slopes, normal = _linear(evidence, position, orientation, size)
    information, _ = _normal(evidence, slopes, residual, count)
    inverse = torch.linalg.inv(information + prior + 1e-9 * torch.eye(size, dtype=torch.float64))
    covariance = EDGE_NOISE**2 * inverse
    angle = torch.atan2(normal[:, 1], normal[:, 0])
    bearing = ((angle / (2 * torch.pi) + 0.5) * _SIDES - 0.37).floor().long() % _SIDES
    side = evidence.slot * _SIDES + bearing
    active = evidence.edge & ~evidence.one_sided
    weighted = (slopes * (evidence.weight * active)[:, None], active[:, None], (active & evidence.upright)[:, None])
    sums = _sum(side, torch.cat([part.double() for part in weighted], -1), count * _SIDES)
    pull, edges, upright = sums[:, :size], sums[:, size], sums[:, size + 1]
    stairs = torch.minimum(upright, edges - upright)
    common = torch.where(edges > 2, EDGE_NOISE / (1 + stairs), 0.0)
    shift = (inverse[:, None] @ pull.reshape(count, _SIDES, size, 1)).squeeze(-1) * common.reshape(count, _SIDES, 1)
    covariance = covariance + shift.mT @ shift
    whole = torch.zeros(count, 6, 6, dtype=torch.float64)
    axes = torch.tensor([0, 2, 4] if size == 3 else range(6))
    whole[:, axes[:, None], axes] = covariance
    own = evidence.weight * ~evidence.one_sided
    sums = _sum(evidence.slot, torch.stack([residual.square() * evidence.weight, own, own > 0], -1), count)
    return Fitted(position, orientation, whole, (sums[:, 0] / sums[:, 1].clamp_min(1e-12)).sqrt(), sums[:, 2])


def _sided(evidence: Evidence, residual: Tensor) -> Tensor:
    # The far pixel's edge lies half a pixel outside of the last one that the body is known to cover.
    return torch.where(evidence.one_sided, (residual - 0.5).clamp_min(0), residual)


def _linear(evidence: Evidence, position: Tensor, orientation: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Residuals (E,), their derivatives (E, D), and normals (E, 2)."""
    residual, normal, slopes = evidence.gaps.linear(position, orientation)
    sided = _sided(evidence, residual)
    idle = evidence.one_sided & (sided == 0)
    return sided, torch.where(idle[:, None], 0.0, slopes[:, [0, 2, 4]] if size == 3 else slopes), normal


def _normal(evidence: Evidence, slopes: Tensor, residual: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Information (S, D, D) and slope (S, D) of half the weighted square."""
    size = slopes.shape[-1]
    row, column = np.triu_indices(size)
    weighted = slopes * evidence.weight[:, None]
    parts = torch.cat([weighted[:, row] * slopes[:, column], weighted * residual[:, None]], -1)
    sums = _sum(evidence.slot, parts, count)
    information = torch.zeros(count, size, size, dtype=torch.float64)
    information[:, row, column] = sums[:, : len(row)]
    information[:, column, row] = sums[:, : len(row)]
    return information, sums[:, len(row) :]


def _sum(place: Tensor, values: Tensor, count: int) -> Tensor:
    """(count, C) sums of (E, C) values by place."""
    return torch.zeros(count, values.shape[-1], dtype=torch.float64).index_add_(0, place, values.double())
