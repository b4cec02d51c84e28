"""Lever 4 against a denoiser that is known to be wrong, and long videos made chunk by chunk."""

import dataclasses
import itertools

import pytest
import torch
from test_world_model import CONFIG, rollout

from worldsim.data.clip import collate
from worldsim.models.pairing import draw_hint, keep_where_seen
from worldsim.models.steering import Guidance
from worldsim.models.world import World
from worldsim.models.world_model import WorldModel
from worldsim.physics import LawParameters


@pytest.fixture(scope="module")
def clip():
    return collate([rollout(seed) for seed in range(4)], num_context=4)


class Jittery(torch.nn.Module):
    """Always predicts the truth with every body off its place by a new offset each frame."""

    def __init__(self, clip, spread):
        super().__init__()
        self.here = torch.nn.Parameter(torch.zeros(1))
        world = World.of(clip.setups)
        offset = spread * torch.randn(clip.trajectory.position.shape, generator=torch.Generator().manual_seed(0))
        offset[..., 1] = 0
        moved = dataclasses.replace(clip.trajectory, position=clip.trajectory.position + offset)
        self.video = draw_hint(moved, world.bodies, world.view, world.background, "flat")

    def forward(self, z, t, condition=None):
        return self.video[:, :, : z.shape[2]]


def position_error(trajectory, clip):
    new = slice(clip.num_context, None)
    return float((trajectory.position - clip.trajectory.position)[:, new].norm(dim=-1).mean())


@pytest.mark.parametrize("guidance", [Guidance("energy", step=0.3, iterations=10, t_max=1.0), Guidance("project")])
def test_guidance_brings_a_wrong_video_nearer_to_the_law(clip, guidance):
    model = WorldModel(CONFIG, denoiser=Jittery(clip, 0.2))
    context = clip.video[:, :, :4]
    plain = model.generate(context, clip.setups, 8, steps=4)
    steered = model.generate(context, clip.setups, 8, steps=4, guidance=guidance)
    assert position_error(steered.trajectory, clip) < 0.6 * position_error(plain.trajectory, clip)
    assert torch.equal(steered.video[:, :, :4], context)


def test_a_long_video_grows_chunk_by_chunk(clip):
    model = WorldModel(CONFIG)
    context = clip.video[:, :, :4]
    chunks = list(model.stream(context, clip.setups, 31, steps=2, seed=3))
    assert [chunk.video.shape[2] for chunk in chunks] == [16, 16, 11]
    for before, after in itertools.pairwise(chunks):
        assert torch.equal(before.video[:, :, -4:], after.video[:, :, :4])
    whole = model.generate(context, clip.setups, 31, steps=2, seed=3)
    assert whole.video.shape[2] == whole.trajectory.num_frames == whole.prior.num_frames == 35
    assert torch.equal(whole.video[:, :, 4:16], chunks[0].video[:, :, 4:])
    read = model.read(whole.video, World.of(clip.setups))
    for field in ("position", "linear_velocity", "presence"):
        torch.testing.assert_close(getattr(whole.trajectory, field), getattr(read, field))


def test_projection_keeps_the_law_that_is_asked_for(clip, monkeypatch):
    told = []
    monkeypatch.setattr("worldsim.models.steering.project", lambda found, *args, law, **more: told.append(law) or found)
    law = LawParameters(gravity=torch.tensor([[0.0, 0.0, -5.0]] * 4), drag=torch.zeros(4))
    model = WorldModel(CONFIG)
    model.generate(clip.video[:, :, :4], clip.setups, 4, steps=2, law=law, guidance=Guidance("project", t_max=1.0))
    assert told
    assert all(found is law for found in told)


def test_the_prior_goes_on_from_its_own_state_where_the_picture_agrees(clip):
    world = World.of(clip.setups)
    held = clip.trajectory.frames(5, 6)
    shift = torch.zeros_like(held.position)
    shift[:, :, 0, 0] = 0.1  # within half a radius
    shift[:, :, 1, 0] = 3.0  # elsewhere
    read = dataclasses.replace(held, position=held.position + shift, linear_velocity=held.linear_velocity + 1)
    kept = keep_where_seen(held, read, world.bodies)
    torch.testing.assert_close(kept.position[:, :, 0], held.position[:, :, 0])
    torch.testing.assert_close(kept.linear_velocity[:, :, 0], held.linear_velocity[:, :, 0])
    torch.testing.assert_close(kept.position[:, :, 1], read.position[:, :, 1])
    torch.testing.assert_close(kept.linear_velocity[:, :, 1], read.linear_velocity[:, :, 1])


def test_the_prior_holds_on_to_what_the_picture_hides(clip):
    world = World.of(clip.setups)
    held = clip.trajectory.frames(5, 6)
    presence, nowhere = held.presence.clone(), torch.zeros_like(held.position)
    presence[:, :, 0] = 0
    read = dataclasses.replace(held, position=nowhere, presence=presence)
    kept = keep_where_seen(held, read, world.bodies)
    torch.testing.assert_close(kept.position[:, :, 0], held.position[:, :, 0])
    assert kept.presence.min() == 1
    unknown = dataclasses.replace(held, presence=presence)
    assert torch.equal(keep_where_seen(unknown, unknown, world.bodies).presence, presence)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "push"}, "guidance.kind: must be one of energy, project, got 'push'"),
        ({"step": 0.0}, "guidance.step: must be above 0"),
        ({"iterations": 0}, "guidance.iterations: must be 1 or more"),
        ({"t_max": 1.5}, "guidance.t_max: must be above 0 and at most 1"),
    ],
)
def test_bad_guidance_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        Guidance(**options)
