"""A tower of blocks that stands or falls, told apart beforehand by where the centres of mass lie.

A stack of boxes on level faces is at rest exactly if, at every joint between two blocks, the common centre of mass of
all blocks above lies inside the patch where the two overlap: the faces can then carry the load without pulling.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from worldsim.scene import Body, Box, Scenario, Scene, State, register
from worldsim.scene.body import Vector
from worldsim.scene.checks import require
from worldsim_envs._common import (
    REST_GAP,
    Quantity,
    Rng,
    background,
    colours,
    count,
    floor,
    moving,
    orbit_camera,
    quaternion,
    shifted,
    texts,
)

if TYPE_CHECKING:
    from worldsim.engines import Rollout

HALF_WIDTH = Quantity(((0.15, 0.22),), ((0.11, 0.13), (0.25, 0.3)), "m")
DENSITY = Quantity(((300.0, 700.0),), ((80.0, 150.0), (1200.0, 2000.0)), "kg/m^3")
QUANTITIES = {"half width": HALF_WIDTH, "density": DENSITY}
# How far the deciding centre of mass lies inside (stands) or outside (falls) its patch, in half widths.
STANDS, FALLS = 0.2, -0.15


def support_margin(blocks: Sequence[Body]) -> float:
    """Smallest distance, in metres, of a centre of mass of the blocks above a joint from the border of its patch.

    Args:
        blocks: Boxes from the ground up, each lying level on the one before; axes of all along the same horizontal
            directions.

    Returns:
        Positive where the tower stands, negative where it falls; infinite for a single block.
    """
    centres = np.array([block.state.position for block in blocks if block.state is not None])
    sizes = np.array([block.shape.half_extents for block in blocks if isinstance(block.shape, Box)])
    masses = np.array([block.mass for block in blocks])
    first = blocks[0].state
    assert first is not None
    w, _, _, z = first.orientation
    # The patch is a rectangle along the blocks' own axes, which share one turn about z.
    cos, sin = 1 - 2 * z * z, 2 * w * z
    flat = centres[:, :2] @ np.array([[cos, -sin], [sin, cos]])
    margin = np.inf
    for i in range(len(blocks) - 1):
        above = slice(i + 1, None)
        centre = (flat[above] * masses[above, None]).sum(0) / masses[above].sum()
        low = np.maximum(flat[i] - sizes[i, :2], flat[i + 1] - sizes[i + 1, :2])
        high = np.minimum(flat[i] + sizes[i, :2], flat[i + 1] + sizes[i + 1, :2])
        margin = min(margin, float(np.min([centre - low, high - centre])))
    return float(margin)


def is_stable(scene: Scene) -> bool:
    """Whether the tower of a scene stands."""
    return support_margin(moving(scene)) > 0


def build(
    rng: Rng,
    split: str,
    num_blocks: int = 4,
    stable: bool | None = None,
    pixels: int = 64,
    shading: str = "shaded",
    duration: float = 2.0,
    fps: float = 24.0,
) -> Scene:
    """A tower at rest at the start.

    Args:
        rng: Source of randomness.
        split: "id" or "ood".
        num_blocks: 2 to 7.
        stable: Whether it stands; None draws it.
        pixels: Edge of the picture.
        shading: "flat" or "shaded".
        duration: Seconds.
        fps: Frames a second.
    """
    count("tower.num_blocks", num_blocks, 2, 7)
    require("tower.stable", "true, false or None", stable in (True, False, None), stable)
    stands = bool(rng.integers(2)) if stable is None else stable
    ood = shifted(rng, split, tuple(QUANTITIES))
    tints = colours(rng, num_blocks)
    yaw = float(rng.uniform(-0.4, 0.4))
    for _ in range(2000):
        width = HALF_WIDTH.draw(rng, "half width" in ood)
        density = DENSITY.draw(rng, "density" in ood)
        spread = float(rng.uniform(0.1, 0.7) if stands else rng.uniform(0.6, 1.5)) * width
        blocks = _stack(rng, num_blocks, width, spread, density, yaw, tints)
        margin = support_margin(blocks) / width
        if (margin > STANDS) if stands else (-0.6 < margin < FALLS):
            break
    else:
        raise ValueError(f"tower: must find a tower of stable={stands} in 2000 draws, got none of {num_blocks} blocks")
    height = num_blocks * 0.24
    camera = orbit_camera(
        (0.0, 0.0, 0.45 * height + 0.05),
        1.0 + 1.9 * height,
        float(rng.uniform(12, 26)),
        float(rng.uniform(-20, 20)),
        pixels,
        42.0,
    )
    return Scene(
        bodies=(*blocks, floor(rng, friction=0.8, restitution=0.05)),
        camera=camera,
        duration=duration,
        fps=fps,
        shading=shading,
        background=background(rng),
    )


def _stack(
    rng: Rng,
    number: int,
    width: float,
    spread: float,
    density: float,
    yaw: float,
    tints: Sequence[Vector],
) -> list[Body]:
    """Blocks of one width, each moved sideways against the one below along the tower's own x and y."""
    turn = quaternion((0.0, 0.0, 1.0), yaw)
    cos, sin = np.cos(yaw), np.sin(yaw)
    at = np.zeros(2)
    offsets = [at]
    for _ in range(number - 1):
        at = at + rng.uniform(-1, 1, size=2) * spread * np.array([1.0, 0.5])
        offsets.append(at)
    middle = np.mean(offsets, axis=0)
    blocks = []
    top = 0.0
    for i, offset in enumerate(offsets):
        half_height = float(rng.uniform(0.1, 0.13))
        x, y = offset - middle
        blocks.append(
            Body(
                name=f"block {i + 1}",
                shape=Box((width, width, half_height)),
                state=State(
                    (float(cos * x - sin * y), float(sin * x + cos * y), top + REST_GAP + half_height),
                    turn,
                ),
                mass=density * 8 * width * width * half_height,
                friction=0.8,
                restitution=0.05,
                colour=tints[i],
            )
        )
        top += REST_GAP + 2 * half_height
    return blocks


def outcome(rollout: Rollout) -> dict[str, Any]:
    """Whether the tower stands by its support, and the margin in metres."""
    margin = support_margin(moving(rollout.scene))
    return {"stable": margin > 0, "support_margin": margin}


def _measure(scene: Scene) -> dict[str, list[float]]:
    widths, densities = [], []
    for block in moving(scene):
        assert isinstance(block.shape, Box)
        x, y, z = block.shape.half_extents
        widths.append(x)
        densities.append(block.mass / (8 * x * y * z))
    return {"half width": widths, "density": densities}


register(
    Scenario(
        name="tower",
        build=build,
        summary="A tower of blocks stands or falls",
        parameters={
            "num_blocks": 4,
            "stable": None,
            "pixels": 64,
            "shading": "shaded",
            "duration": 2.0,
            "fps": 24.0,
        },
        ranges=texts(QUANTITIES),
        measure=_measure,
        outcome=outcome,
    )
)
