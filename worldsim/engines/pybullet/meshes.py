"""Triangle meshes of the scene's shapes for the renderer; Bullet's own spheres and capsules are too coarse."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from worldsim.engines.pybullet.rotation import turn
from worldsim.engines.ring import ring_capsules
from worldsim.scene import Box, Capsule, Plane, Polygon, Ring, Shape, Sphere

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Mesh:
    """Triangles with a normal at each vertex.

    Attributes:
        vertices: (V, 3) metres, body frame.
        normals: (V, 3) unit.
        faces: (F, 3) vertex numbers.
    """

    vertices: Array
    normals: Array
    faces: NDArray[np.int64]


def body_mesh(shape: Shape, segments: int) -> Mesh:
    """The surface of a shape.

    Args:
        shape: Of the body.
        segments: Straight pieces that a full circle of the shape's outline gets; even, at least 8.
    """
    if isinstance(shape, Sphere):
        return _round(shape.radius, 0.0, segments)
    if isinstance(shape, Capsule):
        return _round(shape.radius, shape.half_length, segments)
    if isinstance(shape, Box):
        x, y, z = shape.half_extents
        return _prism(np.array([[-x, -z], [x, -z], [x, z], [-x, z]]), y)
    if isinstance(shape, Polygon):
        return _prism(np.array(shape.vertices), shape.half_depth)
    if isinstance(shape, Ring):
        return _ring(shape, segments)
    assert isinstance(shape, Plane)
    h = shape.half_size
    corners = np.array([[-h, -h, 0.0], [h, -h, 0.0], [h, h, 0.0], [-h, h, 0.0]])
    return Mesh(corners, np.tile([0.0, 0.0, 1.0], (4, 1)), np.array([[0, 1, 2], [0, 2, 3]]))


def _grid_faces(rows: int, columns: int) -> NDArray[np.int64]:
    """Two triangles for each cell of a grid of rows x columns vertices, closed around the columns."""
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(columns), indexing="ij")
    a, b = i * columns + j, i * columns + (j + 1) % columns
    c, d = a + columns, b + columns
    return np.concatenate([np.stack([a, c, b], -1).reshape(-1, 3), np.stack([b, c, d], -1).reshape(-1, 3)])


@lru_cache(maxsize=64)
def _round(radius: float, half_length: float, segments: int) -> Mesh:
    """A sphere, pulled apart along z into a capsule. The outline's corners are as far outside as its edges inside."""
    half = segments // 2
    polar = np.pi * np.arange(half + 1) / half
    if half_length > 0:
        # The equator twice, once for each cap.
        polar = np.concatenate([polar[: half // 2 + 1], polar[half // 2 :]])
    lift = np.where(np.arange(len(polar)) < len(polar) / 2, half_length, -half_length)
    around = 2 * np.pi * np.arange(segments) / segments
    theta, phi = np.meshgrid(polar, around, indexing="ij")
    normals = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], -1)
    corner = radius * 2 / (1 + math.cos(math.pi / segments))
    vertices = normals * corner
    vertices[..., 2] += lift[:, None]
    faces = _grid_faces(len(polar), segments)
    flat = vertices.reshape(-1, 3)
    edges = flat[faces[:, 1]] - flat[faces[:, 0]], flat[faces[:, 2]] - flat[faces[:, 0]]
    # At the poles every other triangle has no area.
    solid = np.linalg.norm(np.cross(*edges), axis=-1) > 1e-9 * radius * radius
    return Mesh(flat, normals.reshape(-1, 3), faces[solid])


def _prism(outline: Array, half_depth: float) -> Mesh:
    """A polygon of (x, z) corners, counter-clockwise with x right and z up, extruded along y."""
    count = len(outline)
    vertices: list[list[float]] = []
    normals: list[list[float]] = []
    faces: list[list[int]] = []
    for side in (-1.0, 1.0):
        first = len(vertices)
        vertices += [[x, side * half_depth, z] for x, z in outline]
        normals += [[0.0, side, 0.0]] * count
        fan = [[first, first + i, first + i + 1] for i in range(1, count - 1)]
        faces += fan if side < 0 else [face[::-1] for face in fan]
    for (x0, z0), (x1, z1) in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        first = len(vertices)
        out = np.array([z1 - z0, 0.0, x0 - x1])
        vertices += [[x0, -half_depth, z0], [x0, half_depth, z0], [x1, half_depth, z1], [x1, -half_depth, z1]]
        normals += [(out / np.linalg.norm(out)).tolist()] * 4
        faces += [[first, first + 1, first + 2], [first, first + 2, first + 3]]
    return Mesh(np.array(vertices), np.array(normals), np.array(faces))


def _ring(ring: Ring, segments: int) -> Mesh:
    """The capsules' tubes, joined: rings of vertices at the corners of their polygon."""
    capsules = ring_capsules(ring)
    count = len(capsules.centres)
    ends = [
        centre + turn(quaternion, np.array([0.0, 0.0, -capsules.half_length]))
        for centre, quaternion in zip(capsules.centres, capsules.orientations, strict=True)
    ]
    corners = np.array(ends)
    around = 2 * np.pi * np.arange(segments) / segments
    outward = corners / np.linalg.norm(corners, axis=-1, keepdims=True)
    up = np.array([0.0, 0.0, 1.0])
    normals = outward[:, None] * np.cos(around)[None, :, None] + up * np.sin(around)[None, :, None]
    size = capsules.radius * 2 / (1 + math.cos(math.pi / segments))
    vertices = corners[:, None] + size * normals
    closed = np.arange(count * segments).reshape(count, segments)
    closed = np.concatenate([closed, closed[:1]])
    faces = closed.reshape(-1)[_grid_faces(count + 1, segments)]
    return Mesh(vertices.reshape(-1, 3), normals.reshape(-1, 3), faces)
