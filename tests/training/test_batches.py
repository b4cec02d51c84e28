"""Batches of the command line's training: clips of mixed lengths, the same ones for the same number."""

from dataclasses import replace

import numpy as np
import pytest

from worldsim.data import write_video
from worldsim.models import DiTConfig, WorldModelConfig
from worldsim.training.batches import VideoBatches

MODEL = WorldModelConfig(
    dit=DiTConfig(width=48, depth=1, heads=2, patch=(2, 8, 8)), clip_frames=12, context_lengths=(2, 4)
)


@pytest.fixture
def videos(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(3):
        write_video(tmp_path / f"{i}.mp4", rng.integers(0, 255, (16, 32, 32, 3), np.uint8), 10.0)
    return str(tmp_path)


def test_clips_have_the_lengths_of_the_mix(videos):
    batches = VideoBatches(videos, replace(MODEL, clip_lengths=(6, 8, 12)), batch_size=2, seed=3)
    found = [batches(number) for number in range(60)]
    assert {clip.num_frames for clip in found} == {6, 8, 12}
    assert {clip.num_context for clip in found} == {2, 4}
    again = VideoBatches(videos, replace(MODEL, clip_lengths=(6, 8, 12)), batch_size=2, seed=3)
    assert all((again(number).video == found[number].video).all() for number in (0, 7, 31))
    assert {VideoBatches(videos, MODEL, 2, 3)(number).num_frames for number in range(10)} == {12}


@pytest.mark.parametrize("length", [4, 7, 14])
def test_lengths_that_do_not_fit_are_refused(length):
    with pytest.raises(ValueError, match=rf"clip_lengths: must be among .*at most clip_frames, 12, got {length}"):
        replace(MODEL, clip_lengths=(8, length))
