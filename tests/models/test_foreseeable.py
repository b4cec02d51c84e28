"""Worlds whose future the pairing would get wrong are refused by name."""

import numpy as np
import pytest

import worldsim as ws
from worldsim.models.prior_alone import prior_alone
from worldsim.scene import Body, Box, Camera, Law, Scene, State, make_scene


@pytest.mark.parametrize(
    ("family", "told"),
    [
        ("pendulum", r"setup\.joints: must be none where the prior foresees free bodies.*hint off"),
        ("bouncing_balls", r"setup\.shading: must be 'flat' where starts are read by colour.*learned"),
    ],
)
def test_what_the_prior_cannot_foresee_is_refused(family, told):
    setup = make_scene(family, seed=0).setup()
    context = np.zeros((4, setup.camera.height, setup.camera.width, 3), np.uint8)
    with pytest.raises(ValueError, match=told):
        prior_alone(setup.fps).generate(context, setup, 4)


def test_a_box_that_turns_goes_on_turning():
    camera = Camera(kind="orthographic", position=(5, -10, 5), target=(5, 0, 5), extent=10.0, width=64, height=64)
    start = State((3, 0, 5), linear_velocity=(1, 0, 0), angular_velocity=(0, 3.0, 0))
    box = Body("box", Box((0.5, 0.5, 1.6)), start, colour=(1, 0, 0))
    scene = Scene((box,), Law((0, 0, 0)), camera, duration=1.5, fps=10.0, planar=True, shading="flat")
    rollout = ws.simulate(scene)
    made = prior_alone(10.0).generate(rollout.video[:4], scene.setup(), 12)
    turn = 2 * np.unwrap(np.arctan2(*made.prior.orientation[:, 0, [2, 0]].numpy().T))
    truth = 0.3 * np.arange(16)
    assert turn == pytest.approx(truth, abs=0.06)
    error = (made.video.astype(float) - rollout.video[:16]) / 255
    assert -10 * np.log10(np.square(error[4:]).mean()) > 25  # decibels; 15 where it stops turning
