"""Measures of masks against sums over pixels, one by one."""

import numpy as np
import pytest
import torch

from worldsim.benchmarks import track
from worldsim.benchmarks.track import measure_tracks, outline
from worldsim.physics.violations import mask_moments


@pytest.fixture
def ids():
    """Blocks of random ids from 0 to 4, one of them only in the last frames, some at the picture's rim."""
    coarse = np.random.default_rng(3).choice([0, 0, 0, 1, 2, 4], (7, 6, 5)).astype(np.uint8)
    return coarse.repeat(3, 1).repeat(4, 2)


def test_moments_are_those_of_the_pixels(ids, monkeypatch):
    monkeypatch.setattr(track, "_CHUNK", 3)
    tracks = measure_tracks(ids, 5)
    frames, height, width = ids.shape
    v, u = np.mgrid[:height, :width] + 0.5
    for t in range(frames):
        for k in range(1, 6):
            mask = ids[t] == k
            assert tracks.area[t, k - 1] == mask.sum()
            assert tracks.border[t, k - 1] == (mask[[0, -1]].any() or mask[:, [0, -1]].any())
            if not mask.any():
                assert np.isnan(tracks.centroid[t, k - 1]).all()
                continue
            spread = np.cov(np.stack([u[mask], v[mask]]), bias=True) + np.eye(2) / 12
            assert tracks.centroid[t, k - 1] == pytest.approx([u[mask].mean(), v[mask].mean()])
            assert tracks.covariance[t, k - 1] == pytest.approx(spread)
            axes = mask_moments(torch.from_numpy(mask.astype(np.float64)))[1].numpy()
            assert tracks.axes[t, k - 1] == pytest.approx(axes)


def test_outline_is_every_step_between_ids(ids, monkeypatch):
    monkeypatch.setattr(track, "_CHUNK", 2)
    edges = outline(ids)
    found = sorted(zip(edges.frame, edges.own, edges.other, *edges.point.T, strict=True))
    expected = []
    for (t, y, x), own in np.ndenumerate(ids):
        for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):
            inside = 0 <= y + dy < ids.shape[1] and 0 <= x + dx < ids.shape[2]
            if own and inside and ids[t, y + dy, x + dx] != own:
                expected.append((t, own, ids[t, y + dy, x + dx], x + 0.5 + dx / 2, y + 0.5 + dy / 2))
    assert found == sorted(expected)
    tracks = measure_tracks(ids, 4, edges)
    for k in range(1, 5):
        assert tracks.neighbour[:, k - 1].sum() == sum(row[1] == k for row in expected)


def test_ids_beyond_those_asked_for_are_left_out(ids):
    all_, few = measure_tracks(ids, 4), measure_tracks(ids, 2)
    assert np.array_equal(few.area, all_.area[:, :2])
    assert np.array_equal(few.neighbour, all_.neighbour[:, :2, :3])


def test_empty_pictures_have_no_outline():
    empty = np.zeros((3, 8, 8), np.uint8)
    assert len(outline(empty).frame) == 0
    assert not measure_tracks(empty, 2).area.any()
    assert len(outline(empty[:0]).frame) == 0
