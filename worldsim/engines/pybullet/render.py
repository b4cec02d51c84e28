"""Draw given poses of a scene with Bullet's software renderer: RGB, ids and depth in one call. Knows nothing of motion.

Every body is a body of its own without mass or collision in a client that only draws, so that links need not obey their
joints and bodies may overlap.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldsim.engines.pybullet.client import bullet, physics_client, to_bullet
from worldsim.engines.pybullet.meshes import body_mesh
from worldsim.engines.pybullet.optics import Optics, make_optics
from worldsim.engines.pybullet.rows import lent_mesh
from worldsim.engines.pybullet.shadows import light_camera, lit_share
from worldsim.engines.rollout import Frames
from worldsim.physics.trajectory import Trajectory
from worldsim.scene import Camera, Capsule, Ring, Scene, Sphere
from worldsim.scene.checks import require


@dataclass(frozen=True)
class Preset:
    """How much work goes into RGB; ids and depth are the same in all.

    Attributes:
        shadow: Edge of the shadow map in texels, 0 for no shadows.
        scale: Samples along each axis of a pixel.
    """

    shadow: int
    scale: int


PRESETS = {"fast": Preset(0, 1), "standard": Preset(256, 1), "quality": Preset(512, 2)}
# Largest distance between a round outline and its drawn polygon, pixels.
OUTLINE = 0.03
TOWARDS_LIGHT = np.array([-1.0, -2.0, 4.0]) / math.sqrt(21)
# Share of the colour that a shadow leaves.
SHADE = 0.6
LIGHT = {
    "lightDirection": TOWARDS_LIGHT.tolist(),
    "lightColor": [1.0, 1.0, 1.0],
    "lightDistance": 10.0,
    "lightAmbientCoeff": 0.55,
    "lightDiffuseCoeff": 0.45,
    "lightSpecularCoeff": 0.1,
}


def _segments(scene: Scene, place: int, positions: NDArray[np.float64]) -> int:
    """Straight pieces for the outline of a body: with n of them it is off by r tan^2(pi / 2n) at most."""
    shape = scene.bodies[place].shape
    if isinstance(shape, (Sphere, Capsule)):
        radius = shape.radius
    elif isinstance(shape, Ring):
        radius = shape.minor_radius
    else:
        return 8
    camera = scene.camera
    pixels = radius * camera.focal
    if camera.kind == "perspective":
        _, depth = camera.project(positions)
        seen = depth[depth > -shape.extent]
        nearest = float(seen.min()) - shape.extent if len(seen) else camera.far
        pixels /= max(nearest, camera.near, 0.1 * shape.extent)
    wanted = math.pi / (2 * math.atan(math.sqrt(OUTLINE / max(pixels, OUTLINE))))
    return 4 * math.ceil(min(max(wanted, 12), 96) / 4)


class Stage:
    """The drawn bodies of a scene in one physics client.

    Args:
        client: Number of the physics client.
        scene: To be drawn.
        positions: (T, N, 3) of the frames to come, which say how fine round shapes need to be.
    """

    def __init__(self, client: int, scene: Scene, positions: NDArray[np.float64]) -> None:
        self.client, self.scene = client, scene
        self.uids = []
        for place, body in enumerate(scene.bodies):
            mesh = body_mesh(body.shape, _segments(scene, place, positions[:, place]))
            with lent_mesh(mesh.faces, mesh.vertices, mesh.normals) as (indices, (vertices, normals)):
                shape = bullet.createVisualShape(
                    bullet.GEOM_MESH,
                    vertices=vertices,
                    indices=indices,
                    normals=normals,
                    rgbaColor=[*body.colour, 1.0],
                    specularColor=[1.0, 1.0, 1.0],
                    physicsClientId=client,
                )
            uid = bullet.createMultiBody(0, -1, shape, physicsClientId=client)
            if shape < 0 or uid < 0:
                raise RuntimeError(f"engine pybullet: Bullet took no mesh for body[{body.name}]")
            self.uids.append(uid)
        self._ids = np.zeros(max(self.uids) + 2, dtype=np.uint8)
        self._ids[np.array(self.uids) + 1] = np.arange(1, len(self.uids) + 1)
        camera = scene.camera
        # Absent bodies are put far off the picture's right edge.
        span = 1e3 * (camera.far + camera.extent)
        self._off = (np.array(camera.target) + span * camera.rotation[0]).tolist()

    def pose(self, positions: NDArray[np.float64], orientations: NDArray[np.float64], present: list[bool]) -> None:
        """Put the bodies at (N, 3) positions and (N, 4) quaternions w x y z."""
        for uid, x, q, is_there in zip(self.uids, positions, orientations, present, strict=True):
            bullet.resetBasePositionAndOrientation(
                uid, x.tolist() if is_there else self._off, to_bullet(q), physicsClientId=self.client
            )

    def draw(self, optics: Optics, scale: int = 1) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]:
        """RGB (H, W, 3), ids (H, W) and depth in metres (H, W), all `scale` times finer."""
        camera = optics.camera
        width, height = camera.width * scale, camera.height * scale
        _, _, rgb, depth, seen = bullet.getCameraImage(
            width,
            height,
            optics.view,
            optics.projection,
            shadow=0,
            renderer=bullet.ER_TINY_RENDERER,
            physicsClientId=self.client,
            **LIGHT,
        )
        ids = self._ids[np.asarray(seen).reshape(height, width) + 1]
        raw = np.asarray(depth, dtype=np.float32).reshape(height, width)
        metres = np.where(ids > 0, optics.metres(raw), camera.far).astype(np.float32)
        colours = np.array(rgb, dtype=np.uint8).reshape(height, width, 4)[..., :3]
        if self.scene.shading == "flat":
            colours = _palette(self.scene)[ids]
        else:
            colours = np.where(ids[..., None] > 0, colours, _palette(self.scene)[0])
        return colours, ids, metres

    def shade(
        self, rgb: NDArray[np.uint8], ids: NDArray[np.uint8], metres: NDArray[np.float32], light: Camera
    ) -> NDArray[np.uint8]:
        """Darken what the light does not reach."""
        _, _, from_light = self.draw(make_optics(light))
        share = lit_share(self.scene.camera, metres, light, from_light)
        share = np.where(ids > 0, SHADE + (1 - SHADE) * share, 1.0)
        return np.asarray(np.round(rgb * share[..., None]), dtype=np.uint8)


def _palette(scene: Scene) -> NDArray[np.uint8]:
    """(N + 1, 3) colours of the background and of each body."""
    colours = np.array([scene.background, *(body.colour for body in scene.bodies)])
    return np.asarray(np.round(255 * colours), dtype=np.uint8)


def paint(scene: Scene, trajectory: Trajectory, preset: str) -> Frames:
    """Draw the (T, N, ...) poses of a scene's bodies; those of presence below one half are left out.

    Args:
        scene: Its bodies, camera, shading and background.
        trajectory: Poses, possible or not.
        preset: "fast" (one sample a pixel), "standard" (and shadows) or "quality" (and four samples a pixel).
    """
    require("preset", f"one of {', '.join(PRESETS)}", preset in PRESETS, preset)
    choice = PRESETS[preset]
    position = trajectory.position.detach().double().cpu().numpy()
    orientation = trajectory.orientation.detach().double().cpu().numpy()
    present = trajectory.presence.detach().cpu().numpy() >= 0.5
    camera = scene.camera
    size = (trajectory.num_frames, camera.height, camera.width)
    video = np.zeros((*size, 3), np.uint8)
    ids, depth = np.zeros(size, np.uint8), np.zeros(size, np.float32)
    coarse, fine = make_optics(camera), make_optics(camera, choice.scale)
    # Flat scenes are coloured by their ids, which shadows do not change.
    texels = choice.shadow if scene.shading == "shaded" else 0
    with physics_client() as client:
        stage = Stage(client, scene, position)
        for k in range(trajectory.num_frames):
            there = present[k].tolist()
            stage.pose(position[k], orientation[k], there)
            rgb, number, metres = stage.draw(coarse)
            ids[k], depth[k] = number, metres
            if choice.scale > 1:
                rgb, number, metres = stage.draw(fine, choice.scale)
            light = light_camera(scene, position[k], there, TOWARDS_LIGHT, texels) if texels else None
            if light is not None:
                rgb = stage.shade(rgb, number, metres, light)
            blocks = rgb.reshape(camera.height, choice.scale, camera.width, choice.scale, 3)
            video[k] = np.round(blocks.mean(axis=(1, 3))).astype(np.uint8)
    return Frames(video, ids, depth)
