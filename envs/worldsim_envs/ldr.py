"""The two worlds that LDR adds to PhyWorld's (arXiv 2608.09926): a ball between walls, and a ball that looms.

The paper gives ranges of speed and radius; out of distribution lies inside its wider range (v in [.05, 6], r in
[.6, 2]) and outside the narrow one, with a margin between. Walls, camera and starts are this project's. Bouncing:
PhyWorld's 10 x 10 square with elastic walls just outside the picture, no gravity, and a first bounce in the middle of
the clip. Looming: a ball comes straight or a little askew towards a perspective camera and stays in the picture.
"""

from __future__ import annotations

import math

from worldsim.scene import Body, Camera, Law, Scenario, Scene, Sphere, State, planar_camera, register
from worldsim_envs._common import RED, WHITE, Quantity, Rng, ball_mass, block, moving, shifted, speed, texts
from worldsim_envs.phyworld import planar_ball

SIZE = 10.0
SPEED = Quantity(((1.0, 4.0),), ((0.05, 0.8), (4.5, 6.0)), "units/s")
RADIUS = Quantity(((0.7, 1.4),), ((0.6, 0.68), (1.5, 2.0)), "units")
QUANTITIES = {"radius": RADIUS, "speed": SPEED}
FOV = 45.0


def _draw(rng: Rng, split: str) -> tuple[float, float]:
    ood = shifted(rng, split, ("radius", "speed"))
    return RADIUS.draw(rng, "radius" in ood), SPEED.draw(rng, "speed" in ood)


def outer_walls() -> list[Body]:
    """Four elastic walls around the 10 x 10 square, their faces on its border."""
    half, t = SIZE / 2, 0.5
    spans = {
        "floor": ((half, 0.0, -t), (half + 2 * t, 0.5, t)),
        "ceiling": ((half, 0.0, SIZE + t), (half + 2 * t, 0.5, t)),
        "left wall": ((-t, 0.0, half), (t, 0.5, half)),
        "right wall": ((SIZE + t, 0.0, half), (t, 0.5, half)),
    }
    return [
        block(name, centre, extents, friction=0.0, restitution=1.0, group="room")
        for name, (centre, extents) in spans.items()
    ]


def bouncing(
    rng: Rng,
    split: str,
    pixels: int = 64,
    shading: str = "flat",
    duration: float = 3.1,
    fps: float = 10.0,
) -> Scene:
    """One ball bounces off the borders of the picture; the first bounce lies between .25 and .75 of the clip."""
    for _ in range(1000):
        radius, velocity = _draw(rng, split)
        heading = float(rng.uniform(0, 2 * math.pi))
        v = (velocity * math.cos(heading), velocity * math.sin(heading))
        first = float(rng.uniform(0.25, 0.75)) * duration
        axis = int(rng.integers(2))
        free = (radius, SIZE - radius)
        at = [float(rng.uniform(*free)), float(rng.uniform(*free))]
        at[axis] = (free[1] if v[axis] > 0 else free[0]) - v[axis] * first
        other = v[1 - axis] * first + at[1 - axis]
        # The other axis must not have bounced before, and the gap at the start must show.
        inside = free[0] <= at[axis] <= free[1] and free[0] < other < free[1]
        if inside and abs(v[axis]) * first > 0.02:
            break
    else:
        raise ValueError(f"bouncing: must find a bounce within {duration} s in 1000 draws, got none")
    ball = planar_ball("ball", radius, at[0], at[1], (v[0], 0.0, v[1]), RED)
    return Scene(
        bodies=(ball, *outer_walls()),
        law=Law((0.0, 0.0, 0.0)),
        camera=planar_camera(SIZE, pixels),
        duration=duration,
        fps=fps,
        planar=True,
        shading=shading,
        background=WHITE,
    )


def looming(
    rng: Rng,
    split: str,
    pixels: int = 64,
    shading: str = "flat",
    duration: float = 3.1,
    fps: float = 10.0,
) -> Scene:
    """One ball approaches the camera at the origin, which looks along +y."""
    radius, velocity = _draw(rng, split)
    # At 3.2 radii the ball's edge fills three quarters of the picture's half height.
    last = radius * float(rng.uniform(3.2, 5.0))
    room = math.tan(math.radians(FOV) / 2)
    lateral = (last * room - 1.1 * radius) * 0.6
    end = [float(rng.uniform(-lateral, lateral)) for _ in range(2)]
    # The path points from a place in view to the end point; its length is speed times duration.
    tilt = [float(rng.uniform(-0.1, 0.1)) for _ in range(2)]
    norm = math.sqrt(1 + tilt[0] ** 2 + tilt[1] ** 2)
    v = (velocity * tilt[0] / norm, -velocity / norm, velocity * tilt[1] / norm)
    start = (end[0] - v[0] * duration, last - v[1] * duration, end[1] - v[2] * duration)
    ball = Body(
        name="ball",
        shape=Sphere(radius),
        state=State(start, linear_velocity=v),
        mass=ball_mass(radius, 1.0),
        friction=0.0,
        restitution=1.0,
        colour=RED,
    )
    return Scene(
        bodies=(ball,),
        law=Law((0.0, 0.0, 0.0)),
        camera=Camera(position=(0.0, 0.0, 0.0), target=(0.0, 1.0, 0.0), fov=FOV, width=pixels, height=pixels),
        duration=duration,
        fps=fps,
        shading=shading,
        background=WHITE,
    )


def _measure(scene: Scene) -> dict[str, list[float]]:
    (ball,) = moving(scene)
    return {"radius": [ball.shape.extent], "speed": [speed(ball)]}


for _build, _summary in (
    (bouncing, "LDR: one ball bounces off the borders of the picture"),
    (looming, "LDR: one ball approaches the camera"),
):
    register(
        Scenario(
            name=_build.__name__,
            build=_build,
            summary=_summary,
            parameters={"pixels": 64, "shading": "flat", "duration": 3.1, "fps": 10.0},
            ranges=texts(QUANTITIES),
            measure=_measure,
        )
    )
