"""Scene shapes as Bullet collision shapes."""

from __future__ import annotations

import numpy as np

from worldsim.engines.pybullet.client import bullet, to_bullet
from worldsim.engines.ring import ring_capsules
from worldsim.scene import Box, Capsule, Polygon, Ring, Shape, Sphere

# Bullet builds a compound from at most so many parts; a ring takes several compounds.
MAX_COMPOUND = 16


def collision_shapes(client: int, shape: Shape) -> list[int]:
    """Bullet's collision shapes for one body, all in the body frame; more than one for a ring.

    Args:
        client: Number of the physics client.
        shape: Of the body.

    Returns:
        Identifiers of collision shapes; bodies take the first, and rigidly attached pieces the others.
    """
    if isinstance(shape, Sphere):
        return [bullet.createCollisionShape(bullet.GEOM_SPHERE, radius=shape.radius, physicsClientId=client)]
    if isinstance(shape, Box):
        extents = list(shape.half_extents)
        return [bullet.createCollisionShape(bullet.GEOM_BOX, halfExtents=extents, physicsClientId=client)]
    if isinstance(shape, Capsule):
        return [
            bullet.createCollisionShape(
                bullet.GEOM_CAPSULE, radius=shape.radius, height=2 * shape.half_length, physicsClientId=client
            )
        ]
    if isinstance(shape, Polygon):
        corners = [[x, y, z] for x, z in shape.vertices for y in (-shape.half_depth, shape.half_depth)]
        return [bullet.createCollisionShape(bullet.GEOM_MESH, vertices=corners, physicsClientId=client)]
    if isinstance(shape, Ring):
        ring = ring_capsules(shape)
        count = len(ring.centres)
        pieces = np.array_split(np.arange(count), -(-count // MAX_COMPOUND))
        return [
            bullet.createCollisionShapeArray(
                shapeTypes=[bullet.GEOM_CAPSULE] * len(piece),
                radii=[ring.radius] * len(piece),
                lengths=[2 * ring.half_length] * len(piece),
                collisionFramePositions=[ring.centres[i].tolist() for i in piece],
                collisionFrameOrientations=[to_bullet(ring.orientations[i]) for i in piece],
                physicsClientId=client,
            )
            for piece in pieces
        ]
    return [bullet.createCollisionShape(bullet.GEOM_PLANE, planeNormal=[0, 0, 1], physicsClientId=client)]
