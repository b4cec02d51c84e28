"""The cheap test that spares exact distances never spares an overlap."""

import itertools

import numpy as np
import torch

from worldsim.engines import overlap
from worldsim.physics.bodies import Bodies
from worldsim.physics.geometry import distances
from worldsim.physics.trajectory import Trajectory
from worldsim.scene import Body, Box, Camera, Capsule, Plane, Ring, Scene, Sphere, State


def test_pairs_that_are_spared_the_exact_distance_are_apart_by_it():
    rng = np.random.default_rng(0)
    shapes = (Sphere(0.4), Box((0.8, 0.1, 0.3)), Box((0.5, 0.5, 0.5)), Capsule(0.1, 0.5), Ring(0.5, 0.1), Plane())
    spared = 0
    for _ in range(30):
        bodies = []
        for n, shape in enumerate(shapes):
            turn = rng.normal(size=4)
            turn /= np.linalg.norm(turn)
            state = State(tuple(rng.uniform(-1, 1, 3).tolist()), tuple(turn.tolist()))
            bodies.append(Body(f"b{n}", shape, state, static=shape.kind == "plane"))
        scene = Scene(bodies=tuple(bodies), camera=Camera(position=(0, -6, 0), target=(0, 0, 0)))
        pairs = list(itertools.combinations(range(len(bodies)), 2))
        start = Trajectory.start_of([scene], torch.float64)
        tensors = Bodies.from_scenes([scene], torch.float64)
        exact = distances(tensors, start.position[:, 0], start.orientation[:, 0], pairs, check=False).distance[0]
        for (i, j), distance in zip(pairs, exact.tolist(), strict=True):
            if not overlap._may_overlap(bodies[i], bodies[j]):
                spared += 1
                assert distance > -1e-9
    assert spared > 50
