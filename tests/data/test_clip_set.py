"""Sets of small clips: averaged pictures, coverage that adds up, a round trip through disk."""

import dataclasses

import numpy as np
import pytest
import torch

import worldsim as ws
from worldsim.data import ClipSet, average_down, save_clips


def drawn(seed, pixels=64):
    fine = ws.make_scene("bouncing_balls", seed=seed, num_balls=2, pixels=pixels, duration=0.25)
    camera = dataclasses.replace(fine.camera, width=16, height=16)
    return ws.get_engine("mujoco").simulate(fine), dataclasses.replace(fine, camera=camera)


def test_average_down_keeps_the_mean_and_the_areas():
    rollout, scene = drawn(0)
    small = average_down(rollout, scene)
    frames = len(rollout.video)
    assert small.video.shape == (frames, 16, 16, 3)
    np.testing.assert_allclose(small.video.mean((1, 2)), rollout.video.mean((1, 2)), atol=0.51)
    # Two balls move; a 16 px pixel holds 16 drawn ones.
    assert small.coverage.shape == (frames, 2, 16, 16)
    areas = small.coverage.astype(float).sum((2, 3)) / 255
    for k in range(2):
        np.testing.assert_allclose(areas[:, k], (rollout.ids == k + 1).sum((1, 2)) / 16, atol=0.02 * areas.max())
    whole = small.coverage[:, 0] == 255
    assert whole.any()
    assert (small.ids[whole] == 1).all()


def test_sets_survive_the_disk(tmp_path):
    clips = [average_down(*drawn(seed)) for seed in range(3)]
    save_clips(tmp_path, "balls", "id", "train", clips)
    found = ClipSet(tmp_path, "balls", "id", "train")
    assert len(found) == 3
    assert found.scenes == [clip.scene for clip in clips]
    batch = found.clip([2, 0], 1, 4, 2)
    assert batch.video.shape == (2, 3, 4, 16, 16)
    assert batch.num_context == 2
    torch.testing.assert_close(batch.trajectory.position[0], clips[2].trajectory.position[1:5].float())
    assert torch.equal(found.coverage([2], 1, 4)[0] * 255, torch.from_numpy(clips[2].coverage[1:5]).float())
    rows = found.tensors["contacts"]
    for i, clip in enumerate(clips):
        np.testing.assert_array_equal(rows[rows[:, 0] == i][:, 1:], clip.contacts)
    with pytest.raises(ValueError, match=r"start: must be between 0 and 3, got 5"):
        found.clip([0], 5, 4, 2)


def test_pictures_of_another_size_are_refused():
    rollout, scene = drawn(0, pixels=40)
    with pytest.raises(ValueError, match=r"rollout\.video: must be a whole multiple of 16 x 16 pixels, got 40 x 40"):
        average_down(rollout, scene)
