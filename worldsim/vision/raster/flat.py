"""Boxes, extruded polygons and planes as pictures: convex hulls of projected corners.

A plane is drawn as the top of a deep square block, so that an orthographic view along its surface shows the half-space
under it and a perspective view ends at the horizon of the drawn square.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from worldsim.vision.raster.round import Rays, Surface
from worldsim.vision.raster.silhouette import arg_largest, clip_to_depth, convex_distance

_SIGNS = [[x, y, z] for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)]
_EDGES = [(a, b) for a in range(8) for b in range(a + 1, 8) if (a ^ b).bit_count() == 1]
# Cosine to the line of sight below which a face counts as edge on and gives no depth.
_EDGE_ON = 1e-4


def _outline(rays: Rays, corners: Tensor, edges: list[tuple[int, int]], count: int) -> Tensor:
    """Signed pixel distance to the hull of (M, n, V, 3) corners in camera axes; see convex_distance."""
    view = rays.view
    if view.orthographic:
        plane = corners[..., :2]
    else:
        if bool((corners.detach()[..., 2] < view.near).any()):
            starts, ends = ([edge[i] for edge in edges] for i in (0, 1))
            corners = clip_to_depth(corners[..., starts, :], corners[..., ends, :], view.near)
            count += 4
        plane = corners[..., :2] / corners[..., 2:]
    return convex_distance(plane, count, rays.points) * rays.focal


def _faces(rays: Rays, centre: Tensor, normals: Tensor, extents: Tensor, reach: Tensor) -> tuple[Tensor, Tensor]:
    """First hit of rays with a body bounded by pairs of parallel faces.

    Args:
        rays: Of the pixels.
        centre: (M, n, 3) metres, camera axes.
        normals: (M, n, F, 3) unit normals of one face of each pair, camera axes.
        extents: (M, n, F) distance of the faces from the centre, metres.
        reach: (M, n) how far from the centre the body reaches, metres; bounds the depth beside the outline.

    Returns:
        Depth and brightness, (M, n, P) each.
    """
    along = normals[..., 2] if rays.view.orthographic else (normals * centre[..., None, :]).sum(-1)
    # Of each pair the face towards the viewer: in perspective decided by the eye's place against the centre.
    side = torch.where(along.detach() > 0, -1.0, 1.0)
    normals = normals * side[..., None]
    level = (normals * centre[..., None, :]).sum(-1) + extents
    if rays.view.orthographic:
        towards = normals[..., 2:]
        level = level[..., None] - normals[..., 0, None] * rays.x[:, None] - normals[..., 1, None] * rays.y[:, None]
    else:
        towards = torch.matmul(normals.flatten(1, 2), rays.points).unflatten(1, normals.shape[1:3])
        level = level[..., None]
    usable = towards < -_EDGE_ON
    depth = torch.where(usable, level / torch.where(usable, towards, -1.0), -math.inf)
    # The eye may be within a slab, in front of no face of the pair: its hit lies behind the eye and loses.
    best = arg_largest(depth.detach())[:, :, None]
    entry = torch.gather(depth, 2, best).squeeze(2)
    middle, reach = centre[..., 2:], reach[..., None]
    entry = torch.minimum(torch.maximum(entry, middle - reach), middle + reach)

    def cosine(towards: Tensor) -> Tensor:
        faces = (normals * towards[..., None, :]).sum(-1)[..., None]
        return torch.gather(faces.expand(depth.shape), 2, best).squeeze(2)

    return entry, rays.brightness(cosine).expand(entry.shape)


def box_surface(rays: Rays, centre: Tensor, rotation: Tensor, size: Tensor) -> Surface:
    """Boxes. In perspective a box that reaches behind the near distance is cut there.

    Args:
        rays: Of the pixels.
        centre: (M, n, 3) metres, camera axes.
        rotation: (M, n, 3, 3) from body to camera axes.
        size: (M, n, 3) half extents, metres.
    """
    signs = torch.tensor(_SIGNS, dtype=centre.dtype, device=centre.device)
    corners = centre[..., None, :] + (signs * size[..., None, :]) @ rotation.mT
    distance = _outline(rays, corners, _EDGES, 6)
    depth, brightness = _faces(rays, centre, rotation.mT, size, size.square().sum(-1).sqrt())
    return Surface(distance, depth, brightness)


def polygon_surface(rays: Rays, centre: Tensor, rotation: Tensor, size: Tensor, vertices: Tensor) -> Surface:
    """Convex polygons in the body's xz-plane, extruded along the body's y axis. Depth is that of the cap in view.

    Args:
        rays: Of the pixels.
        centre: (M, n, 3) metres, camera axes.
        rotation: (M, n, 3, 3) from body to camera axes.
        size: (M, n, 3) half depth first, metres.
        vertices: (M, n, V, 2) x and z in the body frame, the last one repeated as padding, metres.
    """
    count = vertices.shape[-2]
    half = size[..., 0, None].expand(vertices.shape[:-1])
    caps = [torch.stack([vertices[..., 0], sign * half, vertices[..., 1]], -1) for sign in (-1.0, 1.0)]
    corners = centre[..., None, :] + torch.cat(caps, -2) @ rotation.mT
    edges = [(c * count + i, c * count + (i + 1) % count) for c in range(2) for i in range(count)]
    edges += [(i, count + i) for i in range(count)]
    distance = _outline(rays, corners, edges, count + 2)
    reach = (vertices.square().sum(-1).amax(-1) + size[..., 0].square()).sqrt()
    depth, brightness = _faces(rays, centre, rotation.mT[..., 1:2, :], size[..., :1], reach)
    return Surface(distance, depth, brightness)


def plane_surface(rays: Rays, centre: Tensor, rotation: Tensor, size: Tensor) -> Surface:
    """Planes with the solid side along the body's -z.

    Args:
        rays: Of the pixels.
        centre: (M, n, 3) metres, camera axes.
        rotation: (M, n, 3, 3) from body to camera axes.
        size: (M, n, 3) half edge of the drawn square first, metres.
    """
    half = size[..., :1]
    normal = rotation[..., 2]
    block = half.expand(size.shape)
    signs = torch.tensor(_SIGNS, dtype=centre.dtype, device=centre.device)
    corners = (centre - half * normal)[..., None, :] + (signs * block[..., None, :]) @ rotation.mT
    distance = _outline(rays, corners, _EDGES, 6)
    level = (normal * centre).sum(-1, keepdim=True)
    towards = rays.along(normal)
    if rays.view.orthographic:
        level = level - normal[..., :1] * rays.x - normal[..., 1:2] * rays.y
    usable = towards < -_EDGE_ON
    depth = torch.where(usable, level / torch.where(usable, towards, -1.0), rays.view.far)
    brightness = rays.brightness(lambda light: (normal * light).sum(-1, keepdim=True))
    depth = depth.clamp(rays.view.near, rays.view.far)
    shape = torch.broadcast_shapes(depth.shape, distance.shape)
    return Surface(distance, depth.expand(shape), brightness.expand(shape))
