"""The violations study's arithmetic and reader against results by hand and the simulator's own states."""

import dataclasses
import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from worldsim.data import Clip
from worldsim.engines import get_engine
from worldsim.physics import Bodies, LawParameters, Trajectory

FOLDER = Path(__file__).parents[2] / "experiments" / "violations"
NAMES = ("data", "reader", "space_reader", "measure", "rows", "summary", "page", "train")


@pytest.fixture(scope="module")
def study():
    """The study's modules, whose plain names are left free for other folders."""
    before = {name: sys.modules.pop(name) for name in NAMES if name in sys.modules}
    sys.path.insert(0, str(FOLDER))
    yield SimpleNamespace(**{name: importlib.import_module(name) for name in NAMES})
    sys.path.remove(str(FOLDER))
    for name in NAMES:
        sys.modules.pop(name, None)
    sys.modules.update(before)


def test_ratio_with_a_measured_floor(study):
    floor = np.tile([0.1, 0.3], 50)  # mean .2, standard error .1005 / 10
    found = study.summary.ratio(np.full(100, 2.2), np.full(100, 0.4), floor, "overlap")
    assert found.value == pytest.approx(10)
    assert found.low < 10 < found.high
    # A row that is at the floor is held to the floor's standard error.
    found = study.summary.ratio(np.full(100, 2.2), floor, floor, "overlap")
    assert found.value == pytest.approx(2.0 / (floor.std(ddof=1) / 10))


def test_ratio_without_events_follows_the_rule_of_three(study):
    none, half = np.zeros(300), np.repeat([0.0, 1.0], 150)
    found = study.summary.ratio(half, none, none, "pass_through")
    assert found.value == pytest.approx(0.5 / (3 / 300))
    assert 40 < found.low < 50 < found.high < 60
    assert study.summary.least(none, "overlap") == pytest.approx(3 / 300 * study.measure.DEEP)


def test_clips_that_cannot_be_measured_stand_at_the_worst(study):
    def row(measured, depth):
        return {name: np.array(depth, float) for name in study.summary.WORSE} | {"measured": np.array(measured)}

    lost, seen = row([1.0, 0.5, 1.0], [0.1, 0.0, np.nan]), row([1.0, 0.2], [0.7, 9.0])
    study.summary.fill_worst([lost, seen])
    # 9 is of a clip that cannot be measured: the worst that was measured is .7, and what was seen there stays.
    np.testing.assert_allclose(lost["deepest"], [0.1, 0.7, 0.7])
    np.testing.assert_allclose(seen["deepest"], [0.7, 9.0])


def test_rows_made_to_err_are_no_yardstick_for_the_others(study):
    def piece(row, measured, depth):
        values = {key: [depth, 0.1] for key in study.summary.WORSE} | {"measured": [measured, 1.0]}
        return {"row": row, "family": "hoop", "split": "id", "headline": [], "readers": {"tracker": values}}

    rows = study.rows
    told = [(rows.PAIRED, 1.0, 0.2), (rows.PLAIN, 0.0, np.nan), (rows.LACKING, 1.0, 5.0), (rows.HINT_OFF, 0.0, np.nan)]
    table = study.summary.gather([piece(*one) for one in told], "tracker")
    assert table[rows.PLAIN]["hoop id"]["deepest"].tolist() == [0.2, 0.1]
    assert table[rows.HINT_OFF]["hoop id"]["deepest"].tolist() == [5.0, 0.1]


def test_a_further_row_moves_no_claimed_one(study):
    def piece(row, measured, depth):
        values = {key: [depth, 0.1] for key in study.summary.WORSE} | {"measured": [measured, 1.0]}
        return {"row": row, "family": "hoop", "split": "id", "headline": [], "readers": {"tracker": values}}

    rows = study.rows
    told = [(rows.PAIRED, 1.0, 0.2), (rows.PLAIN, 0.0, np.nan), ("a lever", 1.0, 7.0), ("another", 0.0, 0.0)]
    table = study.summary.gather([piece(*one) for one in told], "tracker")
    assert table[rows.PLAIN]["hoop id"]["deepest"].tolist() == [0.2, 0.1]
    assert table["a lever"]["hoop id"]["deepest"].tolist() == [7.0, 0.1]
    assert table["another"]["hoop id"]["deepest"].tolist() == [0.2, 0.1]


def test_recall_weighs_contacts_not_clips(study):
    found = study.summary.recall(np.array([1.0, 0.0]), np.array([1.0, 3.0]))
    assert found.value == 0.25


def test_a_row_that_holds_no_bodies_is_not_formed(study):
    def row(kept, measured):
        return {"permanence": np.array([kept, np.nan]), "measured": np.array([measured, measured])}

    assert study.summary.formed(row(0.95, 0.95))
    assert not study.summary.formed(row(0.85, 1.0))
    assert not study.summary.formed(row(1.0, 0.85))


def hand_made(study, ways, touched, frames=16):
    """A sample and the exact reading of balls of a box of three that go the (T, 3) ways."""
    scene = study.data.make_scene("balls3", "id", "val", 500)
    bodies = tuple(
        dataclasses.replace(body, shape=dataclasses.replace(body.shape, radius=1.0)) if not body.static else body
        for body in scene.bodies
    )
    scene = dataclasses.replace(scene, bodies=bodies)
    start = Trajectory.start_of([scene])
    position = start.position[:, :1].expand(-1, frames, -1, -1).clone().float()
    position[0, :, :3] = torch.stack(ways, 1)
    plain = Trajectory.from_positions(position, 1 / scene.fps)
    clip = Clip(
        video=torch.zeros(1, 3, frames, 8, 8),
        ids=torch.zeros(1, frames, 8, 8, dtype=torch.uint8),
        trajectory=dataclasses.replace(
            plain, orientation=start.orientation[:, :1].expand(-1, frames, -1, -1).float().clone()
        ),
        bodies=Bodies.from_scenes([scene]),
        cameras=(scene.camera,),
        fps=scene.fps,
        law=LawParameters.of([scene]),
        actions=torch.zeros(1, frames - 1, 0),
        captions=("",),
        num_context=4,
        setups=(scene.setup(),),
    )
    ones = torch.ones(1, frames, 3, dtype=torch.float64)
    reading = study.measure.Reading(
        position[:, :, :3].double(), ones.bool(), 10 * ones, ones[..., None].expand(-1, -1, -1, 2), ones.bool()
    )
    return study.measure.Sample(clip, 10 * ones, (tuple(touched),)), reading


def line(start, step, frames=16):
    time = torch.arange(frames, dtype=torch.float64)[:, None]
    return (torch.tensor(start) + time * torch.tensor(step)).float()


STILL = ((5.0, 0.0, 5.0), (0.0, 0.0, 0.0))
CORNER = ((1.5, 0.0, 8.5), (0.0, 0.0, 0.0))


def test_a_ball_that_flies_through_another_is_read_so(study):
    # Its centre comes to x = 5 in frame 8, .5 a frame: it touches from frame 4 to 12.
    through = line((1.0, 0.0, 5.0), (0.5, 0.0, 0.0))
    given, reading = hand_made(study, [through, line(*STILL), line(*CORNER)], [(4.0, 0, 1)])
    found = study.measure.figures(reading, given)
    assert found["pass_through"].item() == 1
    assert found["deepest"].item() == pytest.approx(2.0, abs=1e-5)
    # Depths in radii at frames 4 to 15: 0, .5, 1, 1.5, 2, 1.5, 1, .5, 0, 0, 0, 0.
    assert found["overlap"].item() == pytest.approx(8 / 12, abs=1e-5)
    assert found["deep"].item() == 1
    assert (found["met"].item(), found["due"].item()) == (1, 1)
    assert found["measured"].item() == 1
    assert found["permanence"].item() == 1
    assert found["teleport"].item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(("onset", "met"), [(8.0, 1), (6.0, 1), (10.0, 1), (4.5, 0), (11.5, 0)])
def test_a_contact_counts_within_two_frames(study, onset, met):
    # Centres 2 apart in frame 8 alone, coming and going by .45 a frame.
    ball = line((5.0, 0.0, 5.0), (0.0, 0.0, 0.0))
    ball[:, 0] -= 0.45 * (torch.arange(16) - 8).abs()
    other = line((7.0, 0.0, 5.0), (0.0, 0.0, 0.0))
    given, reading = hand_made(study, [ball, other, line(*CORNER)], [(onset, 0, 1)])
    found = study.measure.figures(reading, given)
    assert found["met"].item() == met
    assert found["deepest"].item() == pytest.approx(0, abs=1e-5)


def test_a_ball_that_shrinks_vanishes_or_leaps(study):
    given, reading = hand_made(study, [line((3.0, 0.0, 2.0), (0.0, 0.0, 0.0)), line(*STILL), line(*CORNER)], [])
    area, measured, place = reading.area.clone(), reading.measured.clone(), reading.position.clone()
    area[0, 10:, 0] = 4.0  # six of 36 balls and frames
    measured[0, 10:, 0] = False
    place[0, 8:, 1, 0] += 1.5
    axes = reading.axes.clone()
    axes[0, 4:, 2] = torch.tensor([4.0, 1.0], dtype=torch.float64)  # twice as long
    broken = dataclasses.replace(reading, area=area, measured=measured, position=place, axes=axes)
    found = study.measure.figures(broken, given)
    assert found["permanence"].item() == pytest.approx(30 / 36)
    assert found["measured"].item() == pytest.approx(30 / 36)
    assert found["teleport"].item() == pytest.approx(1.5, abs=1e-5)
    assert found["off"].item() == pytest.approx(8 * 1.5 / 30, abs=1e-5)
    # 12 frames of log 2 among 30 that are measured, the others 0.
    assert found["rigidity"].item() == pytest.approx(12 / 30 * np.log(2), abs=1e-5)


@pytest.mark.parametrize("family", ["balls3", "hoop"])
def test_the_independent_reader_places_balls_of_two_pixels(study, family):
    scene = study.data.make_scene(family, "id", "val", 500)
    small = study.data.draw(scene, need_touch=False)
    sight = study.reader.read(small.video, small.scene.setup())
    balls = study.reader.moving(small.scene.setup())
    shown = small.coverage.sum((-1, -2)) / 255
    whole = shown > 0.9 * shown.max(0)
    radius = np.array([scene.bodies[k].shape.extent for k in balls])
    off = np.linalg.norm(sight.position - small.trajectory.position[:, balls].numpy(), axis=-1) / radius
    assert sight.measured[whole].all()
    assert off[whole].max() < 0.35
    assert off[whole].mean() < 0.1
    np.testing.assert_allclose(sight.area[whole], shown[whole], rtol=0.3)


def space_clip(study, places):
    """A picture of three balls of radius .3 m at places in the open box, as data.py draws it."""
    scene = study.data.make_scene("space3", "id", "val", 500)
    balls = tuple(
        dataclasses.replace(
            ball,
            shape=dataclasses.replace(ball.shape, radius=0.3),
            colour=colour,
            state=dataclasses.replace(ball.state, position=place),
        )
        for ball, place, colour in zip(
            scene.bodies[:3], places, [(0.86, 0.15, 0.15), (0.15, 0.35, 0.85), (0.2, 0.65, 0.25)], strict=True
        )
    )
    scene = dataclasses.replace(scene, bodies=(*balls, *scene.bodies[3:]))
    start = Trajectory.start_of([scene]).map(lambda x: x[0])
    frames = get_engine("mujoco").render(scene, start)
    fine = frames.video[0].reshape(32, 4, 32, 4, 3).mean((1, 3)).round().astype(np.uint8)
    small = dataclasses.replace(scene, camera=dataclasses.replace(scene.camera, width=32, height=32))
    return fine[None], small.setup()


def test_balls_are_placed_in_space(study):
    scene = study.data.make_scene("space3", "id", "val", 500)
    small = study.data.draw(scene, need_touch=False)
    sight = study.space_reader.read_space(small.video, small.scene.setup())
    truth = small.trajectory.position[:, :3].numpy()
    off = (sight.position - truth) / np.array([body.shape.extent for body in scene.bodies[:3]])[:, None]
    view = truth - np.array(scene.camera.position)
    along = (off * view).sum(-1) / np.linalg.norm(view, axis=-1)
    across = np.sqrt(np.maximum((off**2).sum(-1) - along**2, 0))
    assert sight.measured.all()
    assert np.abs(along).max() < 0.35
    assert np.abs(along).mean() < 0.08
    assert across.max() < 0.1
    shown = small.coverage.sum((-1, -2)) / 255
    np.testing.assert_allclose(sight.area, shown, rtol=0.15)


@pytest.mark.parametrize(("apart", "true"), [(2.4, 0.4), (1.6, -0.4)])
def test_a_ball_before_another_is_told_from_one_inside_it(study, apart, true):
    # Along a line of sight that passes 1.3 radii beside the lower ball, so that the picture shows both.
    scene = study.data.make_scene("space3", "id", "val", 500)
    eye, low, radius = np.array(scene.camera.position), np.array([0.2, 0.1, 0.35]), 0.3
    up = (eye - low) / np.linalg.norm(eye - low)
    beside = np.cross(up, [0.0, 1.0, 0.0])
    high = low + radius * (np.sqrt(apart**2 - 1.3**2) * up + 1.3 * beside / np.linalg.norm(beside))
    video, setup = space_clip(study, [tuple(low), tuple(high), (-0.6, -0.6, 0.35)])
    sight = study.space_reader.read_space(video, setup)
    gap = np.linalg.norm(sight.position[0, 0] - sight.position[0, 1]) / radius - 2
    assert sight.measured.all()
    assert gap == pytest.approx(true, abs=0.25)


def test_a_ball_that_is_not_there_is_not_placed(study):
    video, setup = space_clip(study, [(-0.5, 0.4, 0.5), (0.5, 0.4, 0.5), (0.0, -0.5, 0.5)])
    bare, _ = study.reader.empty(setup)
    # The left half of the picture is that of the empty box.
    gone = np.where((np.arange(32) < 16)[None, None, :, None], bare, video)
    whole, half = (study.space_reader.read_space(v.astype(np.uint8), setup) for v in (video, gone))
    assert whole.measured.all()
    assert half.measured[0].tolist()[:2] == [False, True]
    assert half.area[0, 0] < 0.1 * whole.area[0, 0]


def test_space_is_a_column_where_it_was_measured(study):
    def piece(family, value):
        named = {
            name: [value] * 4 for name in (*study.summary.WORSE, "met", "due", "permanence", "measured", "off", "psnr")
        }
        return {
            "row": study.rows.FLOOR,
            "family": family,
            "split": "id",
            "clips": 4,
            "seeds": 1,
            "steps": 6,
            "seconds": 1.0,
            "hardware": "",
            "run": None,
            "headline": [],
            "readers": dict.fromkeys(study.measure.READERS, named),
        }

    both = study.page.page([piece("hoop", 1.0), piece("space3", 0.5)])
    assert "|  | hoop id | space id |" in both
    assert "| ground truth | 1.000 (1.000, 1.000) | 0.500 (0.500, 0.500) |" in both
    assert "space" not in study.page.page([piece("hoop", 1.0)])


def test_batches_are_as_many_of_the_hoop_as_of_the_box(study):
    names = list(study.data.families(free=False))
    assert study.train.turns_of(names) == ["hoop", "balls3", "hoop", "balls4", "hoop", "balls5"]
    assert set(study.train.turns_of(["space3"])) == {"space3"}
