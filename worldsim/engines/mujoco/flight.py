"""Free flight in closed form, and how long nothing can touch: steps across flight are then as long as flight lasts.

Between a ball around a moving body and a convex obstacle, the plane through the obstacle's nearest point, across the
shortest line between the two, keeps them apart until the ball reaches it. Under constant acceleration that time is the
root of a quadratic equation, and the least over all pairs bounds the first touch from below.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.engines.mujoco.backend import mujoco
from worldsim.engines.mujoco.model import MARGIN, Compiled
from worldsim.engines.stepping import exempt_pairs
from worldsim.scene import Scene

Array = NDArray[np.float64]


def flies_freely(scene: Scene, compiled: Compiled) -> bool:
    """Whether every moving body, as long as nothing touches it, falls and spins evenly.

    So it does without drag, joints and drives if it turns about one axis only or has equal moments of inertia.
    """

    def even(moments: tuple[float, float, float]) -> bool:
        return max(moments) - min(moments) <= 1e-12 * max(moments)

    loose = scene.law.drag == 0 and not compiled.jointed and not compiled.damped
    return loose and all(scene.planar or b.static or even(b.inertia()) for b in scene.bodies)


class Flight:
    """Moves the bodies of a scene that flies freely.

    Args:
        scene: For which flies_freely holds.
        compiled: Its model.
        data: mujoco.MjData with the static geoms in their places.
    """

    def __init__(self, scene: Scene, compiled: Compiled, data: Any) -> None:
        self.model, self.data = compiled.model, data
        moving = [i for i, body in enumerate(scene.bodies) if not body.static]
        columns = [0, 2] if scene.planar else [0, 1, 2]
        address = compiled.planar_address if scene.planar else compiled.free_address
        places, span = np.array(moving, dtype=np.int64), np.arange(len(columns))
        self.columns = columns
        self.coordinates = address[places][:, None] + span
        self.speeds = self.model.body_dofadr[compiled.body_ids[places]][:, None] + span
        self.gravity = np.array(scene.law.gravity)
        self.pull = np.zeros(self.model.nv)
        self.pull[self.speeds] = self.gravity[columns]
        # One row more, which stays zero, stands for whatever is static.
        self.position, self.velocity = np.zeros((2, len(moving) + 1, 3))
        self._find_pairs(scene, compiled, moving)

    def _find_pairs(self, scene: Scene, compiled: Compiled, moving: list[int]) -> None:
        """Rows of all that may meet: moving bodies with segments, boxes and planes, then with each other."""
        model, data, kinds = self.model, self.data, mujoco.mjtGeom
        exempt, radii = exempt_pairs(scene), [scene.bodies[i].shape.extent for i in moving]
        still = [g for g, owner in enumerate(compiled.geom_owner) if scene.bodies[owner].static]
        rows: dict[str, list[tuple[int, int]]] = {"segment": [], "box": [], "plane": []}
        for geom in still:
            kind, owner = model.geom_type[geom], int(compiled.geom_owner[geom])
            known = {int(kinds.mjGEOM_BOX): "box", int(kinds.mjGEOM_PLANE): "plane"}.get(int(kind), "segment")
            rows[known] += [
                (m, geom) for m, place in enumerate(moving) if (min(place, owner), max(place, owner)) not in exempt
            ]
        movers = {kind: np.array([m for m, _ in pairs], dtype=np.int64) for kind, pairs in rows.items()}
        geoms = {kind: np.array([g for _, g in pairs], dtype=np.int64) for kind, pairs in rows.items()}
        frames = data.geom_xmat.reshape(-1, 3, 3)
        self.movers, self.centres = movers, {kind: data.geom_xpos[g].copy() for kind, g in geoms.items()}
        self.box_frame, self.box_half = frames[geoms["box"]].copy(), model.geom_size[geoms["box"]].copy()
        self.plane_normal = frames[geoms["plane"], :, 2].copy()
        capsule = model.geom_type[geoms["segment"]] == int(kinds.mjGEOM_CAPSULE)
        self.axis = frames[geoms["segment"], :, 2].copy()
        self.half_length = np.where(capsule, model.geom_size[geoms["segment"], 1], 0.0)
        # Spheres, and the balls around whatever has no case of its own.
        thick = np.where(capsule, model.geom_size[geoms["segment"], 0], model.geom_rbound[geoms["segment"]])
        both = [
            (a, b)
            for a in range(len(moving))
            for b in range(a + 1, len(moving))
            if (moving[a], moving[b]) not in exempt
        ]
        first = np.array([a for a, _ in both], dtype=np.int64)
        second = np.array([b for _, b in both], dtype=np.int64)
        alone = sum(len(m) for m in movers.values())
        self.first = np.concatenate([*movers.values(), first])
        self.second = np.concatenate([np.full(alone, len(moving)), second])
        size = np.array(radii)
        others = np.concatenate([thick, np.zeros(alone - len(thick)), size[second]])
        self.reach = size[self.first] + others + MARGIN
        self.falls = np.arange(len(self.first)) < alone

    def fly(self, step: float) -> None:
        """Move on by that many seconds of flight."""
        velocity = self.data.qvel
        mujoco.mj_integratePos(self.model, self.data.qpos, velocity + self.pull * (step / 2), step)
        velocity += self.pull * step

    def clear(self) -> float:
        """Seconds for which certainly nothing comes within the margin of anything; 0 where something may be there."""
        position, velocity, columns = self.position, self.velocity, self.columns
        position[:-1, columns] = self.data.qpos[self.coordinates]
        velocity[:-1, columns] = self.data.qvel[self.speeds]
        # From each obstacle's nearest point to the centre of the moving body.
        offset = position[self.movers["segment"]] - self.centres["segment"]
        along = (offset * self.axis).sum(axis=1).clip(-self.half_length, self.half_length)
        from_segment = offset - along[:, None] * self.axis
        offset = position[self.movers["box"]] - self.centres["box"]
        local = np.einsum("pji,pj->pi", self.box_frame, offset)
        local -= local.clip(-self.box_half, self.box_half)
        from_box = np.einsum("pij,pj->pi", self.box_frame, local)
        offset = position[self.movers["plane"]] - self.centres["plane"]
        height = (offset * self.plane_normal).sum(axis=1).clip(0.0)
        between = position[self.first[~self.falls]] - position[self.second[~self.falls]]
        vector = np.concatenate([from_segment, from_box, height[:, None] * self.plane_normal, between])
        distance = np.sqrt((vector * vector).sum(axis=1))
        gap = distance - self.reach
        if (gap <= 0).any():
            return 0.0
        normal = vector / distance[:, None]
        rate = (normal * (velocity[self.first] - velocity[self.second])).sum(axis=1)
        pull = np.where(self.falls, normal @ self.gravity, 0.0)
        # The first root of gap + rate t + pull t^2 / 2.
        inside = rate * rate - 2 * pull * gap
        closing = np.sqrt(np.maximum(inside, 0.0)) - rate
        meets = (inside >= 0) & (closing > 0)
        return float((2 * gap[meets] / closing[meets]).min(initial=np.inf))
