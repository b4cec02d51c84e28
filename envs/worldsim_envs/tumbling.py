"""Boxes, or convex polygons in a planar world, dropped with spin onto a floor."""

from __future__ import annotations

import math

import numpy as np

from worldsim.scene import Body, Box, Law, Polygon, Scenario, Scene, State, planar_camera, register
from worldsim.scene.body import Vector
from worldsim_envs._common import (
    Quantity,
    Rng,
    background,
    colours,
    count,
    floor,
    moving,
    orbit_camera,
    place,
    planar_walls,
    quaternion,
    random_quaternion,
    shifted,
    texts,
)

SIZE, WALL = 10.0, 0.3
DENSITY = 300.0

# One scale for both worlds: the planar one is five times as large as the three-dimensional one.
SCALE = {True: 1.0, False: 0.2}
EXTENT = Quantity(((0.8, 1.3),), ((0.5, 0.7), (1.4, 1.6)), "m planar, times 0.2 in 3-D")
SPIN = Quantity(((0.5, 4.0),), ((6.0, 9.0),), "rad/s")
RESTITUTION = Quantity(((0.1, 0.4),), ((0.6, 0.8),), "")
QUANTITIES = {"size": EXTENT, "spin": SPIN, "restitution": RESTITUTION}


def convex_polygon(rng: Rng, extent: float) -> Polygon:
    """Three to seven corners on an ellipse, moved to the area centroid and scaled to a largest radius of `extent`."""
    while True:
        n = int(rng.integers(3, 8))
        steps = rng.uniform(0.6, 1.4, size=n)
        angles = np.cumsum(steps) / steps.sum() * 2 * math.pi + rng.uniform(0, 2 * math.pi)
        points = np.stack([np.cos(angles), float(rng.uniform(0.6, 1.0)) * np.sin(angles)], axis=1)
        x, z = points[:, 0], points[:, 1]
        x1, z1 = np.roll(x, -1), np.roll(z, -1)
        cross = x * z1 - z * x1
        centroid = np.array([((x + x1) * cross).sum(), ((z + z1) * cross).sum()]) / (3 * cross.sum())
        points = points - centroid
        points *= extent / np.linalg.norm(points, axis=1).max()
        polygon = Polygon(tuple((float(a), float(b)) for a, b in points))
        # Slivers would be thinner than a pixel.
        if polygon.thickness > 0.3 * extent:
            return polygon


def _box(rng: Rng, extent: float) -> Box:
    """A box with sides up to two to one and half a diagonal of `extent`."""
    sides = rng.uniform(0.5, 1.0, size=3)
    sides *= extent / np.linalg.norm(sides)
    return Box((float(sides[0]), float(sides[1]), float(sides[2])))


def _velocity(rng: Rng, limit: float, planar: bool) -> Vector:
    vx, vy = (float(v) for v in rng.uniform(-limit, limit, size=2))
    return (vx, 0.0 if planar else vy, float(rng.uniform(-limit, 0)))


def build(
    rng: Rng,
    split: str,
    num_bodies: int = 3,
    planar: bool = False,
    pixels: int = 64,
    shading: str = "shaded",
    duration: float = 2.0,
    fps: float = 24.0,
) -> Scene:
    """Bodies fall onto a floor and come to rest.

    Args:
        rng: Source of randomness.
        split: "id" or "ood".
        num_bodies: 1 to 6.
        planar: Polygons in a 10 x 10 square with walls; otherwise boxes above the ground.
        pixels: Edge of the picture.
        shading: "flat" or "shaded".
        duration: Seconds.
        fps: Frames a second.
    """
    count("tumbling.num_bodies", num_bodies, 1, 6)
    ood = shifted(rng, split, tuple(QUANTITIES))
    extents = [EXTENT.draw(rng, "size" in ood) * SCALE[planar] for _ in range(num_bodies)]
    spins = [SPIN.draw(rng, "spin" in ood) for _ in range(num_bodies)]
    e = RESTITUTION.draw(rng, "restitution" in ood)
    friction = float(rng.uniform(0.4, 0.8))
    # More boxes need more room, and the camera stands back for it.
    room = 1.0 + 0.15 * max(0, num_bodies - 3)
    tints = colours(rng, num_bodies)
    if planar:
        places = place(rng, extents, (WALL, 0.0, 1.5), (SIZE - WALL, 0.0, SIZE - WALL), gap=0.1)
    else:
        places = place(rng, extents, (-0.8 * room, -0.5 * room, 0.25), (0.8 * room, 0.5 * room, 0.25 + 1.25 * room))
    bodies = []
    for i in range(num_bodies):
        if planar:
            shape: Polygon | Box = (polygon := convex_polygon(rng, extents[i]))
            mass = polygon.area
            turn = quaternion((0.0, 1.0, 0.0), float(rng.uniform(-math.pi, math.pi)))
            spin = (0.0, spins[i] * float(rng.choice([-1.0, 1.0])), 0.0)
        else:
            shape = (cuboid := _box(rng, extents[i]))
            mass = DENSITY * 8 * math.prod(cuboid.half_extents)
            turn = random_quaternion(rng)
            axis = rng.normal(size=3)
            axis *= spins[i] / np.linalg.norm(axis)
            spin = (float(axis[0]), float(axis[1]), float(axis[2]))
        bodies.append(
            Body(
                name=f"{'polygon' if planar else 'box'} {i + 1}",
                shape=shape,
                state=State(places[i], turn, _velocity(rng, 0.6 * SCALE[planar] ** 0.5, planar), spin),
                mass=mass,
                friction=friction,
                restitution=e,
                colour=tints[i],
            )
        )
    if planar:
        camera = planar_camera(SIZE, pixels)
        statics = planar_walls(SIZE, WALL, friction, e)
    else:
        camera = orbit_camera(
            (0.0, 0.0, 0.55 * room), 3.2 * room, float(rng.uniform(12, 28)), float(rng.uniform(-30, 30)), pixels, 42.0
        )
        statics = [floor(rng, friction, e)]
    return Scene(
        bodies=(*bodies, *statics),
        law=Law(),
        camera=camera,
        duration=duration,
        fps=fps,
        planar=planar,
        shading=shading,
        background=background(rng),
    )


def _measure(scene: Scene) -> dict[str, list[float]]:
    bodies = moving(scene)
    return {
        "size": [body.shape.extent / SCALE[scene.planar] for body in bodies],
        "spin": [math.hypot(*body.state.angular_velocity) for body in bodies if body.state is not None],
        "restitution": [body.restitution for body in bodies],
    }


register(
    Scenario(
        name="tumbling",
        build=build,
        summary="Boxes (or polygons in a planar world) tumble onto a floor",
        parameters={
            "num_bodies": 3,
            "planar": False,
            "pixels": 64,
            "shading": "shaded",
            "duration": 2.0,
            "fps": 24.0,
        },
        ranges=texts(QUANTITIES),
        measure=_measure,
    )
)
