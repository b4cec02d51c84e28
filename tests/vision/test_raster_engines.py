"""The soft rasteriser beside MuJoCo's own pictures: the same bodies on the same pixels."""

import math

import numpy as np
import pytest
import torch

from worldsim.engines import get_engine
from worldsim.physics import Bodies, Trajectory
from worldsim.scene import Body, Box, Camera, Capsule, Plane, Ring, Scene, Sphere, State, planar_camera
from worldsim.vision import rasterise


def planar(seed):
    rng = np.random.default_rng(seed)
    places = rng.permutation([(2.2, 2.5), (7.4, 2.6), (2.6, 7.3), (7.2, 7.2)])
    shapes = (Sphere(1.0), Box((1.3, 0.5, 0.7)), Capsule(0.6, 0.9), Sphere(0.8))
    bodies = []
    for i, (shape, (x, z)) in enumerate(zip(shapes, places, strict=True)):
        half = rng.uniform(0, math.pi) / 2
        state = State((float(x), 0.0, float(z)), (math.cos(half), 0.0, math.sin(half), 0.0))
        bodies.append(Body(f"b{i}", shape, state, colour=tuple(rng.uniform(0.1, 0.9, 3))))
    return Scene(bodies=tuple(bodies), camera=planar_camera(10, 64), planar=True, shading="flat")


def perspective(seed):
    rng = np.random.default_rng(seed)
    shapes = (Sphere(0.45), Box((0.5, 0.4, 0.3)), Capsule(0.25, 0.4), Ring(0.45, 0.12))
    bodies = [Body("floor", Plane(), State((0, 0, 0)), static=True, colour=(0.6, 0.6, 0.5))]
    for i, shape in enumerate(shapes):
        q = rng.normal(size=4)
        place = np.array([-1.2 + 0.8 * i, 0, 0.9]) + rng.uniform(-0.3, 0.3, 3)
        state = State(tuple(place), tuple(q / np.linalg.norm(q)))
        bodies.append(Body(f"b{i}", shape, state, colour=tuple(rng.uniform(0.1, 0.9, 3))))
    camera = Camera(position=(float(rng.uniform(-1, 1)), -3.8, 1.8), target=(0, 0, 0.8), width=64, height=64, fov=45)
    return Scene(bodies=tuple(bodies), camera=camera)


@pytest.mark.parametrize("make", [planar, perspective])
def test_ids_agree_with_mujoco(make):
    """The bar: intersection over union of at least .95 at 64 px, for every body of at least 40 visible pixels."""
    engine = get_engine("mujoco")
    checked, values = 0, []
    for seed in range(5):
        scene = make(seed)
        start = Trajectory.start_of([scene], torch.float64)
        frames = engine.render(scene, start.map(lambda t: t[0]))
        raster = rasterise(start, Bodies.from_scenes([scene], torch.float64), scene.camera, tau_px=0.25)
        ours = raster.ids[0, 0].argmax(0).numpy()
        theirs = frames.ids[0]
        for k in range(1, len(scene.bodies) + 1):
            a, b = ours == k, theirs == k
            if b.sum() < 40:
                continue
            checked += 1
            values.append((a & b).sum() / (a | b).sum())
        inner = (ours == theirs) & (ours > 0) & (raster.ids[0, 0, 0].numpy() < 1e-3)
        error = np.abs(raster.depth[0, 0].numpy() - frames.depth[0])[inner]
        assert np.median(error) < 0.03, "metres"
    assert checked >= 15
    assert min(values) >= 0.95, sorted(values)[:5]


def test_flat_colour_agrees_with_mujoco():
    scene = planar(0)
    start = Trajectory.start_of([scene], torch.float64)
    video = get_engine("mujoco").render(scene, start.map(lambda t: t[0])).video[0] / 255.0
    colour = rasterise(start, Bodies.from_scenes([scene], torch.float64), scene.camera, tau_px=0.25).colour[0, 0]
    error = np.abs(colour.permute(1, 2, 0).numpy() - video)
    assert error.mean() < 0.02
    assert np.quantile(error, 0.8) < 0.01
