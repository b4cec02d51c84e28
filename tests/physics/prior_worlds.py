"""Small worlds for the tests of the prior, in float64."""

import math

import torch

from worldsim.physics import Bodies, LawParameters, PhysicsPrior, PriorConfig, Trajectory
from worldsim.scene import Body, Box, Law, Plane, Polygon, Scene, Sphere, State

D = torch.float64
G = 9.81


def about_y(angle):
    return (math.cos(angle / 2), 0.0, math.sin(angle / 2), 0.0)


def ball(name, position, velocity=(0, 0, 0), radius=0.1, mass=1.0, e=1.0, mu=0.0, spin=(0, 0, 0), **more):
    state = State(position, linear_velocity=velocity, angular_velocity=spin)
    return Body(name, Sphere(radius), state, mass=mass, restitution=e, friction=mu, **more)


def box(name, position, half=(0.1, 0.1, 0.1), velocity=(0, 0, 0), q=(1, 0, 0, 0), spin=(0, 0, 0), mass=1.0, **more):
    more = {"restitution": 0.0, "friction": 0.5} | more
    return Body(name, Box(half), State(position, q, velocity, spin), mass=mass, **more)


HEXAGON = tuple((0.12 * math.cos(k * math.pi / 3 + 0.2), 0.12 * math.sin(k * math.pi / 3 + 0.2)) for k in range(6))


def polygon(name, position, velocity=(0, 0, 0), q=(1, 0, 0, 0), spin=(0, 0, 0), vertices=HEXAGON, **more):
    return Body(name, Polygon(vertices), State(position, q, velocity, spin), **more)


def floor(name="floor", position=(0, 0, 0), q=(1, 0, 0, 0), e=1.0, mu=1.0):
    return Body(name, Plane(), State(position, q), static=True, restitution=e, friction=mu)


def world(*bodies, gravity=(0, 0, -G), drag=0.0, planar=False):
    return Scene(bodies=bodies, law=Law(gravity, drag), planar=planar)


def tensors(*scenes, dtype=D):
    return Bodies.from_scenes(scenes, dtype), Trajectory.start_of(scenes, dtype), LawParameters.of(scenes, dtype)


def play(scene, seconds, fps=60, dtype=D, **config):
    """Roll a scene out; the frames after the start."""
    bodies, start, law = tensors(scene, dtype=dtype)
    return PhysicsPrior(config=PriorConfig(**config))(start, bodies, round(seconds * fps), 1 / fps, law=law)


def with_state(start, **changes):
    names = ("position", "orientation", "linear_velocity", "angular_velocity", "presence")
    values = {name: changes.get(name, getattr(start, name)) for name in names}
    return Trajectory(**values, dt=start.dt)


def leaves(start):
    """Start position and velocity as leaves, and the start that holds them."""
    x = start.position.clone().requires_grad_()
    v = start.linear_velocity.clone().requires_grad_()
    return x, v, with_state(start, position=x, linear_velocity=v)
