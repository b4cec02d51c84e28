"""Agreement with MuJoCo at fine steps: bouncing balls until the third impact, a tower at rest, an incline."""

import math

import pytest
import torch
from prior_worlds import about_y, ball, box, floor, play, world

from worldsim.engines import get_engine
from worldsim.scene import Scene


def _truth(scene, seconds, fps):
    film = Scene(**{**vars(scene), "duration": seconds, "fps": float(fps)})
    return get_engine("mujoco").simulate(film, render=False).trajectory


def test_bouncing_balls_agree_until_the_third_impact_within_2_percent():
    scene = world(
        ball("a", (0, 0, 0.6), (0.3, 0, 0), e=0.7, mu=0.0),
        ball("b", (0.5, 0, 0.4), radius=0.08, e=0.6, mu=0.0),
        floor(e=0.9, mu=0.0),
    )
    # Third impact of ball a: fall of .5 m, then flights of 2 e v / g, with e = sqrt(.63).
    fall, e = math.sqrt(2 * 0.5 / 9.81), math.sqrt(0.7 * 0.9)
    third = fall * (1 + 2 * e + 2 * e * e)
    seconds = int(third * 60) / 60
    truth, mine = _truth(scene, seconds, 60), play(scene, seconds, 60)
    frames = min(truth.num_frames - 1, mine.num_frames)
    apart = (truth.position[1 : frames + 1, :2] - mine.position[0, :frames, :2]).norm(dim=-1)
    assert apart[:, 0].max() < 0.02 * 0.5


def test_a_tower_stays_where_mujoco_keeps_it():
    scene = world(*(box(f"b{k}", (0, 0, 0.1 + 0.2 * k)) for k in range(3)), floor(mu=0.5, e=0.0))
    truth, mine = _truth(scene, 0.5, 30), play(scene, 0.5, 30)
    assert (truth.position[-1, :3] - mine.position[0, -1, :3]).norm(dim=-1).max() < 2e-3


@pytest.mark.parametrize("mu", [0.3, 0.6])
def test_an_incline_agrees(mu):
    q, n = about_y(0.4), (math.sin(0.4), 0.0, math.cos(0.4))
    scene = world(box("a", tuple(0.1 * c for c in n), q=q, friction=mu), floor(q=q, mu=mu, e=0.0))
    truth, mine = _truth(scene, 0.5, 30), play(scene, 0.5, 30)
    gap = (truth.position[-1, 0] - mine.position[0, -1, 0]).norm()
    moved = (truth.position[-1, 0] - truth.position[0, 0]).norm()
    assert gap < 0.02 * moved + 2e-3
    assert torch.isfinite(gap)
