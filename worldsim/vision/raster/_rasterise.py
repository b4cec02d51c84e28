"""The soft rasteriser: bodies and poses to colour, visibility, masks, depth and motion, differentiable throughout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from worldsim.physics.bodies import Bodies
from worldsim.physics.rotation import to_matrix
from worldsim.physics.trajectory import Trajectory
from worldsim.scene import Camera
from worldsim.vision.raster.composite import colours, flow, opacity, visibility
from worldsim.vision.raster.flat import box_surface, plane_surface, polygon_surface
from worldsim.vision.raster.ring import ring_surface
from worldsim.vision.raster.round import Rays, Surface, capsule_surface, sphere_surface
from worldsim.vision.raster.view import View

CHANNELS = ("colour", "depth", "motion")
# Pixels times bodies that are drawn at a time: what stays in a processor's cache.
_CHUNK = 1 << 19


@dataclass(frozen=True)
class Raster:
    """Pictures of B worlds over T instants. For a trajectory without batch axis, B is 1.

    Attributes:
        ids: (B, T, N + 1, H, W) visible share of the background (first) and of each body; sums to 1.
        masks: (B, T, N, H, W) opacity of each body as if nothing hid it.
        colour: (B, T, 3, H, W) from 0 to 1, or None where not asked for.
        depth: (B, T, H, W) metres along the line of sight, far where nothing is, or None where not asked for.
        motion: (B, T, 2, H, W) flow right and down in pixels a frame, or None where not asked for.
    """

    ids: Tensor
    masks: Tensor
    colour: Tensor | None
    depth: Tensor | None
    motion: Tensor | None


def rasterise(
    trajectory: Trajectory,
    bodies: Bodies,
    camera: Camera | Sequence[Camera] | View,
    *,
    tau_px: float = 0.5,
    shading: str = "flat",
    background: Sequence[float] | Tensor = (1.0, 1.0, 1.0),
    channels: Sequence[str] = CHANNELS,
) -> Raster:
    """Draw a trajectory softly: differentiable in poses, velocities, presence, sizes and colours.

    The opacity of a body at a pixel is sigmoid(-d / tau), with d the signed distance in pixels from the pixel's centre
    to the body's outline; bodies are composed front to back by their depth at each pixel, after Liu et al., "Soft
    Rasterizer" (arXiv 1904.01786), with a fixed order by depth in place of their soft one; those of a planar world,
    seen by an orthographic camera, lie side by side. Outlines are exact for
    spheres, boxes, extruded polygons, capsules and rings in both kinds of view. Bodies whose centre is nearer than
    camera.near or farther than camera.far are not drawn (planes always are); nor, in perspective, is a sphere, box or
    plane block that holds the eye. A plane seen edge on by an orthographic camera shows as the half-space under it
    (engines draw nothing there).

    Args:
        trajectory: (B, T, N, ...) or (T, N, ...).
        bodies: Of B worlds, or of one for all.
        camera: One for all worlds, one a world, or their View.
        tau_px: Softness of outlines in pixels; 0 draws each pixel's exact share, as a camera would see it.
        shading: "flat" (each body one colour) or "shaded" (lit by worldsim.scene.light, no shadows or highlights).
        background: (3,) or (B, 3) red, green and blue from 0 to 1.
        channels: Which of colour, depth and motion to make beside ids and masks.

    Raises:
        ValueError: Where counts, shapes or names disagree.
    """
    position = trajectory.position
    if position.dim() == 3:
        trajectory = trajectory.map(lambda tensor: tensor[None])
        position = trajectory.position
    _check(trajectory, bodies, tau_px, shading, channels)
    batch, frames, count = position.shape[:3]
    if not isinstance(camera, View):
        camera = View.from_cameras(camera)
    view = camera.to(dtype=position.dtype, device=position.device)
    if view.focal.shape[0] not in (1, batch):
        raise ValueError(f"camera: must be one, or one a world ({batch}), got {view.focal.shape[0]}")
    view = view.repeat_frames(frames)

    def fold(tensor: Tensor) -> Tensor:
        return tensor.flatten(0, 1)

    def spread(tensor: Tensor) -> Tensor:
        tensor = tensor.to(position)
        return tensor[:, None].expand(batch, frames, *tensor.shape[1:]).flatten(0, 1)

    back = torch.as_tensor(background, dtype=position.dtype, device=position.device)
    inputs = _Inputs(
        centre=view.to_camera(fold(position)),
        rotation=view.rotation[:, None] @ to_matrix(fold(trajectory.orientation)),
        linear=view.turn(fold(trajectory.linear_velocity)),
        angular=view.turn(fold(trajectory.angular_velocity)),
        presence=fold(trajectory.presence),
        size=spread(bodies.size),
        vertices=spread(bodies.vertices),
        colour=spread(bodies.colour),
        background=spread(back.expand(batch, 3) if back.dim() == 1 else back),
    )
    rays = Rays.of(view, lit=shading == "shaded")
    length = max(1, _CHUNK // (count * view.width * view.height))
    parts = [
        _draw(
            rays.part(start, start + length),
            _Inputs(*(value[start : start + length] for value in inputs)),
            bodies.kinds,
            planar=bodies.planar,
            tau_px=tau_px,
            dt=trajectory.dt,
            channels=channels,
        )
        for start in range(0, batch * frames, length)
    ]
    maps: dict[str, Tensor] = {}
    for name in parts[0]:
        joined = torch.cat([part[name] for part in parts])
        maps[name] = joined.unflatten(-1, (view.height, view.width)).unflatten(0, (batch, frames))
    return Raster(maps["ids"], maps["masks"], *(maps.get(name) for name in CHANNELS))


class _Inputs(NamedTuple):
    """What is drawn in M pictures, camera axes; shapes as in the functions that take them."""

    centre: Tensor
    rotation: Tensor
    linear: Tensor
    angular: Tensor
    presence: Tensor
    size: Tensor
    vertices: Tensor
    colour: Tensor
    background: Tensor


def _draw(
    rays: Rays,
    inputs: _Inputs,
    kinds: tuple[str, ...],
    *,
    planar: bool,
    tau_px: float,
    dt: float,
    channels: Sequence[str],
) -> dict[str, Tensor]:
    """Draw M pictures: maps by name, (M, ..., P) each."""
    view = rays.view
    surfaces = _surfaces(rays, kinds, inputs)
    distance, depth, brightness = (torch.stack([getattr(s, name) for s in surfaces], 1) for name in Surface._fields)
    drawn = _drawn(view, kinds, inputs) * inputs.presence
    alpha = opacity(distance, view.width, tau_px) * drawn[..., None]
    weights = visibility(alpha, depth, side_by_side=planar and view.orthographic)
    maps = {"ids": weights, "masks": alpha}
    if "colour" in channels:
        maps["colour"] = colours(weights, inputs.colour, inputs.background, brightness if rays.lights else None)
    if "depth" in channels:
        maps["depth"] = (weights[:, 1:] * depth).sum(1) + weights[:, 0] * view.far
    if "motion" in channels:
        motion = flow(rays, weights, depth, inputs.centre, inputs.linear, inputs.angular)
        maps["motion"] = motion * (rays.focal * dt)
    return maps


def _surfaces(rays: Rays, kinds: tuple[str, ...], inputs: _Inputs) -> list[Surface]:
    """One surface a body, in the order of the bodies; bodies of one kind are drawn together."""
    result: dict[int, Surface] = {}
    for kind in dict.fromkeys(kinds):
        index = [i for i, other in enumerate(kinds) if other == kind]
        c, r, s = inputs.centre[:, index], inputs.rotation[:, index], inputs.size[:, index]
        if kind == "sphere":
            surface = sphere_surface(rays, c, s)
        elif kind == "capsule":
            surface = capsule_surface(rays, c, r[..., 2], s)
        elif kind == "ring":
            surface = ring_surface(rays, c, r, s)
        elif kind == "box":
            surface = box_surface(rays, c, r, s)
        elif kind == "polygon":
            surface = polygon_surface(rays, c, r, s, inputs.vertices[:, index])
        else:
            surface = plane_surface(rays, c, r, s)
        shape = surface.distance.shape
        layers = [torch.broadcast_to(value, shape).unbind(1) for value in surface]
        for place, i in enumerate(index):
            result[i] = Surface(*(layer[place] for layer in layers))
    return [result[i] for i in range(len(kinds))]


def _drawn(view: View, kinds: tuple[str, ...], inputs: _Inputs) -> Tensor:
    """(M, N) 1 where a body is drawn at all, without gradient."""
    with torch.no_grad():
        centre, rotation, size = inputs.centre, inputs.rotation, inputs.size
        depth = centre[..., 2]
        seen = (depth >= view.near) & (depth <= view.far)
        eye = -(rotation.mT @ centre[..., None]).squeeze(-1)
        flags = []
        for i, kind in enumerate(kinds):
            if kind == "plane":
                half = size[:, i, :1]
                above = eye[:, i, 2] > 0
                beside = (eye[:, i, :2].abs() > half).any(-1)
                flag = torch.ones_like(above) if view.orthographic else above | beside
            elif kind == "box" and not view.orthographic:
                # A large box (a floor, a wall) may have its centre behind the eye and still fill the picture.
                flag = (eye[:, i].abs() > size[:, i]).any(-1)
                corner = size[:, i].square().sum(-1).sqrt()
                flag = flag & (depth[:, i] + corner > view.near) & (depth[:, i] - corner < view.far)
            elif kind == "sphere" and not view.orthographic:
                flag = seen[:, i] & (centre[:, i].square().sum(-1) > size[:, i, 0].square())
            else:
                flag = seen[:, i]
            flags.append(flag)
        return torch.stack(flags, 1).to(centre.dtype)


def _check(trajectory: Trajectory, bodies: Bodies, tau_px: float, shading: str, channels: Sequence[str]) -> None:
    position = trajectory.position
    if position.dim() != 4:
        raise ValueError(f"trajectory.position: must have shape (B, T, N, 3) or (T, N, 3), got {tuple(position.shape)}")
    if position.shape[2] != bodies.num_bodies:
        raise ValueError(f"trajectory: must have the {bodies.num_bodies} bodies of `bodies`, got {position.shape[2]}")
    if bodies.size.shape[0] not in (1, position.shape[0]):
        raise ValueError(f"bodies: must be of one world or of {position.shape[0]}, got {bodies.size.shape[0]}")
    if not tau_px >= 0:
        raise ValueError(f"tau_px: must be 0 or more, got {tau_px!r}")
    if shading not in ("flat", "shaded"):
        raise ValueError(f"shading: must be flat or shaded, got {shading!r}")
    unknown = sorted(set(channels) - set(CHANNELS))
    if unknown:
        raise ValueError(f"channels: must be among {', '.join(CHANNELS)}, got {unknown}")
