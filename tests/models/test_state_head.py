"""State supervision: targets against the camera, gradients into the trunk, what counts, and that truth is no input."""

import dataclasses

import numpy as np
import pytest
import torch

import worldsim as ws
from worldsim.data import average_down, save_clips
from worldsim.data.clip_set import ClipSet
from worldsim.models.config import DiTConfig, WorldModelConfig
from worldsim.models.state_head import StateHead, picture_states, state_loss
from worldsim.models.world import World
from worldsim.models.world_model import WorldModel

DIT = DiTConfig(width=48, depth=3, heads=4, patch=(2, 8, 8), state_head_layer=1)
CONFIG = WorldModelConfig(dit=DIT, state=0.5, fps=16.0, hint=False)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    rows = []
    for seed in range(4):
        scene = ws.make_scene("bouncing_balls", seed=seed, pixels=32, fps=16.0, duration=11 / 16)
        rows.append(average_down(ws.get_engine("mujoco").simulate(scene), scene))
    save_clips(folder, "balls", "id", "train", rows)
    return ClipSet(folder, "balls", "id", "train")


@pytest.fixture
def clip(clips):
    return clips.clip(range(4), 0, 12, 4)


def test_targets_are_what_the_camera_sees():
    scene = ws.make_scene("hoop", seed=0, pixels=64, aim="side")
    rollout = ws.get_engine("mujoco").simulate(scene, render=False)
    world = World.of([scene.setup()])
    states, counted = picture_states(rollout.trajectory.map(lambda x: x[None].float()), world.bodies, world.view)
    centre, depth = scene.camera.project(rollout.trajectory.position[:, 0].numpy())
    np.testing.assert_allclose(states[0, :, 0, :2] * 32 + 32, centre, atol=1e-3)
    np.testing.assert_allclose(states[0, :, 0, 2].exp() * 64, scene.camera.focal / depth, rtol=1e-4)
    # Free flight before the first touch: one frame on, the centre has moved by the velocity and by g dt^2 / 2.
    step = (centre[1] - centre[0]) / 32 * 10
    np.testing.assert_allclose(
        states[0, 0, 0, 3:], step, atol=10 * 9.81 / 24**2 / 2 * scene.camera.focal / 32 / depth[0]
    )
    assert counted[0, 0].tolist() == [True, *[False] * 5]  # the ball alone moves


def test_absent_static_and_unseen_bodies_do_not_count(clip):
    world = World.of(clip.setups)
    presence = clip.trajectory.presence.clone()
    presence[0, :, 0] = 0
    position = clip.trajectory.position.clone()
    position[1, :, 1, 0] = -5.0  # outside the picture
    position[2, :, 2] = float("inf")
    trajectory = dataclasses.replace(clip.trajectory, presence=presence, position=position)
    states, counted = picture_states(trajectory, world.bodies, world.view)
    assert not counted[0, :, 0].any()
    assert not counted[1, :, 1].any()
    assert not counted[2, :, 2].any()
    assert not counted[..., 3:].any()  # walls
    assert counted[3, :, :3].all()
    predicted = torch.zeros_like(states).requires_grad_()
    loss = state_loss(predicted, states, counted, torch.zeros(4, 6))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(predicted.grad).all()
    assert not predicted.grad[~counted].any()
    assert predicted.grad[counted].any()


def test_noise_takes_weight_away():
    predicted, states = torch.zeros(2, 4, 1, 5), torch.zeros(2, 4, 1, 5)
    states[0] = 1.0
    counted = torch.ones(2, 4, 1, dtype=torch.bool)
    early = state_loss(predicted, states, counted, torch.tensor([[0.1, 0.1], [0.5, 0.5]]))
    late = state_loss(predicted, states, counted, torch.tensor([[0.9, 0.9], [0.5, 0.5]]))
    assert early == pytest.approx(0.5 * 0.9 / 1.4)
    assert late == pytest.approx(0.5 * 0.1 / 0.6)
    assert torch.isfinite(state_loss(predicted, states, counted & False, torch.ones(2, 2)))


def test_the_term_reaches_the_trunk_and_no_later_block(clip):
    torch.manual_seed(0)
    model = WorldModel(CONFIG)
    # Gates start at zero, which would cut the attention's gradient off.
    torch.nn.init.normal_(model.denoiser.to_modulation[-1].weight, std=0.1)
    terms = model.loss(clip, torch.Generator().manual_seed(0))
    assert set(terms) == {"diffusion", "state"}
    terms["state"].backward()
    trunk, late = model.denoiser.blocks[1], model.denoiser.blocks[2]
    assert trunk.attention.qk.weight.grad.abs().sum() > 0
    assert model.denoiser.setup[0].weight.grad.abs().sum() > 0
    assert late.attention.qk.weight.grad is None


def test_the_truth_is_a_target_and_no_input(clip):
    torch.manual_seed(0)
    model = WorldModel(CONFIG)
    seen = []
    model.state_head.register_forward_hook(lambda module, inputs, output: seen.append((*inputs, output)))
    lie = dataclasses.replace(
        clip, trajectory=dataclasses.replace(clip.trajectory, position=clip.trajectory.position + 0.5)
    )
    honest, lied = (model.loss(c, torch.Generator().manual_seed(1)) for c in (clip, lie))
    for one, other in zip(*seen, strict=True):
        assert torch.equal(one, other)
    assert torch.equal(honest["diffusion"], lied["diffusion"])
    assert honest["state"] != lied["state"]


def test_it_learns_where_things_are(clip):
    """Features that hold a blob at each body's centre: the head finds it, for any body of the set."""
    torch.manual_seed(0)
    world = World.of(clip.setups)
    states, counted = picture_states(clip.trajectory, world.bodies, world.view)
    head = StateHead(32, 2)
    places = torch.linspace(-1, 1, 17)[1::2]
    distance = (places[None, :] - states[..., :3, 0:1]).square()[..., None, :]
    distance = distance + (places[None, :] - states[..., :3, 1:2]).square()[..., :, None]
    blobs = (-distance / 0.05).exp().unflatten(1, (6, 2))[:, :, 0]  # (B, T', 3, 8, 8)
    features = torch.cat([blobs.movedim(2, -1), torch.zeros(4, 6, 8, 8, 29)], -1)
    tokens = torch.eye(32)[: world.bodies.num_bodies].expand(4, -1, -1)
    optimiser = torch.optim.Adam(head.parameters(), 3e-3)
    for _ in range(150):
        loss = state_loss(head(features, tokens), states, counted, torch.zeros(4, 6))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    error = (head(features, tokens) - states)[..., :2].abs()[counted]
    assert error.mean() < 0.04  # half heights; a cell is .25 wide


@pytest.mark.slow
def test_a_tiny_batch_is_learned_by_heart(clip):
    torch.manual_seed(0)
    model = WorldModel(dataclasses.replace(CONFIG, state=1.0))
    optimiser = torch.optim.Adam(model.parameters(), 2e-3)
    values = []
    for step in range(200):
        terms = model.loss(clip, torch.Generator().manual_seed(step))
        optimiser.zero_grad()
        sum(terms.values()).backward()
        optimiser.step()
        values.append(terms["state"].item())
    assert np.mean(values[-10:]) < 0.1 * values[0]


@pytest.mark.parametrize("dit", [{"state_head_layer": -1}, {"setup_features": 0}])
def test_configs_without_features_are_refused(dit):
    with pytest.raises(ValueError, match=r"world_model\.state: must be 0 unless .*, got 0\.5"):
        WorldModelConfig(dit=dataclasses.replace(DIT, **dit), state=0.5)


def test_a_denoiser_without_features_is_refused():
    with pytest.raises(ValueError, match=r"world_model\.state: must be 0 for a denoiser without run\(\)"):
        WorldModel(CONFIG, torch.nn.Identity())


def test_the_head_is_left_out_where_it_weighs_nothing(clip):
    model = WorldModel(dataclasses.replace(CONFIG, state=0.0))
    assert model.state_head is None
    assert not any("state_head" in name for name in model.state_dict())
    assert set(model.loss(clip, torch.Generator().manual_seed(0))) == {"diffusion"}
