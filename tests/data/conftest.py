"""A small data set played by MuJoCo, and copies of it to damage."""

import shutil

import pytest
from data_cases import SMALL

from worldsim.data import generate_dataset


@pytest.fixture(scope="session")
def pristine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pristine") / "data"
    return generate_dataset(SMALL, folder)


@pytest.fixture
def folder(pristine, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(pristine, tmp_path / "data")
