"""A model paired through the learned readout, on a lit scene under a perspective camera."""

import dataclasses

import pytest
import torch

import worldsim as ws
from worldsim.data import collate
from worldsim.models.config import DiTConfig, WorldModelConfig
from worldsim.models.world_model import WorldModel

CONFIG = WorldModelConfig(
    dit=DiTConfig(width=48, depth=2, heads=4, patch=(2, 8, 8)),
    clip_frames=8,
    fps=16.0,
    readout="learned",
    consistency=0.1,
    consistency_t_max=1.0,
)


@pytest.fixture(scope="module")
def clip():
    rollouts = [
        ws.get_engine("mujoco").simulate(
            ws.make_scene("hoop", seed=seed, aim="side", framing="close", pixels=32, fps=16.0, duration=7 / 16)
        )
        for seed in range(2)
    ]
    return collate(rollouts, num_context=4)


def test_the_readout_stays_as_it_was_and_passes_gradients_on(clip):
    torch.manual_seed(0)
    model = WorldModel(CONFIG)
    with pytest.raises(ValueError, match="readout: must have trained weights"):
        model.loss(clip, torch.Generator().manual_seed(0))
    model.readout.trained.fill_(True)
    terms = model.loss(clip, torch.Generator().manual_seed(0))
    assert {"agreement", "permanence", "penetration"} <= set(terms)
    assert all(torch.isfinite(value) for value in terms.values())
    (terms["agreement"] + terms["permanence"]).backward()
    assert any(p.grad is not None and p.grad.any() for p in model.denoiser.parameters())
    assert all(p.grad is None for p in model.readout.parameters())
    assert any(name.startswith("readout.") for name in model.state_dict())


def test_other_readouts_are_refused():
    with pytest.raises(
        ValueError, match=r"world_model\.readout: must be one of colour, learned, learned_space, got 'guess'"
    ):
        dataclasses.replace(CONFIG, readout="guess")
