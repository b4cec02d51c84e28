"""Drawing still bodies once, and flat colours by id, gives the bytes of drawing everything in every frame."""

import dataclasses

import numpy as np
import pytest
import torch

from worldsim.engines.mujoco.layers import Windows
from worldsim.engines.mujoco.render import Painter
from worldsim.physics.trajectory import Trajectory
from worldsim.scene import Body, Box, Camera, Capsule, Plane, Ring, Scene, Sphere, State, make_scene, planar_camera

SEEN_FROM_ABOVE = Camera(position=(0.4, -4, 1.7), target=(0.05, 0, 0.9), fov=40, width=96, height=64)
SEEN_LEVEL = Camera(kind="orthographic", position=(0.3, -5, 2), target=(0, 0, 0.9), extent=2.6, width=80, height=72)


def in_layers_and_whole(scene, trajectory):
    """The frames as they are drawn by default, and with every body and colour drawn in every frame."""
    painter = Painter(scene, "fast")
    assert painter.layered
    layered = painter.paint(trajectory)
    painter.layered = False
    return layered, painter.paint(trajectory)


def assert_same(scene, trajectory):
    layered, whole = in_layers_and_whole(scene, trajectory)
    for name in ("ids", "depth", "video"):
        assert np.array_equal(getattr(layered, name), getattr(whole, name)), name
    return layered


def wandering(scene, frames, movers, seed=0):
    """The start states over and over, with some bodies at places of their own in every frame."""
    generator = torch.Generator().manual_seed(seed)
    start = Trajectory.start_of([scene]).map(lambda part: part[0].repeat(frames, *[1] * (part.dim() - 2)))
    position, orientation = start.position.clone(), start.orientation.clone()
    for body in movers:
        position[:, body] += 0.5 * torch.randn(frames, 3, generator=generator, dtype=position.dtype)
        turn = torch.randn(frames, 4, generator=generator, dtype=position.dtype)
        orientation[:, body] = turn / turn.norm(dim=-1, keepdim=True)
    return dataclasses.replace(start, position=position, orientation=orientation)


def room(camera, **fields):
    bodies = (
        Body("floor", Plane(), State((0, 0, 0)), static=True, colour=(0.6, 0.6, 0.52)),
        Body("ball", Sphere(0.2), State((-0.7, 0, 0.9)), colour=(0.91, 0.12, 0.13)),
        Body("ring", Ring(0.3, 0.05), State((0, 0.4, 1.2)), colour=(0.8, 0.6, 0.13)),
        Body("box", Box((0.15, 0.2, 0.1)), State((0.1, 0.2, 0.8)), colour=(0.12, 0.8, 0.13)),
        Body("wall", Box((0.05, 0.5, 0.6)), State((0.6, 0, 0.6)), static=True, colour=(0.33, 0.31, 0.72)),
        Body("capsule", Capsule(0.1, 0.2), State((0.8, 0, 0.7)), colour=(0.12, 0.11, 0.91)),
    )
    return Scene(bodies=bodies, camera=camera, **fields)


@pytest.mark.parametrize("shading", ["flat", "shaded"])
@pytest.mark.parametrize("camera", [SEEN_FROM_ABOVE, SEEN_LEVEL], ids=lambda c: c.kind)
@pytest.mark.parametrize("movers", [(), (1,), (2, 3), (0, 1, 2, 3, 4, 5)])
def test_layers_give_the_bytes_of_the_whole(camera, shading, movers):
    scene = room(camera, shading=shading)
    frames = assert_same(scene, wandering(scene, 12, movers))
    assert len(np.unique(frames.ids)) > 4


def test_a_plane_seen_from_behind_is_drawn_with_all_that_shows_through_it():
    scene = room(SEEN_FROM_ABOVE)
    trajectory = wandering(scene, 6, (1,))
    trajectory.position[:, 0, 2], trajectory.orientation[:, 0] = 2.5, torch.tensor([1.0, 0.0, 0.0, 0.0])
    frames = assert_same(scene, trajectory)
    assert (frames.ids == 1).any()


def test_bodies_that_come_and_go_are_laid_over_what_stays():
    scene = room(SEEN_FROM_ABOVE)
    trajectory = wandering(scene, 12, (1,))
    presence = trajectory.presence.clone()
    presence[:, 5] = 0  # never there
    presence[4:7, 3], presence[6:, 2] = 0, 0
    frames = assert_same(scene, dataclasses.replace(trajectory, presence=presence))
    assert not (frames.ids == 6).any()
    assert (frames.ids[:4] == 4).any()
    assert not (frames.ids[4:7] == 4).any()
    assert (frames.ids[7:] == 4).any()


@pytest.mark.parametrize("order", [1, -1])
def test_faces_in_one_plane_go_to_the_body_that_is_drawn_later(order):
    """Two boxes of one face in front, one of them moving along it: equal depths decide nothing by themselves."""
    fixed = Body("fixed", Box((0.5, 0.5, 0.5)), State((0, 0, 0.9)), static=True, colour=(0.8, 0.2, 0.2))
    sliding = Body("sliding", Box((0.3, 0.5, 0.3)), State((0, 0, 0.9)), colour=(0.2, 0.2, 0.8))
    level = dataclasses.replace(SEEN_LEVEL, position=(0.0, -5, 0.9), target=(0.0, 0, 0.9))
    scene = Scene(bodies=(fixed, sliding)[::order], camera=level, shading="flat")
    trajectory = wandering(scene, 6, ())
    trajectory.position[:, scene.index("sliding"), 0] += torch.linspace(-0.6, 0.6, 6)
    frames = assert_same(scene, trajectory)
    counts = [(frames.ids == scene.index(name) + 1).sum(axis=(1, 2)) for name in ("fixed", "sliding")]
    # Drawn later, the sliding box is seen whole; drawn before, only where it sticks out.
    assert (counts[1] > 0).all() if order == 1 else (counts[1] == 0).sum() == 2


@pytest.mark.parametrize(
    "camera", [planar_camera(10.0, 128), Camera(position=(5, -14, 5), target=(5, 0, 5))], ids=lambda c: c.kind
)
@pytest.mark.parametrize("halfway", [False, True])
def test_flat_colours_are_those_that_opengl_draws(camera, halfway):
    """200 colours, also those halfway between two levels of a byte, where perspective draws now one, now the other."""
    rng = np.random.default_rng(0)
    drawn = (rng.integers(0, 255, (200, 3)) + 0.5) / 255 if halfway else rng.uniform(0, 1, (200, 3))
    bodies = [
        Body(f"b{i}", Sphere(0.3), State((0.4 + 0.66 * (i % 15), 0, 0.4 + 0.66 * (i // 15))), colour=tuple(colour))
        for i, colour in enumerate(drawn.tolist())
    ]
    scene = Scene(bodies=tuple(bodies), camera=camera, planar=True, shading="flat", background=(0.9, 0.33, 1.0))
    layered, whole = in_layers_and_whole(scene, wandering(scene, 2, range(0, 200, 2)))
    assert np.array_equal(layered.ids, whole.ids)
    if camera.kind == "orthographic" or not halfway:
        assert np.array_equal(layered.video, whole.video)
    for number in np.unique(layered.ids):
        here = layered.ids == number
        assert (layered.video[here] == layered.video[here][0]).all()
        assert np.abs(layered.video[here].astype(int) - whole.video[here]).max() <= 1


@pytest.mark.parametrize("family", ["hoop", "billiards", "tower", "collision"])
def test_families_are_drawn_to_the_same_bytes(family):
    scene = make_scene(family, seed=1)
    assert_same(scene, wandering(scene, 4, [i for i, body in enumerate(scene.bodies) if not body.static]))


@pytest.mark.parametrize("camera", [SEEN_FROM_ABOVE, SEEN_LEVEL], ids=lambda c: c.kind)
def test_windows_hold_all_that_is_drawn_of_a_body(camera):
    scene = room(camera)
    trajectory = wandering(scene, 30, (1, 2, 3, 5), seed=4)
    painter = Painter(scene, "fast")
    painter.layered = False
    for body in (1, 2, 3, 5):
        presence = torch.zeros_like(trajectory.presence)
        presence[:, body] = 1
        ids = painter.paint(dataclasses.replace(trajectory, presence=presence)).ids
        windows = Windows(scene, trajectory.position.numpy(), presence.numpy() > 0.5)
        assert windows.apart.all()
        for t in range(30):
            ((place, rows, columns),) = windows.of(t)
            assert place == body
            # Rows of windows are counted from the lowest.
            assert (ids[t][::-1][rows, columns] > 0).sum() == (ids[t] > 0).sum()


def test_windows_say_when_bodies_may_hide_each_other():
    scene = room(SEEN_LEVEL)
    trajectory = wandering(scene, 3, ())
    position, shown = trajectory.position.numpy().copy(), np.zeros((3, 6), bool)
    shown[:, [1, 5]] = True
    position[1, 1] = position[1, 5] + np.array([0.25, 1.0, 0.0])  # behind the capsule and a little to its side
    position[2, 1] = position[2, 5] + np.array([9.0, 0.0, 0.0])  # out of the picture
    assert Windows(scene, position, shown).apart.tolist() == [True, False, True]
    shown[1, 5] = False
    assert Windows(scene, position, shown).apart.tolist() == [True, True, True]
