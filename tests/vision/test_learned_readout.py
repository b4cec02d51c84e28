"""The learned readout: from pictures to states for any number of bodies, differentiable, stored with its weights."""

import dataclasses
import json
import os

import pytest
import torch

import worldsim as ws
from worldsim.models.world import World
from worldsim.physics import Trajectory
from worldsim.vision import pixels_per_metre, planar_position, project, rasterise, unproject
from worldsim.vision.learned_readout import LearnedReadout, LearnedReadoutConfig


def picture(family, seeds, frames=4, **parameters):
    """(B, 3, T, 32, 32) lit pictures of random places, their truth and each body's share of each pixel."""
    scenes = [ws.make_scene(family, seed=seed, role="train", pixels=32, **parameters) for seed in seeds]
    world = World.of([scene.setup() for scene in scenes])
    generator = torch.Generator().manual_seed(seeds[0])
    position = world.fixed.position.expand(-1, frames, -1, -1).clone()
    for k, static in enumerate(world.bodies.static):
        if not static:
            low, span = ((1.0, 8.0), (8.0, 8.0)) if world.bodies.planar else ((-1.2, 0.5), (1.4, 1.0))
            place = torch.rand(len(scenes), frames, 2, generator=generator)
            position[:, :, k, 0] = low[0] + span[0] * place[..., 0]
            position[:, :, k, 2] = (1.0 if world.bodies.planar else low[1]) + span[1] * place[..., 1]
            position[:, :, k, 1] = 0
    trajectory = Trajectory.from_positions(position, world.fixed.dt)
    orientation = world.fixed.orientation.expand(-1, frames, -1, -1)
    trajectory = dataclasses.replace(trajectory, orientation=orientation)
    drawn = rasterise(trajectory, world.bodies, world.view, tau_px=0.25, shading="shaded", background=world.background)
    moving = [k + 1 for k, static in enumerate(world.bodies.static) if not static]
    return drawn.colour.movedim(2, 1) * 2 - 1, trajectory, drawn.ids[:, :, moving], world


def told(world):
    return world.bodies, world.view, world.background, world.fixed


def rows_of(world, rows):
    views = {name: getattr(world.view, name)[rows] for name in ("rotation", "position", "focal")}
    return dataclasses.replace(
        world,
        bodies=world.bodies.map(lambda x: x[rows]),
        view=dataclasses.replace(world.view, **views),
        background=world.background[rows],
        fixed=world.fixed.map(lambda x: x[rows]),
    )


def ready(config=None):
    torch.manual_seed(0)
    readout = LearnedReadout(config)
    readout.trained.fill_(True)
    return readout


@pytest.mark.parametrize(("family", "parameters"), [("hoop", {"aim": "side"}), ("bouncing_balls", {"num_balls": 3})])
def test_projection_is_undone_and_agrees_with_the_camera(family, parameters):
    scene = ws.make_scene(family, seed=0, pixels=64, **parameters)
    world = World.of([scene.setup()])
    points = torch.randn(1, 5, 7, 3, generator=torch.Generator().manual_seed(0)) * 0.3
    pixels, depth = project(points, world.view)
    torch.testing.assert_close(unproject(pixels, world.view, depth), points, atol=2e-5, rtol=0)
    expected, expected_depth = scene.camera.project(points.numpy())
    torch.testing.assert_close(pixels, torch.from_numpy(expected).float(), atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(depth, torch.from_numpy(expected_depth).float(), atol=1e-4, rtol=1e-4)
    flat = points * torch.tensor([1.0, 0.0, 1.0])
    torch.testing.assert_close(planar_position(project(flat, world.view)[0], world.view), flat, atol=1e-4, rtol=0)
    # A metre to the right, across the line of sight.
    right = flat + world.view.rotation[:, None, None, 0]
    across = (project(right, world.view)[0] - project(flat, world.view)[0]).norm(dim=-1)
    torch.testing.assert_close(pixels_per_metre(flat, world.view), across, rtol=1e-3, atol=0)


def test_a_reading_has_the_form_of_every_reading():
    video, trajectory, _, world = picture("hoop", [0, 1], aim="side", framing="close")
    reading = ready()(video, *told(world))
    assert reading.masks.shape == (2, 4, 6, 32, 32)
    assert reading.masks.min() >= 0
    assert reading.masks.sum(2).max() <= 1 + 1e-5
    assert reading.moments.area.shape == (2, 4, 6)
    read = reading.trajectory
    assert read.dt == world.fixed.dt
    assert torch.equal(read.position[:, :, 1:], trajectory.position[:, :, 1:])  # what stands still is known
    assert torch.equal(read.presence[:, :, 1:], torch.ones(2, 4, 5))
    assert (read.position[:, :, 0, 1].abs() < 1e-5).all()  # in the plane of motion


def test_each_frame_and_each_body_is_read_on_its_own():
    video, _, _, world = picture("bouncing_balls", [0, 1], num_balls=3)
    readout = ready()
    whole = readout.observe(video, *told(world))
    half = readout.observe(video[:, :, 2:], *told(world))
    torch.testing.assert_close(whole.centre[:, 2:], half.centre, atol=1e-4, rtol=1e-4)
    order = [2, 0, 1, 3, 4, 5, 6]
    turned = dataclasses.replace(
        world.bodies.map(lambda x: x[:, order]), kinds=tuple(world.bodies.kinds[i] for i in order)
    )
    fixed = world.fixed.map(lambda x: x[:, :, order])
    other = readout.observe(video, turned, world.view, world.background, fixed)
    torch.testing.assert_close(other.masks, whole.masks[:, :, [2, 0, 1]], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(other.centre, whole.centre[:, :, [2, 0, 1]], atol=1e-3, rtol=1e-4)


def test_losses_reach_the_video():
    video, _, _, world = picture("hoop", [0], aim="side", framing="close")
    video = video.requires_grad_()
    ready()(video, *told(world)).trajectory.position.sum().backward()
    assert torch.isfinite(video.grad).all()
    assert (video.grad.abs().sum((0, 1, 3, 4)) > 0).all()


def test_depth_follows_from_the_area_where_motion_is_free():
    video, _, _, world = picture("hoop", [0, 1], aim="side", framing="close")
    readout = ready(LearnedReadoutConfig(in_plane=False))
    seen = readout.observe(video, *told(world))
    reading = readout(video, *told(world))
    pixels, depth = project(reading.trajectory.position[:, :, :1], world.view)
    # A ball seen small is far: its outline has about the area that was seen.
    radius = world.bodies.size[:, None, :1, 0]
    area = torch.pi * (radius * world.view.focal[:, None, None] / depth).square()
    torch.testing.assert_close(area, seen.area, rtol=0.1, atol=0)
    torch.testing.assert_close(pixels, seen.centre, rtol=0, atol=1.0)
    boxes = dataclasses.replace(world.bodies, static=(True, *[False] * 5))
    with pytest.raises(ValueError, match=r"bodies\.kinds\[1\]: must be sphere where motion is free, got ring"):
        readout(video, boxes, *told(world)[1:])


def test_a_ball_that_vanishes_is_not_taken_for_a_far_one():
    video, _, _, world = picture("hoop", [0], aim="side", framing="close")
    readout = ready(LearnedReadoutConfig(in_plane=False))
    with torch.no_grad():
        readout.nothing.mul_(0).add_(1e3 * readout._features(torch.zeros(1, 6, 32, 32))[0, :, 16, 16])
    reading = readout(torch.zeros_like(video), *told(world))
    assert reading.trajectory.presence[:, :, 0].max() < 0.05
    seen = dataclasses.replace(readout.observe(video, *told(world)), area=torch.tensor([[[1e-6]] * 4]))
    small = dataclasses.replace(seen, area=torch.full((1, 4, 1), 3.0))
    torch.testing.assert_close(
        readout.place(seen, world.bodies, world.view), readout.place(small, world.bodies, world.view)
    )


def test_weights_survive_the_disk_and_untrained_ones_are_refused(tmp_path):
    video, _, _, world = picture("bouncing_balls", [0], num_balls=3)
    new = LearnedReadout(LearnedReadoutConfig(width=8, features=8))
    with pytest.raises(ValueError, match="readout: must have trained weights"):
        new(video, *told(world))
    new.save(tmp_path, {"floor": {"pixels": 0.1}})
    again = LearnedReadout.load(tmp_path)
    assert again.config == new.config
    one, other = (r(video, *told(world)) for r in (new, again))
    assert torch.equal(one.trajectory.position, other.trajectory.position)
    document = json.loads((tmp_path / "readout.json").read_text())
    assert document["floor"] == {"pixels": 0.1}
    (tmp_path / "readout.json").write_text(json.dumps({**document, "config": {"width": 16}}))
    with pytest.raises(ValueError, match="readout: must have weights of its config"):
        LearnedReadout.load(tmp_path)
    (tmp_path / "readout.json").write_text(json.dumps({**document, "config": {"wide": 16}}))
    with pytest.raises(ValueError, match=r"readout\.json\.config\.wide: must be one of"):
        LearnedReadout.load(tmp_path)
    (tmp_path / "readout.safetensors").unlink()
    with pytest.raises(ValueError, match=r"readout: must be a folder with whole .*readout\.safetensors, .*No such"):
        LearnedReadout.load(tmp_path)


def test_damaged_files_are_refused_by_name(tmp_path):
    readout = LearnedReadout(LearnedReadoutConfig(width=8, features=8))
    config, weights = tmp_path / "readout.json", tmp_path / "readout.safetensors"
    readout.save(tmp_path, {})
    whole, told = weights.read_bytes(), config.read_text()
    weights.write_bytes(whole[:-20])
    with pytest.raises(ValueError, match=r"readout: must be a folder with whole readout\.json and readout\.saf"):
        LearnedReadout.load(tmp_path)
    weights.write_bytes(whole)
    for text, said in (
        ("{", r"readout: must be a folder with whole readout\.json"),
        ("{}", r"readout\.json\.config: must be an object, got None"),
        ("[]", r"readout\.json\.config: must be an object, got None"),
        ('{"config": {"width": "8"}}', r"readout\.json\.config\.width: must be of type int, got '8'"),
        ('{"config": {"width": 0}}', r"readout\.width: must be 1 or more, got 0"),
    ):
        config.write_text(text)
        with pytest.raises(ValueError, match=said):
            LearnedReadout.load(tmp_path)
    config.write_text(told)
    with torch.no_grad():
        readout.leave.bias[0] = float("nan")
    readout.save(tmp_path, {})
    with pytest.raises(ValueError, match=r"readout\.safetensors\.leave\.bias: must be finite, got NaN or infinity"):
        LearnedReadout.load(tmp_path)


def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    LearnedReadout(LearnedReadoutConfig(width=8, features=8)).save(tmp_path, {})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(descriptor):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        LearnedReadout(LearnedReadoutConfig(width=4, features=4)).save(tmp_path, {})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_it_is_small():
    assert sum(p.numel() for p in LearnedReadout().parameters()) < 300_000


@pytest.mark.slow
def test_it_learns_lit_balls_and_carries_over_to_more_of_them():
    torch.manual_seed(0)
    readout = LearnedReadout()
    sets = [picture("bouncing_balls", list(range(64 * i, 64 * i + 64)), num_balls=n) for i, n in enumerate((2, 3))]
    optimiser = torch.optim.AdamW(readout.parameters(), 3e-3)
    generator = torch.Generator().manual_seed(0)
    for step in range(400):
        video, trajectory, masks, world = sets[step % 2]
        rows = torch.randint(64, (8,), generator=generator)
        seen = readout.observe(video[rows], *told(rows_of(world, rows)))
        balls = masks.shape[2]
        centre = project(trajectory.position[rows][:, :, :balls], rows_of(world, rows).view)[0]
        off = torch.nn.functional.huber_loss(seen.centre, centre, delta=0.5)
        loss = 10 * torch.nn.functional.binary_cross_entropy(seen.masks.clamp(1e-4, 1 - 1e-4), masks[rows]) + off
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(readout.parameters(), 1.0)
        optimiser.step()
    readout.trained.fill_(True)
    video, trajectory, masks, world = picture("bouncing_balls", list(range(200, 216)), num_balls=5)
    with torch.no_grad():
        reading = readout(video, *told(world))
    whole = torch.pi * (world.bodies.size[:, None, :5, 0] * world.view.focal[:, None, None]).square()
    clear = masks.sum((-1, -2)) > 0.9 * whole  # not hidden behind another
    error = (reading.trajectory.position - trajectory.position)[:, :, :5].norm(dim=-1)[clear]
    assert error.median() < 0.1  # units; a pixel is .31
