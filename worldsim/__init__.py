"""worldsim: a video diffusion transformer paired with a differentiable physics prior."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

# Public name -> where it lives. Resolved on first use, so that `import worldsim` pulls in no simulator and no codec.
_PUBLIC = {
    "Scene": "worldsim.scene",
    "Setup": "worldsim.scene",
    "list_scenes": "worldsim.scene",
    "make_scene": "worldsim.scene",
    "simulate": "worldsim._simulate",
    "Rollout": "worldsim.engines",
    "get_engine": "worldsim.engines",
    "score": "worldsim.benchmarks",
    "WorldModel": "worldsim.models",
}
_ROOMS = ("scene", "physics", "vision", "engines", "captions", "data", "diffusion", "models", "training", "benchmarks")

__all__ = ["__version__", *_PUBLIC, *_ROOMS]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    if name in _ROOMS:
        return importlib.import_module(f"worldsim.{name}")
    raise AttributeError(f"module 'worldsim' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
