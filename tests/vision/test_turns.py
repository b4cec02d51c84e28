"""Turns read from masks are those that bodies were drawn with, up to turns after which they look the same."""

import math

import pytest
import torch

from worldsim.physics import Bodies, Trajectory
from worldsim.scene import Body, Box, Camera, Capsule, Law, Polygon, Scene, Sphere, State
from worldsim.vision import rasterise
from worldsim.vision.turns import read_turns


def regular(corners, radius=0.8):
    angles = [2 * math.pi * k / corners + 0.3 for k in range(corners)]
    return Polygon(tuple((radius * math.cos(a), radius * math.sin(a)) for a in angles), 0.2)


SHAPES = {
    "wide box": (Box((1.0, 0.2, 0.4)), math.pi),
    "tall box": (Box((0.4, 0.2, 1.0)), math.pi),
    "square": (Box((0.7, 0.2, 0.7)), math.pi / 2),
    "capsule": (Capsule(0.3, 0.6), math.pi),
    "triangle": (regular(3), 2 * math.pi / 3),
    "hexagon": (regular(6), math.pi / 3),
    "rhomb": (Polygon(((0.0, -1.0), (0.4, 0.0), (0.0, 1.0), (-0.4, 0.0)), 0.2), math.pi),
}


def drawn(shape, turns, static=False):
    """Masks (1, T, 1, H, W) of a body that turns about y, and its bodies."""
    camera = Camera(kind="orthographic", position=(0, -10, 0), target=(0, 0, 0), extent=4.0, width=48, height=48)
    scene = Scene((Body("one", shape, State((0, 0, 0)), static=static),), Law(), camera, planar=True, shading="flat")
    bodies = Bodies.from_scenes([scene])
    half = turns / 2
    zero = torch.zeros_like(half)
    orientation = torch.stack([half.cos(), zero, half.sin(), zero], -1)[None, :, None]
    still = torch.zeros(1, len(turns), 1, 3)
    place = still + torch.tensor([0.17, 0.0, -0.11])
    trajectory = Trajectory(place, orientation, still, still, torch.ones(1, len(turns), 1), 0.1)
    return rasterise(trajectory, bodies, camera, tau_px=0.3, channels=()).masks, bodies


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("rate", [-0.25, 0.2])
def test_turns_are_read_up_to_what_looks_alike(name, rate):
    shape, period = SHAPES[name]
    truth = 0.4 + rate * torch.arange(20.0)
    masks, bodies = drawn(shape, truth)
    found = read_turns(masks, torch.ones(1, 20, 1, dtype=torch.bool), bodies)[0, :, 0]
    off = found - truth
    folded = off - period * torch.round(off[0] / period)
    assert folded.abs().max() < 0.04  # radians; and the same fold in all frames, through more than a whole period


def test_frames_that_do_not_tell_keep_the_turn_before_them():
    truth = 0.1 * torch.arange(8.0)
    masks, bodies = drawn(Box((1.0, 0.2, 0.4)), truth)
    seen = torch.ones(1, 8, 1, dtype=torch.bool)
    seen[0, 3:5] = False
    found = read_turns(masks, seen, bodies)[0, :, 0]
    torch.testing.assert_close(found[3:5], found[2].expand(2))
    torch.testing.assert_close(found[5:], truth[5:], atol=0.04, rtol=0)


@pytest.mark.parametrize(("shape", "static"), [(Sphere(0.8), False), (Box((1.0, 0.2, 0.4)), True)])
def test_balls_and_static_bodies_do_not_turn(shape, static):
    masks, bodies = drawn(shape, torch.tensor([0.3, 0.6]), static)
    assert read_turns(masks, torch.ones(1, 2, 1, dtype=torch.bool), bodies).abs().max() == 0


def test_worlds_of_a_batch_are_read_each_by_its_own_shape():
    parts = [drawn(SHAPES[name][0], torch.tensor([0.2, 0.4])) for name in ("wide box", "square", "tall box")]
    masks = torch.cat([part[0] for part in parts])
    bodies = parts[0][1].map(lambda t: t)
    size = torch.cat([part[1].size for part in parts])
    vertices = torch.cat([part[1].vertices for part in parts])
    together = read_turns(masks, torch.ones(3, 2, 1, dtype=torch.bool), bodies_with(bodies, size, vertices))
    for k, (mask, own) in enumerate(parts):
        alone = read_turns(mask, torch.ones(1, 2, 1, dtype=torch.bool), own)
        torch.testing.assert_close(together[k], alone[0])


def bodies_with(bodies, size, vertices):
    grown = bodies.map(lambda t: t.expand(len(size), *t.shape[1:]))
    return type(bodies)(**{**vars(grown), "size": size, "vertices": vertices})
