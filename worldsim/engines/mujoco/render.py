"""Draw given poses of a scene: RGB, instance ids and depth. Knows nothing of motion.

Poses go straight into the geoms' world frames, so that links need not obey their joints and bodies may overlap.
Without shadows and anti-aliasing a pixel shows one geom, whatever else there is. Bodies that keep their pose are then
drawn once and the others laid over them by depth, and flat colours are read off the ids: the same bytes for less work.
(Of a flat colour halfway between two levels of a byte, OpenGL draws either level, as its interpolation goes.)
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.engines.mujoco.backend import mujoco
from worldsim.engines.mujoco.layers import Layer, Windows, moving_bodies, pixels_in_front
from worldsim.engines.mujoco.model import Compiled, compile_scene
from worldsim.engines.mujoco.screens import Screen, screen_for
from worldsim.engines.mujoco.sun import shadow_volume
from worldsim.engines.rollout import Frames
from worldsim.physics.trajectory import Trajectory
from worldsim.scene import Camera, Scene, light
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
EVERYTHING = int(mujoco.mjtCatBit.mjCAT_ALL)
SEGMENTS = [int(mujoco.mjtRndFlag.mjRND_SEGMENT), int(mujoco.mjtRndFlag.mjRND_IDCOLOR)]


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

    Attributes:
        layered: Whether pictures may be put together from layers; without, everything is drawn in every frame.
    """

    def __init__(self, scene: Scene, preset: str, compiled: Compiled | None = None) -> None:
        require("preset", f"one of {', '.join(PRESETS)}", preset in PRESETS, preset)
        self.scene, self.preset = scene, preset
        self.layered = PRESETS[preset] == Preset(shadow=0, samples=0)
        self.compiled = compiled or compile_scene(scene)
        self.model = self.compiled.model
        _dress(self.model, scene, preset)
        self.data = mujoco.MjData(self.model)
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_comPos(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)
        self.view = mujoco.MjvScene(self.model, maxgeom=self.model.ngeom + 8)
        self.option, self.perturb = mujoco.MjvOption(), mujoco.MjvPerturb()
        self.option.geomgroup[:] = 1
        self.option.geomgroup[HIDDEN] = 0
        # Where a geom sits in its body; the compiler may have moved a mesh to its principal axes.
        self.local_position = self.model.geom_pos.copy()
        self.local_turn = _matrices(self.model.geom_quat)
        # By id; the sky is of one colour, which the model holds.
        colours = [(0.0, 0.0, 0.0), *(body.colour for body in scene.bodies)]
        self.colours = np.rint(255 * np.array(colours)).astype(np.uint8)
        self.colours[0] = self.model.tex_data[:3]
        self._set_stage()

    def _set_stage(self) -> None:
        """Camera and lights, which stay as they are whatever moves."""
        mujoco.mjv_updateScene(self.model, self.data, self.option, None, mujoco.MjvCamera(), EVERYTHING, self.view)
        _aim(self.view, self.scene.camera)
        self.view.flags[int(mujoco.mjtRndFlag.mjRND_SHADOW)] = PRESETS[self.preset].shadow > 0
        self.shadow_clip = 1.0
        lights = self.view.lights[: self.view.nlight]
        for lamp in lights:
            if lamp.headlight:  # which would else follow MuJoCo's own camera, that nobody looks through
                lamp.dir[:] = np.array(light.LAMP_DIRECTION) / np.linalg.norm(light.LAMP_DIRECTION)
            if self.scene.shading == "flat":  # emission alone: exactly the body's colour
                lamp.ambient[:], lamp.diffuse[:], lamp.specular[:] = 0, 0, 0
        if PRESETS[self.preset].shadow:
            shadow = shadow_volume(self.scene)
            self.shadow_clip = shadow.radius
            for lamp in lights:
                if lamp.castshadow:
                    # The map covers the view; it reaches over the camera's own near to far distance from here.
                    back = self.scene.camera.near + 2 * shadow.radius
                    lamp.pos[:] = shadow.centre - back * np.array(lamp.dir)

    def paint(self, trajectory: Trajectory) -> Frames:
        """Draw the (T, N, ...) poses."""
        position = trajectory.position.double().numpy()
        turn = _matrices(trajectory.orientation.double().numpy())
        present = trajectory.presence.numpy() > 0.5
        layered = self.layered and not self._seen_through(position, turn, present)
        screen = screen_for(self.model, self.scene, self.preset, sky=not layered)
        screen.handle.shadowClip = self.shadow_clip
        moving = moving_bodies(trajectory)
        if not layered:
            return _upright(self._finish(self._shoot(screen, position, turn, present, layered=False), layered=False))
        base = self._shoot(screen, position[:1], turn[:1], present[:1] & ~moving)
        frames = _upright(self._finish(base))
        frames = Frames(*(np.repeat(part, len(position), axis=0) for part in _parts(frames)))
        if moving.any():
            top = self._shoot(screen, position, turn, present & moving)
            seen = pixels_in_front(top, base)
            laid = self._finish(top.take(seen))
            width, height = self.scene.camera.width, self.scene.camera.height
            seen += (height - 1 - 2 * (seen // width % height)) * width  # the same pixels, rows from the top
            for part, pixels in zip(_parts(frames), _parts(laid), strict=True):
                part.reshape(-1, *part.shape[3:])[seen] = pixels
        return frames

    def _seen_through(self, position: Array, turn: Array, present: NDArray[np.bool_]) -> bool:
        """Whether a plane is ever seen from behind, which MuJoCo draws half transparent."""
        planes = np.array([body.shape.kind == "plane" for body in self.scene.bodies])
        offset = np.array(self.scene.camera.position) - position[:, planes]
        behind = (offset * turn[..., 2][:, planes]).sum(axis=-1) <= 0
        return bool((behind & present[:, planes]).any())

    def _finish(self, layer: Layer, layered: bool = True) -> Frames:
        """Ids, metres and colours of pixels."""
        ids = np.concatenate([[0], self.compiled.geom_owner + 1]).astype(np.uint8)[layer.geoms]
        ids[layer.depth == 0] = 0
        far = np.float32(self.scene.camera.far)
        depth = np.where(ids == 0, far, _metres(layer.depth, self.scene.camera))
        if layer.rgb is None:
            return Frames(self.colours[ids], ids, depth)
        if not layered:
            return Frames(layer.rgb, ids, depth)
        return Frames(np.where(ids[..., None] == 0, self.colours[0], layer.rgb), ids, depth)

    def _shoot(
        self, screen: Screen, position: Array, turn: Array, shown: NDArray[np.bool_], layered: bool = True
    ) -> Layer:
        """Draw T poses.

        Args:
            screen: To draw to.
            position: (T, N, 3) metres.
            turn: (T, N, 3, 3) rotation matrices.
            shown: (T, N) which bodies are drawn.
            layered: Without the background, and without colours where they are flat.
        """
        frames, camera = len(position), self.scene.camera
        places = self.compiled.geom_owner
        ever: NDArray[np.bool_] = np.logical_or.reduce(shown, axis=0)
        drawn = np.flatnonzero(ever[places])
        owner = places[drawn]
        # (T, G, 3) and (T, G, 9): every geom that is drawn in the world frame, at every instant.
        centres = position[:, owner] + np.einsum("tgij,gj->tgi", turn[:, owner], self.local_position[drawn])
        turns = np.einsum("tgij,gjk->tgik", turn[:, owner], self.local_turn[drawn]).reshape(frames, len(drawn), 9)
        shape = (frames, camera.height, camera.width)
        coloured = not layered or self.scene.shading != "flat"
        rgb = np.empty((*shape, 3), np.uint8) if coloured else None
        geoms, depth = np.zeros(shape, np.uint16), np.empty(shape, np.float32)
        codes = np.empty((*shape[1:], 3), np.uint8)
        self.view.flags[int(mujoco.mjtRndFlag.mjRND_SKYBOX)] = not layered
        # Bodies that are seen apart are told apart by where they are, and need no picture of their numbers.
        windows = Windows(self.scene, position, shown) if layered and rgb is not None else None
        first = [int(np.argmax(places == place)) + 1 for place in range(shown.shape[1])]
        changes = np.flatnonzero((shown[1:] != shown[:-1]).any(axis=1)) + 1
        for start, stop in itertools.pairwise([0, *changes.tolist(), frames]):
            self.model.geom_group[:] = np.where(shown[start][places], 0, HIDDEN)
            table = None
            for t in range(start, stop):
                self.data.geom_xpos[drawn], self.data.geom_xmat[drawn] = centres[t], turns[t]
                self._place_geoms()
                apart = windows is not None and windows.apart[t]
                if rgb is not None:
                    self._expose(screen, rgb[t], depth[t] if apart else None, numbers=False)
                if apart and windows is not None:
                    for place, rows, columns in windows.of(t):
                        geoms[t, rows, columns] = first[place]
                    continue
                self._expose(screen, codes, depth[t], numbers=True)
                table = _geom_numbers(self.view) if table is None else table
                low, high = codes[..., 0], codes[..., 1]
                geoms[t] = table[low] if len(table) <= 256 else table[low | high.astype(np.uint16) << 8]
        return Layer(rgb, geoms, depth)

    def _place_geoms(self) -> None:
        """Bring the view's geoms to where they are now."""
        view = self.view
        view.ngeom = 0
        mujoco.mjv_addGeoms(self.model, self.data, self.option, self.perturb, EVERYTHING, view)
        if PRESETS[self.preset].shadow:
            for geom in view.geoms[: view.ngeom]:  # planes, which would shade themselves, stay out of the map
                if int(geom.type) == int(mujoco.mjtGeom.mjGEOM_PLANE):
                    geom.category = int(mujoco.mjtCatBit.mjCAT_DECOR)

    def _expose(
        self, screen: Screen, picture: NDArray[np.uint8], depth: NDArray[np.float32] | None, numbers: bool
    ) -> None:
        """Draw the view's geoms in their colours or in their numbers."""
        self.view.flags[SEGMENTS] = numbers
        mujoco.mjr_render(screen.rect, self.view, screen.handle)
        mujoco.mjr_readPixels(picture, depth, screen.rect, screen.handle)


def _geom_numbers(view: Any) -> NDArray[np.uint16]:
    """Geom, counted from 1, by segment number: segment numbers are places in the view's list of geoms, plus one."""
    table = np.zeros(view.ngeom + 1, np.uint16)
    for geom in view.geoms[: view.ngeom]:
        table[geom.segid + 1] = geom.objid + 1
    return table


def _upright(frames: Frames) -> Frames:
    """OpenGL's pictures begin with their lowest row."""
    return Frames(*(np.ascontiguousarray(part[:, ::-1]) for part in _parts(frames)))


def _parts(frames: Frames) -> tuple[NDArray[Any], ...]:
    return frames.video, frames.ids, frames.depth


def _matrices(quaternions: Array) -> Array:
    """Rotation matrices (..., 3, 3) of quaternions w x y z (..., 4)."""
    w, x, y, z = np.moveaxis(quaternions / np.linalg.norm(quaternions, axis=-1, keepdims=True), -1, 0)
    rows = [
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
