"""The transformer: shapes, conditions that reach the output, sizes on the meta device."""

import dataclasses
import math

import pytest
import torch
from torch.nn import functional

from worldsim.models.conditioning import SETUP_FEATURES, Conditioning, setup_tokens
from worldsim.models.config import PRESETS, DiTConfig, preset
from worldsim.models.copying import CopyHead, cubic_at_mean
from worldsim.models.dit import VideoDiT
from worldsim.models.layers import Perceptron, rotary_angles, rotate
from worldsim.models.patches import last_known, shrink
from worldsim.scene import Body, Plane, Polygon, Scene, Sphere, State, planar_camera


def awake(config):
    """A model whose zero-initialised gates and head are open, so that every path reaches the output."""
    model = VideoDiT(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.abs().max() == 0:
                parameter.normal_(std=0.05)
        if model.corrects:
            model.threshold.fill_(1e-3)  # what an untrained network corrects is small
    return model.eval()


CONFIG = DiTConfig(width=48, depth=2, heads=4, setup_features=SETUP_FEATURES, text_width=24, action_width=2)


def condition(batch=2, frames=4, size=16):
    generator = torch.Generator().manual_seed(0)
    return Conditioning(
        setup=torch.randn(batch, 3, SETUP_FEATURES, generator=generator),
        hint=torch.randn(batch, 3, frames, size, size, generator=generator),
        hint_given=torch.ones(batch),
        text=torch.randn(batch, 4, 24, generator=generator),
        actions=torch.randn(batch, frames, 2, generator=generator),
    )


@pytest.mark.parametrize("attention", ["full", "factorised"])
@pytest.mark.parametrize("shape", [(4, 16, 16), (2, 8, 24), (8, 12, 8)])
def test_any_duration_size_and_aspect(attention, shape):
    model = awake(DiTConfig(width=48, depth=2, heads=4, attention=attention))
    z = torch.randn(2, 3, *shape)
    assert model(z, torch.full((2, shape[0] // 2), 0.5)).shape == z.shape


@pytest.mark.parametrize("attention", ["full", "factorised"])
@pytest.mark.parametrize("field", ["setup", "hint", "hint_given", "text", "actions"])
def test_every_condition_reaches_the_output(attention, field):
    model = awake(DiTConfig(**{**vars(CONFIG), "attention": attention}))
    z, t = torch.randn(2, 3, 4, 16, 16), torch.tensor([[0.0, 0.7]] * 2)
    told = condition()
    changed = {field: torch.zeros_like(getattr(told, field))}
    other = Conditioning(**{**{k: getattr(told, k) for k in vars(told)}, **changed})
    assert not torch.allclose(model(z, t, told), model(z, t, other), atol=1e-5)


@pytest.mark.parametrize("attention", ["full", "factorised"])
@pytest.mark.parametrize("setup", [True, False])
def test_the_end_of_a_text_is_not_listened_to(attention, setup):
    model = awake(DiTConfig(**{**vars(CONFIG), "attention": attention}))
    z, t = torch.randn(2, 3, 4, 16, 16), torch.tensor([[0.0, 0.7]] * 2)
    told = condition() if setup else dataclasses.replace(condition(), setup=None)
    longer = dataclasses.replace(told, text=torch.cat([told.text, torch.zeros(2, 5, 24)], 1))
    torch.testing.assert_close(model(z, t, longer), model(z, t, told))
    torch.testing.assert_close(model(z, t, told.without_text()), model(z, t, dataclasses.replace(told, text=None)))


def test_a_dropped_hint_leaks_nothing():
    model = awake(CONFIG)
    z, t, told = torch.randn(2, 3, 4, 16, 16), torch.tensor([[0.0, 0.7]] * 2), condition()
    off = told.without_hint()
    other = Conditioning(**{**vars(off), "hint": torch.randn_like(told.hint)})
    assert torch.equal(model(z, t, off), model(z, t, other))


def test_each_frame_has_its_own_time():
    model = awake(DiTConfig(width=48, depth=2, heads=4))
    z = torch.randn(1, 3, 4, 16, 16)
    assert not torch.allclose(model(z, torch.tensor([[0.0, 0.7]])), model(z, torch.tensor([[0.7, 0.7]])), atol=1e-5)


def test_rotary_scores_hang_on_distance_only():
    angles = rotary_angles((4, 4, 4), 24, torch.device("cpu"), torch.float64)
    phases = torch.stack([angles.cos(), angles.sin()], -1)
    q, k = torch.randn(2, 24, dtype=torch.float64)

    def score(i, j):
        turned = [rotate(x[None, None], phases[n : n + 1]) for x, n in ((q, i), (k, j))]
        return (turned[0] * turned[1]).sum()

    def at(t, h, w):
        return t * 16 + h * 4 + w

    torch.testing.assert_close(score(at(0, 0, 0), at(1, 2, 1)), score(at(2, 1, 2), at(3, 3, 3)))
    assert not torch.isclose(score(at(0, 0, 0), at(1, 2, 1)), score(at(0, 0, 0), at(1, 1, 2)))


@pytest.mark.parametrize("name", list(PRESETS))
def test_presets_by_shape_on_the_meta_device(name):
    with torch.device("meta"):
        model = VideoDiT(preset(name))
        out = model(torch.empty(1, 3, 4, 16, 16), torch.empty(1, 2))
    assert out.shape == (1, 3, 4, 16, 16)
    millions = sum(p.numel() for p in model.parameters()) / 1e6
    low, high = {
        "nano": (0.3, 1),
        "tiny": (1, 3),
        "small": (2.5, 6),
        "base": (70, 130),
        "large": (250, 360),
        "xl": (380, 520),
    }[name]
    assert low < millions < high


def test_setup_tokens_withhold_dynamic_states_and_keep_static_ones():
    def scene(x, wall):
        bodies = (Body("ball", Sphere(0.5), State((x, 0, 5))), Body("wall", Plane(), State((0, 0, wall)), static=True))
        return Scene(bodies, planar=True, camera=planar_camera())

    tokens = setup_tokens([scene(5, 0).setup()])
    assert tokens.shape == (1, 3, SETUP_FEATURES)
    assert torch.equal(tokens, setup_tokens([scene(2, 0).setup()]))
    assert not torch.equal(tokens, setup_tokens([scene(5, 1).setup()]))


def test_setup_tokens_tell_every_corner_of_a_polygon():
    def scene(corners, radius):
        ring = [2 * math.pi * k / corners for k in range(corners)]
        shape = Polygon(tuple((radius * math.cos(a), radius * math.sin(a)) for a in ring), 0.1)
        bodies = (Body("ball", Sphere(0.5), State((2, 0, 5))), Body("poly", shape, State((5, 0, 5)), colour=(0, 0, 1)))
        return Scene(bodies, planar=True, camera=planar_camera())

    # A triangle and a hexagon of one inscribed circle differ in their corners alone; 12 corners are the most there are.
    triangle, hexagon, most = (setup_tokens([scene(n, 0.4 / math.cos(math.pi / n)).setup()]) for n in (3, 6, 12))
    assert triangle.shape == most.shape == (1, 4, SETUP_FEATURES)
    assert not torch.equal(triangle, hexagon)
    assert (most[0, 3, 4:28] != 0).sum() >= 20
    extent = planar_camera().extent
    assert most[0, 3, 4] == pytest.approx(4 * 0.4 / math.cos(math.pi / 12) / extent)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((3, 16, 16), "frames: must be a multiple of 2, got 3 = 1 x 2 \\+ 1"),
        ((4, 15, 16), "height: .* 15 = 3 x 4 \\+ 3"),
    ],
)
def test_wrong_sizes_state_the_arithmetic(shape, words):
    with pytest.raises(ValueError, match=words):
        VideoDiT(DiTConfig(width=48, depth=1, heads=4))(torch.zeros(1, 3, *shape), torch.zeros(1, 1))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"attention": "linear"}, "dit.attention: must be one of full, factorised"),
        ({"width": 50}, "dit.width"),
        ({"patch": (2, 4)}, "dit.patch"),
        ({"state_head_layer": 9}, "dit.state_head_layer"),
    ],
)
def test_configs_refuse(changes, words):
    with pytest.raises(ValueError, match=words):
        DiTConfig(**changes)
    with pytest.raises(ValueError, match="preset: must be one of"):
        preset("huge")


def test_the_estimate_starts_near_the_hint_and_small_corrections_vanish():
    torch.manual_seed(0)
    model = VideoDiT(DiTConfig(width=48, depth=2, heads=4, patch=(2, 8, 8), stem=8))
    told = Conditioning(hint=torch.rand(2, 3, 4, 16, 16))
    estimate = model(torch.randn(2, 3, 4, 16, 16), torch.full((2, 2), 0.9), told)
    assert (estimate - told.hint).square().mean().sqrt() < 0.05
    threshold = torch.tensor(0.1)
    assert float(shrink(torch.tensor(0.01), threshold)) == pytest.approx(
        0.01 / (1 + 1e4)
    )  # r / (1 + (threshold / r)^4)
    assert float(shrink(torch.tensor(-0.2), threshold)) == pytest.approx(-0.2 / (1 + 1 / 16))
    value = torch.randn(2, 3, 2, 2, 2, dtype=torch.float64).mul_(0.1).requires_grad_()
    thresholds = torch.tensor([0.05, 0.1, 0.2], dtype=torch.float64)[:, None, None, None].requires_grad_()
    assert torch.autograd.gradcheck(shrink, (value, thresholds))


def test_rows_taken_some_at_a_time_give_what_all_at_once_give():
    torch.manual_seed(0)
    perceptron = Perceptron(6, 18).double()
    x = torch.randn(2, 5, 3, 6, dtype=torch.float64, requires_grad=True)
    perceptron.rows = 4
    found = perceptron(x)
    expected = perceptron[2](functional.hardswish(perceptron[0](x)))
    torch.testing.assert_close(found, expected)
    wanted = (x, *perceptron.parameters())
    slopes = [torch.autograd.grad(out.square().sum(), wanted) for out in (found, expected)]
    torch.testing.assert_close(*slopes)
    assert perceptron(x[:0]).shape == (0, 5, 3, 6)


def test_the_turn_that_is_compiled_is_the_one_that_is_not():
    torch.manual_seed(0)
    x = torch.randn(2, 7, 3, 12, requires_grad=True)
    angles = torch.randn(7, 6)
    phases = torch.stack([angles.cos(), angles.sin()], -1)
    traced = torch.compile(lambda x: rotate(x, phases), backend="eager", fullgraph=True)
    results = [turn(x) for turn in (lambda x: rotate(x, phases), traced)]
    gradients = [torch.autograd.grad(result.square().sum() + result[..., 3].sum(), x)[0] for result in results]
    torch.testing.assert_close(*results)
    torch.testing.assert_close(*gradients)


def test_what_is_painted_starts_from_the_last_known_frame():
    video, t = torch.randn(3, 3, 6, 8, 8), torch.full((3, 3), 0.7)
    t[0, :2], t[1, :1] = 0.0, 0.1
    found = last_known(video, t)
    assert torch.equal(found[0], video[0, :, 2:4])
    assert torch.equal(found[1], video[1, :, :2])
    assert not found[2].any()
    model = VideoDiT(DiTConfig(width=48, depth=1, heads=4))
    for module in (model.head.last, model.head.gate):
        torch.nn.init.zeros_(module.weight)
    torch.testing.assert_close(model(video, t), found[:, :, -1:].expand_as(video))


def test_copies_are_shifted_frames():
    head = CopyHead((2, 4, 4), 16, reach=3)
    for parameter in head.parameters():
        torch.nn.init.zeros_(parameter)
    frame, paint = torch.randn(2, 3, 8, 12), torch.full((2, 3, 4, 8, 12), 9.0)
    tokens, sure = torch.zeros(2, 2 * 2 * 3, 16), 50.0
    # In both frames of a tubelet the first copy comes from 2 rows above and 1 column to the right; the second stays.
    kernel, choice = head.kernel.bias.data.view(2, 2, 2, 7), head.choice.bias.data.view(2, 4, 4, 3)
    kernel[:, 0, 0, 3 - 2] = kernel[:, 0, 1, 3 + 1] = kernel[:, 1, :, 3] = sure
    choice[..., 0] = sure
    choice[0, 0, 0] = torch.tensor([0.0, 0.0, sure])
    choice[0, 1, 1] = torch.tensor([0.0, sure, 0.0])
    found = head(tokens, (2, 2, 3), frame, paint)
    assert torch.allclose(found[:, :, 1, 2:, :-1], frame[:, :, :-2, 1:], atol=1e-5)
    assert torch.allclose(found[:, :, 3, 0, 2], frame[:, :, 0, 3], atol=1e-5)  # beyond the edge stands the edge
    assert torch.allclose(found[:, :, ::2, 4, 8], paint[:, :, ::2, 4, 8], atol=1e-5)
    assert torch.allclose(found[:, :, ::2, 5, 9], frame[:, :, None, 5, 9], atol=1e-5)


def test_a_model_that_copies_begins_with_what_stays():
    model = VideoDiT(DiTConfig(width=48, depth=1, heads=4, reach=2))
    video, t = torch.rand(2, 3, 6, 8, 8) - 0.5, torch.full((2, 3), 0.7)
    t[:, :2] = 0.0
    assert (model(video, t)[:, :, 4:] - video[:, :, 3:4]).abs().mean() < 0.1


def test_sharp_copies_keep_what_they_shift():
    spread = torch.tensor([0.0, 0.3, 0.4, 0.3, 0.0, 0.0, 0.0])
    whole = torch.tensor([0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0])
    torch.testing.assert_close(cubic_at_mean(spread), whole)
    # Between two pixels cubic convolution is exact for quadratics (Keys 1981), which a spread kernel lifts.
    places = torch.arange(7.0)
    between = torch.tensor([0.0, 0.1, 0.15, 0.25, 0.25, 0.15, 0.1])
    mean = (between * places).sum()
    torch.testing.assert_close((cubic_at_mean(between) * places.square()).sum(), mean.square())
    assert (between * places.square()).sum() > mean.square() + 1
    torch.testing.assert_close(cubic_at_mean(torch.eye(7)), torch.eye(7))


def test_sharp_copies_are_mixed_in_training_and_chosen_in_use():
    head = CopyHead((1, 4, 4), 16, reach=1, sharp=True)
    for parameter in head.parameters():
        torch.nn.init.zeros_(parameter)
    head.choice.bias.data.view(16, 3)[:8, 2] = 1.0  # paint in the upper rows, the first copy below
    head.choice.bias.data.view(16, 3)[8:, 0] = 1.0
    frame, paint, tokens = torch.zeros(1, 3, 4, 4), torch.ones(1, 3, 1, 4, 4), torch.zeros(1, 1, 16)
    mixed = head(tokens, (1, 1, 1), frame, paint)
    assert ((mixed > 0.1) & (mixed < 0.9)).all()
    chosen = head.eval()(tokens, (1, 1, 1), frame, paint)
    assert (chosen[:, :, 0, :2] == 1).all()
    assert (chosen[:, :, 0, 2:] == 0).all()
