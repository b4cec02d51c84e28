"""The benchmark's own test: how trials become rows, thresholds and headlines, and that a stopped run goes on."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from worldsim.benchmarks import trials
from worldsim.benchmarks._headline import headline
from worldsim.benchmarks._self_test import cheat_test, rows_of, scenes_of, self_test
from worldsim.benchmarks.book import Book
from worldsim.benchmarks.calibrate import fit, floors
from worldsim.benchmarks.trials import SceneTrials, Trial, fresh, judged, twins_of
from worldsim.benchmarks.twin_frames import in_full_view
from worldsim.benchmarks.twins import violate
from worldsim.engines import get_engine
from worldsim.physics.trajectory import Trajectory
from worldsim.scene import Body, Box, Camera, Scene, Sphere, State

LIMITS = dict.fromkeys(("penetration", "pass_through", "rigidity", "permanence", "teleport"), 0.5) | dict.fromkeys(
    ("gravity", "energy", "stillness", "uncaused_response", "jitter"), 0.1
)


def scene(number, *own):
    return SceneTrials("collision", number, "planar", tuple(own))


def test_rows_count_what_was_made_read_found_and_accused():
    tried = [
        scene(1, Trial("teleport", "teleport", True, 0.9, 0.02), Trial("lawful", "teleport", True, 0.6, 0.02)),
        scene(2, Trial("teleport", "teleport", True, 0.4, 0.02), Trial("lawful", "teleport", True, 0.1, 0.02)),
        scene(3, Trial("teleport", "teleport", False, math.nan, 0.02, "hidden")),
        # Another law that the twin breaks as well is none of the row's.
        scene(
            4, Trial("teleport", "energy", True, 5.0, 0.0), Trial("lawful, depth given", "penetration", True, 0.7, 0)
        ),
    ]
    rows = {row.kind: row for row in rows_of(tried, LIMITS)}
    row = rows["teleport"]
    assert (row.twins, row.measured, row.detected, row.lawful, row.alarms) == (3, 2, 1, 2, 1)
    assert (row.detection, row.false_alarm) == (0.5, 0.5)
    assert [miss.partition(":")[0] for miss in row.misses] == ["alarm", "missed", "unreadable"]
    assert rows["energy_gain"].twins == 0
    assert (rows["interpenetration"].lawful, rows["interpenetration, depth given"].alarms) == (0, 1)


def test_thresholds_part_twins_from_lawful_takes_in_the_middle():
    tried = [scene(i, Trial("lawful", "teleport", True, x, 0.1)) for i, x in enumerate((0.0, 0.05, 0.1))]
    tried += [scene(i, Trial("teleport", "teleport", True, x, 0.1)) for i, x in enumerate((0.5, 1.0, 1.1))]
    tried += [scene(9, Trial("truth", "teleport", True, 0.3, 0.3), Trial("wrong_gravity", "dynamics", True, 0.2, 0.0))]
    fitted = fit(tried)
    assert fitted["thresholds"]["teleport"] == pytest.approx(0.3)
    assert fitted["scales"]["teleport"] == 1.0
    assert fitted["scales"]["dynamics"] == 0.2  # borrowed from falls
    assert floors(tried)["planar"]["teleport"] == 0.3


def test_a_lawful_take_loses_at_most_a_third_of_its_score():
    tried = [scene(i, Trial("lawful", "gravity", True, 0.4, 0.1)) for i in range(10)]
    tried += [scene(1, Trial("wrong_gravity", "gravity", True, 0.45, 0.1))]
    assert math.exp(-0.4 / fit(tried)["scales"]["gravity"]) > 0.6


def test_a_run_that_was_stopped_goes_on_where_it_was(tmp_path, monkeypatch):
    kept = tmp_path / "trials.jsonl"
    arguments = (["uniform_motion", "parabola"], 1, 700, 64, True, None, "val")
    first = scenes_of(*arguments, kept=kept)
    lines = kept.read_text().splitlines()
    assert len(lines) == 2
    # Stopped while it wrote the second line: that scene alone is tried again, and the line does not spoil the next.
    kept.write_text(lines[0] + "\n" + lines[1][:40])
    asked = []
    play = trials.fresh
    monkeypatch.setattr(trials, "fresh", lambda *a: asked.append(a[0]) or play(*a))
    again = scenes_of(*arguments, kept=kept)
    assert asked == ["parabola"]
    assert [str(one) for one in again] == [str(one) for one in first]
    assert len(Book(kept).lines) == 2
    # What another state of the code read does not count.
    kept.write_text("".join(json.dumps({**json.loads(line), "code": "old"}) + "\n" for line in lines))
    assert Book(kept).lines == {}


def test_self_test_finds_a_leap_and_accuses_nothing_lawful():
    rows = {row.kind: row for row in self_test(["collision"], 1, 700, 96, role="val")}
    for kind in ("interpenetration", "pass_through", "deformation", "vanishing", "teleport", "frozen"):
        row = rows[kind]
        assert (row.twins, row.detected, row.alarms) == (1, 1, 0), (kind, row.misses)
    assert abs(rows["interpenetration"].errors[0]) < 0.05


def test_energy_that_is_added_is_read_as_a_share_of_the_kinetic():
    rollout = fresh("uniform_motion", 700, 128, "val")
    figure = judged(violate(rollout, "energy_gain", 0.2), rollout, True).figures["energy"]
    # The upper quartile of the kinetic energy is that after the gain.
    assert figure.value == pytest.approx(0.2 / 1.2, abs=0.01)
    assert figure.floor < 0.01
    more = judged(violate(rollout, "energy_gain", 0.4), rollout, True).figures["energy"]
    assert more.value == pytest.approx(0.4 / 1.4, abs=0.02)


def test_cheats_score_worse_than_the_honest_video(tmp_path):
    for row in cheat_test(["collision"], 1, 700, 64, "val", kept=tmp_path / "cheats.jsonl"):
        assert row.worse == row.scenes == 1, (row.cheat, row.misses)
        if row.cheat == "static copy":
            assert row.headline[0] < 0.4  # obeying everything by doing nothing is no merit


def test_headline_is_the_mean_over_groups_times_objects_and_motion_shown():
    scores = {"penetration": 1.0, "rigidity": 0.5, "permanence": 0.7, "gravity": 0.3, "energy": float("nan")}
    mean = (1.0 + 0.6 + 0.3) / 3
    assert headline(scores, 0.5) == pytest.approx(0.5 * mean)
    assert headline({**scores, "stillness": 0.2}, 0.5) == pytest.approx(0.1 * mean)
    assert headline({**scores, "stillness": float("nan")}, 1.0) == pytest.approx(mean)
    assert math.isnan(headline({"stillness": 1.0}, 1.0))


def test_different_pairs_are_broken_where_there_are_several():
    rollout = fresh("bouncing_balls", 700, 64, "val")
    pairs = [trials.broken_pair(twin) for twin in twins_of(rollout, "interpenetration")]
    assert len({pair.name for pair in pairs}) == len(pairs) > 1
    for pair in pairs:
        first, second = (rollout.scene.bodies[rollout.scene.index(name)] for name in pair.name.split(" / "))
        assert pair.depth == pytest.approx(0.2 * min(first.shape.radius, second.shape.radius), rel=1e-6)
        assert pair.begin <= pair.frame <= pair.end


def test_full_view_ends_where_something_stands_before_a_body():
    camera = Camera(position=(0.0, -3.0, 0.5), target=(0.0, 0.0, 0.5), width=96, height=96)
    wall = Body("wall", Box((0.2, 0.02, 1.0)), State((0.0, -0.6, 0.5)), static=True)
    ball = Body("ball", Sphere(0.15), State((-0.7, 0.0, 0.5)))
    made = Scene((wall, ball), camera=camera, duration=23 / 24)
    places = torch.zeros(24, 2, 3, dtype=torch.float64)
    places[:, 0] = torch.tensor([0.0, -0.6, 0.5])
    places[:, 1, 0] = torch.linspace(-0.7, 0.0, 24, dtype=torch.float64)
    places[:, 1, 2] = 0.5
    motion = Trajectory.from_positions(places, 1 / 24)
    engine = get_engine("mujoco")
    rollout = engine.simulate(made)
    frames = engine.render(made, motion)
    rollout = replace(rollout, video=frames.video, ids=frames.ids, depth=frames.depth, trajectory=motion)
    clear = in_full_view(rollout, 1)
    # The wall's edge, .2 m off the middle at 2.4 m, hides what is .25 m off it at 3 m; the ball reaches .15 m beyond.
    x = places[:, 1, 0].numpy()
    assert clear[x < -0.25 - 0.16].all()
    assert not clear[x > -0.25 - 0.14].any()
    assert np.flatnonzero(clear).size > 5
