"""The pairing: the start is read from pixels alone, the hint is the prior's future, losses and samples repeat."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from worldsim.data.clip import collate, to_uint8
from worldsim.engines import Contacts, Rollout
from worldsim.models.config import DiTConfig, WorldModelConfig
from worldsim.models.losses import consistency_energies
from worldsim.models.pairing import draw_hint, fit_start
from worldsim.models.prior_alone import prior_alone
from worldsim.models.world import World
from worldsim.models.world_model import WorldModel
from worldsim.physics import Bodies, Trajectory
from worldsim.scene import from_dict, make_scene
from worldsim.vision import View, rasterise
from worldsim_envs.exact import exact_trajectory

CONFIG = WorldModelConfig(
    dit=DiTConfig(width=48, depth=2, heads=4, patch=(2, 8, 8)), consistency=0.1, consistency_t_max=1.0
)


def rollout(seed, family="collision", frames=12):
    """Exact motion, drawn by the rasteriser: a quick video with soft edges."""
    scene = make_scene(family, seed=seed, pixels=32)
    scene = dataclasses.replace(scene, duration=(frames - 1) / scene.fps)
    trajectory = exact_trajectory(scene)
    world = World.of([scene.setup()])
    drawn = draw_hint(trajectory.map(lambda x: x[None].float()), world.bodies, world.view, world.background, "flat")
    video = ((drawn[0].movedim(0, -1) + 1) * 127.5).round().to(torch.uint8).numpy()
    ids = np.zeros(video.shape[:3], np.uint8)
    nothing = np.zeros((frames - 1, 0), np.float32)
    depth = np.zeros(ids.shape, np.float32)
    return Rollout(scene, video, ids, depth, trajectory, Contacts.empty(), nothing, "exact", "1")


@pytest.fixture(scope="module")
def clip():
    return collate([rollout(seed) for seed in range(4)], num_context=4)


def test_the_reading_finds_centres_and_presence(clip):
    world = World.of(clip.setups)
    model = WorldModel(CONFIG)
    reading = model.readout(clip.video, world.bodies, world.view, world.background, world.fixed)
    truth = clip.trajectory.position
    radius = clip.bodies.size[:, None, :, :1]
    inside = ((truth[..., [0, 2]] > radius) & (truth[..., [0, 2]] < 10 - radius)).all(-1)
    error = (reading.trajectory.position - truth).norm(dim=-1)
    assert error[inside].mean() < 0.01  # units; a pixel is .31
    assert reading.trajectory.presence[inside].min() > 0.9
    gone = clip.video.clone()
    gone[:, :, 6:] = 1.0  # white
    empty = model.readout(gone, world.bodies, world.view, world.background, world.fixed)
    assert empty.trajectory.presence[:, 6:].max() < 0.05


def test_the_start_is_the_least_squares_flight():
    dt, gravity = 0.1, torch.tensor([0.0, 0.0, -2.5])
    time = torch.arange(4, dtype=torch.float64)[None, :, None, None] * dt
    place, speed = torch.tensor([[1.0, 0.0, 5.0], [4.0, 0.0, 6.0]]), torch.tensor([[2.0, 0.0, 1.0], [-1.0, 0.0, 0.5]])
    position = place.double() + speed.double() * time + 0.5 * gravity.double() * time.square()
    scene = make_scene("collision", seed=0)
    bodies = Bodies.from_scenes([scene], dtype=torch.float64)
    start = fit_start(Trajectory.from_positions(position, dt), bodies, gravity.double(), 0.01)
    torch.testing.assert_close(start.position[0, 0], position[0, -1])
    torch.testing.assert_close(start.linear_velocity[0, 0], (speed + gravity * 3 * dt).double())


def test_an_impact_within_the_context_is_noticed():
    dt = 0.1
    x = torch.tensor([3.0, 3.3, 3.6, 3.3], dtype=torch.float64)  # turns at the third frame
    position = torch.zeros(1, 4, 2, 3, dtype=torch.float64)
    position[0, :, 0, 0], position[0, :, 1, 0] = x, 8.0
    bodies = Bodies.from_scenes([make_scene("collision", seed=0)], dtype=torch.float64)
    start = fit_start(Trajectory.from_positions(position, dt), bodies, torch.zeros(3, dtype=torch.float64), 0.05)
    assert start.linear_velocity[0, 0, 0, 0] == pytest.approx(-3.0)
    assert start.linear_velocity[0, 0, 1, 0] == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("hidden", [(2, 3), (3,), (1, 2), (0, 3)])
def test_a_body_that_is_hidden_in_the_context_flies_on(hidden):
    dt, gravity = 0.1, torch.tensor([0.0, 0.0, -2.5], dtype=torch.float64)
    time = torch.arange(4, dtype=torch.float64)[None, :, None, None] * dt
    place = torch.tensor([[1.0, 0.0, 5.0], [4.0, 0.0, 6.0]], dtype=torch.float64)
    speed = torch.tensor([[2.0, 0.0, 1.0], [-1.0, 0.0, 0.5]], dtype=torch.float64)
    truth = place + speed * time + 0.5 * gravity * time.square()
    observed = Trajectory.from_positions(truth, dt)
    position, presence = observed.position.clone(), observed.presence.clone()
    position[:, list(hidden), 0] = 0.0  # what a readout says of a body that it does not see means nothing
    presence[:, list(hidden), 0] = 0.01
    observed = dataclasses.replace(observed, position=position, presence=presence)
    bodies = Bodies.from_scenes([make_scene("collision", seed=0)], dtype=torch.float64)
    start = fit_start(observed, bodies, gravity, 0.01)
    torch.testing.assert_close(start.position[0, 0], truth[0, -1])
    torch.testing.assert_close(start.linear_velocity[0, 0], speed + gravity * 3 * dt)
    assert start.presence.min() == 1


def test_a_body_that_one_frame_alone_shows_is_at_rest_or_gone():
    position = torch.zeros(1, 4, 2, 3, dtype=torch.float64)
    position[:, :, :, 0] = torch.tensor([[9.0, 1.0], [9.0, 9.0], [9.0, 9.0], [2.0, 9.0]], dtype=torch.float64)
    observed = Trajectory.from_positions(position, 0.1)
    presence = torch.zeros_like(observed.presence)
    presence[:, 3, 0] = presence[:, 0, 1] = 1.0
    bodies = Bodies.from_scenes([make_scene("collision", seed=0)], dtype=torch.float64)
    start = fit_start(dataclasses.replace(observed, presence=presence), bodies, torch.zeros(3).double(), 0.05)
    assert start.presence[0, 0].tolist() == [1.0, 0.0]
    assert start.position[0, 0, 0, 0] == 2.0
    assert start.linear_velocity.abs().max() == 0


def test_the_prior_foresees_the_exact_future(clip):
    model = WorldModel(CONFIG)
    foreseen = model.foresee(World.of(clip.setups), clip.video[:, :, :4], 12)
    error = (foreseen.position - clip.trajectory.position).norm(dim=-1)
    assert error.mean() < 0.05
    assert error.max() < 0.3


def test_the_hint_of_training_starts_off_by_a_share_of_the_speed(clip):
    share, draws, context = 0.05, 200, clip.video[:, :, :4]
    model, world = WorldModel(dataclasses.replace(CONFIG, hint_noise=share)), World.of(clip.setups)
    known = WorldModel(CONFIG).foresee(world, context, 5)
    # Without a generator, as in sampling, nothing is perturbed.
    assert torch.equal(model.foresee(world, context, 5).position, known.position)
    generators = (torch.Generator().manual_seed(seed) for seed in range(draws))
    places = torch.stack([model.foresee(world, context, 5, generator).position[:, -1] for generator in generators])
    spread = places.std(0)
    assert spread[..., 1].max() == 0  # the world is planar
    # One interval on, bodies that meet nothing are off by the share of their way, along each axis.
    way = known.linear_velocity[:, -1].norm(dim=-1) * known.dt
    moving = way > 0.05
    assert moving.sum() >= 4
    ratio = spread[..., (0, 2)][moving] / (share * way[moving][:, None])
    assert ratio.median() == pytest.approx(1, abs=3 / (2 * draws) ** 0.5)


def perturbed(seed):
    scene = make_scene("collision", seed=seed, pixels=32)
    rng = np.random.default_rng(seed)
    states = {
        body.name: dataclasses.replace(
            body.state,
            position=(float(rng.uniform(2, 8)), 0.0, float(rng.uniform(2, 8))),
            linear_velocity=(float(rng.uniform(-3, 3)), 0.0, 0.0),
        )
        for body in scene.bodies
    }
    return scene.with_states(states)


def test_nothing_of_the_withheld_states_reaches_the_model(clip):
    model = WorldModel(CONFIG).eval()
    context = clip.video[:, :, :4]
    lies = dataclasses.replace(
        clip,
        trajectory=clip.trajectory.map(lambda x: x + 1.0),
        setups=tuple(perturbed(seed).setup() for seed in range(4)),
    )
    one = model.generate(context, clip.setups, 8)
    other = model.generate(lies.video[:, :, :4], lies.setups, 8)
    assert torch.equal(one.video, other.video)
    losses = [model.loss(c, torch.Generator().manual_seed(1)) for c in (clip, lies)]
    assert all(torch.equal(losses[0][k], losses[1][k]) for k in losses[0])
    assert all(body.state is None for setup in clip.setups for body in setup.bodies if not body.static)


def test_losses_have_names_and_gradients(clip):
    model = WorldModel(CONFIG)
    terms = model.loss(clip, torch.Generator().manual_seed(0))
    assert set(terms) == {"diffusion", "agreement", "permanence", "penetration"}
    sum(terms.values()).backward()
    assert model.denoiser.head.last.weight.grad.abs().sum() > 0
    again = model.loss(clip, torch.Generator().manual_seed(0))
    assert all(torch.equal(terms[k], again[k]) for k in terms)


def test_a_dropped_hint_is_dropped(clip):
    model = WorldModel(dataclasses.replace(CONFIG, hint_drop=1.0))
    world = World.of(clip.setups)
    condition = model.condition(world, model.foresee(world, clip.video[:, :, :4], 12), torch.Generator().manual_seed(0))
    assert (condition.hint_given == 0).all()


def test_a_generation_tells_the_violations_of_what_is_read(clip):
    made = prior_alone(CONFIG.fps).generate(clip.video[:, :, :4], clip.setups, 8)
    assert set(made.violations) == {"penetration", "pass_through", "permanence", "teleport"}
    read, bodies = made.trajectory, World.of(clip.setups).bodies
    gap = (read.position[:, :, 0] - read.position[:, :, 1]).norm(dim=-1) - bodies.size[:, None, :2, 0].sum(-1)
    deepest = made.violations["penetration"].values.amax(-1)
    there = (read.presence > 0.5).all(-1)
    torch.testing.assert_close(deepest[there], (-gap).clamp_min(0)[there], atol=1e-4, rtol=0)
    for k in range(4):
        alone = prior_alone(CONFIG.fps).generate(to_uint8(clip.video[k, :, :4]).numpy(), clip.setups[k], 8)
        torch.testing.assert_close(
            alone.violations["penetration"].worst, made.violations["penetration"].worst[k], atol=1e-4, rtol=0
        )


def test_generation_keeps_the_context_and_crops_the_tail(clip):
    model = WorldModel(CONFIG)
    context = clip.video[:, :, :4]
    out = model.generate(context, clip.setups, 7, steps=2)
    assert out.video.shape == (4, 3, 11, 32, 32)
    assert torch.equal(out.video[:, :, :4], context)
    assert out.trajectory.num_frames == out.prior.num_frames == 11
    assert torch.equal(model.generate(context, clip.setups, 7, steps=2).video, out.video)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c[:, :, :3], r"context: must have one of \(4,\) frames, got 3"),
        (lambda c: c.new_full(c.shape, float("nan")), "context: must be finite"),
    ],
)
def test_bad_contexts_are_refused(clip, change, words):
    with pytest.raises(ValueError, match=words):
        WorldModel(CONFIG).generate(change(clip.video[:, :, :4]), clip.setups, 4)


def test_configs_survive_json_and_refuse_typos():
    data = json.loads(json.dumps(dataclasses.asdict(CONFIG)))
    assert from_dict(WorldModelConfig, data, "model") == CONFIG
    with pytest.raises(ValueError, match=r"model\.hnt"):
        from_dict(WorldModelConfig, {"hnt": True}, "model")
    with pytest.raises(ValueError, match=r"model\.dit\.wdth"):
        from_dict(WorldModelConfig, {"dit": {"wdth": 3}}, "model")
    with pytest.raises(ValueError, match="multiples of the tubelet's 2 frames, got 3"):
        WorldModelConfig(context_lengths=(3,))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"context_lengths": ()}, r"world_model\.context_lengths: must be one number or more, got \(\)"),
        ({"fps": 0.0}, r"world_model\.fps: must be above 0, got 0\.0"),
        ({"time_std": -1.0}, r"world_model\.time_std: must be above 0, got -1\.0"),
        ({"consistency": -0.5}, r"world_model\.consistency: must be 0 or more, got -0\.5"),
        ({"context_noise": float("nan")}, r"world_model\.context_noise: must be a finite number, got nan"),
        ({"hint_drop": -3.0}, r"world_model\.hint_drop: must be between 0 and 1, got -3\.0"),
        ({"consistency_t_max": 5.0}, r"world_model\.consistency_t_max: must be between 0 and 1, got 5\.0"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(CONFIG, **changes)


def test_a_context_comes_in_any_precision_and_a_batch_has_one_shading(clip):
    model, context = WorldModel(CONFIG), clip.video[:, :, :4]
    made = model.generate(context.double(), clip.setups, 4, steps=1)
    assert torch.equal(made.video, model.generate(context, clip.setups, 4, steps=1).video)
    mixed = (dataclasses.replace(clip.setups[0], shading="shaded"), *clip.setups[1:])
    with pytest.raises(ValueError, match=r"setup\.shading: must be the same for all videos of a batch, got \["):
        model.generate(context, mixed, 4)


def test_a_failed_sample_leaves_the_model_as_it_was(clip, monkeypatch):
    model = WorldModel(CONFIG).train()

    def broken(z, t, condition):
        assert not model.training
        raise RuntimeError("broken")

    monkeypatch.setattr(model.denoiser, "forward", broken)
    with pytest.raises(RuntimeError, match="broken"):
        model.generate(clip.video[:, :, :4], clip.setups, 4)
    assert model.training
    with pytest.raises(ValueError, match="text_scale: must be 1 without a text, got 7"):
        model.generate(clip.video[:, :, :4], clip.setups, 4, text_scale=7.0)


def test_what_opens_videos_alone_makes_no_long_ones(clip):
    model = WorldModel(dataclasses.replace(CONFIG, context_lengths=(0,), clip_frames=8))
    with pytest.raises(ValueError, match="num_frames: must be at most 8 for a model that only opens videos, got 20"):
        model.generate(clip.video[:, :, :0], clip.setups, 20)


def test_the_prior_alone_needs_its_hint(clip):
    with pytest.raises(ValueError, match="hint: must be on where the prior works alone"):
        prior_alone(CONFIG.fps).generate(clip.video[:, :, :4], clip.setups, 4, hint=False)


def test_the_hint_is_the_raster_of_the_roll_out(clip):
    world = World.of(clip.setups)
    trajectory = clip.trajectory
    hint = draw_hint(trajectory, world.bodies, world.view, world.background, "flat")
    view = View.from_cameras([dataclasses.replace(c, width=64, height=64) for c in clip.cameras])
    direct = rasterise(trajectory, world.bodies, view, tau_px=0).colour
    pooled = torch.nn.functional.avg_pool2d(direct.flatten(0, 1), 2).unflatten(0, direct.shape[:2])
    torch.testing.assert_close((hint.movedim(2, 1) + 1) / 2, pooled)


def test_compiling_reaches_the_denoiser_in_training(clip):
    seen = []

    def backend(graph, inputs):
        seen.append(graph)
        return graph.forward

    model = WorldModel(CONFIG)
    plain = model.loss(clip, torch.Generator().manual_seed(0))
    model.compile(backend=backend)
    compiled = model.loss(clip, torch.Generator().manual_seed(0))
    assert seen
    for name in plain:
        torch.testing.assert_close(compiled[name], plain[name])


def test_a_body_read_far_from_its_place_is_lost_and_not_sunk(clip):
    """Else one ball read a mile under the floor outweighs all that a clip says."""
    world = World.of(clip.setups)
    reading = WorldModel(CONFIG).readout(clip.video, world.bodies, world.view, world.background, world.fixed)
    moved = reading.trajectory.position.clone()
    moved[:, 6:, 0] = moved[:, 6:, 1]  # onto the other ball
    sunk = dataclasses.replace(reading, trajectory=dataclasses.replace(reading.trajectory, position=moved))
    elsewhere = moved.clone()
    elsewhere[:, :, 0, 0] += 100.0
    foreseen = [dataclasses.replace(clip.trajectory, position=p) for p in (moved, elsewhere)]
    near, far = (consistency_energies(sunk, f, world.bodies, 4)["penetration"] for f in foreseen)
    assert near.min() > 0.05
    assert far.max() < 1e-3
