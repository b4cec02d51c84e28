"""What is handed to generate and loss: slips are taken as meant where that is plain, all else is refused by name."""

import dataclasses

import numpy as np
import pytest
import torch
from test_world_model import CONFIG, perturbed, rollout

from worldsim.data.clip import collate, to_uint8
from worldsim.models import Guidance, Sampling, WorldModel
from worldsim.physics import LawParameters

OPENS = dataclasses.replace(CONFIG, context_lengths=(0, 4), dit=dataclasses.replace(CONFIG.dit, text_width=24))
MOVED = dataclasses.replace(CONFIG, dit=dataclasses.replace(CONFIG.dit, action_width=2))
NAN = float("nan")


def model_of(config):
    """With all weights off zero, so that whatever is told shows."""
    torch.manual_seed(0)
    model = WorldModel(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return model


@pytest.fixture(scope="module")
def clip():
    return collate([rollout(seed) for seed in range(2)], num_context=4)


@pytest.fixture(scope="module")
def model():
    return model_of(CONFIG)


@pytest.fixture(scope="module")
def moved():
    return model_of(MOVED)


@pytest.fixture(scope="module")
def opens():
    return model_of(OPENS)


def video(model, clip, setup=None, **options):
    setup = clip.setups if setup is None else setup
    return model.generate(clip.video[:, :, :4], setup, options.pop("num_frames", 4), **{"steps": 1, **options}).video


def test_a_scene_stands_for_its_setup_and_nothing_of_its_states_leaks(model, clip):
    scenes = [rollout(seed).scene for seed in range(2)]
    told = video(model, clip)
    assert torch.equal(video(model, clip, scenes), told)
    assert torch.equal(video(model, clip, [perturbed(seed) for seed in range(2)]), told)
    pictures = to_uint8(clip.video[0, :, :4]).numpy()
    one, other = (model.generate(pictures, s, 4, steps=1).video for s in (scenes[0], scenes[0].setup()))
    assert np.array_equal(one, other)


def test_kinds_laws_and_numpy_numbers_are_taken_as_meant(model, clip):
    plain = video(model, clip)
    law = rollout(0).scene.law
    assert all(setup.law == law for setup in clip.setups)
    assert torch.equal(video(model, clip, law=law), plain)
    heavy = dataclasses.replace(law, gravity=(0.0, 0.0, -9.0))
    assert not torch.equal(video(model, clip, law=heavy), plain)
    steered = video(model, clip, guidance="energy", steps=2)
    assert torch.equal(steered, video(model, clip, guidance=Guidance("energy"), steps=2))
    numbers = {"num_frames": np.int64(4), "seed": np.int64(0), "steps": np.int64(1), "text_scale": np.float32(1)}
    assert torch.equal(video(model, clip, **numbers), plain)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seed": None}, "seed: must be a whole number, got None"),
        ({"seed": 1 << 64}, "seed: must fit into 64 bits"),
        ({"steps": 2.5}, r"steps: must be a whole number of 1 or more, got 2\.5"),
        ({"steps": 0}, "steps: must be a whole number of 1 or more, got 0"),
        ({"solver": "rk4"}, "solver: must be one of euler, heun, ab2, got 'rk4'"),
        ({"shift": NAN}, "shift: must be above 0 and finite, got nan"),
        ({"shift": 0.0}, r"shift: must be above 0 and finite, got 0\.0"),
        ({"context_time": 1.0}, r"context_time: must be from 0 to below 1, got 1\.0"),
        ({"hint": "no"}, "hint: must be true or false, got 'no'"),
        ({"text_scale": NAN}, "text_scale: must be a finite number, got nan"),
        ({"guidance": "force"}, r"guidance\.kind: must be one of energy, project, got 'force'"),
        ({"guidance": ["energy"]}, "guidance: must be a Guidance, its kind or None, got"),
        ({"num_frames": 2.5}, r"num_frames: must be a whole number, got 2\.5"),
        ({"num_frames": True}, "num_frames: must be a whole number, got True"),
        ({"num_frames": 0}, "num_frames: must be 1 or more, got 0"),
        ({"text": 3}, "text: must be a string, or one a video, 2 of them, got 3"),
        ({"text": ["a ball", None]}, r"text\[1\]: must be a string, got None"),
        ({"setup": 3}, "setup: must be a Setup, as scene.setup.* makes, one a video, or None, got int"),
        ({"setup": ["x", "y"]}, r"setup\[0\]: must be a Setup, as scene.setup.* makes, got str"),
        ({"law": torch.zeros(3)}, "law: must be LawParameters, or the Law of a scene, got Tensor"),
        ({"law": LawParameters(torch.zeros(3, 3))}, r"law\.gravity: must have shape .* B = 2, .*, got \(3, 3\)"),
        ({"law": LawParameters(torch.zeros(2, 2))}, r"law\.gravity: must have 3 components, got shape \(2, 2\)"),
        ({"law": LawParameters((0, 0, 1))}, r"law\.gravity: must be a tensor, got \(0, 0, 1\)"),
        ({"law": LawParameters(torch.full((2, 3), NAN))}, r"law\.gravity: must be finite"),
        ({"law": LawParameters(torch.zeros(3), drag=torch.zeros(5))}, r"law\.drag: must have shape .*, got \(5,\)"),
    ],
)
def test_what_nothing_can_be_made_of_is_refused(model, clip, options, words):
    with pytest.raises(ValueError, match=words):
        video(model, clip, **options)


@pytest.mark.parametrize(
    ("context", "words"),
    [
        (torch.zeros(0, 3, 4, 32, 32), r"context: must hold one video or more, got \(0, 3, 4, 32, 32\)"),
        (
            [np.zeros((32, 32, 3), np.uint8), np.zeros((8, 8, 3), np.uint8)],
            "context: must be uint8 .* what is no array",
        ),
        (None, r"context: must have one of \(4,\) frames, got None"),
    ],
)
def test_contexts_of_nothing_are_refused(model, clip, context, words):
    with pytest.raises(ValueError, match=words):
        model.generate(context, None, 4)


def test_a_law_without_a_setup_is_refused(model, clip):
    with pytest.raises(ValueError, match="law: must be left out without a Setup"):
        model.generate(clip.video[:, :, :4], None, 4, law=rollout(0).scene.law)


def test_actions_come_from_numpy_in_any_precision(moved, clip):
    actions = torch.randn(2, 8, 2, generator=torch.Generator().manual_seed(0))
    told = video(moved, clip, actions=actions)
    assert not torch.equal(told, video(moved, clip, actions=0 * actions))
    assert torch.equal(video(moved, clip, actions=actions.double().numpy()), told)
    zeros = video(moved, clip, actions=0 * actions)
    assert torch.equal(video(moved, clip, actions=np.zeros((2, 8, 2), np.int64)), zeros)
    pictures, setup = to_uint8(clip.video[0, :, :4]).numpy(), clip.setups[0]
    one, other = (
        moved.generate(pictures, setup, 4, steps=1, actions=a).video for a in (actions[:1], actions[0].numpy())
    )
    assert np.array_equal(one, other)


@pytest.mark.parametrize(
    ("actions", "words"),
    [
        (None, r"actions: must be given, \(B, T, A\) = \(2, 8, 2\), to a model that was trained with them, got None"),
        (torch.full((2, 8, 2), NAN), "actions: must be finite"),
        (np.full((2, 8, 2), 1e300), "actions: must be finite"),
        (torch.zeros(2, 7, 2), r"actions: must have shape \(B, T, A\) with B = 2 .* 8 in all, got \(2, 7, 2\)"),
        (torch.zeros(2, 8), r"actions: must have shape .*, got \(2, 8\)"),
        (torch.zeros(2, 8, 3), "actions: must have 2 numbers a frame, got 3"),
        (torch.zeros(2, 8, 2) > 0, r"actions: must be real numbers, got torch\.bool"),
        ("left", "actions: must be numbers of shape"),
    ],
)
def test_actions_that_say_nothing_are_refused(moved, clip, actions, words):
    with pytest.raises(ValueError, match=words):
        video(moved, clip, actions=actions)


def test_no_context_is_that_of_the_setups_cameras(opens, clip):
    empty = clip.video[:, :, :0]
    told = opens.generate(empty, clip.setups, 10, text=["a red ball"] * 2, steps=1)
    made = opens.generate(None, clip.setups, 10, text=["a red ball"] * 2, steps=1)
    assert torch.equal(made.video, told.video)
    one = opens.generate(None, rollout(0).scene, 10, text="a red ball", steps=1)
    assert one.num_context == 0
    assert one.video.shape == (10, 32, 32, 3)
    assert one.video.dtype == np.uint8
    with pytest.raises(ValueError, match="setup: must be given where context is None, its camera tells the size"):
        opens.generate(None, None, 4, text="a red ball")
    small = dataclasses.replace(clip.setups[1], camera=dataclasses.replace(clip.setups[1].camera, width=16))
    with pytest.raises(ValueError, match="context: must have the size of its setup's camera, 32 x 16, got 32 x 32"):
        opens.generate(None, (clip.setups[0], small), 4)


def test_frames_that_are_too_few_are_not_thrown_away_for_an_opening(opens, clip):
    with pytest.raises(ValueError, match=r"context: must have one of \(0, 4\) frames, got 3"):
        opens.generate(clip.video[:, :, :3], clip.setups, 4)
    longer = opens.generate(clip.video[:, :, :6], clip.setups, 4, steps=1)
    assert torch.equal(longer.video[:, :, :4], clip.video[:, :, 2:6])
    only = model_of(dataclasses.replace(CONFIG, context_lengths=(0,)))
    with pytest.raises(ValueError, match="context: must be None or of 0 frames, the model only opens videos, got 4"):
        only.generate(clip.video[:, :, :4], clip.setups, 4)


def test_shift_and_context_time_reach_the_sampler(model, clip):
    plain = video(model, clip, steps=3)
    assert torch.equal(video(model, clip, steps=3, shift=1.0, context_time=0.0), plain)
    for options in ({"shift": 3.0}, {"context_time": 0.1}):
        made = video(model, clip, steps=3, **options)
        assert torch.isfinite(made).all()
        assert torch.equal(made[:, :, :4], clip.video[:, :, :4])
        assert not torch.equal(made, plain)
    assert (Sampling().shift, Sampling().context_time) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: dataclasses.replace(c, fps=24.0), r"clip\.fps: must be 10, which the model is for, got 24"),
        (
            lambda c: dataclasses.replace(c, video=c.video[:, :, :11]),
            r"clip\.num_frames: must be among multiples of the tubelet's 2 frames, above the 4 context frames, "
            r"got 11 = 2 x 5 \+ 1",
        ),
        (lambda c: dataclasses.replace(c, video=c.video[:, :, :4]), r"clip\.num_frames: must be .*, got 4 = 2 x 2"),
        (lambda c: dataclasses.replace(c, num_context=2), r"clip\.num_context: must be one of \(4,\), got 2"),
        (
            lambda c: dataclasses.replace(c, video=torch.cat([c.video[:1], NAN * c.video[1:]])),
            r"clip\.video\[1\]: must be finite",
        ),
    ],
)
def test_clips_that_nothing_can_be_learned_from_are_refused(model, clip, change, words):
    with pytest.raises(ValueError, match=words):
        model.loss(change(clip), torch.Generator().manual_seed(0))


def test_training_times_move_towards_noise(clip, monkeypatch):
    seen = []

    def told(shift):
        config = dataclasses.replace(CONFIG, time_shift=shift, consistency=0.0)
        model = model_of(config)
        run = model.denoiser.forward
        monkeypatch.setattr(model.denoiser, "forward", lambda z, t, c: seen.append(t) or run(z, t, c))
        model.loss(clip, torch.Generator().manual_seed(0))
        return seen[-1][:, -1]

    plain, shifted = told(1.0), told(3.0)
    torch.testing.assert_close(shifted, 3 * plain / (1 + 2 * plain))
    with pytest.raises(ValueError, match=r"world_model\.time_shift: must be above 0, got 0\.0"):
        dataclasses.replace(CONFIG, time_shift=0.0)
