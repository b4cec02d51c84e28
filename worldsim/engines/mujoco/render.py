"""Draw given poses of a scene: RGB, instance ids and depth. Knows nothing of motion.

Poses go straight into the geoms' world frames, so that links need not obey their joints and bodies may overlap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.engines.mujoco.backend import mujoco
from worldsim.engines.mujoco.model import Compiled, compile_scene
from worldsim.engines.mujoco.screens import Screen, screen_for
from worldsim.engines.mujoco.sun import shadow_volume
from worldsim.engines.rollout import Frames
from worldsim.physics.trajectory import Trajectory
from worldsim.scene import Camera, Scene
from worldsim.scene.checks import require

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Preset:
    """How much work goes into RGB; ids and depth are the same in all.

    Attributes:
        shadow: Edge of the shadow map in texels, 0 for no shadows.
        samples: Of multi-sample anti-aliasing, 0 for none.
    """

    shadow: int
    samples: int


PRESETS = {"fast": Preset(0, 0), "standard": Preset(1024, 4), "quality": Preset(4096, 8)}
HIDDEN = 5  # geom group that is never drawn


def _dress(model: Any, scene: Scene, preset: str) -> None:
    """Write what concerns pictures into the model's visual options."""
    camera, quality = scene.camera, PRESETS[preset]
    model.vis.global_.offwidth, model.vis.global_.offheight = camera.width, camera.height
    model.vis.quality.offsamples = quality.samples
    model.vis.quality.shadowsize = quality.shadow


def _aim(view: Any, camera: Camera) -> None:
    """Set an OpenGL camera to the scene's: principal point at the centre, square pixels."""
    right_down_forward = camera.rotation
    for glcam in view.camera:
        glcam.pos[:] = camera.position
        glcam.forward[:] = right_down_forward[2]
        glcam.up[:] = -right_down_forward[1]
        orthographic = camera.kind == "orthographic"
        half = camera.extent / 2 if orthographic else camera.near * np.tan(np.radians(camera.fov) / 2)
        glcam.orthographic = int(orthographic)
        glcam.frustum_bottom, glcam.frustum_top = -half, half
        glcam.frustum_center = 0.0
        glcam.frustum_width = half * camera.width / camera.height
        glcam.frustum_near, glcam.frustum_far = camera.near, camera.far


def _metres(depth: NDArray[np.float32], camera: Camera) -> NDArray[np.float32]:
    """Depth along the line of sight from a reversed depth buffer (1 at near, 0 at far)."""
    near, far = camera.near, camera.far
    if camera.kind == "orthographic":
        return (far - depth.astype(np.float64) * (far - near)).astype(np.float32)
    return (near * far / (near + depth.astype(np.float64) * (far - near))).astype(np.float32)


class Painter:
    """Draws poses of one scene.

    Args:
        scene: Its bodies, camera, shading and background.
        preset: "fast", "standard" or "quality".
        compiled: The scene's model where there is one already.
    """

    def __init__(self, scene: Scene, preset: str, compiled: Compiled | None = None) -> None:
        require("preset", f"one of {', '.join(PRESETS)}", preset in PRESETS, preset)
        self.scene, self.preset = scene, preset
        self.compiled = compiled or compile_scene(scene)
        self.model = self.compiled.model
        _dress(self.model, scene, preset)
        self.data = mujoco.MjData(self.model)
        mujoco.mj_forward(self.model, self.data)
        self.view = mujoco.MjvScene(self.model, maxgeom=self.model.ngeom + 8)
        self.option = mujoco.MjvOption()
        self.option.geomgroup[:] = 1
        self.option.geomgroup[HIDDEN] = 0
        self.camera = mujoco.MjvCamera()
        # Where a geom sits in its body; the compiler may have moved a mesh to its principal axes.
        self.local_position = self.model.geom_pos.copy()
        self.local_turn = _matrices(self.model.geom_quat)
        self.shadow = shadow_volume(scene)

    def paint(self, trajectory: Trajectory) -> Frames:
        """Draw the (T, N, ...) poses."""
        camera = self.scene.camera
        position = trajectory.position.double().numpy()
        turn = _matrices(trajectory.orientation.double().numpy())
        present = trajectory.presence.numpy() > 0.5
        owner = self.compiled.geom_owner
        # (T, G, 3) and (T, G, 9): every geom in the world frame, at every instant.
        centres = position[:, owner] + np.einsum("tgij,gj->tgi", turn[:, owner], self.local_position)
        turns = np.einsum("tgij,gjk->tgik", turn[:, owner], self.local_turn).reshape(len(position), len(owner), 9)
        shape = (len(position), camera.height, camera.width)
        video, ids = np.empty((*shape, 3), np.uint8), np.empty(shape, np.uint8)
        depth = np.empty(shape, np.float32)
        screen = screen_for(self.model, self.scene, self.preset)
        screen.handle.shadowClip = self.shadow.radius
        for t in range(len(position)):
            self._pose(centres[t], turns[t], present[t])
            self._shoot(screen, video[t], ids[t], depth[t])
        depth = np.where(ids == 0, np.float32(camera.far), _metres(depth, camera))
        return Frames(video, ids, depth)

    def _pose(self, centres: Array, turns: Array, present: NDArray[np.bool_]) -> None:
        self.data.geom_xpos[:] = centres
        self.data.geom_xmat[:] = turns
        self.model.geom_group[:] = np.where(present[self.compiled.geom_owner], 0, HIDDEN)
        mujoco.mjv_updateScene(
            self.model, self.data, self.option, None, self.camera, int(mujoco.mjtCatBit.mjCAT_ALL), self.view
        )
        _aim(self.view, self.scene.camera)
        self._set_sun()
        if self.scene.shading == "flat":
            for light in self.view.lights[: self.view.nlight]:  # emission alone: exactly the body's colour
                light.ambient[:], light.diffuse[:], light.specular[:] = 0, 0, 0

    def _set_sun(self) -> None:
        """Put the sun where its shadow map covers the view, and take planes, which shade themselves, out of the map."""
        if not PRESETS[self.preset].shadow:
            return
        for light in self.view.lights[: self.view.nlight]:
            if light.castshadow:
                # The map reaches over the camera's own near to far distance from here.
                back = self.scene.camera.near + 2 * self.shadow.radius
                light.pos[:] = self.shadow.centre - back * np.array(light.dir)
        plane, decor = int(mujoco.mjtGeom.mjGEOM_PLANE), int(mujoco.mjtCatBit.mjCAT_DECOR)
        for geom in self.view.geoms[: self.view.ngeom]:
            if int(geom.type) == plane:
                geom.category = decor

    def _shoot(
        self, screen: Screen, rgb: NDArray[np.uint8], ids: NDArray[np.uint8], depth: NDArray[np.float32]
    ) -> None:
        flags, names = self.view.flags, mujoco.mjtRndFlag
        colour, raw = np.empty_like(rgb), np.empty_like(depth)
        flags[int(names.mjRND_SHADOW)] = PRESETS[self.preset].shadow > 0
        flags[int(names.mjRND_SEGMENT)] = flags[int(names.mjRND_IDCOLOR)] = 0
        flags[int(names.mjRND_SKYBOX)] = 1
        mujoco.mjr_render(screen.rect, self.view, screen.handle)
        mujoco.mjr_readPixels(colour, None, screen.rect, screen.handle)
        rgb[:] = colour[::-1]
        flags[int(names.mjRND_SEGMENT)] = flags[int(names.mjRND_IDCOLOR)] = 1
        mujoco.mjr_render(screen.rect, self.view, screen.handle)
        mujoco.mjr_readPixels(colour, raw, screen.rect, screen.handle)
        depth[:] = raw[::-1]
        # Segment numbers are places in the view's list of geoms, plus one.
        table = np.zeros(self.view.ngeom + 1, np.uint8)
        for geom in self.view.geoms[: self.view.ngeom]:
            if geom.segid >= 0:
                table[geom.segid + 1] = self.compiled.geom_owner[geom.objid] + 1
        segment = colour[::-1].astype(np.uint32)
        ids[:] = table[segment[..., 0] | segment[..., 1] << 8 | segment[..., 2] << 16]


def _matrices(quaternions: Array) -> Array:
    """Rotation matrices (..., 3, 3) of quaternions w x y z (..., 4)."""
    w, x, y, z = np.moveaxis(quaternions / np.linalg.norm(quaternions, axis=-1, keepdims=True), -1, 0)
    rows = [
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
