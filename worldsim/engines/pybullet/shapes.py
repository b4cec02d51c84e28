"""Scene shapes as Bullet collision shapes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from worldsim.engines.pybullet.client import bullet, to_bullet
from worldsim.engines.ring import ring_capsules
from worldsim.scene import Box, Capsule, Polygon, Ring, Shape, Sphere

# Bullet builds a compound from at most so many parts; a ring takes several compounds.
MAX_COMPOUND = 16


def collision_shapes(client: int, shape: Shape, offset: Sequence[float] = (0.0, 0.0, 0.0)) -> list[int]:
    """Bullet's collision shapes for one body; more than one for a ring.

    Args:
        client: Number of the physics client.
        shape: Of the body.
        offset: Of the body's centre in the frame that the shape is given in, metres; Bullet gives shapes in the frame
            of a link's joint.

    Returns:
        Identifiers of collision shapes; bodies take the first, and rigidly attached pieces the others.
    """
    if isinstance(shape, Ring):
        return _ring(client, shape, np.asarray(offset))
    fields: dict[str, object]
    if isinstance(shape, Sphere):
        fields = {"shapeType": bullet.GEOM_SPHERE, "radius": shape.radius}
    elif isinstance(shape, Box):
        fields = {"shapeType": bullet.GEOM_BOX, "halfExtents": list(shape.half_extents)}
    elif isinstance(shape, Capsule):
        fields = {"shapeType": bullet.GEOM_CAPSULE, "radius": shape.radius, "height": 2 * shape.half_length}
    elif isinstance(shape, Polygon):
        corners = [[x, y, z] for x, z in shape.vertices for y in (-shape.half_depth, shape.half_depth)]
        fields = {"shapeType": bullet.GEOM_MESH, "vertices": corners}
    else:
        fields = {"shapeType": bullet.GEOM_PLANE, "planeNormal": [0, 0, 1]}
    return [
        bullet.createCollisionShape(**fields, collisionFramePosition=[float(o) for o in offset], physicsClientId=client)
    ]


def _ring(client: int, shape: Ring, offset: NDArray[np.float64]) -> list[int]:
    ring = ring_capsules(shape)
    count = len(ring.centres)
    pieces = np.array_split(np.arange(count), -(-count // MAX_COMPOUND))
    return [
        bullet.createCollisionShapeArray(
            shapeTypes=[bullet.GEOM_CAPSULE] * len(piece),
            radii=[ring.radius] * len(piece),
            lengths=[2 * ring.half_length] * len(piece),
            collisionFramePositions=[(ring.centres[i] + offset).tolist() for i in piece],
            collisionFrameOrientations=[to_bullet(ring.orientations[i]) for i in piece],
            physicsClientId=client,
        )
        for piece in pieces
    ]
