"""The experiments that come with worldsim train are the models that are shipped, and the text one opens videos."""

import pytest

from worldsim.cli.settings import compose, group_options
from worldsim.cli.train import plain_twin
from worldsim.cli.verbs import VERBS
from worldsim.models.pretrained import read_config


def composed(*words):
    return compose("train", VERBS["train"].load(), ["data=somewhere", *words])


@pytest.mark.parametrize("name", ["phyworld", "violations"])
def test_experiments_are_the_shipped_models(name):
    found = composed(f"+experiment={name}")
    config, card = read_config(f"{name}-small")
    assert found.model == config
    assert found.steps == card.steps
    assert f"--learning-rate {found.learning_rate:g}" in card.command


def test_the_plain_twin_of_phyworld_is_the_shipped_one():
    words = ("plain=true", "model.clip_frames=6", "model.context_noise=0.02", "steps=6000", "learning_rate=0.002")
    found = composed("+experiment=phyworld", *words)
    config, card = read_config("phyworld-small-plain")
    assert plain_twin(found.model) == config
    # The first of its stages.
    assert f"--steps {found.steps} --learning-rate {found.learning_rate:g} --plain; then" in card.command


def test_every_experiment_composes():
    for name in group_options("experiment"):
        assert composed(f"+experiment={name}").steps > 0
    text = composed("+experiment=text").model
    assert 0 in text.context_lengths
    assert text.dit.text_width > 0
