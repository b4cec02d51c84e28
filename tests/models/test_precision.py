"""Under autocast the denoiser alone computes in sixteen bits: prior, readout, rasteriser and losses do not."""

import copy
import dataclasses

import pytest
import torch
from test_world_model import CONFIG, rollout

from worldsim.data.clip import collate
from worldsim.models.world_model import WorldModel


@pytest.fixture(scope="module")
def clip():
    return collate([rollout(seed) for seed in range(2)], num_context=4)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return WorldModel(CONFIG)


@pytest.fixture
def seen(model):
    """Types of what the denoiser's first and last layers and the readout give."""
    types = {}
    for name, module in (("embed", model.denoiser.embed.linear), ("last", model.denoiser.head.last)):
        module.register_forward_hook(lambda _, __, out, name=name: types.setdefault(name, set()).add(out.dtype))
    return types


def half():
    return torch.autocast("cpu", torch.bfloat16)


def test_a_sample_has_the_same_prior_and_nearly_the_same_pictures(clip, model, seen):
    exact = model.generate(clip.video[:, :, :4], clip.setups, 8, steps=2)
    assert seen == {"embed": {torch.float32}, "last": {torch.float32}}
    seen.clear()
    with half():
        found = model.generate(clip.video[:, :, :4], clip.setups, 8, steps=2)
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16  # it is on again behind
    assert seen == {"embed": {torch.bfloat16}, "last": {torch.bfloat16}}
    assert torch.equal(found.prior.position, exact.prior.position)
    assert found.video.dtype == found.trajectory.position.dtype == torch.float32
    assert 0 < (found.video - exact.video).abs().mean() < 1e-3


@pytest.mark.parametrize("state", [0.0, 0.1])
def test_losses_and_their_gradients_stay_near_those_of_float32(clip, state):
    torch.manual_seed(0)
    dit = dataclasses.replace(CONFIG.dit, state_head_layer=0 if state else -1)
    model = WorldModel(dataclasses.replace(CONFIG, dit=dit, state=state))
    twin = copy.deepcopy(model)

    def terms(of):
        named = of.loss(clip, torch.Generator().manual_seed(1))
        torch.stack(list(named.values())).sum().backward()
        return named, torch.cat([p.grad.flatten() for p in of.parameters() if p.grad is not None])

    exact, along = terms(model)
    with half():
        found, turned = terms(twin)
    assert exact.keys() == found.keys()
    for name, value in exact.items():
        assert found[name].dtype == torch.float32
        torch.testing.assert_close(found[name], value, rtol=0.02, atol=1e-4)
    assert turned.dtype == torch.float32
    assert torch.cosine_similarity(along, turned, dim=0) > 0.99
