"""LikePhys: pairs match, losses share their noise, the error is a count; our model and diffusers' run through it."""

import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from worldsim.benchmarks.protocols import run_protocol
from worldsim.benchmarks.protocols.denoisers import DiffusersLoss, WorldModelLoss, latents_of, losses_of
from worldsim.benchmarks.protocols.likephys import (
    PairSet,
    denoising_losses,
    make_pairs,
    preference_rows,
    still_loss,
)
from worldsim.benchmarks.wilson import wilson
from worldsim.data.clip import collate
from worldsim.diffusion import add_noise
from worldsim.models.config import DiTConfig
from worldsim.models.world import World
from worldsim.models.world_model import WorldModel, WorldModelConfig


@pytest.fixture(scope="module")
def pairs():
    kinds = ("vanishing", "teleport", "frozen", "time_reversal")
    return make_pairs(("uniform_motion", "collision"), kinds, num=1, pixels=32)


def test_pairs_agree_in_the_context_and_differ_after_it(pairs):
    assert len(pairs.pairs) >= 5
    assert pairs.impossible >= 2  # nothing is lost in elastic contacts, so time may run backwards
    for pair in pairs.pairs:
        assert np.array_equal(pair.valid.video[:4], pair.invalid.video[:4])
        assert not np.array_equal(pair.valid.video[4:16], pair.invalid.video[4:16])
        assert pair.invalid.info["twin"]["kind"] == pair.kind


class Oracle:
    """A denoiser that knows the lawful video: its noise is off by (1 - t) / t times the difference."""

    def __init__(self, known, sign=1.0):
        self.known, self.sign, self.noises = known, sign, []

    def __call__(self, clip, time, noise):
        self.noises.append(noise)
        z = (1 - time) * clip.video + time * noise
        predicted = (z - (1 - time) * self.known) / time
        return self.sign * (predicted - noise).square().mean((1, 2, 3, 4)) + 1


def test_an_oracle_never_errs_its_opposite_always_and_both_see_one_noise(pairs):
    for pair in pairs.pairs:
        clip = collate([pair.valid, pair.invalid], 4, 16)
        for sign, expected in ((1.0, 0.0), (-1.0, 1.0)):
            oracle = Oracle(clip.video[:1], sign)
            (row,) = preference_rows(oracle, [pair], times=(0.3, 0.8), draws=2)
            assert row["error"] == row["times_wrong"] == expected
            assert len(oracle.noises) == 4
            assert all(torch.equal(n[0], n[1]) for n in oracle.noises)
            assert not torch.equal(oracle.noises[0], oracle.noises[1])
        gap = (clip.video[1] - clip.video[0]).square().mean()
        losses = denoising_losses(Oracle(clip.video[:1]), clip, (0.3, 0.8))
        expected = [1 + float(gap) * ((1 - t) / t) ** 2 for t in (0.3, 0.8)]
        assert losses[1].tolist() == pytest.approx(expected, rel=1e-4)
        assert losses[0].tolist() == pytest.approx([1.0, 1.0], rel=1e-4)
    ties = run_protocol("likephys", model=lambda clip, time, noise: torch.ones(2), pairs=pairs)
    assert ties.figures["model all"].value == 0.5


def test_the_control_prefers_what_is_nearer_to_the_last_context_frame(pairs):
    for pair in pairs.pairs:
        clip = collate([pair.valid, pair.invalid], 4, 16)
        last = clip.video[:, :, 3:4]
        by_hand = ((last - clip.video)[:, :, 4:] * (0.6 / 0.4)).square().mean((1, 2, 3, 4))
        torch.testing.assert_close(still_loss(clip, 0.4, torch.zeros(1)), by_hand)
        (row,) = preference_rows(still_loss, [pair])
        assert row["control"] == row["error"] == float(by_hand[0] > by_hand[1])


def test_errors_are_counted_kind_by_kind_with_wilson_intervals(pairs):
    result = run_protocol("likephys", model=still_loss, pairs=pairs)
    errors = [row["error"] for row in result.rows]
    assert result.figures["model all"].value == pytest.approx(np.mean(errors))
    frozen = [row["error"] for row in result.rows if row["kind"] == "frozen"]
    assert result.figures["model frozen"].value == pytest.approx(np.mean(frozen))
    assert result.figures["model frozen"].count == len(frozen) == 2
    assert result.figures["control all"].value == result.figures["model all"].value
    low, high = wilson(result.figures["model all"].value, len(errors))
    assert f"model all {low:.2f} to {high:.2f}" in result.notes[1]


CONFIG = WorldModelConfig(dit=DiTConfig(width=48, depth=2, heads=4, patch=(2, 8, 8)))


def test_our_model_is_asked_with_the_hint_on_and_off(pairs):
    torch.manual_seed(3)
    model = WorldModel(CONFIG)
    for parameter in model.parameters():  # gates and head begin at zero, where the hint would change nothing
        parameter.data += 0.02 * torch.randn_like(parameter)
    chosen = PairSet(pairs.pairs[:2], 0, 0)
    result = run_protocol("likephys", model=model, pairs=chosen, times=(0.5,))
    assert {"hint on all", "hint off all", "control all"} <= set(result.figures)
    clip = collate([chosen.pairs[0].valid, chosen.pairs[0].invalid], 4, 16)
    noise = torch.randn(1, 3, 16, 32, 32).expand(2, -1, -1, -1, -1)
    on, off = (WorldModelLoss(model, hint)(clip, 0.5, noise) for hint in (True, False))
    assert not torch.allclose(on, off)
    # By hand: clean estimate to noise, on the frames after the context.
    t = torch.full((2, 8), 0.5)
    t[:, :2] = 0
    z = add_noise(clip.video, noise, t)
    world = World.of(clip.setups)
    for loss, foreseen in ((off, None), (on, model.foresee(world, clip.video[:, :, :4], 16))):
        with torch.no_grad():
            x = model.denoiser(z, t, model.condition(world, foreseen))
        predicted = (z - 0.5 * x) / 0.5
        torch.testing.assert_close(loss, (predicted - noise)[:, :, 4:].square().mean((1, 2, 3, 4)))
    with pytest.raises(ValueError, match="hint: must be false"):
        WorldModelLoss(WorldModel(dataclasses.replace(CONFIG, hint=False)), True)
    with pytest.raises(ValueError, match="num_context: must be one of"):
        WorldModelLoss(model)(dataclasses.replace(clip, num_context=3), 0.5, noise)


def wan():
    diffusers = pytest.importorskip("diffusers")
    torch.manual_seed(0)
    transformer = diffusers.WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=3,
        out_channels=3,
        text_dim=16,
        freq_dim=32,
        ffn_dim=32,
        num_layers=1,
    )
    return transformer, diffusers.FlowMatchEulerDiscreteScheduler()


def test_a_flow_matching_transformer_of_diffusers_is_scored(pairs):
    transformer, scheduler = wan()
    embeds = torch.randn(1, 5, 16)
    loss = DiffusersLoss(transformer, scheduler, embeds)
    clip = collate([pairs.pairs[0].valid, pairs.pairs[0].invalid], 4, 16)
    noise = torch.randn(1, 3, 16, 32, 32).expand(2, -1, -1, -1, -1)
    with torch.no_grad():
        z = 0.4 * clip.video + 0.6 * noise
        flow = transformer(z, torch.full((2,), 600.0), embeds.expand(2, -1, -1), return_dict=False)[0]
        found = loss(clip, 0.6, noise)
    by_hand = (z + 0.4 * flow - noise).square().mean((1, 2, 3, 4))
    torch.testing.assert_close(found, by_hand)
    result = run_protocol("likephys", model=loss, pairs=PairSet(pairs.pairs[:2], 0, 0), times=(0.5,))
    assert result.figures["model all"].count == 2
    assert all(math.isfinite(row["loss_valid"]) for row in result.rows)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_frames_first_transformers_and_discrete_schedules(prediction, pairs):
    diffusers = pytest.importorskip("diffusers")
    torch.manual_seed(0)
    transformer = diffusers.CogVideoXTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        in_channels=3,
        out_channels=3,
        time_embed_dim=4,
        text_embed_dim=16,
        num_layers=1,
        sample_width=32,
        sample_height=32,
        sample_frames=16,
        patch_size=2,
        temporal_compression_ratio=1,
        max_text_seq_length=5,
    )
    scheduler = diffusers.DDIMScheduler(prediction_type=prediction)
    embeds = torch.randn(1, 5, 16)
    loss = DiffusersLoss(transformer, scheduler, embeds)
    assert loss.frames_first
    clip = collate([pairs.pairs[0].valid, pairs.pairs[0].invalid], 4, 16)
    noise = torch.randn(1, 3, 16, 32, 32).expand(2, -1, -1, -1, -1)
    # diffusers' own schedule puts the noise in, its own relations take it out.
    step = torch.tensor([300, 300])
    with torch.no_grad():
        z = scheduler.add_noise(clip.video, noise.contiguous(), step)
        out = transformer(z.transpose(1, 2), embeds.expand(2, -1, -1), step, return_dict=False)[0].transpose(1, 2)
        found = loss(clip, 0.3, noise)
    a = scheduler.alphas_cumprod[300]
    if prediction == "epsilon":
        predicted = out
    elif prediction == "sample":
        predicted = (z - a.sqrt() * out) / (1 - a).sqrt()
    else:
        predicted = (1 - a).sqrt() * z + a.sqrt() * out
    torch.testing.assert_close(found, (predicted - noise).square().mean((1, 2, 3, 4)), rtol=1e-4, atol=1e-5)


def test_a_pipeline_is_taken_apart_and_its_latents_normalised(pairs):
    diffusers = pytest.importorskip("diffusers")
    transformer, scheduler = wan()
    torch.manual_seed(0)
    vae = diffusers.AutoencoderKLWan(
        base_dim=3, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
    )
    asked = []

    def encode_prompt(prompt, do_classifier_free_guidance):
        asked.append((prompt, do_classifier_free_guidance))
        return torch.randn(1, 5, 16), None

    pipeline = SimpleNamespace(vae=vae, transformer=transformer, scheduler=scheduler, encode_prompt=encode_prompt)
    with pytest.raises(ValueError, match=r"must take the 16 channels of its latents alone, takes 3"):
        DiffusersLoss.of_pipeline(pipeline)
    pipeline.transformer = diffusers.WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=16,
        out_channels=16,
        text_dim=16,
        freq_dim=32,
        ffn_dim=32,
        num_layers=1,
    )
    loss = DiffusersLoss.of_pipeline(pipeline, "two balls collide")
    assert asked[-1] == ("two balls collide", False)
    clip = collate([pairs.pairs[0].valid, pairs.pairs[0].invalid], 4, 13)
    assert loss.noise_shape(clip) == (2, 16, 4, 4, 4)
    with torch.no_grad():
        raw = vae.encode(clip.video).latent_dist.mode()
        normal = latents_of(vae)(clip.video)
    mean, std = (torch.tensor(v).view(1, -1, 1, 1, 1) for v in (vae.config.latents_mean, vae.config.latents_std))
    torch.testing.assert_close(normal, (raw - mean) / std)
    result = run_protocol("likephys", model=pipeline, pairs=PairSet(pairs.pairs[:1], 0, 0), times=(0.5,), num_frames=13)
    assert result.figures["model all"].count == 1
    with pytest.raises(ValueError, match="pipeline: must have a vae"):
        DiffusersLoss.of_pipeline(SimpleNamespace(transformer=transformer, scheduler=scheduler))


def test_bad_input_is_refused(pairs):
    with pytest.raises(ValueError, match="model: must be a WorldModel"):
        losses_of(3)
    with pytest.raises(ValueError, match="kinds: must be among"):
        make_pairs(kinds=("melting",))
    clip = collate([pairs.pairs[0].valid], 4, 16)
    with pytest.raises(ValueError, match="times: must lie between 0 and 1"):
        denoising_losses(still_loss, clip, (0.0,))
    with pytest.raises(ValueError, match="loss: must give 1 finite numbers"):
        denoising_losses(lambda clip, time, noise: torch.full((1,), torch.nan), clip)
