"""check_denoiser passes what keeps the protocol, and says in words what others lack."""

import dataclasses

import pytest
import torch
from test_world_model import CONFIG, rollout
from torch import nn

from worldsim.data.clip import collate
from worldsim.models import WorldModel, check_denoiser
from worldsim.models.config import DiTConfig
from worldsim.models.dit import VideoDiT

DIT = dataclasses.replace(CONFIG.dit, text_width=24, action_width=2, attention="factorised")


class Scaled(nn.Module):
    """The least that is a denoiser."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.norm = nn.BatchNorm3d(3)

    def forward(self, z, t, condition):
        return self.scale * self.norm(z) + (0 if condition.hint is None else condition.hint)


class Pair(Scaled):
    def forward(self, z, t, condition):
        return (super().forward(z, t, condition),)


class Later(Scaled):
    """Leaves the context out of what it gives."""

    def forward(self, z, t, condition):
        return super().forward(z, t, condition)[:, :, 2:]


class Uniform(Scaled):
    """Takes one time a video."""

    def forward(self, z, t, condition):
        return self.scale * z * t.view(len(z), 1, 1, 1, 1)


class Cut(Scaled):
    def forward(self, z, t, condition):
        return super().forward(z, t, condition).detach()


class InPlace(Scaled):
    def forward(self, z, t, condition):
        return self.scale * z.mul_(2)


class Broken(Scaled):
    def forward(self, z, t, condition):
        return self.scale * z / 0


class Deaf(Scaled):
    refuses = ("text", "actions")


class Still(nn.Module):
    """Without a single weight."""

    def forward(self, z, t, condition):
        return z[:, :, :1].expand_as(z)


def test_what_keeps_the_protocol_passes_and_stays_as_it_was():
    check_denoiser(VideoDiT(DIT), dataclasses.replace(CONFIG, dit=DIT))
    check_denoiser(Still(), CONFIG)
    denoiser, state = Scaled(), torch.get_rng_state()
    denoiser.norm.eval()
    before = {name: value.clone() for name, value in denoiser.state_dict().items()}
    check_denoiser(denoiser, CONFIG)
    assert all(torch.equal(value, before[name]) for name, value in denoiser.state_dict().items())
    assert (denoiser.training, denoiser.norm.training) == (True, False)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("denoiser", "words"),
    [
        (lambda z, t, condition: z, "denoiser: must be a torch module, got function"),
        (nn.Identity(), r"denoiser: must take \(z, t, condition\) with z \(2, 3, 6, 32, 32\), .*raised TypeError"),
        (Uniform(), r"must take .*, t \(2, 3\) and setup \(2, 3, 32\), hint \(2, 3, 6, 32, 32\).*raised RuntimeError"),
        (Pair(), "denoiser: must give a tensor, the clean estimate, got tuple"),
        (Later(), r"must give a clean estimate of z's shape \(2, 3, 6, 32, 32\) .*, got \(2, 3, 4, 32, 32\)"),
        (Scaled().double(), r"denoiser: must .*torch\.float32|raised RuntimeError"),
        (Broken(), "denoiser: must give a finite estimate"),
        (InPlace(), "denoiser: must leave z as it is, changed it in place"),
        (Cut(), "denoiser: must pass gradients on to its 3 trainable parameters, such as scale"),
    ],
)
def test_what_breaks_the_protocol_is_told_in_words(denoiser, words):
    with pytest.raises(ValueError, match=words):
        check_denoiser(denoiser, CONFIG)


@pytest.mark.parametrize(("field", "name"), [("text_width", "text"), ("action_width", "actions")])
def test_what_a_denoiser_says_it_cannot_take_is_refused_before_it_is_ignored(field, name):
    config = dataclasses.replace(CONFIG, dit=dataclasses.replace(CONFIG.dit, **{field: 24}))
    with pytest.raises(ValueError, match=rf"dit\.{field}: must be 0, Deaf takes no {name}, got 24"):
        WorldModel(config, Deaf())
    with pytest.raises(ValueError, match=rf"dit\.{field}: must be 0"):
        check_denoiser(Deaf(), config)
    WorldModel(CONFIG, Deaf())


def test_features_are_asked_for_where_the_state_head_reads_them():
    config = dataclasses.replace(CONFIG, state=0.5, dit=DiTConfig(state_head_layer=0))
    with pytest.raises(ValueError, match=r"world_model\.state: must be 0 for a denoiser without run\(\)"):
        check_denoiser(Scaled(), config)


def test_a_denoiser_without_weights_generates():
    clip = collate([rollout(0)], num_context=4)
    out = WorldModel(CONFIG, Still()).generate(clip.video[:, :, :4], clip.setups, 4, steps=1)
    assert out.video.shape == (1, 3, 8, 32, 32)
