"""PhyWorld's three planar worlds: uniform motion, parabola and collision (arXiv 2411.02385, id_ood_data/*.py).

A world of 10 x 10 units, balls of density 1 (mass pi r^2), restitution 1, no friction, 32 frames of 0.1 s, flat red and
blue on white. The first frame shows the world 0.01 s after the drawn start, as there. Two owned-up deviations: what the
original drops as infeasible is drawn again, and a collision whose closing speed is under 0.1 is infeasible too, since
its balls would touch at the start.
"""

from __future__ import annotations

import math

from worldsim.scene import Body, Law, Scenario, Scene, Sphere, State, planar_camera, register
from worldsim.scene.body import Vector
from worldsim_envs._common import (
    BLUE,
    RED,
    WHITE,
    Quantity,
    Rng,
    advance,
    ball_mass,
    choice,
    moving,
    speed,
    texts,
)

SIZE = 10.0
FRAME = 0.1
FIRST_STEP = 0.01
MIN_FRAMES_IN_VIEW = 24
MIN_FRAMES_EITHER_SIDE = 8
NUM_FRAMES = 32
MIN_CLOSING_SPEED = 0.1
LEVELS = ("any", "radius", "velocity", "both")

SPEED = Quantity(((1.0, 4.0),), ((0.0, 0.8), (4.5, 6.0)), "units/s")
RADIUS = Quantity(((0.7, 1.4),), ((0.3, 0.6), (1.5, 2.0)), "units")
COLLISION_RADIUS = Quantity(((0.5, 1.5),), ((0.3, 0.4), (1.7, 2.0)), "units")

PARAMETERS = {"level": "any", "pixels": 64, "shading": "flat", "duration": 3.1, "fps": 10.0}


def _level(rng: Rng, family: str, split: str, level: str) -> tuple[bool, bool]:
    """Whether radius and velocity are drawn out of distribution."""
    choice(f"{family}.level", level, LEVELS)
    if split == "id":
        return False, False
    if level == "any":
        level = LEVELS[1 + int(rng.integers(3))]
    return level in ("radius", "both"), level in ("velocity", "both")


def planar_ball(name: str, radius: float, x: float, z: float, velocity: Vector, colour: Vector) -> Body:
    """A frictionless elastic disc of density 1."""
    return Body(
        name=name,
        shape=Sphere(radius),
        state=State((x, 0.0, z), linear_velocity=velocity),
        mass=ball_mass(radius, 1.0, planar=True),
        friction=0.0,
        restitution=1.0,
        colour=colour,
    )


def _world(balls: list[Body], gravity: float, pixels: int, shading: str, duration: float, fps: float) -> Scene:
    law = Law((0.0, 0.0, -gravity))
    return Scene(
        bodies=tuple(advance(ball, FIRST_STEP, law.gravity) for ball in balls),
        law=law,
        camera=planar_camera(SIZE, pixels),
        duration=duration,
        fps=fps,
        planar=True,
        shading=shading,
        background=WHITE,
    )


def _start(rng: Rng, radius: float, velocity: float) -> float:
    """The drawn x: in view for 24 frames where that is possible, else just inside the left border."""
    highest = SIZE - (MIN_FRAMES_IN_VIEW * velocity * FRAME + radius)
    if highest < radius:
        highest = radius + float(rng.uniform(0, 0.5))
    return float(rng.uniform(radius, highest))


def uniform_motion(
    rng: Rng,
    split: str,
    level: str = "any",
    pixels: int = 64,
    shading: str = "flat",
    duration: float = 3.1,
    fps: float = 10.0,
) -> Scene:
    """One ball moves to the right at constant speed."""
    ood_radius, ood_speed = _level(rng, "uniform_motion", split, level)
    radius, velocity = RADIUS.draw(rng, ood_radius), SPEED.draw(rng, ood_speed)
    x, z = _start(rng, radius, velocity), float(rng.uniform(radius + 0.5, 9.5 - radius))
    ball = planar_ball("ball", radius, x, z, (velocity, 0.0, 0.0), RED)
    return _world([ball], 0.0, pixels, shading, duration, fps)


def parabola(
    rng: Rng,
    split: str,
    level: str = "any",
    pixels: int = 64,
    shading: str = "flat",
    duration: float = 3.1,
    fps: float = 10.0,
) -> Scene:
    """One ball thrown to the right falls under gravity 2.5."""
    ood_radius, ood_speed = _level(rng, "parabola", split, level)
    radius, velocity = RADIUS.draw(rng, ood_radius), SPEED.draw(rng, ood_speed)
    x, z = _start(rng, radius, velocity), float(rng.uniform(8.5 - radius, 9.5 - radius))
    ball = planar_ball("ball", radius, x, z, (velocity, 0.0, 0.0), RED)
    return _world([ball], 2.5, pixels, shading, duration, fps)


def _approach(rng: Rng, r1: float, r2: float, closing: float) -> tuple[float, float] | None:
    """Drawn x1 and x2 with at least 8 frames before and after the contact and both balls in view, or None."""
    touching, room = r1 + r2, SIZE - r1 - r2
    nearest = MIN_FRAMES_EITHER_SIDE * closing * FRAME + touching
    farthest = min((NUM_FRAMES - MIN_FRAMES_EITHER_SIDE) * FRAME * closing + touching, room)
    if closing < MIN_CLOSING_SPEED or nearest > farthest:
        return None
    uneven = r1 > 2 * r2 or r2 > 2 * r1
    # A ball much heavier than the other drives it out of view: the pair starts near the heavy one's border.
    if uneven:
        farthest = min(nearest * 1.25, farthest)
    distance = float(rng.uniform(nearest, farthest))
    low, high = r1, SIZE - r2 - distance
    if uneven and r1 > r2:
        high = min(high, low + 0.5)
    elif uneven:
        low = max(low, high - 0.5)
    x1 = float(rng.uniform(low, high)) if high > low else low
    return x1, x1 + distance


def collision(
    rng: Rng,
    split: str,
    level: str = "any",
    pixels: int = 64,
    shading: str = "flat",
    duration: float = 3.1,
    fps: float = 10.0,
) -> Scene:
    """Two balls at one height meet head-on; out of distribution one of them or both are."""
    ood_radius, ood_speed = _level(rng, "collision", split, level)
    both = bool(rng.integers(2))
    for _ in range(1000):
        r1, v1 = COLLISION_RADIUS.draw(rng, ood_radius), SPEED.draw(rng, ood_speed)
        r2, v2 = COLLISION_RADIUS.draw(rng, ood_radius and both), SPEED.draw(rng, ood_speed and both)
        starts = _approach(rng, r1, r2, v1 + v2)
        if starts is None:
            continue
        largest = max(r1, r2)
        z = float(rng.uniform(largest + 0.5, 9.5 - largest))
        balls = [
            planar_ball("red ball", r1, starts[0], z, (v1, 0.0, 0.0), RED),
            planar_ball("blue ball", r2, starts[1], z, (-v2, 0.0, 0.0), BLUE),
        ]
        return _world(balls, 0.0, pixels, shading, duration, fps)
    raise ValueError(f"collision: must find a feasible start in 1000 draws, got none for level {level!r}")


def _measure(scene: Scene) -> dict[str, list[float]]:
    balls = moving(scene)
    return {
        "radius": [ball.shape.extent for ball in balls],
        # Gravity has acted for 0.01 s: the drawn speed is the horizontal one.
        "speed": [abs(ball.state.linear_velocity[0]) for ball in balls if ball.state is not None],
    }


def contact_time(scene: Scene) -> float:
    """Seconds from the first frame to the contact of a collision scene, infinite where the balls never meet."""
    left, right = moving(scene)
    assert left.state is not None
    assert right.state is not None
    gap = right.state.position[0] - left.state.position[0] - left.shape.extent - right.shape.extent
    closing = speed(left) + speed(right)
    return gap / closing if closing > 0 else math.inf


for _build, _summary, _radius in (
    (uniform_motion, "PhyWorld: one ball at constant speed", RADIUS),
    (parabola, "PhyWorld: one ball thrown under gravity", RADIUS),
    (collision, "PhyWorld: two balls collide head-on", COLLISION_RADIUS),
):
    register(
        Scenario(
            name=_build.__name__,
            build=_build,
            summary=_summary,
            parameters=PARAMETERS,
            ranges=texts({"radius": _radius, "speed": SPEED}),
            measure=_measure,
        )
    )
