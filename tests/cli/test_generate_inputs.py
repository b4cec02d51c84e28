"""What worldsim generate takes beside a scene: setups alone to open a video, its own JSON, actions; what suits what."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from worldsim.cli import main
from worldsim.cli._facts import judge
from worldsim.cli._generation import choose, draw_scene, play, suits
from worldsim.cli._inputs import read_actions, read_setup
from worldsim.data import read_video, write_video
from worldsim.data.generate import with_pixels
from worldsim.models import DiTConfig, ModelCard, WorldModel, WorldModelConfig
from worldsim.models.pretrained import read_config
from worldsim.scene import dumps, make_scene

SIZES = {"width": 48, "depth": 1, "heads": 4, "patch": (2, 8, 8)}


def run(capsys, *words):
    code = main(["generate", *map(str, words)])
    captured = capsys.readouterr()
    return code, captured.out, " ".join(captured.err.split())


def untrained(folder, taken=None, **changes):
    """A small checkpoint whose output hangs on all that it is told."""
    torch.manual_seed(0)
    dit = DiTConfig(**SIZES, **{name: changes.pop(name) for name in ("text_width", "action_width") if name in changes})
    model = WorldModel(WorldModelConfig(dit=dit, **changes))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    if taken is not None:
        model.take_readout(taken)
    model.save_pretrained(folder, ModelCard(size=(32, 32)))
    return folder


@pytest.fixture
def setup_file(tmp_path):
    path = tmp_path / "setup.json"
    path.write_text(dumps(make_scene("collision", seed=3, pixels=32).setup()))
    return path


def test_a_setup_and_a_text_open_a_video(capsys, tmp_path, setup_file):
    told = untrained(tmp_path / "told", text_width=48, context_lengths=(0, 4))
    words = (f"setup={setup_file}", f"model={told}", "steps=1", "text=a red ball")
    code, said, err = run(capsys, *words, f"out={tmp_path / 'o.mp4'}")
    assert code == 0, err
    assert "16 frames, 0 of them given" in said
    assert read_video(tmp_path / "o.mp4")[0].shape == (16, 32, 32, 3)
    document = json.loads((tmp_path / "o.json").read_text())
    assert (document["num_context"], document["text"]) == (0, "a red ball")
    # The prior takes over from the states read out of the opening.
    assert len(document["prior"]["position"]) == 16
    assert document["violations"]["judged_by"] == "setup"
    code, _, err = run(capsys, f"setup={setup_file}", "model=phyworld-small")
    assert code == 2
    assert "context: must be given for phyworld-small, which goes on from one of (4,) frames; to open a video" in err
    code, _, err = run(capsys, f"setup={setup_file}", "model=prior")
    assert "context: must be given for prior" in err
    write_video(tmp_path / "short.mp4", np.zeros((3, 32, 32, 3), np.uint8), 10.0)
    code, _, err = run(capsys, *words, f"context={tmp_path / 'short.mp4'}")
    assert code == 2
    assert "context: must have one of (4,) frames or more, or be left out to open a video, got 3" in err
    # One frame is no video to be judged, which is no error.
    code, said, _ = run(capsys, *words, "num_frames=1", f"out={tmp_path / 'one.mp4'}")
    assert code == 0
    assert "violations: not known, video: must have at least 2 frames" in said


def test_what_it_wrote_is_a_setup_again(capsys, tmp_path):
    scene, out = ("scene=collision", "seed=3"), tmp_path / "a.mp4"
    code, said, _ = run(capsys, *scene, "codec=exact", f"out={out}", "steps=2")
    assert code == 0
    assert "judged by the scene" in said
    first = json.loads((tmp_path / "a.json").read_text())
    assert first["violations"]["headline"] > 0.5
    assert first["violations"]["figures"]["penetration"]["floor_source"] == "scene"
    _, card = read_config("phyworld-small")
    truth = play(draw_scene("collision", 3, "id", {}, card), card)
    assert read_setup(tmp_path / "a.json") == truth.scene.setup()
    assert np.array_equal(read_video(out)[0][:4], truth.video[:4])  # without loss
    words = (f"context={out}", f"setup={tmp_path / 'a.json'}", "num_frames=4", "steps=1", "score=false")
    code, said, _ = run(capsys, *words, f"out={tmp_path / 'b.gif'}")
    assert code == 0
    assert "by phyworld-small" in said
    assert json.loads((tmp_path / "b.json").read_text())["violations"] is None


def test_a_longer_video_than_the_scene_is_judged_by_the_setup():
    _, card = read_config("phyworld-small")
    truth = play(draw_scene("collision", 3, "id", {}, card), card)
    future = choose("prior", 10.0, "").model.generate(truth.video[:4], truth.scene.setup(), 12, steps=1)
    assert judge(future, truth.scene.setup(), truth)["judged_by"] == "scene"
    short = dataclasses.replace(truth, video=truth.video[:10])
    assert judge(future, truth.scene.setup(), short)["judged_by"] == "setup"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "setup.json: must be JSON in UTF-8"),
        ("[]", "setup.json: must be a worldsim.scene document, a worldsim.setup document or what worldsim generate"),
        ('{"setup": {}}', "setup.json.setup: must be a worldsim.setup document"),
        ('{"schema": "other", "setup": {}}', "got schema 'other'"),
    ],
)
def test_other_files_are_no_setups(capsys, tmp_path, setup_file, text, said):
    setup_file.write_text(text)
    code, _, err = run(capsys, f"setup={setup_file}")
    assert code == 2
    assert said in err
    setup_file.write_bytes(b"\xff\xfe")
    assert "must be JSON in UTF-8" in run(capsys, f"setup={setup_file}")[2]


@pytest.fixture
def driven(tmp_path, setup_file):
    """Words for a model that is driven by two numbers a frame, from 4 frames to 8."""
    model = untrained(tmp_path / "driven", action_width=2)
    write_video(tmp_path / "clip.mp4", play(make_scene("collision", seed=3, pixels=32), ModelCard()).video[:4], 10.0)
    clip = (f"context={tmp_path / 'clip.mp4'}", f"setup={setup_file}", f"model={model}")
    return (*clip, "num_frames=4", "steps=1", "codec=exact", "score=false", f"out={tmp_path / 'f.mp4'}")


def test_actions_drive_a_model_that_was_built_with_them(capsys, tmp_path, driven):
    rows = np.random.default_rng(0).normal(size=(7, 2)).astype(np.float32)
    np.save(tmp_path / "between.npy", rows.astype(np.float64))
    np.save(tmp_path / "still.npy", np.zeros((7, 2), np.int64))
    save_file({"actions": np.concatenate([np.zeros((1, 2), np.float32), rows])}, tmp_path / "all.safetensors")
    videos = []
    for name in ("between.npy", "all.safetensors", "still.npy"):
        code, _, err = run(capsys, *driven, f"actions={tmp_path / name}")
        assert code == 0, err
        videos.append(read_video(tmp_path / "f.mp4")[0])
        assert json.loads((tmp_path / "f.json").read_text())["actions"] == str(tmp_path / name)
    assert np.array_equal(videos[0], videos[1])
    assert not np.array_equal(videos[0], videos[2])


def test_actions_that_do_not_fit_are_refused(capsys, tmp_path, setup_file, driven):
    good = np.zeros((7, 2), np.float32)
    holed = good.copy()
    holed[5, 1] = np.nan
    for name, values in (
        ("wide", np.zeros((7, 3))),
        ("short", good[:6]),
        ("flat", good[:, 0]),
        ("nan", holed),
        ("large", np.full((7, 2), 1e300)),
        ("words", np.array([["a", "b"]])),
        ("good", good),
    ):
        np.save(tmp_path / f"{name}.npy", values)
    np.save(tmp_path / "object.npy", np.array([{}], object), allow_pickle=True)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "good.npy").read_bytes()[:-8])
    (tmp_path / "empty.npy").write_bytes(b"")
    save_file({"ctrl": good}, tmp_path / "ctrl.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(b"\x08")
    for name, said in (
        ("wide.npy", "actions: must have 2 numbers a frame, got 3"),
        (
            "short.npy",
            "actions: must have 8 rows, one for each of 4 given and 4 new frames, or 7, one for each interval",
        ),
        ("flat.npy", "actions: must be numbers of shape (T, A), one row a frame, got float32 (7,)"),
        ("nan.npy", "actions: must be finite in single precision, got [0.0, nan] in row 5"),
        ("large.npy", "actions: must be finite in single precision, got [1e+300, 1e+300] in row 0"),
        ("words.npy", "actions: must be numbers of shape (T, A)"),
        ("object.npy", "actions: must be a whole .npy file without pickled objects"),
        ("cut.npy", "actions: must be a whole .npy file"),
        ("empty.npy", "actions: must be a whole .npy file"),
        ("ctrl.safetensors", "actions: must be a tensor of that name in"),
        ("cut.safetensors", "actions: must be a whole safetensors file"),
        ("good.txt", "actions: must end in .npy or .safetensors, got"),
        ("nothing.npy", "nothing.npy"),
        ("nothing.safetensors", "nothing.safetensors"),
    ):
        code, _, err = run(capsys, *driven, f"actions={tmp_path / name}")
        assert code == 2, name
        assert said in err
    code, _, err = run(capsys, *driven)
    assert code == 2
    assert f"actions: must be given for {tmp_path / 'driven'}, which takes 2 numbers a frame, as actions=FILE" in err
    code, _, err = run(capsys, "scene=collision", f"model={tmp_path / 'driven'}")
    assert "actions: must be given for" in err
    code, _, err = run(capsys, "scene=collision", f"actions={tmp_path / 'good.npy'}")
    assert "actions: must be left out for phyworld-small, which was built without" in err
    assert not (tmp_path / "f.mp4").exists()


def test_bfloat16_actions_are_read(tmp_path):
    from safetensors.torch import save_file as save_tensors

    save_tensors({"actions": torch.ones(3, 2, dtype=torch.bfloat16)}, tmp_path / "a.safetensors")
    assert np.array_equal(read_actions(tmp_path / "a.safetensors"), np.ones((3, 2), np.float32))


def test_the_robot_of_a_scene_drives_on(capsys, tmp_path):
    readout = WorldModel.from_pretrained("violations-small").readout
    model = untrained(tmp_path / "arm", readout, action_width=7, readout="learned", hint=False, fps=24.0)
    words = ("scene=robot_push", f"model={model}", "steps=1", "score=false", f"out={tmp_path / 'f.mp4'}")
    code, _, err = run(capsys, *words, "num_frames=8")
    assert code == 0, err
    assert json.loads((tmp_path / "f.json").read_text())["actions"] == "of the scene's robot"
    code, _, err = run(capsys, *words, "num_frames=500")
    assert code == 2
    assert "actions: must be given for more frames than the 73 of robot_push, got num_frames 500" in err


def test_a_shipped_checkpoint_is_chosen_for_scenes_like_its_own(capsys, tmp_path):
    _, card = read_config("violations-small")
    for family, parameters in (("bouncing_balls", {"num_balls": 5}), ("hoop", {})):
        assert suits(draw_scene(family, 7, "ood", parameters, card).setup()) == ("violations-small", "")
    # In space, of the right size and rate: the readout would take the balls to keep to one plane.
    setup = with_pixels(make_scene("open_box", fps=16.0), 32).setup()
    assert setup.camera.kind == "perspective"
    (tmp_path / "setup.json").write_text(dumps(setup))
    code, _, err = run(capsys, f"setup={tmp_path / 'setup.json'}")
    assert code == 2
    assert "setup: must suit a shipped checkpoint" in err
    assert "phyworld-small: fps must be 10, got 16, planar must be true, got false, camera.kind must be" in err
    assert "violations-small: shapes that stand must be box and capsule and plane and ring, got box" in err
    # A flat world that no shipped checkpoint knows is one that the prior alone reads.
    scene = make_scene("collision", seed=1, pixels=48)
    (tmp_path / "setup.json").write_text(dumps(scene.setup()))
    write_video(tmp_path / "clip.mp4", play(scene, ModelCard()).video[:4], 10.0, "exact")
    words = (f"context={tmp_path / 'clip.mp4'}", f"setup={tmp_path / 'setup.json'}", f"out={tmp_path / 'f.mp4'}")
    code, said, _ = run(capsys, *words, "num_frames=2")
    assert code == 0
    assert "picture must be 32 x 32, got 48 x 48" in said
    assert "the rasterised prior stands in" in said
