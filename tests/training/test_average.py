"""The average of weights has the stated length and follows its closed form."""

import numpy as np
import pytest
import torch
from torch import nn

from worldsim.training import (
    PowerAverage,
)
from worldsim.training.ema import exponent_for


@pytest.mark.parametrize("length", [0.05, 0.1, 0.2])
def test_the_average_has_the_stated_length(length):
    # The profile of eq. 121 is proportional to t^g: its standard deviation on [0, 1] is the relative length.
    gamma = exponent_for(length)
    t = np.linspace(0, 1, 200_001)
    weight = t**gamma / (t**gamma).sum()
    mean = (weight * t).sum()
    assert np.sqrt((weight * (t - mean) ** 2).sum()) == pytest.approx(length, rel=1e-3)


def test_the_average_follows_its_closed_form():
    model = nn.Linear(1, 1, bias=False)
    average = PowerAverage(model, 0.1)
    history = []
    for step in range(1, 201):
        with torch.no_grad():
            model.weight.fill_(float(step))
        history.append(float(step))
        average.update(model, step)
    t = np.arange(1, 201)
    gamma = average.exponent
    profile = t ** (gamma + 1) - (t - 1) ** (gamma + 1)
    assert float(average.weights["weight"]) == pytest.approx((profile * history).sum() / profile.sum(), rel=0.01)
