"""PIS against plain loops over its formulas, closed forms of motion, and its published blind spots."""

import dataclasses
import math

import numpy as np
import pytest
from worlds import ball_case, case_of, flight

from worldsim.benchmarks.protocols import VideoCase, run_protocol
from worldsim.benchmarks.protocols.pis import MOTIONS, middle_frames, pis, quantities
from worldsim.scene import make_scene


def square(place, size=64, half=4):
    """(T, H, W) of a square about (T, 2) u, v pixel indices."""
    v, u = np.mgrid[:size, :size]
    return (abs(u - place[:, 0, None, None]) <= half) & (abs(v - place[:, 1, None, None]) <= half)


def by_hand(place, metres, fps, height=64, width=64):
    """The published definitions, frame by frame, of places in pixel indices."""
    raw = [(u, height - v) for u, v in place]
    count = len(raw)
    mean = []
    for t in range(count):
        window = raw[max(0, t - 2) : t + 3]
        mean.append([metres * sum(p[i] for p in window) / len(window) for i in (0, 1)])
    x, y = ([p[i] for p in mean] for i in (0, 1))

    def rate(q):
        return [0.0, *((q[t + 1] - q[t - 1]) * fps / 2 for t in range(1, count - 1)), 0.0]

    vx, vy = rate(x), rate(y)
    cx, cy = width * metres / 2, height * metres / 2
    turn = [math.atan2(b - cy, a - cx) for a, b in zip(x, y, strict=True)]
    return {
        "y": y,
        "vx": vx,
        "ax": rate(vx),
        "ay": rate(vy),
        "energy": [0.5 * (a * a + b * b) + 9.8 * h for a, b, h in zip(vx, vy, y, strict=True)],
        "energy_x_only": [0.5 * a * a + 9.8 * h for a, h in zip(vx, y, strict=True)],
        "omega_center": rate(list(np.unwrap(turn))),
        "radius2": [(a - cx) ** 2 + (b - cy) ** 2 for a, b in zip(x, y, strict=True)],
        "speed2": [a * a + b * b for a, b in zip(vx, vy, strict=True)],
    }


def score(values):
    mean = sum(values) / len(values)
    spread = math.sqrt(sum((v - mean) ** 2 for v in values) / len(values))
    return 1 / (1 + spread / (abs(mean) + 1e-8))


def test_quantities_and_scores_are_those_of_the_published_definitions():
    t = np.arange(20)
    place = np.stack([8 + 2 * t, 50 - 3 * t + t * t // 6], -1)
    found, told = quantities(square(place), 1 / 12, 24.0), by_hand(place, 1 / 12, 24.0)
    shown = [7, 8, 9, 10, 11, 12]  # of 3 to 16, the six in the middle
    assert middle_frames(20) == shown
    for name, values in told.items():
        assert found[name] == pytest.approx(np.array(values)), name
        assert pis(found[name][shown]) == pytest.approx(score([values[t] for t in shown])), name
    assert set(told) | {"omega"} >= {name for names in MOTIONS.values() for name in names}
    assert middle_frames(9) == [3, 3, 4, 4, 5, 5]


def test_a_bar_that_turns_has_the_rate_of_its_long_axis():
    v, u = np.mgrid[:64, :64] - 31.5
    for way in (1, -1):
        angles = way * 0.1 * np.arange(30)
        masks = np.stack(
            [(abs(u * np.cos(a) - v * np.sin(a)) < 20) & (abs(u * np.sin(a) + v * np.cos(a)) < 4) for a in angles]
        )
        omega = quantities(masks, 1 / 12, 10.0)["omega"][1:-1]
        # Counter-clockwise, as u cos - v sin says, is positive.
        assert omega == pytest.approx(way * 1.0, abs=0.08)


def test_what_rests_and_what_is_gone_score_full_as_published_and_little_against_the_truth():
    scene = make_scene("uniform_motion", seed=3)
    truth = flight(scene)
    still = case_of(scene, np.repeat(truth[:1], len(truth), 0))
    true = dataclasses.replace(still, frames=still.render().video)
    rows = {name: run_protocol("pis", videos=[case]).rows[0] for name, case in (("true", true), ("still", still))}
    for name in MOTIONS["uniform"]:
        assert rows["true"][f"true {name}"] == pytest.approx(1)
        assert rows["true"][f"pis {name}"] == pytest.approx(rows["true"][f"floor pis {name}"])
        assert rows["still"][f"pis {name}"] == pytest.approx(1)
    assert rows["still"]["true vx"] < 0.7
    assert rows["still"]["true energy"] < 0.8
    gone = dataclasses.replace(true, masks=np.zeros(true.frames.shape[:3], np.uint8))
    row = run_protocol("pis", videos=[gone]).rows[0]
    assert all(row[f"pis {name}"] == 1 for name in MOTIONS["uniform"])
    assert all(row[f"true {name}"] == 0 for name in MOTIONS["uniform"])


def test_a_parabola_under_wrong_gravity_is_as_constant_as_the_right_one_but_not_true():
    scene = make_scene("parabola", seed=1)
    truth = flight(scene)
    time = np.arange(len(truth))[:, None] / scene.fps
    wrong = truth.copy()
    wrong[..., 2] += 0.5 * 0.5 * 2.5 * time**2  # half of gravity
    lawful = run_protocol("pis", videos=[case_of(scene)]).rows[0]
    halved = run_protocol("pis", videos=[case_of(scene, wrong)]).rows[0]
    assert halved["pis vx"] == pytest.approx(lawful["pis vx"], abs=0.1)
    assert lawful["true ay"] > 0.75
    # |q - q_true| / g is a half.
    assert halved["true ay"] == pytest.approx(2 / 3, abs=0.12)
    assert halved["true ay"] < lawful["true ay"] - 0.05


def test_clips_without_a_scene_need_masks_a_scale_and_a_motion():
    place = np.stack([8 + 2 * np.arange(20), np.full(20, 30)], -1)
    masks = square(place).astype(np.uint8)
    case = VideoCase("clip", np.zeros((20, 64, 64, 3), np.uint8), 24.0, masks=masks)
    row = run_protocol("pis", videos=[case], motion="uniform", metres=1 / 12).rows[0]
    told = by_hand(place, 1 / 12, 24.0)
    assert row["pis vx"] == pytest.approx(score(told["vx"][7:13]))
    assert "true vx" not in row
    with pytest.raises(ValueError, match="motion: must be one of uniform"):
        run_protocol("pis", videos=[case], metres=1 / 12)
    with pytest.raises(ValueError, match="must have a scene, or masks and `metres`"):
        run_protocol("pis", videos=[case], motion="uniform")
    with pytest.raises(ValueError, match="motion: must be one of"):
        run_protocol("pis", videos=[ball_case()], motion="waltz")
    deep = make_scene("looming", seed=0)
    case = VideoCase("clip", np.zeros((20, 64, 64, 3), np.uint8), 24.0, scene=deep)
    with pytest.raises(ValueError, match=r"scene\.planar: must be true"):
        run_protocol("pis", videos=[case], motion="uniform")
