"""The readout study's arithmetic against results by hand."""

import importlib
import math
import sys
from pathlib import Path

import pytest
import torch

import worldsim as ws
from worldsim.vision import View

FOLDER = Path(__file__).parents[2] / "experiments" / "readout"
NAMES = ("train", "floor")


@pytest.fixture(scope="module")
def floor():
    """The module floor.py, whose plain name and train's are left free for other folders."""
    before = {name: sys.modules.pop(name) for name in NAMES if name in sys.modules}
    sys.path.insert(0, str(FOLDER))
    yield importlib.import_module("floor")
    sys.path.remove(str(FOLDER))
    for name in NAMES:
        sys.modules.pop(name, None)
    sys.modules.update(before)


def test_errors_in_space_are_told_apart(floor):
    scene = ws.make_scene("open_box", seed=500)
    view = View.from_cameras([scene.camera])
    position = torch.tensor([[[scene.bodies[k].state.position for k in range(3)]]])
    radius = torch.tensor([[[0.2, 0.3, 0.4]]])
    sight = position - view.position[:, None, None]
    sight = sight / sight.norm(dim=-1, keepdim=True)
    beside = torch.linalg.cross(sight, torch.tensor([0.0, 1.0, 0.0]).expand_as(sight))
    beside = beside / beside.norm(dim=-1, keepdim=True)
    # .3 and -.4 radii along the line of sight, and .3 both ways.
    way = torch.tensor([[[[0.3, 0.0], [-0.4, 0.0], [0.3, 0.3]]]]) * radius[..., None]
    place = position + way[..., :1] * sight + way[..., 1:] * beside
    across, along, near = floor.in_space(place, position, radius, view)
    torch.testing.assert_close(along, torch.tensor([[[0.3, 0.4, 0.3]]]), atol=1e-4, rtol=0)
    torch.testing.assert_close(across, torch.tensor([[[0.0, 0.0, 0.3]]]), atol=2e-3, rtol=0)
    assert near.tolist() == [[[1.0, 0.0, 1.0]]]


def test_the_outline_of_a_ball_in_perspective_is_somewhat_more_than_a_disc(floor):
    scene = ws.make_scene("open_box", seed=501)
    view = View.from_cameras([scene.camera])
    position = torch.tensor([[[scene.bodies[k].state.position for k in range(3)]]])
    radius = torch.tensor([[[body.shape.radius for body in scene.bodies[:3]]]])
    area = floor.whole_area(position, radius, view)
    depth = view.to_camera(position.flatten(1, 2))[..., 2].reshape(area.shape)
    disc = math.pi * (radius * view.focal / depth) ** 2
    assert (area > disc).all()
    assert (area < 1.2 * disc).all()
