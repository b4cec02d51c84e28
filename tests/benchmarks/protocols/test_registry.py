"""All protocols are there, say what they take, refuse the rest by name, and write what they found."""

import csv
import dataclasses
import json
import math

import numpy as np
import pytest
from worlds import ball_case

from worldsim.benchmarks.protocols import PROTOCOLS, Measured, ProtocolResult, run_protocol
from worldsim.benchmarks.protocols.outcome import mean_of
from worldsim.data import write_video
from worldsim.scene import save_scene

NAMES = (
    "phyworld",
    "phyworld_legacy",
    "physics_iq",
    "physics_iq_verified",
    "pisa",
    "rigidbench",
    "pis",
    "rigidity_pdi",
    "likephys",
    "ldr",
)


def test_all_protocols_are_there_and_documented():
    assert tuple(PROTOCOLS) == NAMES
    for protocol in PROTOCOLS.values():
        assert protocol.summary
        for argument in protocol.arguments:
            assert argument in protocol.run.__doc__ or "as run_" in protocol.run.__doc__, (protocol.name, argument)


def test_unknown_and_missing_arguments_are_named():
    with pytest.raises(ValueError, match="protocol: must be one of phyworld"):
        run_protocol("vbench")
    with pytest.raises(ValueError, match=r"pisa\.colour: must be one of videos, reference"):
        run_protocol("pisa", colour="red")
    with pytest.raises(ValueError, match=r"ldr\.videos: must be given, is missing"):
        run_protocol("ldr")
    with pytest.raises(ValueError, match=r"likephys\.model: must be given"):
        run_protocol("likephys", num=1)


def test_folders_of_videos_and_scenes_are_read(tmp_path):
    videos, scenes = tmp_path / "videos", tmp_path / "scenes"
    videos.mkdir()
    scenes.mkdir()
    for seed in range(2):
        case = ball_case("uniform_motion", seed)
        write_video(videos / f"clip {seed}.mp4", case.frames, 10, codec="exact")
        save_scene(case.scene, scenes / f"clip {seed}.json")
    found = run_protocol("phyworld", videos=videos, reference=str(scenes), floor=False)
    assert [row["clip"] for row in found.rows] == ["clip 0", "clip 1"]
    assert found.figures["uniform_motion id velocity_error"].value < 0.02
    (scenes / "clip 1.json").unlink()
    with pytest.raises(ValueError, match=r"clip 1: must have a scene, as clip 1\.json"):
        run_protocol("phyworld", videos=videos, reference=scenes, floor=False)
    with pytest.raises(FileNotFoundError, match="must be a folder of references"):
        run_protocol("phyworld", videos=videos, reference=tmp_path / "nowhere")
    with pytest.raises(ValueError, match="videos: must be a folder that holds videos"):
        run_protocol("phyworld", videos=scenes)


def test_results_are_written_and_read_back(tmp_path):
    rows = ({"clip": "a", "error": 0.5}, {"clip": "b, c", "error": math.nan, "missing": 1.0})
    result = ProtocolResult("ldr", {"error": mean_of([0.5, math.nan], "units")}, rows, ("One note.",))
    told = json.loads(result.write(tmp_path / "out").read_text())
    assert told["figures"]["error"] == {"value": 0.5, "unit": "units", "clips": 1, "standard_error": None}
    assert told["clips"][1]["error"] is None
    with (tmp_path / "out" / "ldr.csv").open() as file:
        assert [row["clip"] for row in csv.DictReader(file)] == ["a", "b, c"]
    text = (tmp_path / "out" / "ldr.md").read_text()
    assert "| error | 0.5 | units | 1 |" in text
    assert text.endswith("One note.\n")


def test_means_carry_their_standard_error():
    values = np.random.default_rng(0).normal(size=9)
    found = mean_of(values, "m")
    assert (found.value, found.count) == (pytest.approx(values.mean()), 9)
    assert found.error == pytest.approx(values.std(ddof=1) / 3)
    assert math.isnan(mean_of([], "m").value)
    assert dataclasses.astuple(Measured(1.0, "m", 2))[:3] == (1.0, "m", 2)
