"""The law is learned from pixels alone, from a wrong start."""

import dataclasses

import numpy as np
import pytest
import torch
from test_world_model import rollout

from worldsim.data.clip import to_float
from worldsim.models.law_from_video import law_loss, learn_law
from worldsim.models.world import World
from worldsim.physics import LearnedLaw, PhysicsPrior, PriorConfig
from worldsim.vision.readout import ColourReadout


@pytest.fixture(scope="module")
def falling():
    rollouts = [rollout(seed, "parabola") for seed in range(6)]
    video = to_float(torch.from_numpy(np.stack([r.video for r in rollouts])))
    return video, [r.scene.setup() for r in rollouts]


def fitted(falling, **options):
    law = LearnedLaw(1, (0.5, 0.0, -6.0), restitution=0.5)
    prior = PhysicsPrior(config=PriorConfig(max_step=0.1))
    return learn_law(lambda step: falling, law, prior, ColourReadout(0.1), **options)


def test_gravity_is_found_within_two_percent(falling):
    losses = []
    law = fitted(falling, steps=60, learning_rate=0.3, callback=lambda step, loss: losses.append(loss))
    gravity = law().gravity.detach()
    assert float(gravity[2]) == pytest.approx(-2.5, rel=0.02)
    assert abs(float(gravity[0])) < 0.05
    assert losses[-1] < 0.1 * losses[0]


def test_what_the_setups_say_of_gravity_is_not_used(falling):
    video, setups = falling
    lies = [dataclasses.replace(s, law=dataclasses.replace(s.law, gravity=(0.0, 0.0, 9.0))) for s in setups]
    law, prior, readout = LearnedLaw(1, (0.0, 0.0, -3.0)), PhysicsPrior(), ColourReadout(0.1)
    one, other = (law_loss(video, s, law, prior, readout, 4) for s in (setups, lies))
    assert torch.equal(one, other)
    assert World.of(lies).law.gravity[0, 2] == 9.0
