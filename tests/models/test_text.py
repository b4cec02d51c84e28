"""Text: the closed vocabulary, bytes for the rest, and a text that reaches the video."""

import dataclasses

import pytest
import torch
from test_world_model import CONFIG, rollout

import worldsim as ws
from worldsim.data.clip import collate
from worldsim.models.text import GrammarEncoder, tokenise, unknown_words, vocabulary
from worldsim.models.world_model import WorldModel

WITH_TEXT = dataclasses.replace(CONFIG, dit=dataclasses.replace(CONFIG.dit, text_width=24))


def test_captions_of_all_levels_are_words_of_the_grammar():
    for family in ("hoop", "collision", "newtons_cradle", "occluder", "incline"):
        caption = ws.simulate(ws.make_scene(family, seed=0, pixels=32)).caption
        for level in ("prompt", "scene", "events"):
            assert unknown_words(caption[level]) == []
            assert 0 < len(tokenise(caption[level])) <= 256


def test_unknown_words_are_spelled_in_bytes_and_come_back():
    symbols = tokenise("the zebra")
    assert symbols[0] == vocabulary()["the"]
    assert bytes(s - 1 for s in symbols[1:]).decode() == "zebra"
    assert unknown_words("A red zebra hits the ball.") == ["zebra"]


def test_padding_changes_nothing_and_stays_zero():
    encoder = GrammarEncoder(24).eval()
    alone = encoder(["a red ball falls"])
    beside = encoder(["a red ball falls", "the blue ball hits the red ball and the small box"])
    torch.testing.assert_close(beside[0, : alone.shape[1]], alone[0], atol=1e-5, rtol=1e-5)
    assert (beside[0, alone.shape[1] :] == 0).all()
    assert (encoder(["", "a ball"])[0] == 0).all()


def test_a_text_too_long_is_refused():
    with pytest.raises(ValueError, match="text: must have at most 256 symbols, got 600"):
        GrammarEncoder(24)(["ball " * 600])


def test_text_reaches_the_video_and_its_encoder_learns():
    clip = dataclasses.replace(
        collate([rollout(seed) for seed in range(2)], num_context=4), captions=("A red ball.", "A blue ball.")
    )
    model = WorldModel(dataclasses.replace(WITH_TEXT, text_drop=0.0))
    with torch.no_grad():
        for parameter in model.denoiser.parameters():
            if parameter.abs().max() == 0:
                parameter.normal_(std=0.05)
    sum(model.loss(clip, torch.Generator().manual_seed(0)).values()).backward()
    assert model.text.embed.weight.grad.abs().sum() > 0
    context = clip.video[:, :, :4]
    one, other, strong = (
        model.generate(context, clip.setups, 8, steps=2, text=text, text_scale=scale).video
        for text, scale in ((["A red ball."] * 2, 1.0), (["Nothing falls."] * 2, 1.0), (["A red ball."] * 2, 3.0))
    )
    assert not torch.equal(one, other)
    assert not torch.equal(one, strong)


def test_text_and_actions_to_a_model_without_them_are_refused():
    clip = collate([rollout(0)], num_context=4)
    model = WorldModel(CONFIG)
    with pytest.raises(ValueError, match="text: must be left out, this model was built without"):
        model.generate(clip.video[:, :, :4], clip.setups, 8, steps=1, text="A red ball.")
    with pytest.raises(
        ValueError, match=r"actions: must have shape \(B, T, A\) with B = 1 and a row for each of the 4 context and 8"
    ):
        model.generate(clip.video[:, :, :4], clip.setups, 8, steps=1, actions=torch.zeros(1, 3, 2))


def test_without_context_the_prior_takes_over_from_the_opening():
    clip = collate([rollout(seed) for seed in range(2)], num_context=4)
    model = WorldModel(dataclasses.replace(CONFIG, context_lengths=(0, 4)))
    chunks = list(model.stream(clip.video[:, :, :0], clip.setups, 20, steps=2))
    assert [(c.num_context, c.video.shape[2]) for c in chunks] == [(0, 4), (4, 16), (4, 8)]
    assert chunks[0].prior is None
    assert chunks[1].prior is not None
    assert model.generate(clip.video[:, :, :0], clip.setups, 20, steps=2).video.shape[2] == 20
