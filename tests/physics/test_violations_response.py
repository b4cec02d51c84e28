"""Contact without response, response without contact, jitter: closed forms."""

import math

import pytest
import torch

from worldsim.physics import violations
from worldsim.physics.bodies import Bodies
from worldsim.physics.trajectory import Trajectory
from worldsim.scene import Body, Scene, Sphere, State, planar_camera

DT = 0.1


def two_balls():
    names = ((1.0, "a"), (0.5, "b"))
    bodies = tuple(Body(n, Sphere(r), State((3.0 + 4 * i, 0.0, 5.0))) for i, (r, n) in enumerate(names))
    return Bodies.from_scenes([Scene(bodies, camera=planar_camera(), planar=True)], dtype=torch.float64)


def along_x(first, second):
    places = torch.zeros(len(first), 2, 3, dtype=torch.float64)
    places[:, 0, 0], places[:, 1, 0] = torch.tensor(first), torch.tensor(second)
    return Trajectory.from_positions(places, DT)


def test_a_ball_that_goes_on_into_another_reads_its_closing_speed():
    # It touches at x = 3.5 in frame 1 and goes on at 2 m/s.
    found = violations.unanswered_contact(along_x([3.3, 3.5, 3.7, 3.9], [5.0] * 4), two_balls(), margin=0.0)
    assert found.unit == "m/s"
    assert found.measurable[:, 0].tolist() == [False, False, True, True]
    assert torch.allclose(found.values[2:, 0], torch.tensor([2.0, 2.0], dtype=torch.float64))


def test_rebound_touch_and_rest_are_answered():
    rebound = along_x([3.3, 3.5, 3.3, 3.1], [5.0] * 4)
    resting = along_x([3.5] * 4, [5.0] * 4)
    for motion in (rebound, resting):
        found = violations.unanswered_contact(motion, two_balls(), margin=0.0)
        assert found.values.max() == 0
        assert found.measurable.any()


def test_a_turn_in_mid_air_reads_its_change_of_velocity():
    gravity, time = (0.0, 0.0, -9.81), torch.arange(9, dtype=torch.float64) * DT
    places = torch.zeros(9, 2, 3, dtype=torch.float64)
    places[:, 0, 2] = 50 - 0.5 * 9.81 * time**2
    places[:, 1, 2], places[:, 1, 0] = -50 - 0.5 * 9.81 * time**2, 30.0
    places[:, 0, 0] = 0.7 * (time - 4 * DT).clamp_min(0)
    motion = Trajectory.from_positions(places, DT)
    for window in (1, 2, 3):
        found = violations.uncaused_response(motion, two_balls(), gravity, window=window)
        assert found.values[4, 0].item() == pytest.approx(0.7, abs=1e-9)
        quiet = torch.ones_like(found.values, dtype=torch.bool)
        quiet[4 - window + 1 : 4 + window, 0] = False
        assert found.values[quiet].abs().max() < 1e-9
        assert found.measurable[window:-window].all()
        assert not found.measurable[:window].any()
        # Along what is not seen it does not count, across it does.
        for share, way in ((0.0, (1.0, 0.0, 0.0)), (0.6, (0.8, 0.0, 0.6)), (1.0, (0.0, 1.0, 0.0))):
            unseen = torch.tensor(way, dtype=torch.float64).expand(9, 2, 3)
            found = violations.uncaused_response(motion, two_balls(), gravity, window=window, unseen=unseen)
            assert found.values[4, 0].item() == pytest.approx(0.7 * share, abs=1e-9)


def test_noise_enters_an_uncaused_response_as_told():
    generator = torch.Generator().manual_seed(0)
    noise = 0.001 * torch.randn(4000, 2, 3, generator=generator, dtype=torch.float64)
    noise[:, 1, 0] += 30.0
    noise[:, :, 1:] = 0.0
    motion = Trajectory.from_positions(noise, DT)
    for window in (1, 4):
        found = violations.uncaused_response(motion, two_balls(), (0.0, 0.0, 0.0), window=window)
        size = found.values[found.measurable].square().mean().sqrt().item()
        w = window
        told = math.sqrt(24 / (w * (w + 1) * (w + 2)) + 72 / ((w + 1) * (w + 2)) ** 2) * 0.001 / DT
        assert size == pytest.approx(told, rel=0.05)


def test_drag_is_no_response():
    time = torch.arange(12, dtype=torch.float64) * DT
    gone = (1 - torch.exp(-0.5 * time)) / 0.5
    motion = along_x((2.0 * gone).tolist(), [30.0] * 12)
    found = violations.uncaused_response(motion, two_balls(), (0.0, 0.0, 0.0), drag=0.5, window=3)
    assert found.values[:, 0].max() < 1e-4


def test_a_change_of_velocity_in_contact_has_its_cause():
    found = violations.uncaused_response(along_x([3.3, 3.5, 3.3, 3.1], [5.0] * 4), two_balls(), (0.0, 0.0, 0.0))
    assert not found.measurable[1:3, 0].any()


def test_jitter_is_the_amplitude_of_a_tremor():
    sign = torch.tensor([1.0, -1.0] * 6, dtype=torch.float64)
    motion = along_x((0.03 * sign).tolist(), [5.0] * 12)
    rest = along_x([0.0] * 12, [5.0] * 12)
    found = violations.jitter(motion, rest)
    middle = found.values[5, 0].item()
    # Nine frames hold five of one sign and four of the other: their variance is 1 - 1/81.
    assert middle == pytest.approx(0.03 * math.sqrt(1 - 1 / 81))
    assert found.values[:, 1].max() == 0
    assert found.measurable[:, 0].tolist() == [False] * 4 + [True] * 4 + [False] * 4


def test_what_moves_does_not_rest():
    motion = along_x([0.1 * t for t in range(12)], [5.0] * 12)
    found = violations.jitter(motion)
    assert not found.measurable[:, 0].any()
    assert found.measurable[5, 1]


def test_bad_settings_are_refused():
    motion = along_x([0.0] * 12, [5.0] * 12)
    with pytest.raises(ValueError, match="window"):
        violations.jitter(motion, window=0)
    with pytest.raises(ValueError, match="speed"):
        violations.jitter(motion, speed=0.0)
    with pytest.raises(ValueError, match=r"rest\.position"):
        violations.jitter(motion, along_x([0.0] * 11, [5.0] * 11))
    with pytest.raises(ValueError, match="margin"):
        violations.unanswered_contact(motion, two_balls(), margin=-1.0)
    with pytest.raises(ValueError, match="margin"):
        violations.uncaused_response(motion, two_balls(), margin=-1.0)
    with pytest.raises(ValueError, match="window"):
        violations.uncaused_response(motion, two_balls(), window=0)
