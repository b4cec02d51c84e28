"""Offscreen buffers to draw a model to, kept where they can be: making one takes longer than drawing a frame.

Much of a MuJoCo rendering context belongs to the model that it was made with. Display lists of planes cannot be made
anew, so that a screen serves models with planes of the same sizes only; lists of meshes and the background's texture
can, and are, whenever a model takes the screen over.
"""

from __future__ import annotations

import atexit
import os
from collections import OrderedDict
from typing import Any

import numpy as np

from worldsim.engines.mujoco import context
from worldsim.engines.mujoco.backend import mujoco
from worldsim.scene import Scene

# So many screens are kept; a shadow map takes up to 64 MB.
KEPT = 4

Key = tuple[Any, ...]


class Screen:
    """An offscreen buffer of one size and preset.

    Args:
        model: mujoco.MjModel with the size, samples and shadow map among its visual options.
        width: Pixels.
        height: Pixels.
    """

    def __init__(self, model: Any, width: int, height: int) -> None:
        self.process = os.getpid()
        self.handle = mujoco.MjrContext(model, int(mujoco.mjtFontScale.mjFONTSCALE_50))
        self.handle.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR
        # Materials have no textures, and MuJoCo leaves those that the first model did not have without an answer.
        self.handle.mat_texid[:] = -1
        self.rect = mujoco.MjrRect(0, 0, width, height)
        self.background: object = None

    def take_over(self, model: Any, background: object, sky: bool) -> None:
        """Upload what belongs to this model and differs from what is there."""
        if sky and self.background != background:
            for texture in range(model.ntex):
                mujoco.mjr_uploadTexture(model, self.handle, texture)
            self.background = background
        for mesh in range(model.nmesh):
            mujoco.mjr_uploadMesh(model, self.handle, mesh)

    def free(self) -> None:
        """Give the buffers back, in the process that made them."""
        if self.process == os.getpid() and context.owned():
            context.make_current(self.rect.width, self.rect.height)
            self.handle.free()


_screens: OrderedDict[Key, Screen] = OrderedDict()


def close_screens() -> None:
    """Free all screens."""
    while _screens:
        _screens.popitem()[1].free()


def kept() -> int:
    """How many screens there are."""
    return len(_screens)


def _key(model: Any, scene: Scene, preset: str) -> Key:
    planes = model.geom_type == int(mujoco.mjtGeom.mjGEOM_PLANE)
    sizes = tuple(np.ravel(model.geom_size[planes, :2]).tolist())
    return (os.getpid(), scene.camera.width, scene.camera.height, preset, sizes, int(model.nmesh))


def screen_for(model: Any, scene: Scene, preset: str, sky: bool = True) -> Screen:
    """A screen that is ready to draw this model, current on the calling thread.

    Args:
        model: The scene's, with its visual options set.
        scene: Its camera's size and background.
        preset: Name of the preset that the visual options are of.
        sky: Whether the background is drawn.
    """
    camera = scene.camera
    context.make_current(camera.width, camera.height)
    if not _screens:
        atexit.register(close_screens)
    key = _key(model, scene, preset)
    if key in _screens:
        _screens.move_to_end(key)
    else:
        while len(_screens) >= KEPT:
            _screens.popitem(last=False)[1].free()
        _screens[key] = Screen(model, camera.width, camera.height)
        _screens[key].background = scene.background
    screen = _screens[key]
    # Screens share one OpenGL context: each must be bound before it is drawn to.
    mujoco.mjr_setBuffer(int(mujoco.mjtFramebuffer.mjFB_OFFSCREEN), screen.handle)
    screen.take_over(model, scene.background, sky)
    return screen
