"""Strips of frames of scenario families, for sheets."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from worldsim.data.sheet import Tile, spread
from worldsim.scene import make_scene, scenarios

log = logging.getLogger(__name__)


def family_tiles(names: Sequence[str], split: str, seed: int, frames: int = 5, role: str = "test") -> list[Tile]:
    """One tile a family: frames at even distances of one of its scenes, played by MuJoCo.

    Args:
        names: Of families.
        split: "id" or "ood".
        seed: Of the scenes.
        frames: A tile.
        role: Of the scenes.
    """
    from worldsim._simulate import simulate

    tiles = []
    for name in names:
        rollout = simulate(make_scene(name, seed, split, role))
        tiles.append(Tile(f"{name}: {scenarios()[name].summary}", spread(rollout.video, frames)))
    return tiles
