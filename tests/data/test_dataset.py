import json

import numpy as np
import pytest
import torch
from data_cases import SMALL, make_rollout

from worldsim.data import (
    ClipLoader,
    DataError,
    ResumableBatchSampler,
    RolloutDataset,
    collate,
    generate_dataset,
    layouts,
    survey,
)
from worldsim.data.generate import generate_rollout


def test_rollouts_by_number_are_those_that_were_played(pristine):
    dataset = RolloutDataset(pristine)
    assert len(dataset) == 8
    for i in (7, 0, 3, -1):
        stored, played = dataset[i], generate_rollout(SMALL, i % 8)
        assert stored.scene == played.scene
        assert torch.equal(stored.trajectory.position, played.trajectory.position)
        assert (stored.ids == played.ids).all()
        assert np.abs(stored.depth - played.depth).max() < 6e-5
        assert np.abs(stored.video.astype(int) - played.video).mean() < 4
        assert stored.caption == played.caption
        assert dataset.facts(i)["seed"] == i % 8
    with pytest.raises(IndexError, match="between -8 and 7"):
        dataset[8]


def test_only_the_parts_asked_for_are_read(pristine):
    rollout = RolloutDataset(pristine, parts=("trajectory",))[2]
    assert rollout.trajectory.num_frames == 5
    assert rollout.video.shape == (0, 16, 16, 3)
    with pytest.raises(ValueError, match="parts: must be among"):
        RolloutDataset(pristine, parts=("pixels",))


def test_good_shards_beside_a_bad_one_stay_readable(folder):
    path = folder / "shard-00001.tar"
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 3] ^= 1
    path.write_bytes(damaged)
    dataset = RolloutDataset(folder)
    good = 0
    for i in range(len(dataset)):
        try:
            dataset[i]
            good += 1
        except DataError as error:
            assert "shard-00001.tar" in str(error)  # noqa: PT017
            assert "exclude=['shard-00001']" in str(error)  # noqa: PT017
    assert good >= 5
    assert len(survey(folder).problems) == 1
    assert survey(folder).rollouts == 5
    rest = RolloutDataset(folder, exclude=["shard-00001"])
    assert [rest[i].scene.seed for i in range(len(rest))] == [0, 1, 2, 6, 7]
    with pytest.raises(ValueError, match="exclude: must name shards"):
        RolloutDataset(folder, exclude=["shard-7"])


def test_missing_pieces_name_file_and_remedy(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"dataset\.json"):
        RolloutDataset(tmp_path)
    index = json.loads((folder / "shard-00000.json").read_text())
    index["samples"][1]["key"] = "000000009"
    (folder / "shard-00000.json").write_text(json.dumps(index))
    with pytest.raises(DataError, match=r"shard-00000\.tar: must hold rollout 000000001"):
        RolloutDataset(folder)[1]
    (folder / "shard-00002.tar").unlink()
    with pytest.raises(DataError, match=r"shard-00002\.tar: must be there, 1 of 3 shards.*exclude="):
        RolloutDataset(folder)
    text = (folder / "dataset.json").read_text()
    (folder / "dataset.json").write_text(text.replace('"version": 1', '"version": 2'))
    with pytest.raises(DataError, match=r"dataset\.json: version.*upgrade"):
        RolloutDataset(folder)
    (folder / "dataset.json").write_text(text[:50])
    with pytest.raises(DataError, match=r"dataset\.json: must be a worldsim\.dataset"):
        RolloutDataset(folder)


def test_collate_batches_what_the_rollouts_hold():
    rollouts = [make_rollout(seed, bodies=3) for seed in range(2)]
    clip = collate(rollouts, num_context=2, num_frames=4, start=1)
    assert clip.video.shape == (2, 3, 4, 16, 24)
    assert clip.video.dtype == torch.float32
    frame = torch.from_numpy(rollouts[1].video[1]).permute(2, 0, 1) / 127.5 - 1
    assert torch.allclose(clip.video[1, :, 0], frame)
    assert (clip.ids[0].numpy() == rollouts[0].ids[1:5]).all()
    assert torch.allclose(clip.trajectory.position[1], rollouts[1].trajectory.position[1:5].float())
    assert clip.actions.shape == (2, 3, 2)
    assert (clip.actions[0].numpy() == rollouts[0].actions[1:4]).all()
    assert clip.bodies.kinds == ("sphere", "box", "box")
    assert clip.bodies.mass.shape == (2, 3)
    assert clip.law.gravity.shape == (2, 3)
    assert clip.captions == ("two bodies", "two bodies")
    assert clip.camera == rollouts[0].scene.camera
    assert all(body.state is None for setup in clip.setups for body in setup.bodies)
    assert (clip.num_context, clip.num_frames, clip.batch_size, clip.fps) == (2, 4, 2, 24.0)
    doubled = clip.map(lambda tensor: tensor.double())
    assert doubled.trajectory.position.dtype == torch.float64
    assert doubled.law.gravity.dtype == torch.float64


@pytest.mark.parametrize(
    ("rollouts", "options", "rule"),
    [
        ([], {}, "rollouts: must be at least one"),
        ([make_rollout()], {"num_frames": 7}, "num_frames: must be between 1 and 6"),
        ([make_rollout()], {"num_context": 7}, "num_context: must be between 0 and 6"),
        ([make_rollout(rendered=False)], {}, r"rollouts\[0\].video: must have 6 frames, got 0"),
        ([make_rollout(), make_rollout(width=32)], {}, r"rollouts\[1\].video: must have the frame shape"),
        ([make_rollout(), make_rollout(fps=12)], {}, r"rollouts\[1\].scene.fps"),
        ([make_rollout(), make_rollout(bodies=3)], {}, r"scenes\[1\]: must share kinds"),
    ],
)
def test_rollouts_that_cannot_share_a_clip_are_refused(rollouts, options, rule):
    with pytest.raises(ValueError, match=rule):
        collate(rollouts, **{"num_context": 1, **options})


def test_the_sampler_deals_each_number_once_and_never_mixes_groups():
    groups = ["a"] * 10 + ["b"] * 7
    sampler = ResumableBatchSampler(groups, batch_size=3, seed=5, drop_last=False)
    first, second = list(sampler), list(sampler)
    for epoch in (first, second):
        assert len(epoch) == len(sampler) == 7
        assert sorted(i for batch in epoch for i in batch) == list(range(17))
        assert all(len({groups[i] for i in batch}) == 1 for batch in epoch)
    assert first != second
    assert list(ResumableBatchSampler(groups, 3, seed=5, drop_last=False)) == first
    assert list(ResumableBatchSampler(groups, 3, seed=6, drop_last=False)) != first
    assert len(list(ResumableBatchSampler(groups, 3))) == 5
    assert list(ResumableBatchSampler(["a"] * 4, 2, shuffle=False)) == [[0, 1], [2, 3]]
    assert [sampler.batch(step) for step in range(14)] == first + second


@pytest.mark.parametrize("stop", range(0, 12, 2))
def test_a_saved_state_resumes_mid_epoch_exactly(stop):
    def endless(sampler):
        while True:
            yield from sampler

    whole = endless(ResumableBatchSampler(["a"] * 15, 3, seed=1))
    expected = [next(whole) for _ in range(20)]
    sampler = ResumableBatchSampler(["a"] * 15, 3, seed=1)
    batches = endless(sampler)
    got = [next(batches) for _ in range(stop)]
    state = json.loads(json.dumps(sampler.state_dict()))
    resumed = ResumableBatchSampler(["a"] * 15, 3, seed=1)
    resumed.load_state_dict(state)
    rest = endless(resumed)
    assert got + [next(rest) for _ in range(20 - stop)] == expected


def test_a_state_of_another_order_is_refused():
    state = ResumableBatchSampler(["a"] * 9, 3, seed=1).state_dict()
    for other in (ResumableBatchSampler(["a"] * 9, 3, seed=2), ResumableBatchSampler(["a"] * 8, 3, seed=1)):
        with pytest.raises(ValueError, match=r"sampler\.(seed|size): must be"):
            other.load_state_dict(state)
    with pytest.raises(ValueError, match="batch_size: must be at most 9"):
        ResumableBatchSampler(["a"] * 9, 10)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_loader_resumes_after_the_clip_last_taken(pristine, workers):
    def make():
        return ClipLoader(RolloutDataset(pristine), batch_size=2, num_context=2, seed=3, workers=workers)

    straight = make()
    assert len(straight) == 4
    assert len(set(layouts(straight.dataset))) == 1
    expected = [clip.video for _ in range(2) for clip in straight]
    loader = make()
    got = []
    for clip in loader:
        got.append(clip.video)
        if len(got) == 2:
            break
    resumed = make()
    resumed.load_state_dict(loader.state_dict())
    got += [clip.video for _ in range(2) for clip in resumed][:6]
    assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))
    assert all(torch.equal(straight.batch(step).video, expected[step]) for step in (0, 5))


@pytest.mark.parametrize("workers", [0, 2])
def test_damage_met_while_reading_is_one_error(folder, workers, capfd):
    path = folder / "shard-00001.tar"
    damaged = bytearray(path.read_bytes())
    for place in range(1000, len(damaged), 500):
        damaged[place] ^= 1
    path.write_bytes(damaged)
    loader = ClipLoader(RolloutDataset(folder), batch_size=2, num_context=1, workers=workers)
    with pytest.raises(DataError, match=r"shard-00001\.tar: .* must have the sha256 of its index") as error:
        list(loader)
    assert "\n" not in str(error.value)
    assert "Traceback" not in capfd.readouterr().err


def test_the_survey_counts(pristine, tmp_path):
    found = survey(pristine)
    assert (found.shards, found.rollouts, found.frames) == (3, 8, 40)
    assert found.counts["family"] == {"uniform_motion": 8}
    assert found.size == sum(path.stat().st_size for path in pristine.iterdir())
    assert found.problems == found.missing == found.leftovers == []
    generate_dataset(SMALL, tmp_path / "x")
    (tmp_path / "x" / "shard-00002.tar").unlink()
    assert survey(tmp_path / "x").missing == ["shard-00002.tar"]
