"""Render-and-compare: poses found again from masks and colours, on the bars that readouts are held to."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from worldsim.engines import get_engine
from worldsim.physics import Bodies, Trajectory
from worldsim.physics.rotation import difference, exponential, multiply
from worldsim.scene import Body, Box, Camera, Capsule, Scene, Sphere, State, planar_camera
from worldsim.vision import rasterise, refine


def planar_scene(seed, pixels=64):
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(-math.pi, math.pi, 2)

    def turn(angle):
        return (math.cos(angle / 2), 0.0, math.sin(angle / 2), 0.0)

    jitter = rng.uniform(-0.4, 0.4, (3, 2))
    return Scene(
        bodies=(
            Body("ball", Sphere(0.9), State((2.2 + jitter[0, 0], 0, 2.5 + jitter[0, 1])), colour=(0.9, 0.2, 0.2)),
            Body(
                "box",
                Box((1.2, 0.5, 0.6)),
                State((7.0 + jitter[1, 0], 0, 3.0 + jitter[1, 1]), turn(a)),
                colour=(0.2, 0.3, 0.9),
            ),
            Body(
                "capsule",
                Capsule(0.5, 0.9),
                State((5.0 + jitter[2, 0], 0, 7.2 + jitter[2, 1]), turn(b)),
                colour=(0.1, 0.7, 0.2),
            ),
        ),
        camera=planar_camera(10, pixels),
        planar=True,
        shading="flat",
    )


def perturbed(truth, bodies, metres, radians, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shift = torch.randn(truth.position.shape, generator=generator, dtype=truth.position.dtype) * metres
    spin = torch.randn(truth.position.shape, generator=generator, dtype=truth.position.dtype) * radians
    if bodies.planar:
        shift[..., 1] = 0
        spin[..., [0, 2]] = 0
    orientation = multiply(exponential(spin), truth.orientation)
    return dataclasses.replace(truth, position=truth.position + shift, orientation=orientation)


def test_planar_poses_from_engine_pictures():
    """From hard ids of MuJoCo at 64 px, started half a radius off: centres to .15 px, angles to 1 degree."""
    scenes = [planar_scene(seed) for seed in range(4)]
    engine = get_engine("mujoco")
    truth = Trajectory.start_of(scenes, torch.float64)
    ids = torch.stack(
        [torch.from_numpy(engine.render(s, truth.map(lambda t, i=i: t[i])).ids) for i, s in enumerate(scenes)]
    )
    bodies = Bodies.from_scenes(scenes, torch.float64)
    start = perturbed(truth, bodies, 0.35, 0.3)
    fit = refine(start, bodies, scenes[0].camera, ids=ids)
    pixels = (fit.trajectory.position - truth.position).norm(dim=-1) * 6.4
    assert pixels.max() < 0.15, pixels
    angle = difference(truth.orientation, fit.trajectory.orientation).norm(dim=-1)[..., 1]
    angle = torch.minimum(angle, math.pi - angle)  # a box turned by half a turn looks the same
    assert angle.max() < math.radians(1.0), angle


def test_exact_from_its_own_pictures():
    """A target drawn by the rasteriser itself is fitted to a thousandth of a pixel."""
    scene = planar_scene(7)
    bodies = Bodies.from_scenes([scene], torch.float64)
    truth = Trajectory.start_of([scene], torch.float64)
    seen = rasterise(truth, bodies, scene.camera, tau_px=0.5)
    start = perturbed(truth, bodies, 0.1, 0.1)
    for target in ({"ids": seen.ids}, {"colour": seen.colour}):
        fit = refine(start, bodies, scene.camera, **target, target_tau_px=0.5, taus_px=(2.0, 0.5), steps=5)
        assert (fit.trajectory.position - truth.position).abs().max() * 6.4 < 1e-3
        assert difference(truth.orientation, fit.trajectory.orientation)[:, :, 1:].norm(dim=-1).max() < 1e-3
        assert fit.residual.max() < 1e-5


def test_perspective_depth_and_occlusion():
    """Two bodies, one partly hidden, in perspective: all six coordinates of the box, three of the ball."""
    scene = Scene(
        bodies=(
            Body("box", Box((0.5, 0.3, 0.25)), State((0.1, 0.3, 0.5), (0.9, 0.1, 0.3, math.sqrt(1 - 0.91)))),
            Body("ball", Sphere(0.3), State((-0.3, -0.6, 0.35))),
        ),
        camera=Camera(position=(0.0, -4.0, 1.5), target=(0, 0, 0.5), width=64, height=64, fov=35),
    )
    bodies = Bodies.from_scenes([scene], torch.float64)
    truth = Trajectory.start_of([scene], torch.float64)
    seen = rasterise(truth, bodies, scene.camera, tau_px=0.5)
    start = perturbed(truth, bodies, 0.05, 0.1)
    fit = refine(start, bodies, scene.camera, ids=seen.ids, target_tau_px=0.5, taus_px=(2.0, 1.0, 0.5), steps=5)
    assert (fit.trajectory.position - truth.position).norm(dim=-1).max() < 5e-3
    assert difference(truth.orientation, fit.trajectory.orientation)[0, 0, 0].norm() < 0.02


def test_frames_are_fitted_apart():
    scenes = [planar_scene(seed, 32) for seed in range(3)]
    bodies = Bodies.from_scenes(scenes[:1])
    truth = Trajectory.start_of(scenes)
    folded = truth.map(lambda t: t[:, 0][None])  # one world, three frames
    ids = rasterise(folded, bodies, scenes[0].camera).ids
    start = perturbed(folded, bodies, 0.1, 0.1)
    options = {"target_tau_px": 0.5, "taus_px": (2.0, 1.0), "steps": 2}
    together = refine(start, bodies, scenes[0].camera, ids=ids, **options)
    alone = refine(start.frames(1, 2), bodies, scenes[0].camera, ids=ids[:, 1:2], **options)
    assert torch.allclose(together.trajectory.position[:, 1:2], alone.trajectory.position, atol=1e-4)


def test_bad_input_is_refused():
    scene = planar_scene(0)
    bodies, truth = Bodies.from_scenes([scene]), Trajectory.start_of([scene])
    with pytest.raises(ValueError, match="neither"):
        refine(truth, bodies, scene.camera)
    with pytest.raises(ValueError, match="ids: must have shape"):
        refine(truth, bodies, scene.camera, ids=torch.zeros(1, 1, 2, 64, 64))
    with pytest.raises(ValueError, match="static"):
        refine(
            truth, dataclasses.replace(bodies, static=(True,) * 3), scene.camera, colour=torch.zeros(1, 1, 3, 64, 64)
        )
    with pytest.raises(ValueError, match="taus_px"):
        refine(truth, bodies, scene.camera, colour=torch.zeros(1, 1, 3, 64, 64), taus_px=())
