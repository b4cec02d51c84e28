"""One OpenGL context a process, made in the process that draws, and closed at exit."""

from __future__ import annotations

import atexit
import importlib
import logging
import os
import sys
from typing import Any

from worldsim.engines.mujoco.backend import INSTALL, available_backends

log = logging.getLogger(__name__)

_context: Any = None
_owner: int = 0


def _candidates() -> list[str]:
    given = os.environ.get("MUJOCO_GL", "").lower().strip()
    if given in ("egl", "osmesa", "glfw"):
        return [given]
    if given in ("disable", "disabled", "off", "false", "0"):
        raise RuntimeError(f"MUJOCO_GL={given} switches rendering off; unset it or set it to egl or osmesa")
    return available_backends() if sys.platform.startswith("linux") else ["cgl" if sys.platform == "darwin" else "glfw"]


def make_current(width: int, height: int) -> None:
    """Make this process's OpenGL context current on the calling thread.

    Raises:
        RuntimeError: Where no backend works, with each one's reason and the packages to install; or in a process
            that was forked after its parent had drawn.
    """
    global _context, _owner
    if _context is not None and _owner == os.getpid():
        _context.make_current()
        return
    if _context is not None:
        raise RuntimeError(
            "this process was forked after its parent had drawn, and OpenGL does not survive a fork: start workers by "
            "spawn or forkserver, or fork them before the first picture"
        )
    reasons = []
    for name in _candidates():
        try:
            # The module is asked for directly: mujoco.gl_context froze its choice when mujoco was first imported.
            context = importlib.import_module(f"mujoco.{name}").GLContext(width, height)
            context.make_current()
        except Exception as error:
            reasons.append(f"{name}: {type(error).__name__}: {error}")
            continue
        _context, _owner = context, os.getpid()
        atexit.register(close)
        log.info("OpenGL context by %s in process %d", name, os.getpid())
        return
    said = "; ".join(reasons) or "neither libEGL.so.1 with libGL.so.1 nor libOSMesa is installed"
    raise RuntimeError(f"no OpenGL backend for rendering ({said}). To install one: {INSTALL}")


def owned() -> bool:
    """Whether this very process holds a context; a forked child does not hold its parent's."""
    return _context is not None and _owner == os.getpid()


def close() -> None:
    """Free the context if this process made it."""
    global _context
    if owned():
        context, _context = _context, None
        context.free()
