"""The page holds all it shows, takes no name for HTML, marks what the figures say, and runs in a browser."""

import base64
import io
import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from pictures import draw, scene_of, straight
from PIL import Image

import worldsim as ws
from worldsim.benchmarks import Entry, write_report
from worldsim.benchmarks.report.distribution import Sample, panels
from worldsim.benchmarks.report.sheets import COLOURS, MAX_FRAMES, frame_sheets, mask_sheets, shown_frames, shown_size
from worldsim.benchmarks.report.timeline import ids_of, is_broken, marks, severity, worst_frames
from worldsim.cli import main
from worldsim.data import write_video
from worldsim.scene import save_scene

HOSTILE = "</script><img src=x onerror=alert(1)>\"'&{{7*7}}<!--.mp4"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
VOID = ("meta", "link", "input", "br")


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.seen, self.text, self.open = [], [], []

    def handle_starttag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def clip():
    scene = scene_of((1.0, 0.8), [(3.0, 6.0), (6.5, 3.0)], [(1.0, 0.0, 0.0), (-0.6, 0.0, -0.3)], frames=12)
    return scene, *draw(scene, straight([(3.0, 6.0), (6.5, 3.0)], [(1.0, 0.0), (-0.6, -0.3)], 12, 10.0))


@pytest.fixture(scope="module")
def overlapping():
    """Two discs that run through each other: centres meet in frame 6."""
    starts, velocities = [(2.0, 5.0), (8.0, 5.0)], [(5.0, 0.0), (-5.0, 0.0)]
    scene = scene_of((1.0, 1.0), starts, [(5.0, 0.0, 0.0), (-5.0, 0.0, 0.0)], frames=12)
    video, ids = draw(scene, straight(starts, velocities, 12, 10.0))
    return scene, video, ids, ws.score(video, masks=ids, scene=scene)


def decoded(sheets, frame, mode):
    each = sheets.columns * sheets.rows
    data = base64.b64decode(sheets.sources[frame // each].partition(",")[2])
    picture = np.asarray(Image.open(io.BytesIO(data)).convert(mode))
    x, y = frame % each % sheets.columns * sheets.width, frame % each // sheets.columns * sheets.height
    return picture[y : y + sheets.height, x : x + sheets.width]


def test_sheets_give_back_every_frame(clip):
    _, video, ids = clip
    frames, masks = frame_sheets(video), mask_sheets(ids)
    for t in range(len(video)):
        np.testing.assert_array_equal(decoded(frames, t, "RGB"), video[t])
        drawn = decoded(masks, t, "RGBA")
        np.testing.assert_array_equal(drawn[..., 3] > 0, ids[t] > 0)
        for k in (1, 2):
            assert (drawn[ids[t] == k][:, :3] == COLOURS[k - 1]).all()
    # More than one sheet holds, none larger than phones decode.
    several = frame_sheets(video, edge=200)
    assert (several.columns, several.rows, len(several.sources)) == (2, 2, 3)
    for t in range(len(video)):
        np.testing.assert_array_equal(decoded(several, t, "RGB"), video[t])
    assert shown_size(720, 1280) == (360, 640)


def test_long_videos_are_thinned_and_say_so(tmp_path):
    assert len(shown_frames(MAX_FRAMES)) == MAX_FRAMES
    assert MAX_FRAMES / 2 <= len(shown_frames(10 * MAX_FRAMES + 1)) <= MAX_FRAMES
    count = MAX_FRAMES + 20
    scene = scene_of((1.0,), [(5.0, 5.0)], frames=count, pixels=32)
    video, ids = draw(scene, straight([(5.0, 5.0)], [(0.0, 0.0)], count, 10.0))
    kept = shown_frames(count)
    report = ws.score(video, masks=ids, planar=True)
    write_report(tmp_path / "whole.html", [Entry("a", video, report)])
    write_report(tmp_path / "kept.html", [Entry("a", video[kept], replace(report, ids=ids[kept]))])
    page = (tmp_path / "whole.html").read_text("utf-8")
    assert page == (tmp_path / "kept.html").read_text("utf-8")
    assert f"{len(kept)} of {count} frames are on this page" in page
    with pytest.raises(ValueError, match="frames: must be"):
        Entry("a", video[:7], replace(report, ids=ids[:7]))


def test_the_page_is_self_contained_and_safe(clip, tmp_path):
    scene, video, ids = clip
    report = ws.score(video, masks=ids, scene=scene)
    noted = replace(report, notes=("<script>alert(2)</script>",))
    named = replace(scene.bodies[0], name=HOSTILE.replace("/", ""))
    entries = [Entry(HOSTILE, video, noted, truth=video, bodies=(named, *scene.bodies[1:])), Entry("b", video, report)]
    write_report(tmp_path / "report.html", entries, title="<b>t</b>")
    page = (tmp_path / "report.html").read_text("utf-8")
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert sum(tag == "script" for tag, _ in tags.seen) == 2
    assert not any(tag in ("img", "b") for tag, _ in tags.seen)
    assert not any(name.startswith("on") for _, attributes in tags.seen for name in attributes)
    assert HOSTILE in tags.text
    assert not re.search(r"https?://", page)
    assert "connect-src" not in page
    assert "default-src 'none'" in page
    # The players' data survive as they are, and end no script.
    block = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1]
    data = json.loads(block)
    assert [player["name"] for player in data] == [HOSTILE, "b"]
    assert data[0]["truth"] is not None
    assert data[1]["truth"] is None
    # One strip a law that applies and video.
    applying = sum(figure.applies for figure in report.figures.values())
    assert page.count(' over time"') == 2 * applying


def test_marks_lie_where_the_discs_overlap(overlapping):
    scene, _, ids, report = overlapping
    assert is_broken(report.figures["penetration"])
    names = [body.name for body in scene.bodies]
    found = marks(report, ids, np.arange(12), names)
    deep = [mark for mark in found[5] if mark.law == "penetration"]
    assert len(deep) == 1
    assert abs(deep[0].u - 48) < 12
    assert abs(deep[0].v - 48) < 3
    assert "ball_0" in deep[0].text
    assert "ball_1" in deep[0].text
    assert not [mark for mark in found[0] if mark.law == "penetration"]
    # Contacts are marked from the first frame in which the masks meet, x = 4 m and 6 m at frame 4.
    touching = [t for t in range(12) if any(not mark.law for mark in found[t])]
    assert touching[0] in (4, 5)
    assert not any(not mark.law for t in range(12) for mark in marks(report, ids, np.arange(12), names, (1, 2))[t])


def test_worst_frames_are_those_of_the_overlap(overlapping, clip):
    report = overlapping[3]
    worst = worst_frames(report)
    assert worst
    assert 5 <= worst[0][0] <= 8
    strength = severity(report.figures["penetration"])
    assert np.nanmax(strength[4:9]) > 0.9
    assert strength[0] == 0
    truth = ws.get_engine("mujoco").simulate(clip[0])
    assert worst_frames(ws.score(truth.video, masks=truth.ids, scene=truth)) == []


def test_an_excess_is_over_the_floor_that_is_known_and_infinite_where_nothing_is_measured(overlapping):
    figure = replace(overlapping[3].figures["penetration"], value=0.5, floor=0.1, reference=0.2)
    assert figure.excess == pytest.approx(2.0)
    assert replace(figure, floor=np.nan).excess == pytest.approx(2.5)
    hidden = replace(figure, value=np.nan, measurable=0.0)
    assert hidden.excess == np.inf
    assert is_broken(hidden)
    assert np.isnan(replace(hidden, applies=False).excess)
    assert not is_broken(replace(hidden, applies=False))


def test_subjects_are_found_by_name():
    names = ("a", "b", "c")
    assert ids_of("b", names) == (2,)
    assert ids_of("c / a", names) == (3, 1)
    assert ids_of("world", names) == ()


def test_panels_place_dots_by_their_excess():
    samples = [Sample("gravity", "m", "x", 0.0, "m/s^2", False), Sample("gravity", "m", "y", 4.0, "m/s^2", True)]
    samples.append(Sample("gravity", "m", "z", float("nan"), "m/s^2", True))
    (panel,) = panels(samples)
    (row,) = panel["rows"]
    assert [dot["broken"] for dot in row["dots"]] == [False, True]
    assert row["dots"][0]["x"] == panel["zero"]
    assert row["dots"][1]["x"] == panel["width"] - 6
    assert row["name"] == ""
    assert row["told"] == "2 of 3 broken, 1 not readable"


def test_no_entries_are_refused(tmp_path):
    with pytest.raises(ValueError, match="entries"):
        write_report(tmp_path / "r.html", [])


def test_the_verb_scores_a_folder_worst_first(clip, tmp_path, capsys):
    scene, video, ids = clip
    folder = tmp_path / "clips"
    folder.mkdir()
    write_video(folder / "good.mp4", video, 10.0, codec="exact")
    still = np.repeat(video[:1], len(video), 0)
    write_video(folder / "frozen.mp4", still, 10.0, codec="exact")
    np.savez(folder / "good.npz", ids=ids)
    save_scene(scene, tmp_path / "scene.json")
    words = [f"videos={folder}", f"scene={tmp_path / 'scene.json'}", f"out={tmp_path / 'out'}"]
    assert main(["bench", *words]) == 0
    scores = json.loads((tmp_path / "out" / "scores.json").read_text("utf-8"))
    assert list(scores) == ["frozen.mp4", "good.mp4"]
    assert scores["good.mp4"]["reader"] == "masks"
    assert scores["frozen.mp4"]["reader"] == "tracker"
    assert scores["frozen.mp4"]["headline"] < scores["good.mp4"]["headline"] - 0.1
    assert (tmp_path / "out" / "report.html").stat().st_size > 10_000
    assert "frozen.mp4" in capsys.readouterr().out


def test_a_video_without_an_object_does_not_stop_the_folder(clip, tmp_path, capsys):
    _, video, _ = clip
    folder = tmp_path / "clips"
    folder.mkdir()
    write_video(folder / "good.mp4", video, 10.0, codec="exact")
    write_video(folder / "blank.mp4", np.full_like(video, 200), 10.0, codec="exact")
    assert main(["bench", f"videos={folder}", f"out={tmp_path / 'out'}"]) == 0
    assert "nan" not in capsys.readouterr().out
    scores = json.loads((tmp_path / "out" / "scores.json").read_text("utf-8"))
    assert scores["blank.mp4"]["headline"] is None
    assert 0 < scores["good.mp4"]["headline"] <= 1
    tags = Tags()
    tags.feed((tmp_path / "out" / "report.html").read_text("utf-8"))
    told = " ".join(" ".join(tags.text).split())
    assert re.search(r"blank\.mp4 cannot be measured 0% ", told)  # its line of the table
    assert "no law can be asked of this video, so that there is no headline" in told
    assert told.count("No frame breaks a law by more than its threshold.") == 1  # of the other one
    blank = ws.score(np.full_like(video, 200))
    assert json.loads(blank.to_json())["headline"] is None
    assert str(blank).startswith("headline cannot be measured")


def test_the_verb_refuses_folders_without_videos(tmp_path, capsys):
    assert main(["bench", f"videos={tmp_path}"]) == 2
    assert main(["bench"]) == 2
    assert main(["bench", f"videos={tmp_path / 'none'}"]) == 2
    assert "Traceback" not in capsys.readouterr().err


def browse(*words):
    base = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=8000"]
    return subprocess.run([*base, *words], capture_output=True, text=True, timeout=240)


# Presses keys as a user would and writes down what the page then shows.
PRESS = """
<script>
players[0].load().then(() => {
  const log = [], clock = () => document.querySelector(".current .clock").textContent;
  const press = key => document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  press("Home"); log.push(clock());
  press("ArrowRight"); log.push(clock());
  press("End"); log.push(clock());
  press("w"); log.push(clock());
  press("m"); log.push(document.querySelector(".current [data-do=masks]").getAttribute("aria-pressed"));
  const canvas = document.querySelector(".current canvas[data-screen]");
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  log.push(new Set(pixels).size > 3 ? "drawn" : "blank");
  press("n"); log.push(document.querySelector(".current").id);
  press("p"); log.push(document.querySelector(".current").id);
  press(" ");
  setTimeout(() => {
    log.push(document.querySelector(".current [data-do=play]").textContent);
    press(" ");
    document.body.dataset.log = log.join("|");
  }, 300);
});
</script>
"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium in the path to open the page with")
def test_a_browser_runs_the_page(overlapping, tmp_path):
    scene, video, _, report = overlapping
    entries = [Entry(HOSTILE, video, report, truth=video, bodies=scene.bodies), Entry("b", video, report)]
    write_report(tmp_path / "report.html", entries)
    page = (tmp_path / "report.html").read_text("utf-8").replace("</body>", PRESS + "</body>")
    (tmp_path / "pressed.html").write_text(page, "utf-8")
    ran = browse("--enable-logging=stderr", "--dump-dom", (tmp_path / "pressed.html").as_uri())
    assert "CONSOLE" not in ran.stderr
    assert 'data-ready="yes"' in ran.stdout
    log = re.search(r'data-log="([^"]*)"', ran.stdout)[1].split("|")
    assert log[0].startswith("frame 0 ")
    assert log[1].startswith("frame 1 ")
    assert log[2].startswith("frame 11 ")
    assert re.match(r"frame [5-8] ", log[3])
    assert log[4:] == ["false", "drawn", "video-2", "video-1", "❚❚"]
    for width in (390, 1280):
        shot = tmp_path / f"{width}.png"
        browse(f"--window-size={width},1600", f"--screenshot={shot}", (tmp_path / "report.html").as_uri())
        picture = np.asarray(Image.open(shot).convert("RGB"))
        assert picture.shape[:2] == (1600, width)
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 100
