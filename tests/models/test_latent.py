"""WorldModel on the latents of an autoencoder: frames count as 4n + 1, nothing leaks, levers still act."""

import dataclasses
import itertools
import json

import pytest
import torch
from test_steering import Jittery, position_error
from test_world_model import CONFIG, rollout

from worldsim.data.clip import collate
from worldsim.models.config import DiTConfig, WorldModelConfig
from worldsim.models.losses import consistency_energies
from worldsim.models.pairing import draw_hint
from worldsim.models.pretrained import CONFIG as CONFIG_FILE
from worldsim.models.pretrained import WEIGHTS
from worldsim.models.steering import Guidance
from worldsim.models.tokenizer import AutoencoderConfig, Packing, PixelTokenizer, VideoAutoencoder
from worldsim.models.world import World
from worldsim.models.world_model import WorldModel
from worldsim.scene import from_dict

SMALL = AutoencoderConfig(width=24, latent=8, blocks=1)
DIT = DiTConfig(width=48, depth=2, heads=4, patch=(1, 1, 1), channels=8, hint_channels=8)
LATENT = WorldModelConfig(
    dit=DIT,
    tokenizer="autoencoder",
    autoencoder=SMALL,
    context_lengths=(5,),
    clip_frames=13,
    consistency=0.1,
    consistency_t_max=1.0,
)


@pytest.fixture(scope="module")
def clip():
    return collate([rollout(seed, frames=13) for seed in range(4)], num_context=5)


@pytest.fixture(scope="module")
def tokenizer(clip):
    """Trained for a few seconds on these very clips: enough to see the balls."""
    torch.manual_seed(0)
    model = VideoAutoencoder(SMALL)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, 150)
    generator = torch.Generator().manual_seed(0)
    for _ in range(150):
        loss = torch.stack(list(model.loss(clip.video[:, :, :9], generator).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    optimizer.zero_grad()
    model.calibrate([clip.video])
    return model.eval()


def model_of(tokenizer, **changes):
    torch.manual_seed(1)
    return WorldModel(dataclasses.replace(LATENT, **changes), tokenizer=tokenizer)


@pytest.mark.parametrize(
    "packing", [Packing(1, False, 2), Packing(4, True, 1), Packing(4, True, 2), Packing(4, True, 3)]
)
def test_counts_of_frames_agree_with_the_tokenizers(packing):
    one = VideoAutoencoder(AutoencoderConfig(width=4, latent=2, blocks=1)) if packing.alone else PixelTokenizer()
    fitting = [frames for frames in range(1, 40) if packing.fits(frames)]
    assert len(fitting) >= 3
    for frames in fitting:
        latent = one.encode(torch.zeros(1, 3, frames, 8, 8))
        assert latent.shape[2] == packing.latents(frames)
        assert latent.shape[2] % packing.tubelet == 0
        assert one.decode(latent).shape[2] == frames
    for frames in range(1, fitting[-1]):
        assert packing.pad(frames) == min(count for count in fitting if count >= frames)
    assert packing.fits(0)
    assert packing.latents(0) == packing.pad(0) == 0


def test_calibrated_latents_have_unit_size_and_decode_as_before(clip, tokenizer):
    latent = tokenizer.encode(clip.video)
    deviation, mean = torch.std_mean(latent, dim=(0, 2, 3, 4), correction=0)
    torch.testing.assert_close(mean, torch.zeros(8), atol=1e-4, rtol=0)
    torch.testing.assert_close(deviation, torch.ones(8), atol=1e-3, rtol=0)
    raw = VideoAutoencoder(SMALL)
    weights = {k: v for k, v in tokenizer.state_dict().items() if k not in ("mean", "deviation", "trained")}
    raw.load_state_dict(weights, strict=False)
    torch.testing.assert_close(tokenizer.decode(latent), raw.decode(raw.encode(clip.video)), atol=1e-4, rtol=1e-4)


def test_losses_reach_the_denoiser_through_the_frozen_decoder(clip, tokenizer):
    model = model_of(tokenizer)
    terms = model.loss(clip, torch.Generator().manual_seed(0))
    assert set(terms) == {"diffusion", "agreement", "permanence", "penetration"}
    (terms["agreement"] + terms["permanence"]).backward(retain_graph=True)
    reached = [p.grad for p in model.denoiser.parameters() if p.grad is not None]
    assert any(grad.any() for grad in reached)
    terms["diffusion"].backward()
    assert all(p.grad is None for p in model.tokenizer.parameters())
    again = model.loss(clip, torch.Generator().manual_seed(0))
    assert all(torch.equal(terms[k], again[k]) for k in terms)
    optimised = {name for name, p in model.named_parameters() if p.requires_grad}
    assert not any(name.startswith("tokenizer.") for name in optimised)


def test_the_denoiser_sees_latents_and_learns_from_them(clip, tokenizer):
    model, seen = model_of(tokenizer, consistency=0.0), []
    model.denoiser.register_forward_pre_hook(lambda _, given: seen.append(given))
    model.loss(clip, torch.Generator().manual_seed(0))
    z, t, condition = seen[0]
    assert z.shape == condition.hint.shape == (4, 8, 4, 4, 4)
    assert t.shape == (4, 4)
    assert (t[:, :2] == 0).all()
    torch.testing.assert_close(z[:, :, :2], tokenizer.encode(clip.video[:, :, :5]))  # of the context alone
    world = World.of(clip.setups)
    foreseen = model.foresee(world, clip.video[:, :, :5], 13)
    drawn = draw_hint(foreseen, world.bodies, world.view, world.background, "flat")
    torch.testing.assert_close(condition.hint, tokenizer.encode(drawn))


def test_training_lowers_the_loss_on_latents(clip, tokenizer):
    model = model_of(tokenizer, consistency=0.0, hint=False)

    def measured():
        with torch.no_grad():
            return sum(float(model.loss(clip, torch.Generator().manual_seed(k))["diffusion"]) for k in range(8))

    before = measured()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    for step in range(30):
        loss = model.loss(clip, torch.Generator().manual_seed(100 + step))["diffusion"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert measured() < 0.8 * before


def test_state_supervision_counts_the_lone_first_frame_once(clip, tokenizer):
    dit = dataclasses.replace(DIT, state_head_layer=0)
    model = model_of(tokenizer, dit=dit, state=0.5, consistency=0.0, hint=False)
    predicted = []
    model.state_head.register_forward_hook(lambda _m, _i, out: predicted.append(out))
    terms = model.loss(clip, torch.Generator().manual_seed(0))
    assert predicted[0].shape[1] == 16  # four places a latent frame, of which the first three hold no frame
    terms["state"].backward()
    (lead,) = torch.autograd.grad(
        model.loss(clip, torch.Generator().manual_seed(0))["state"], predicted[-1:], allow_unused=True
    )
    assert not lead[:, :3].any()
    assert lead[:, 3:].any()


def test_generation_keeps_the_context_and_crops_the_tail(clip, tokenizer):
    model = model_of(tokenizer)
    context = clip.video[:, :, :5]
    out = model.generate(context, clip.setups, 6, steps=2)
    assert out.video.shape == (4, 3, 11, 32, 32)
    assert torch.equal(out.video[:, :, :5], context)
    assert out.trajectory.num_frames == out.prior.num_frames == 11
    assert torch.equal(model.generate(context, clip.setups, 6, steps=2).video, out.video)
    # Nothing looks ahead: the same frames whether or not the tail is asked for.
    longer = model.generate(context, clip.setups, 8, steps=2)
    torch.testing.assert_close(longer.video[:, :, :11], out.video)
    pictures = model.generate(((context[0].movedim(0, -1) + 1) * 127.5).byte().numpy(), clip.setups[0], 2, steps=1)
    assert pictures.video.shape == (7, 32, 32, 3)


def test_a_long_video_grows_chunk_by_chunk(clip, tokenizer):
    model = model_of(tokenizer)
    context = clip.video[:, :, :5]
    chunks = list(model.stream(context, clip.setups, 19, steps=2, seed=3))
    assert [chunk.video.shape[2] for chunk in chunks] == [13, 13, 8]
    for before, after in itertools.pairwise(chunks):
        assert torch.equal(before.video[:, :, -5:], after.video[:, :, :5])
    whole = model.generate(context, clip.setups, 19, steps=2, seed=3)
    assert whole.video.shape[2] == whole.trajectory.num_frames == whole.prior.num_frames == 24
    assert torch.equal(whole.video[:, :, 5:13], chunks[0].video[:, :, 5:])


def test_an_opening_is_sampled_from_nothing(clip, tokenizer):
    model = model_of(tokenizer, context_lengths=(0, 5))
    out = model.generate(clip.video[:, :, :0], clip.setups, 10, steps=2)
    assert out.video.shape == (4, 3, 10, 32, 32)
    assert torch.isfinite(out.video).all()


class Mirrored:
    """A tokenizer that loses nothing, so that what guidance does through it can be measured."""

    time, space, channels = 1, 1, 3

    def encode(self, video):
        return 0.5 - 2 * video.flip(1)

    def decode(self, latent):
        return ((0.5 - latent) / 2).flip(1)


class Encoded(Jittery):
    def forward(self, z, t, condition=None):
        return Mirrored().encode(super().forward(z, t))


@pytest.mark.parametrize("guidance", [Guidance("energy", step=0.6, iterations=10, t_max=1.0), Guidance("project")])
def test_guidance_acts_through_a_tokenizer(guidance):
    clip = collate([rollout(seed) for seed in range(4)], num_context=4)
    model = WorldModel(CONFIG, denoiser=Encoded(clip, 0.2))
    model.tokenizer = Mirrored()
    context = clip.video[:, :, :4]
    plain = model.generate(context, clip.setups, 8, steps=4)
    steered = model.generate(context, clip.setups, 8, steps=4, guidance=guidance)
    assert position_error(steered.trajectory, clip) < 0.6 * position_error(plain.trajectory, clip)
    assert torch.equal(steered.video[:, :, :4], context)


def test_guidance_moves_what_an_autoencoder_decodes(clip, tokenizer):
    model = model_of(tokenizer)
    context = clip.video[:, :, :5]
    plain = model.generate(context, clip.setups, 8, steps=3)
    steered = model.generate(context, clip.setups, 8, steps=3, guidance=Guidance("energy", t_max=1.0, iterations=4))
    world = World.of(clip.setups)

    def read(video):
        return model.readout(video, world.bodies, world.view, world.background, world.fixed)

    energies = [
        sum(consistency_energies(read(made.video), made.prior, world.bodies, 5).values()).mean()
        for made in (plain, steered)
    ]
    assert energies[1] < 0.9 * energies[0]


def test_actions_of_a_latent_frame_stand_side_by_side(clip, tokenizer):
    model = model_of(tokenizer, dit=dataclasses.replace(DIT, action_width=8), hint=False, consistency=0.0)
    actions = torch.arange(4 * 13 * 2, dtype=torch.float32).view(4, 13, 2)
    folded = model.condition(None, None, actions=actions).actions
    assert folded.shape == (4, 4, 8)
    assert torch.equal(folded[:, 0], torch.cat([torch.zeros(4, 6), actions[:, 0]], 1))
    assert torch.equal(folded[:, 2], actions[:, 5:9].flatten(1))
    video = model.generate(clip.video[:, :, :5], None, 8, actions=actions, steps=1).video
    assert video.shape[2] == 13
    with pytest.raises(ValueError, match="actions: must have 2 numbers a frame, got 3"):
        model.generate(clip.video[:, :, :5], None, 8, actions=torch.zeros(4, 13, 3), steps=1)


def test_a_saved_model_brings_its_tokenizer(clip, tokenizer, tmp_path):
    model = model_of(tokenizer).eval()
    model.save_pretrained(tmp_path / "mine")
    again = WorldModel.from_pretrained(tmp_path / "mine")
    assert again.config == model.config
    assert again.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())
    context = clip.video[:, :, :5]
    one, other = (m.generate(context, clip.setups, 8, steps=1).video for m in (model, again))
    assert torch.equal(one, other)
    assert not any(p.requires_grad for p in again.tokenizer.parameters())
    document = json.loads((tmp_path / "mine" / CONFIG_FILE).read_text())
    document["config"]["autoencoder"]["blocks"] = 2
    (tmp_path / "mine" / CONFIG_FILE).write_text(json.dumps(document))
    with pytest.raises(ValueError, match=rf"{WEIGHTS}: must hold tokenizer\.(de|en)coder\.1"):
        WorldModel.from_pretrained(tmp_path / "mine")


def test_a_saved_tokenizer_comes_back_and_what_does_not_fit_is_refused(clip, tokenizer, tmp_path):
    tokenizer.save(tmp_path, {"psnr": 12.5})
    again = VideoAutoencoder.load(tmp_path)
    assert torch.equal(again.encode(clip.video), tokenizer.encode(clip.video))
    told = json.loads((tmp_path / "tokenizer.json").read_text())
    assert told["psnr"] == 12.5
    with pytest.raises(ValueError, match="tokenizer: must be trained and calibrated"):
        VideoAutoencoder(SMALL).save(tmp_path / "x", {})
    (tmp_path / "tokenizer.json").write_text(json.dumps({"config": {"width": 8, "latent": 8, "blocks": 1}}))
    with pytest.raises(ValueError, match="tokenizer: must have weights of its config"):
        VideoAutoencoder.load(tmp_path)
    (tmp_path / "tokenizer.json").write_text(json.dumps({"config": {"with": 8}}))
    with pytest.raises(ValueError, match=r"tokenizer\.json\.config\.with: must be one of width, latent, blocks"):
        VideoAutoencoder.load(tmp_path)
    whole = (tmp_path / "tokenizer.safetensors").read_bytes()
    (tmp_path / "tokenizer.safetensors").write_bytes(whole[:-9])
    with pytest.raises(ValueError, match=r"tokenizer: must be a folder with whole tokenizer\.json and"):
        VideoAutoencoder.load(tmp_path)


def test_a_calibration_that_fails_leaves_the_one_before(clip, tokenizer):
    before = {name: value.clone() for name, value in tokenizer.state_dict().items()}
    assert before["trained"]
    for videos, said in (([], "videos: must be one or more"), ([clip.video, clip.video[:, :, :4]], "4n \\+ 1 frames")):
        with pytest.raises(ValueError, match=said):
            tokenizer.calibrate(videos)
        assert all(torch.equal(value, before[name]) for name, value in tokenizer.state_dict().items())
    with pytest.raises(ValueError, match="videos: must be one or more"):
        VideoAutoencoder(SMALL).calibrate([])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tokenizer": "vae"}, r"world_model\.tokenizer: must be one of pixel, autoencoder, got 'vae'"),
        ({"context_lengths": (4,)}, r"world_model\.context_lengths: must be 4n \+ 1, got 4"),
        ({"clip_frames": 16}, r"world_model\.clip_frames: must be among 4n \+ 1, above the longest context, 5, got 16"),
        ({"clip_frames": 5}, r"above the longest context, 5, got 5"),
        ({"dit": dataclasses.replace(DIT, patch=(2, 1, 1))}, r"clip_frames: must be among 8n \+ 5, .* got 17"),
        ({"dit": dataclasses.replace(DIT, channels=3)}, r"dit\.channels: must be 8, for the 8 channels of the auto.*3"),
        ({"dit": dataclasses.replace(DIT, hint_channels=3)}, r"dit\.hint_channels: must be 0 or 8, .*, got 3"),
        ({"dit": dataclasses.replace(DIT, action_width=6)}, r"dit\.action_width: must be a multiple of .* 4 .*got 6"),
        ({"tokenizer": "pixel"}, r"world_model\.autoencoder: must be left as it is where tokenizer is 'pixel'"),
    ],
)
def test_configs_that_do_not_fit_are_refused(changes, words):
    changes = {"clip_frames": 17, **changes}
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(LATENT, **changes)


def test_the_config_survives_json():
    assert from_dict(WorldModelConfig, json.loads(json.dumps(dataclasses.asdict(LATENT))), "model") == LATENT
    with pytest.raises(ValueError, match=r"model\.autoencoder\.wdth"):
        from_dict(WorldModelConfig, {"autoencoder": {"wdth": 3}}, "model")


def test_wrong_tokenizers_and_sizes_are_refused(clip, tokenizer):
    with pytest.raises(ValueError, match="tokenizer: must have trained weights"):
        WorldModel(LATENT).generate(clip.video[:, :, :5], clip.setups, 4)
    with pytest.raises(ValueError, match=r"tokenizer: must be AutoencoderConfig\(width=24, .*got .*width=8"):
        WorldModel(LATENT, tokenizer=VideoAutoencoder(AutoencoderConfig(width=8, latent=8, blocks=1)))
    with pytest.raises(ValueError, match="tokenizer: must be left out, as its config says 'pixel'"):
        WorldModel(WorldModelConfig(), tokenizer=tokenizer)
    model = model_of(tokenizer)
    with pytest.raises(ValueError, match=r"context: must have one of \(5,\) frames, got 4"):
        model.generate(clip.video[:, :, :4], clip.setups, 4)
    with pytest.raises(ValueError, match=r"video: must have 4n \+ 1 frames and multiples of 8 .* 5 frames of 32 x 28"):
        model.generate(clip.video[:, :, :5, :, :28], None, 4)
    odd = dataclasses.replace(clip, video=clip.video[:, :, :12])
    with pytest.raises(ValueError, match=r"clip\.num_frames: must be among 4n \+ 1, .*, got 12 = 4 x 2 \+ 4"):
        model.loss(odd, torch.Generator().manual_seed(0))
