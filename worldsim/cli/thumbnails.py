"""Strips of frames of scenario families, for sheets."""

from __future__ import annotations

from collections.abc import Sequence

from worldsim.data.generate import with_pixels
from worldsim.data.sheet import Tile, spread
from worldsim.scene import make_scene, scenarios


def family_tiles(names: Sequence[str], split: str, seed: int, frames: int = 5, pixels: int = 96) -> list[Tile]:
    """One tile a family: frames at even distances of one of its scenes, played by MuJoCo.

    Args:
        names: Of families.
        split: "id" or "ood".
        seed: Of the scenes.
        frames: A tile.
        pixels: Height of the pictures.
    """
    from worldsim._simulate import simulate

    tiles = []
    for name in names:
        rollout = simulate(with_pixels(make_scene(name, seed, split), pixels))
        tiles.append(Tile(f"{name}: {scenarios()[name].summary}", spread(rollout.video, frames)))
    return tiles
