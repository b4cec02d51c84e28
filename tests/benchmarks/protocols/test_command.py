"""worldsim bench protocol=NAME writes and prints what run_protocol finds, and refuses in one line."""

import json
import os

import pytest
from worlds import ball_case

from worldsim.benchmarks.protocols import PROTOCOLS, ProtocolResult
from worldsim.cli import main
from worldsim.cli.bench import CHOICES
from worldsim.data import write_video
from worldsim.scene import save_scene


def test_completion_knows_all_protocols():
    assert CHOICES["protocol"] == tuple(PROTOCOLS)


def test_the_command_runs_a_protocol(tmp_path, capsys):
    videos, scenes, out = tmp_path / "videos", tmp_path / "scenes", tmp_path / "out"
    videos.mkdir()
    scenes.mkdir()
    case = ball_case("uniform_motion")
    write_video(videos / "clip.mp4", case.frames, 10, codec="exact")
    save_scene(case.scene, scenes / "clip.json")
    words = ["bench", "protocol=phyworld", f"videos={videos}", f"reference={scenes}", f"out={out}"]
    assert main([*words, "protocol_args.floor=false"]) == 0
    told = json.loads((out / "phyworld.json").read_text())
    assert told["figures"]["uniform_motion id velocity_error"]["value"] < 0.02
    assert "velocity_error" in capsys.readouterr().out
    assert {path.suffix for path in out.iterdir()} == {".json", ".csv", ".md"}
    for wrong, message in (
        ("protocol_args.colour=red", "phyworld.colour: must be one of videos, reference"),
        ("model=truth", "phyworld.model: must be one of"),
        ("suite=core", "one must be given"),
    ):
        assert main([*words, wrong]) != 0
        assert message in capsys.readouterr().err


def test_results_are_whole_or_not_there(tmp_path, monkeypatch):
    ProtocolResult("phyworld", {}, ({"clip": "a"},)).write(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(descriptor):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        ProtocolResult("phyworld", {}, ({"clip": "b"},)).write(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
