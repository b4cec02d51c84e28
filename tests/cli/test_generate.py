"""worldsim generate and demo: futures of scenes and clips, their facts, one page; what does not fit is one line."""

import json
import re

import pytest
import torch

from worldsim.cli import main
from worldsim.cli._generation import draw_scene, play
from worldsim.data import read_video, write_video
from worldsim.models import DiTConfig, ModelCard, WorldModel, WorldModelConfig
from worldsim.scene import loads_setup, make_scene, save_scene

SMALL = WorldModelConfig(dit=DiTConfig(width=48, depth=1, heads=4, patch=(2, 8, 8)))
CARD = ModelCard(scenes={"collision": {}}, size=(32, 32), oversampling=2)


def run(capsys, *words):
    code = main([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, " ".join(captured.err.split())


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """A paired model and a plain one, untrained: what they make is grey."""
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    for name, hint in (("mine", True), ("mine-plain", False)):
        model = WorldModel(WorldModelConfig(dit=SMALL.dit, hint=hint))
        model.save_pretrained(folder / name, CARD)
    return folder


def test_a_scene_goes_on_with_a_checkpoint(capsys, checkpoints, tmp_path):
    out = tmp_path / "x" / "future.gif"
    code, said, _ = run(capsys, "generate", "scene=collision", f"model={checkpoints / 'mine'}", "seed=3", f"out={out}",
                        "num_frames=14", "steps=2")  # fmt: skip
    assert code == 0
    assert "18 frames, 4 of them given" in said
    video, fps = read_video(out)
    assert video.shape == (18, 32, 32, 3)
    assert fps == pytest.approx(10.0)
    told = json.loads(out.with_suffix(".json").read_text())
    scene = draw_scene("collision", 3, "id", {}, CARD)
    assert loads_setup(json.dumps(told["setup"])) == scene.setup()
    assert (told["seed"], told["steps"], told["num_context"], told["frames"]) == (3, 2, 4, 18)
    assert len(told["prior"]["position"]) == 18
    assert set(told["read"]) == {"red ball", "blue ball"}
    # The context frames are those of the scene, up to the GIF's palette.
    truth = play(scene, CARD).video[:4]
    assert abs(video[:4].astype(int) - truth).mean() < 2


def test_the_prior_alone_goes_on_with_a_clip(capsys, tmp_path):
    scene = make_scene("parabola", seed=1, pixels=48)
    save_scene(scene, tmp_path / "scene.json")
    truth = play(scene, ModelCard()).video
    write_video(tmp_path / "clip.mp4", truth[:6], scene.fps)
    words = (f"context={tmp_path / 'clip.mp4'}", f"setup={tmp_path / 'scene.json'}", f"out={tmp_path / 'f.mp4'}")
    code, _, _ = run(capsys, "generate", *words, "model=prior", "num_frames=8")
    assert code == 0
    video, _ = read_video(tmp_path / "f.mp4")
    assert len(video) == 12  # the last four frames of the clip and eight new ones
    assert abs(video.astype(int) - truth[2:14]).mean() < 4
    told = json.loads((tmp_path / "f.json").read_text())
    assert told["read"]["ball"]["mean_distance_to_prior_m"] < 0.2


def test_the_demo_shows_plain_and_paired_side_by_side(capsys, checkpoints, tmp_path):
    words = (f"paired={checkpoints / 'mine'}", f"plain={checkpoints / 'mine-plain'}", "steps=2")
    code, _, _ = run(capsys, "demo", f"out={tmp_path}", "scenes=[collision]", *words)
    assert code == 0
    titles = ["ground truth", "plain transformer", "paired with the prior", "rasterised prior alone"]
    page = (tmp_path / "index.html").read_text()
    assert re.findall(r'<canvas .*?aria-label="(.*?)"', page) == titles
    assert "http://" not in page
    assert "https://" not in page
    scores = json.loads((tmp_path / "scores.json").read_text())["collision, seed 0"]
    assert list(scores) == titles
    assert scores["ground truth"]["headline"] > 0.99
    assert scores["rasterised prior alone"]["headline"] > scores["plain transformer"]["headline"]
    assert all(read_video(path)[0].shape == (16, 32, 32, 3) for path in tmp_path.glob("*.mp4"))


def test_the_demo_says_what_stands_in(capsys, tmp_path):
    code, said, _ = run(capsys, "demo", f"out={tmp_path}", "scenes=[bouncing,tower]")
    assert code == 0
    assert "no shipped paired checkpoint was trained on bouncing; the rasterised prior stands in" in " ".join(
        said.split()
    )
    assert "tower: left out, no shipped checkpoint was trained on it" in said
    code, _, err = run(capsys, "demo", f"out={tmp_path / 'y'}", "scenes=[tower]")
    assert code == 2
    assert "scenes: must hold a family of a shipped checkpoint" in err


def test_text_goes_to_a_model_with_text_and_unknown_words_are_named(capsys, tmp_path):
    torch.manual_seed(0)
    dit = DiTConfig(width=48, depth=1, heads=4, patch=(2, 8, 8), text_width=48)
    WorldModel(WorldModelConfig(dit=dit)).save_pretrained(tmp_path / "told", CARD)
    words = ("generate", "scene=collision", f"model={tmp_path / 'told'}", "steps=1", f"out={tmp_path / 'f.mp4'}")
    assert run(capsys, *words, "text=a red ball")[0] == 0
    assert json.loads((tmp_path / "f.json").read_text())["text"] == "a red ball"
    code, _, err = run(capsys, *words, "text=a zebra")
    assert code == 2
    assert "text: must use the words of worldsim's captions, got 'zebra'" in err


def test_what_does_not_fit_is_refused(capsys, checkpoints, tmp_path, toy_video):
    mine = f"model={checkpoints / 'mine'}"
    for name, pixels in (("scene", 32), ("large", 48)):
        save_scene(make_scene("collision", pixels=pixels), tmp_path / f"{name}.json")
    setup = f"setup={tmp_path / 'scene.json'}"
    for name, frames, fps in (("clip", 6, 10.0), ("short", 3, 10.0), ("fast", 6, 24.0)):
        write_video(tmp_path / f"{name}.mp4", toy_video(frames, 32), fps)
    (tmp_path / "cut.mp4").write_bytes((tmp_path / "clip.mp4").read_bytes()[:300])
    (tmp_path / "bad.json").write_text("{}")
    clip = f"context={tmp_path / 'clip.mp4'}"
    for words, said in (
        ([], "scene, context: must be given, one of them"),
        (["scene=colision"], "did you mean collision?"),
        (["scene=hoop", "model=prior"], "model: must be a checkpoint for hoop"),
        (["scene=collision", "model=nothing"], "model: must be a folder made by save_pretrained"),
        (["scene=collision", mine, "out=x.avi"], "out: must end in .mp4 or .gif, got 'x.avi'"),
        (["scene=collision", mine, "guidance=force"], "guidance: must be none or one of energy, project, got 'force'"),
        (["scene=collision", mine, "num_frames=0"], "num_frames: must be 1 or more, got 0"),
        (["scene=collision", mine, "solver=rk4"], "solver: must be one of euler, heun, ab2, got 'rk4'"),
        (["scene=collision", mine, "text=a ball"], "text: must be left out, this model was built without"),
        (["scene=bouncing_balls", mine], "setup[0].fps: must be 10, which the model is trained for, got 24"),
        ([clip], "setup: must be given with context"),
        ([clip, setup, "scene=collision"], "scene, context: must be given, one of them"),
        ([clip, f"setup={tmp_path / 'bad.json'}"], "must be a worldsim.scene document"),
        (
            [clip, mine, f"setup={tmp_path / 'large.json'}"],
            "context: must have the size of its setup's camera, 48 x 48",
        ),
        ([f"context={tmp_path / 'short.mp4'}", mine, setup], "context: must have one of (4,) frames, got 3"),
        ([f"context={tmp_path / 'fast.mp4'}", mine, setup], "must have 10 frames a second as its setup says, got 24"),
        ([f"context={tmp_path / 'cut.mp4'}", mine, setup], "cut.mp4: must"),
        ([f"context={tmp_path / 'none.mp4'}", mine, setup], "there is no such file"),
    ):
        code, _, err = run(capsys, "generate", f"out={tmp_path / 'o.mp4'}", *words)
        assert code == 2, said
        assert said in err
    assert not (tmp_path / "o.mp4").exists()
