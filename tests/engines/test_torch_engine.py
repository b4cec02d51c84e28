"""The engine "torch" keeps the Simulator contract, all but joints, which it refuses by name."""

import numpy as np
import pytest

from worldsim.engines import check, get_engine
from worldsim.engines.torch import TorchSimulator
from worldsim.scene import Body, Box, Plane, Scene, Sphere, State

CONTRACT = ("flight", "pair_law", "refusals", "batch", "pictures")


@pytest.mark.parametrize("name", CONTRACT)
def test_the_contract_of_scenes_without_joints_holds(name):
    getattr(check, f"_check_{name}")(get_engine("torch"))


def test_joints_are_refused_by_name():
    with pytest.raises(ValueError, match=r"scene\.joints: must be empty for engine torch.*hinge"):
        TorchSimulator().simulate(check._arm_scene(), render=False)


def test_a_resting_box_reports_its_weight():
    floor = Body("floor", Plane(), State((0, 0, 0)), static=True)
    box = Body("box", Box((0.1, 0.1, 0.1)), State((0, 0, 0.1)), mass=2.0, restitution=0.0)
    rollout = TorchSimulator().simulate(Scene((floor, box), duration=0.25, fps=20.0), render=False)
    contacts = rollout.contacts
    assert contacts.pair.tolist() == [[1, 2]] * 6
    assert contacts.frame.tolist() == [0, 1, 2, 3, 4, 5]
    # The row of an interval is its largest instant; forces at one instant are those of all four corners.
    assert contacts.force == pytest.approx([2 * 9.81] * 6, rel=1e-3)
    assert contacts.normal[:, 2] == pytest.approx([1.0] * 6)


@pytest.mark.parametrize("planar", [True, False])
def test_a_lone_ball_flies_as_a_parabola(planar):
    start = State((0, 0, 1), linear_velocity=(1, 0, 2))
    scene = Scene((Body("ball", Sphere(0.1), start),), duration=1.0, fps=20.0, planar=planar)
    place = TorchSimulator().simulate(scene, render=False).trajectory.position[:, 0].numpy()
    time = np.arange(21) / 20
    assert place[:, 0] == pytest.approx(time, abs=1e-9)
    assert place[:, 2] == pytest.approx(1 + 2 * time - 9.81 * time**2 / 2, abs=1e-9)
