"""LearnedReadout: a small convolutional network that finds the bodies which a Setup names in pictures of lit scenes.

Axis legend: B videos, T frames, N bodies of which M move, H W rows and columns, C features a pixel. The network looks
at each frame on its own; a body is asked for by its colour and kind, so that any number of bodies can be.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from worldsim.physics.bodies import Bodies
from worldsim.physics.trajectory import Trajectory
from worldsim.scene import SHAPES
from worldsim.vision.moments import Moments, mask_moments, pixels_per_metre, planar_position, sphere_position
from worldsim.vision.network_folder import load_network, save_network
from worldsim.vision.raster import View, rasterise
from worldsim.vision.readout import Reading, assemble

# Square pixels below which a ball is taken for one that shows in part, not for one that is farther away still: without
# that bound, one that vanishes would lie hundreds of metres away and count as whole there.
_LEAST_AREA = 3.0


@dataclass(frozen=True)
class LearnedReadoutConfig:
    """Shape of a LearnedReadout.

    Attributes:
        width: Channels at full resolution; twice and four times as many at half and quarter.
        features: C, of a pixel and of what asks for a body.
        in_plane: Whether moving bodies are known to keep to y = 0 in worlds that are not planar, too: then the line of
            sight is cut with that plane; otherwise a ball's depth follows from its apparent area.
    """

    width: int = 16
    features: int = 24
    in_plane: bool = True

    def __post_init__(self) -> None:
        for name in ("width", "features"):
            if getattr(self, name) < 1:
                raise ValueError(f"readout.{name}: must be 1 or more, got {getattr(self, name)!r}")


@dataclass(frozen=True)
class Observation:
    """What the network sees, in pixels.

    Attributes:
        masks: (B, T, M, H, W) visible share of each pixel.
        moments: Of the masks.
        centre: (B, T, M, 2) where the centre of mass is projected to, hidden or cut parts made up for.
        area: (B, T, M) square pixels of the whole outline, likewise.
    """

    masks: Tensor
    moments: Moments
    centre: Tensor
    area: Tensor


class LearnedReadout(nn.Module):
    """Reads balls and other bodies in lit scenes from any fixed camera; differentiable in the video."""

    def __init__(self, config: LearnedReadoutConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or LearnedReadoutConfig()
        w, c = config.width, config.features
        # The picture, and what sets it apart from the static scene without anything that moves.
        self.at_full = _pair(6, w)
        self.at_half = _pair(w, 2 * w)
        self.at_quarter = _pair(2 * w, 4 * w)
        self.to_half, self.from_half = nn.Conv2d(4 * w, 2 * w, 1), _pair(2 * w, 2 * w)
        self.to_full, self.from_full = nn.Conv2d(2 * w, w, 1), _pair(w, w)
        self.leave = nn.Conv2d(w, c, 1)
        self.query = nn.Sequential(nn.Linear(3 + len(SHAPES), 64), nn.SiLU(), nn.Linear(64, c))
        self.nothing = nn.Parameter(torch.zeros(c))
        self.amend = nn.Sequential(nn.Linear(3 * c + 7, 64), nn.SiLU(), nn.Linear(64, 3))
        nn.init.zeros_(self.amend[-1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.amend[-1].bias)  # type: ignore[arg-type]
        # Goes into checkpoints with the weights: a readout that was never trained must not pass for one that was.
        self.trained: Tensor
        self.register_buffer("trained", torch.tensor(False))

    def forward(self, video: Tensor, bodies: Bodies, view: View, background: Tensor, fixed: Trajectory) -> Reading:
        """Read (B, 3, T, H, W) video in [-1, 1]; see Reading. Masks of static bodies are drawn, not seen.

        Args:
            video: Frames fixed.dt apart.
            bodies: Of B worlds.
            view: Of B worlds.
            background: (B, 3) from 0 to 1.
            fixed: (B, 1, N) poses of static bodies.

        Raises:
            ValueError: Where the weights were never trained, or where motion is free and something other than a ball
                moves, whose depth an area does not tell.
        """
        if not self.trained:
            raise ValueError("readout: must have trained weights, see experiments/readout, got those of a new network")
        batch, frames = video.shape[0], video.shape[2]
        moving = _moving(bodies)
        plate, still = _static_scene(bodies, view, background, fixed)
        seen = self._observe(video, bodies, plate)
        radius = bodies.size[:, None, moving, 0].expand(batch, frames, -1)
        place = self.place(seen, bodies, view)
        position = fixed.position.expand(batch, frames, -1, -1).clone()
        position[:, :, moving] = place
        masks = still.expand(-1, frames, -1, -1, -1) * (1 - seen.masks.sum(2, keepdim=True)).clamp(0, 1)
        masks = masks.index_copy(2, torch.tensor(moving, device=video.device), seen.masks)
        whole = torch.pi * (radius * pixels_per_metre(place, view)).square()
        ball = torch.tensor([bodies.kinds[k] == "sphere" for k in moving], device=video.device)
        share = torch.ones(batch, frames, bodies.num_bodies, dtype=video.dtype, device=video.device)
        area = seen.moments.area
        share[:, :, moving] = torch.where(ball, area / whole.clamp_min(1e-6), (area > 1).to(area))
        return assemble(masks, mask_moments(masks), position, share, bodies, fixed, fixed.dt)

    def observe(self, video: Tensor, bodies: Bodies, view: View, background: Tensor, fixed: Trajectory) -> Observation:
        """What is seen of the M moving bodies, in pixels; arguments as of forward. This is what is trained."""
        plate, _ = _static_scene(bodies, view, background, fixed)
        return self._observe(video, bodies, plate)

    def place(self, seen: Observation, bodies: Bodies, view: View) -> Tensor:
        """(B, T, M, 3) metres, world frame: where that which is seen of the moving bodies lies.

        Raises:
            ValueError: Where motion is free and something other than a ball moves.
        """
        if bodies.planar or self.config.in_plane:
            return planar_position(seen.centre, view)
        moving = _moving(bodies)
        for k in moving:
            if bodies.kinds[k] != "sphere":
                raise ValueError(f"bodies.kinds[{k}]: must be sphere where motion is free, got {bodies.kinds[k]}")
        radius = bodies.size[:, None, moving, 0].expand(seen.area.shape)
        return sphere_position(seen.area.clamp_min(_LEAST_AREA), seen.centre, radius, view)

    def _observe(self, video: Tensor, bodies: Bodies, plate: Tensor) -> Observation:
        batch, _, frames = video.shape[:3]
        moving = _moving(bodies)
        difference = video - plate
        pictures = torch.cat([video, difference], 1).transpose(1, 2).flatten(0, 1)
        pixels = self._features(pictures).unflatten(0, (batch, frames))
        kinds = torch.tensor([[float(bodies.kinds[k] == kind) for kind in SHAPES] for k in moving]).to(video)
        asked = torch.cat([bodies.colour[:, moving].expand(batch, -1, -1), kinds.expand(batch, -1, -1)], -1)
        queries = torch.cat([self.query(asked), self.nothing.expand(batch, 1, -1)], 1)
        logits = torch.einsum("bnc,btchw->btnhw", queries, pixels)
        masks = logits.softmax(2)[:, :, :-1]
        found = mask_moments(masks)
        about = _surroundings(masks, pixels, found)
        change = self.amend(about)
        reach = (found.area.clamp_min(1.0) / torch.pi).sqrt()
        return Observation(
            masks=masks,
            moments=found,
            centre=found.centroid + change[..., :2] * reach[..., None],
            area=found.area * change[..., 2].clamp(-2, 2).exp(),
        )

    def _features(self, pictures: Tensor) -> Tensor:
        full = self.at_full(pictures)
        half = self.at_half(functional.avg_pool2d(full, 2, ceil_mode=True))
        quarter = self.at_quarter(functional.avg_pool2d(half, 2, ceil_mode=True))
        half = self.from_half(half + _grow(self.to_half(quarter), half))
        full = self.from_full(full + _grow(self.to_full(half), full))
        features: Tensor = self.leave(full)
        return features

    def save(self, folder: Path, facts: Mapping[str, Any]) -> None:
        """Write weights, now called trained, and the config with facts such as the error floor; each file whole."""
        self.trained.fill_(True)
        save_network(folder, "readout", self, self.config, facts)

    @staticmethod
    def load(folder: Path) -> LearnedReadout:
        """The readout that `save` wrote, in evaluation mode on the CPU.

        Raises:
            ValueError: Where files are missing or damaged, or weights are not finite or do not fit the config.
        """
        return load_network(folder, "readout", LearnedReadout, LearnedReadoutConfig)


def _pair(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1), nn.SiLU(), nn.Conv2d(after, after, 3, padding=1), nn.SiLU()
    )


def _grow(small: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(small, size=like.shape[-2:], mode="bilinear", align_corners=False)


def _moving(bodies: Bodies) -> list[int]:
    return [k for k, static in enumerate(bodies.static) if not static]


@torch.no_grad()
def _static_scene(bodies: Bodies, view: View, background: Tensor, fixed: Trajectory) -> tuple[Tensor, Tensor]:
    """(B, 3, 1, H, W) picture in [-1, 1] of what does not move, and (B, 1, N, H, W) masks, zero for what does."""
    static = torch.tensor(bodies.static, device=fixed.position.device)
    alone = dataclasses.replace(fixed, presence=fixed.presence * static)
    raster = rasterise(alone, bodies, view, tau_px=0.25, background=background, channels=("colour",))
    assert raster.colour is not None
    return raster.colour.movedim(2, 1) * 2 - 1, raster.ids[:, :, 1:] * static[:, None, None]


def _surroundings(masks: Tensor, pixels: Tensor, found: Moments) -> Tensor:
    """(B, T, M, 3 C + 7) what a mask covers and in which direction, in units of its own reach; and its shape."""
    height, width = masks.shape[-2:]
    area = found.area + 1e-3
    reach = (found.area.clamp_min(1.0) / torch.pi).sqrt()
    u = torch.arange(width, dtype=masks.dtype, device=masks.device) + 0.5
    v = torch.arange(height, dtype=masks.dtype, device=masks.device) + 0.5
    du = (u - found.centroid[..., :1]) / reach[..., None]
    dv = (v - found.centroid[..., 1:]) / reach[..., None]
    # Beside the mask, a rim two reaches wide: what hides the body lies there.
    near = (-(dv.square()[..., :, None] + du.square()[..., None, :]) / 2).exp()
    near = near / near.sum((-1, -2), keepdim=True).clamp_min(1e-6)
    inside = torch.einsum("btnhw,btchw->btnc", masks, pixels) / area[..., None]
    right = torch.einsum("btnhw,btchw->btnc", near * du[..., None, :], pixels)
    below = torch.einsum("btnhw,btchw->btnc", near * dv[..., :, None], pixels)
    spread = found.covariance / reach.square()[..., None, None]
    shape = [spread[..., 0, 0], spread[..., 0, 1], spread[..., 1, 1], found.border, found.area.log1p()]
    # The picture may cut the mask: tell on which side.
    place = [found.centroid[..., 0] / width - 0.5, found.centroid[..., 1] / height - 0.5]
    return torch.cat([inside, right, below, torch.stack([*shape, *place], -1)], -1)
