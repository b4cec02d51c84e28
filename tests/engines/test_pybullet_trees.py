"""Branching trees of links keep their places: walkers of four legs play in PyBullet as they do in MuJoCo."""

from dataclasses import replace

import pytest
import torch

from worldsim.engines import get_engine
from worldsim.scene import make_scene

pytest.importorskip("pybullet")


def test_branching_trees_start_where_the_scene_says():
    scene = replace(make_scene("crossing_quadrupeds", seed=0), duration=1 / 24)
    played = [get_engine(name).simulate(scene, render=False).trajectory for name in ("mujoco", "pybullet")]
    torch.testing.assert_close(played[0].position[0], played[1].position[0], atol=1e-6, rtol=0)
    assert (played[0].position[1] - played[1].position[1]).norm(dim=-1).max() < 0.01
