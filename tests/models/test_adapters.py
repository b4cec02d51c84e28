"""A tiny Wan transformer of diffusers, built from config, is paired with the prior: it learns and generates."""

import pytest
import torch
from test_world_model import rollout

from worldsim.data.clip import collate
from worldsim.diffusion import to_data
from worldsim.models import Conditioning, DiTConfig, WorldModel, WorldModelConfig, check_denoiser
from worldsim.models.adapters import DiffusersDenoiser

diffusers = pytest.importorskip("diffusers", reason="pip install 'worldsim[test]'")

CONFIG = WorldModelConfig(dit=DiTConfig(patch=(2, 8, 8)), clip_frames=12)


def wan(**changes):
    """Two layers of width 48, for pixels and a hint of three channels each."""
    sizes = {"in_channels": 6, "out_channels": 3, "patch_size": (2, 8, 8), "num_layers": 2, "ffn_dim": 96}
    heads = {"num_attention_heads": 2, "attention_head_dim": 24, "text_dim": 32, "freq_dim": 32}
    torch.manual_seed(0)
    return diffusers.WanTransformer3DModel(**{**sizes, **heads, **changes})


@pytest.fixture(scope="module")
def clip():
    return collate([rollout(seed) for seed in range(4)], num_context=4)


def test_it_learns_in_a_few_steps_and_generates(clip):
    model = WorldModel(CONFIG, DiffusersDenoiser(wan()))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(12):
        loss = sum(model.loss(clip, torch.Generator().manual_seed(0)).values())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]
    context = clip.video[:, :, :4]
    out = model.generate(context, clip.setups, 8, steps=2)
    assert out.video.shape == clip.video.shape
    assert torch.isfinite(out.video).all()
    assert torch.equal(out.video[:, :, :4], context)
    off = model.generate(context, clip.setups, 8, steps=2, hint=False)
    assert not torch.equal(out.video, off.video)
    check_denoiser(model.denoiser, CONFIG)


def test_each_frame_has_its_own_time_and_each_prediction_its_conversion(clip):
    transformer = wan()
    z, condition = clip.video[:2, :, :4], Conditioning()
    t = torch.tensor([[0.0, 0.5], [0.0, 0.5]])
    estimates = {kind: DiffusersDenoiser(transformer, prediction=kind)(z, t, condition) for kind in ("x", "v", "noise")}
    raw = estimates["x"]
    for kind, estimate in estimates.items():
        torch.testing.assert_close(estimate, to_data(raw, z, t, kind))
    # At time 0 a v-prediction leaves the picture alone.
    torch.testing.assert_close(estimates["v"][:, :, :2], z[:, :, :2])
    uniform = DiffusersDenoiser(transformer, prediction="x")(z, torch.full_like(t, 0.5), condition)
    assert (uniform - raw).abs().max() > 1e-6


def test_what_does_not_fit_is_refused(clip):
    with pytest.raises(ValueError, match=r"config\.in_channels: must be 6, for video and hint, got 3"):
        DiffusersDenoiser(wan(in_channels=3))
    with pytest.raises(ValueError, match="prediction: must be one of x, v, noise, got 'score'"):
        DiffusersDenoiser(wan(), prediction="score")
    for field, name in (("text_width", "text"), ("action_width", "actions")):
        config = WorldModelConfig(dit=DiTConfig(patch=(2, 8, 8), **{field: 32}))
        with pytest.raises(ValueError, match=rf"dit\.{field}: must be 0, DiffusersDenoiser takes no {name}, got 32"):
            WorldModel(config, DiffusersDenoiser(wan()))
    denoiser = DiffusersDenoiser(wan())
    with pytest.raises(ValueError, match=r"condition\.text: must be None, a DiffusersDenoiser takes none"):
        denoiser(clip.video, torch.zeros(4, 6), Conditioning(text=torch.zeros(4, 2, 32)))
    with pytest.raises(ValueError, match=r"t: must have shape \(B, T'\) = \(4, 6\), got \(4, 12\)"):
        denoiser(clip.video, torch.zeros(4, 12), Conditioning())
    with pytest.raises(ValueError, match="multiples of the patch, got 3 with 2"):
        denoiser(clip.video[:, :, :3], torch.zeros(4, 2), Conditioning())
