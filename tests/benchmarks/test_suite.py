"""The suite: frozen scenes, what a model is told, resuming, rows held to numpy, and that truth beats a static copy."""

import csv
import dataclasses
import json
import sys

import numpy as np
import pytest

import worldsim as ws
from worldsim.benchmarks.suite import (
    CallableGenerator,
    Case,
    Clip,
    SuiteConfig,
    Unanswered,
    bootstrap,
    draw_case,
    finished_models,
    load_generator,
    load_manifest,
    row_of,
    run_suite,
    scene_hash,
    settings_of,
    write_leaderboard,
)
from worldsim.benchmarks.suite.generator import setup_text
from worldsim.benchmarks.suite.manifest import SPLITS, freeze
from worldsim.benchmarks.suite.run import model_folder
from worldsim.cli import main
from worldsim.data import write_video

SMALL = SuiteConfig(num=1, families=("parabola",), pixels=32, num_frames=8)


def test_the_frozen_scenes_are_those_that_the_families_draw():
    manifest = load_manifest("core")
    for family in manifest.families:
        for split in SPLITS:
            assert len(set(manifest.hashes[family][split])) == 100
    for case in manifest.cases(2):
        scene = draw_case(case, 48, 24)
        assert (scene.camera.height, round(scene.duration * scene.fps) + 1) == (48, 24)
    assert json.loads(freeze("core", ("hoop",), 3, 1))["hashes"]["hoop"]["ood"].split() == list(
        manifest.hashes["hoop"]["ood"][:3]
    )


def test_a_scene_that_changed_is_refused():
    case = dataclasses.replace(load_manifest("core").cases(1)[0], digest="0" * 12)
    with pytest.raises(ValueError, match=r"uniform_motion-id-000: must hash to 000000000000 as frozen .* got"):
        draw_case(case, 64, 24)


def test_hashes_see_every_number_but_its_last_digits():
    scene = ws.make_scene("hoop", seed=0)
    digest = scene_hash(scene)
    assert scene_hash(dataclasses.replace(scene, duration=scene.duration * (1 + 1e-13))) == digest
    assert scene_hash(dataclasses.replace(scene, duration=scene.duration * (1 + 1e-7))) != digest


def test_settings_out_of_range_are_refused():
    with pytest.raises(ValueError, match="suite: must be one of core"):
        load_manifest("hard")
    with pytest.raises(ValueError, match="num: must be a whole number from 1 to 100, got 101"):
        SuiteConfig(num=101).cases  # noqa: B018
    with pytest.raises(ValueError, match="families: must be of uniform_motion"):
        SuiteConfig(families=("tower",)).cases  # noqa: B018
    with pytest.raises(ValueError, match="num_frames: must be a whole number of 1 or more, got 0"):
        SuiteConfig(num_frames=0)


class Recorder:
    name = "recorder"

    def __init__(self):
        self.told = []

    def generate(self, context, setup, num_frames, fps, seed, text):
        self.told.append((context.copy(), setup, num_frames, fps, seed, text))
        context[:] = 0  # must not reach the video that is scored
        return np.repeat(self.told[-1][0][-1:], num_frames, 0)


def test_a_model_is_told_context_and_setup_and_no_start(tmp_path):
    model = Recorder()
    (clip, _) = run_suite(SMALL, model, tmp_path)
    (case, _) = SMALL.cases
    context, setup, num_frames, fps, seed, text = model.told[0]
    scene = draw_case(case, 32, 12)
    truth = ws.get_engine("mujoco").simulate(scene)
    np.testing.assert_array_equal(context, truth.video[:4])
    assert (num_frames, fps) == (8, scene.fps)
    assert setup == scene.setup()
    assert all(body.static or body.state is None for body in setup.bodies)
    assert "ball" in text
    assert text == setup_text(setup)
    assert model.told[1][4] != seed
    static = run_suite(SMALL, load_generator("static"), tmp_path)
    assert clip.scores == static[0].scores  # the context that was scored is the true one


def test_a_stopped_run_goes_on_where_it_was(tmp_path):
    class Failing(Recorder):
        def generate(self, *told):
            if len(self.told) == 1:
                raise RuntimeError("stopped")
            return super().generate(*told)

    failing = Failing()
    with pytest.raises(RuntimeError, match="stopped"):
        run_suite(SMALL, failing, tmp_path)
    again = Recorder()
    clips = run_suite(SMALL, again, tmp_path)
    assert len(again.told) == 1
    whole = run_suite(SMALL, Recorder(), tmp_path / "fresh")
    assert [clip.scores for clip in clips] == [clip.scores for clip in whole]
    with pytest.raises(ValueError, match=r"out: pixels must be 32, as the rows in .* have it, got 48"):
        run_suite(dataclasses.replace(SMALL, pixels=48), again, tmp_path)


def test_answers_of_another_shape_are_refused_and_none_counts_zero(tmp_path):
    def short(context, num_frames):
        return context[:1]

    with pytest.raises(ValueError, match=r"short: must answer with uint8 frames of shape \(8, 32, 32, 3\), got uint8"):
        run_suite(SMALL, CallableGenerator("short", short), tmp_path)

    def silent(context):
        raise Unanswered("too hard")

    clips = run_suite(SMALL, CallableGenerator("silent", silent), tmp_path)
    assert [(clip.answered, clip.headline, clip.reason) for clip in clips] == [(False, 0.0, "too hard")] * 2
    row = row_of("silent", clips)
    assert (row.headline.mean, row.answered, row.laws) == (0.0, 0.0, ())


def test_words_stand_for_models(tmp_path, monkeypatch):
    (tmp_path / "brought.py").write_text(
        "import numpy as np\n"
        "def still(context, num_frames, shift=0):\n"
        "    return np.repeat(context[-1:], num_frames, 0) + np.uint8(shift)\n"
        "class Model:\n"
        "    name = 'of a class'\n"
        "    def __init__(self, shift=0): self.shift = shift\n"
        "    def generate(self, context, setup, num_frames, fps, seed, text):\n"
        "        return still(context, num_frames, self.shift)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    context = np.zeros((4, 8, 8, 3), np.uint8)
    told = (context, None, 3, 10.0, 0, "")
    assert load_generator("brought:still", {"shift": 2}).generate(*told).max() == 2
    model = load_generator("brought:Model", {"shift": 3})
    assert model.name == "of a class"
    assert model.generate(*told).max() == 3
    assert load_generator(sys.modules["brought"].still).generate(*told).shape == (3, 8, 8, 3)
    for word, arguments, said in (
        ("brought:none", {}, "cannot be imported"),
        ("brought:still", {"shfit": 1}, "model_args.shfit"),
        ("brought:still", {"seed": 1}, "model_args.seed"),
        ("brought:Model", {"shfit": 1}, "model_args.shfit"),
        ("static", {"x": 1}, "model_args.x"),
        ("no-such-model", {}, "model: must be"),
    ):
        with pytest.raises(ValueError, match=said):
            load_generator(word, arguments)


def test_videos_named_by_scene_answer(tmp_path):
    folder = tmp_path / "answers"
    folder.mkdir()
    first, second = SMALL.cases
    videos = {case.name: ws.get_engine("mujoco").simulate(draw_case(case, 32, 12)).video for case in (first, second)}
    write_video(folder / f"{first.name}.mp4", videos[first.name], 10.0, codec="exact")
    write_video(folder / f"{second.name}.mp4", videos[second.name][4:], 10.0, codec="exact")
    clips = run_suite(SMALL, load_generator(folder), tmp_path / "out")
    truth = run_suite(SMALL, load_generator("truth"), tmp_path / "out")
    assert [clip.scores for clip in clips] == [clip.scores for clip in truth]
    (folder / f"{second.name}.mp4").rename(folder / "other.mp4")
    clips = run_suite(SMALL, load_generator(folder), tmp_path / "less")
    assert [clip.answered for clip in clips] == [True, False]
    write_video(folder / f"{second.name}.mp4", videos[second.name][:7], 10.0, codec="exact")
    with pytest.raises(ValueError, match=r"must have 8 new frames, or 12 with the context, has 7"):
        run_suite(SMALL, load_generator(folder), tmp_path / "short")


def made(values):
    """Clips of these headlines: (family, split) -> values."""
    return [
        Clip(
            f"{family}-{split}-{i:03d}", family, split, "", True, scores={"headline": x, "tracked": 1.0, "figures": {}}
        )
        for (family, split), cell in values.items()
        for i, x in enumerate(cell)
    ]


def test_intervals_cover_the_mean_as_often_as_they_say():
    """Coverage of 95 % intervals of means of 2 x 8 draws, against the known mean; 300 trials, so 95 +- 2.5 %."""
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(300):
        # Cells of different mean, whose difference must not widen the interval.
        cells = {("a", "id"): rng.normal(0.3, 0.05, 8), ("b", "id"): rng.normal(0.7, 0.05, 8)}
        interval = bootstrap(made(cells), lambda clip: clip.headline)
        assert interval.mean == pytest.approx(np.mean(list(cells.values())))
        covered += interval.low <= 0.5 <= interval.high
        assert interval.high - interval.low < 0.1
    assert 0.90 <= covered / 300 <= 0.985


def test_intervals_of_few_clips():
    assert np.isnan(bootstrap(made({("a", "id"): [0.5]}), lambda clip: clip.headline).low)
    pooled = bootstrap(made({("a", "id"): [0.5], ("b", "id"): [0.7]}), lambda clip: clip.headline)
    assert pooled.low < 0.6 < pooled.high
    assert bootstrap([], lambda clip: clip.headline).clips == 0
    assert bootstrap(made({("a", "id"): [None]}), lambda clip: clip.headline).mean == 0  # nothing in it to judge


def test_model_names_make_plain_folders(tmp_path):
    for name in ("../evil", "a/b", "", "x" * 300, "model, hint off", "."):
        folder = model_folder(tmp_path, name)
        assert folder.parent == tmp_path
        assert folder.name not in ("", ".", "..")
        assert len(folder.name) < 80
    assert model_folder(tmp_path, "a/b") != model_folder(tmp_path, "a-b")


def test_hostile_model_names_break_no_table(tmp_path):
    name = "=cmd|' /C calc'!A0 | <script>alert(1)</script>"
    model = Recorder()
    model.name = name
    run_suite(SMALL, model, tmp_path)
    rows = [row_of(found, clips) for found, _, clips in finished_models(SMALL, tmp_path)]
    write_leaderboard(tmp_path, rows, settings_of(SMALL))
    text = (tmp_path / "leaderboard.md").read_text("utf-8")
    assert "<script>" not in text
    counts = {line.replace("\\|", "").count("|") for line in text.splitlines()[2:5]}
    assert len(counts) == 1
    (line,) = csv.DictReader((tmp_path / "leaderboard.csv").open(encoding="utf-8"))
    assert line["model"] == "'" + name
    assert json.loads((tmp_path / "leaderboard.json").read_text("utf-8"))["rows"][0]["model"] == name


@pytest.mark.parametrize(
    "families", [("parabola",), pytest.param(("collision", "bouncing", "hoop"), marks=pytest.mark.slow)]
)
def test_truth_and_pybullet_score_alike_and_a_static_copy_far_worse(tmp_path, families):
    """Bars: PyBullet within .03 of MuJoCo, a static copy at least .15 below both, intervals apart."""
    config = SuiteConfig(num=2, families=families, pixels=64 if "hoop" in families else 48)
    rows = {}
    for name in ("truth", "pybullet", "static"):
        rows[name] = row_of(name, run_suite(config, load_generator(name), tmp_path)).headline
    assert rows["truth"].mean > 0.999
    assert rows["pybullet"].mean > rows["truth"].mean - 0.03
    assert rows["static"].mean < rows["pybullet"].mean - 0.15
    assert rows["static"].high < rows["pybullet"].low


def test_the_rasterised_prior_answers_planar_worlds_and_declines_others(tmp_path):
    config = dataclasses.replace(SMALL, families=("parabola", "looming"), pixels=64, num_frames=12)
    clips = run_suite(config, load_generator("prior"), tmp_path)
    assert [clip.answered for clip in clips] == [True, True, False, False]
    assert min(clip.headline for clip in clips[:2]) > 0.75
    assert "orthographic" in clips[2].reason


def test_the_verb_prints_a_row_and_writes_the_leaderboard(tmp_path, capsys):
    words = ["bench", "suite=core", "families=[parabola]", "num=2", "pixels=32", "num_frames=10", "players=2"]
    assert main([*words, "model=truth", f"out={tmp_path}"]) == 0
    assert main([*words, "model=static", f"out={tmp_path}"]) == 0
    out = capsys.readouterr().out
    assert "static" in out
    assert "gravity" in out
    document = json.loads((tmp_path / "leaderboard.json").read_text("utf-8"))
    assert [row["model"] for row in document["rows"]] == ["truth", "static"]
    assert document["rows"][0]["headline"]["mean"] == 1.0
    assert document["rows"][0]["laws"][0]["floor"] is not None
    page = (tmp_path / "report.html").read_text("utf-8")
    assert page.count("<article") == 2
    assert "truth, id" in page
    assert "| truth |" in (tmp_path / "leaderboard.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["suite=core"], "model: must be given"),
        (["suite=hard", "model=static"], "suite: must be one of core"),
        (["suite=core", "model=static", "num=0"], "num: must be"),
        (["suite=core", "model=static", "players=0"], "players: must be"),
        (["suite=core", "model=static", "videos=x"], "one must be given"),
        (["suite=core", "model=nothing"], "model: must be"),
        (
            ["suite=core", "model=phyworld-small", "model_args.solver=foo"],
            "model_args.solver: must be one of euler",
        ),
        (["suite=core", "model=phyworld-small", "model_args.steps=0"], "model_args.steps: must be a whole number of 1"),
        (["suite=core", "model=phyworld-small", "model_args.steps=2.5"], "model_args.steps: must be a whole number"),
        (["self_test=true", "num=0"], "num: must be a whole number of 1 or more, got 0"),
        (["self_test=true", "pixels=0"], "pixels: must be a whole number of 1 or more, got 0"),
        (["protocol=likephys", "model=x:y", "num=0"], "num: must be a whole number of 1 or more, got 0"),
        (["protocol=likephys", "model=x:y", "pixels=0"], "pixels: must be a whole number of 1 or more, got 0"),
        (["videos=x", "fps=0"], "fps: must be above 0, got 0"),
    ],
)
def test_mistakes_are_one_line(tmp_path, capsys, words, said):
    assert main(["bench", *words, f"out={tmp_path / 'out'}"]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_case_names_sort_as_they_are_asked():
    assert Case("hoop", "ood", 3, "").name == "hoop-ood-003"
