"""Imports MuJoCo with an OpenGL backend chosen first, since the choice is read when the module is imported."""

from __future__ import annotations

import ctypes
import importlib
import logging
import os
import sys
from typing import Any

log = logging.getLogger(__name__)

INSTALL = "apt-get install libegl1 libgl1 libgl1-mesa-dri (EGL), or apt-get install libosmesa6 libgl1 (OSMesa)"
_LIBRARIES = {"egl": ("libEGL.so.1", "libGL.so.1"), "osmesa": ("libOSMesa.so.8", "libOSMesa.so.6", "libOSMesa.so")}


def _loads(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def available_backends() -> list[str]:
    """Headless OpenGL backends whose system libraries are there, best first."""
    found = []
    if all(_loads(name) for name in _LIBRARIES["egl"]):
        found.append("egl")
    if any(_loads(name) for name in _LIBRARIES["osmesa"]):
        found.append("osmesa")
    return found


def choose_backend() -> str:
    """Set MUJOCO_GL unless the user did: EGL, then OSMesa; nothing is set where neither is there.

    Returns:
        What MUJOCO_GL is after the choice; "" where no backend was found (simulation works, rendering says why not).
    """
    given = os.environ.get("MUJOCO_GL")
    if given is not None:
        log.info("rendering through MUJOCO_GL=%s, as the environment says", given)
        return given
    if not sys.platform.startswith("linux"):
        return ""
    found = available_backends()
    if not found:
        log.warning("no OpenGL backend found; simulation works, rendering needs: %s", INSTALL)
        return ""
    os.environ["MUJOCO_GL"] = found[0]
    log.info("rendering through MUJOCO_GL=%s, out of %s", found[0], ", ".join(found))
    return found[0]


def _load() -> Any:
    if "mujoco" not in sys.modules:
        choose_backend()
    try:
        module = importlib.import_module("mujoco")
    except ImportError as error:
        raise ImportError(f"the engine mujoco is not installed ({error}): pip install 'mujoco>=3.12,!=4.0.0'") from None
    if module.__version__ == "4.0.0":
        raise ImportError("mujoco 4.0.0 computes wrong accelerations: pip install 'mujoco>=3.12,!=4.0.0'")
    return module


mujoco: Any = _load()
