"""Worlds whose future the pairing would get wrong are refused by name."""

import numpy as np
import pytest

from worldsim.models.prior_alone import prior_alone
from worldsim.scene import make_scene


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
