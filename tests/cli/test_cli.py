import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from worldsim.cli import main
from worldsim.cli.settings import UsageError, compose
from worldsim.cli.verbs import VERBS
from worldsim.data import RolloutDataset, read_video, write_video
from worldsim.data.sheet import Tile, colour_depth, colour_ids, draw_sheet, spread
from worldsim.scene import list_scenes, make_scene, save_scene

SIMULATE = ["simulate", "scene=uniform_motion", "num_rollouts=3", "shard_size=2", "pixels=32", "num_frames=6"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli") / "data"
    assert main([*SIMULATE, f"out={folder}"]) == 0
    return folder


def run(capsys, *words):
    code = main(list(words))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_help_lists_every_verb_and_setting(capsys):
    code, out, _ = run(capsys, "--help")
    assert code == 0
    assert all(name in out and verb.summary in out for name, verb in VERBS.items())
    for name, verb in VERBS.items():
        code, out, _ = run(capsys, name, "--help")
        module = verb.load()
        assert code == 0
        for field in dataclasses.fields(module.Config):
            line = next(line for line in out.splitlines() if line.split()[:1] == [field.name])
            assert len(line.split()) > 3, f"{name} {field.name} is not explained: {line}"
        assert all(example in out for example in module.EXAMPLES)


def test_each_verb_has_a_yaml_that_composes():
    for name, verb in VERBS.items():
        module = verb.load()
        required = [f.name for f in dataclasses.fields(module.Config) if f.default == "???"]
        config = compose(name, module, [f"{key}=somewhere" for key in required])
        assert isinstance(config, module.Config)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["simulat"], "simulat: is no verb of worldsim, did you mean simulate?"),
        (["simulate", "scen=hoop"], "scen: is no setting of worldsim simulate, did you mean scene?"),
        (["simulate", "num_rolouts=3"], "did you mean num_rollouts?"),
        (["simulate", "scene=hop", "out=x"], "did you mean hoop?"),
        (["simulate"], "out: must be given, as out=..."),
        (["simulate", "out=x", "num_rollouts=many"], "num_rollouts: "),
        (["simulate", "out=x", "num_rollouts=0"], "num_rollouts: must be a whole number of 1 or more, got 0"),
        (["simulate", "out=x", "split=odd"], "split: must be id or ood, got 'odd'"),
        (["simulate", "out=x", "scene=hoop", "scene_args.nothing=1"], "hoop.nothing: must be one of"),
        (["simulate", "out=x", "nonsense"], "nonsense: must be key=value"),
        (["simulate", "--out"], "--out: must be followed by a value"),
        (["inspect", "no/such/folder"], "no/such/folder/dataset.json: must be there"),
        (["replay", "no/such/folder"], "no/such/folder: must be a folder of rollouts"),
        (["completion", "fish"], "shell: must be bash or zsh, got 'fish'"),
        (["list", "hoop2"], "did you mean hoop?"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_two(capsys, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, *words)
    lines = [line for line in err.splitlines() if line.startswith("worldsim: error:")]
    assert code == 2
    assert len(lines) == 1
    assert said in lines[0]
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [["--num-frames=5", "--out=a-b=c"], ["--num-frames", "5", "--out", "a-b=c"]])
def test_dashes_in_a_setting_are_understood_with_and_without_an_equals_sign(words):
    config = compose("simulate", VERBS["simulate"].load(), words)
    assert (config.num_frames, config.out) == (5, "a-b=c")
    train = compose("train", VERBS["train"].load(), ["--model.dit.state-head-layer=-1", "--batch-size=3"])
    assert (train.model.dit.state_head_layer, train.batch_size) == (-1, 3)


def test_folders_that_look_like_markup_are_told_as_they_are(capsys, made, tmp_path):
    folder = tmp_path / "[bold]" / ":boom:" / "[" / "a]"
    shutil.copytree(made, folder / "data")
    told = str(folder)
    code, out, _ = run(capsys, "inspect", str(folder / "data"), f"sheet={folder / 's.png'}", "rollouts=1", "frames=1")
    assert code == 0
    assert out.count(told) == 2
    code, out, _ = run(capsys, "replay", str(folder / "data"), f"out={folder / 'r.mp4'}", "preset=fast")
    assert code == 0
    assert told in out
    code, out, _ = run(capsys, *SIMULATE, f"out={folder / 'data'}")
    assert code == 0
    assert out.count(told) == 2
    save_scene(make_scene("parabola", pixels=32), folder / "scene.json")
    code, out, _ = run(capsys, "replay", str(folder / "scene.json"))
    assert code == 0
    assert told in out
    code, out, _ = run(capsys, "list", "uniform_motion", f"sheet={folder / 'sheet.png'}")
    assert code == 0
    assert told in out
    assert "[bold]uniform_motion" not in out


def test_debug_shows_the_traceback(monkeypatch):
    monkeypatch.setenv("WORLDSIM_DEBUG", "1")
    with pytest.raises(UsageError):
        main(["simulat"])


def test_simulate_inspect_and_replay_end_to_end(capsys, made, tmp_path):
    assert len(RolloutDataset(made)) == 3
    code, out, _ = run(capsys, "inspect", str(made), "--sheet", str(tmp_path / "s.png"), "rollouts=2")
    assert code == 0
    for word in ("rollouts    3 of 3, in 2 of 2 shards", "uniform_motion: 3", "mujoco 3.", "every sha256 agrees"):
        assert word in out
    with Image.open(tmp_path / "s.png") as sheet:
        assert sheet.size[0] > 300
    code, out, _ = run(capsys, "replay", str(made), "index=2", f"out={tmp_path / 'r.mp4'}", "pixels=48", "preset=fast")
    assert code == 0
    assert "identical on every frame" in out
    video, fps = read_video(tmp_path / "r.mp4")
    assert video.shape == (6, 48, 48, 3)
    assert fps == RolloutDataset(made)[2].scene.fps
    code, out, _ = run(capsys, "replay", str(made / "shard-00001.tar"), "index=0")
    assert code == 0
    assert "seed 2" in out
    assert "index: must be between 0 and 2, got 3" in run(capsys, "replay", str(made), "index=3")[2]


def test_the_same_command_again_changes_nothing(capsys, made):
    before = {path.name: path.stat().st_mtime_ns for path in made.glob("shard*")}
    assert run(capsys, *SIMULATE, f"out={made}")[0] == 0
    assert {path.name: path.stat().st_mtime_ns for path in made.glob("shard*")} == before
    code, _, err = run(capsys, *SIMULATE, "seed=4", f"out={made}")
    assert code == 2
    assert "config.seed must be 0" in err


def test_inspect_tells_damage_and_shows_the_rest(capsys, made, tmp_path):
    folder = shutil.copytree(made, tmp_path / "data")
    path = folder / "shard-00000.tar"
    path.write_bytes(path.read_bytes()[:-700])
    code, out, err = run(capsys, "inspect", str(folder))
    assert code == 2
    assert "rollouts    1 of 3, in 1 of 2 shards" in out
    assert "shard-00000.tar: must have" in out
    assert "1 of 2 shards are damaged" in err
    assert (folder / "sheet.png").exists()


def test_a_scene_file_is_played(capsys, tmp_path):
    save_scene(make_scene("parabola", pixels=32), tmp_path / "scene.json")
    code, out, _ = run(capsys, "replay", str(tmp_path / "scene.json"), f"out={tmp_path / 'v.mp4'}", "preset=fast")
    assert code == 0
    assert "by mujoco" in out
    assert len(read_video(tmp_path / "v.mp4")[0]) == make_scene("parabola").num_frames
    document = json.loads((tmp_path / "scene.json").read_text())
    (tmp_path / "scene.json").write_text(json.dumps({**document, "version": 99}))
    code, _, err = run(capsys, "replay", str(tmp_path / "scene.json"))
    assert code == 2
    assert "scene.json.version: must be at most" in err


def test_list_shows_families_and_ranges(capsys):
    code, out, _ = run(capsys, "list")
    assert code == 0
    assert all(name in out for name in list_scenes())
    code, out, _ = run(capsys, "list", "hoop")
    assert code == 0
    assert "out of distribution" in out
    assert "scene_args." in out


def test_list_draws_a_sheet_of_one_family(capsys, tmp_path):
    code, _, _ = run(capsys, "list", "uniform_motion", "--sheet", str(tmp_path / "sheet.png"))
    assert code == 0
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert len(sheet.getcolors(1 << 20)) > 2


COMPLETE = """
source "$1"; shift; COMP_WORDS=("$@")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _worldsim; printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["sim"], {"simulate"}),
        (["simulate", "num_r"], {"num_rollouts="}),
        (["simulate", "split", "="], {"id", "ood"}),
        (["simulate", "scene", "=", "bouncing_"], {"bouncing_balls"}),
        (["simulate", "preset=f"], {"preset=fast"}),
        (["completion", "z"], {"zsh"}),
    ],
)
def test_bash_completes_verbs_keys_and_values(tmp_path_factory, capsys, words, expected):
    script = tmp_path_factory.getbasetemp() / "completion.bash"
    if not script.exists():
        main(["completion", "bash"])
        script.write_text(capsys.readouterr().out)
    done = subprocess.run(
        ["bash", "-c", COMPLETE, "bash", str(script), "worldsim", *words], capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) == expected


def test_the_command_starts_without_heavy_imports():
    code = (
        "import sys; from worldsim.cli import main; main(['--help']);"
        "assert not {'torch', 'mujoco', 'av', 'hydra'} & set(sys.modules), 'heavy'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    command = Path(sys.executable).with_name("worldsim")
    if command.exists():
        done = subprocess.run([command, "bogus"], capture_output=True, text=True)
        assert done.returncode == 2
        assert done.stderr.startswith("worldsim: error: bogus: is no verb")


def test_sheets_hold_their_pictures(tmp_path):
    rng = np.random.default_rng(0)
    video = rng.integers(0, 256, (7, 20, 30, 3)).astype(np.uint8)
    assert [frame.tolist() for frame in spread(video, 3)] == [video[i].tolist() for i in (0, 3, 6)]
    assert len(spread(video, 20)) == 7
    draw_sheet(tmp_path / "s.png", [Tile("a" * 500, list(video[:2])), Tile("b", list(video[2:4]))], height=20)
    with Image.open(tmp_path / "s.png") as sheet:
        assert (np.asarray(sheet)[20:40, 4:34] == video[0]).all()
    ids = np.arange(3, dtype=np.uint8)[None, :, None].repeat(2, 2)
    assert len(np.unique(colour_ids(ids).reshape(-1, 3), axis=0)) == 3
    depth = np.float32([[1, 2], [3, 100]])
    grey = colour_depth(depth, 100)[..., 0]
    assert grey[0, 0] > grey[0, 1] > grey[1, 0] > grey[1, 1] == 0
    with pytest.raises(ValueError, match="tiles: must be at least one"):
        draw_sheet(tmp_path / "s.png", [])
    with pytest.raises(ValueError, match=r"path: must end in \.mp4"):
        write_video(tmp_path / "s.avi", video, 24)
