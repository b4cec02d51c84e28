"""The page holds all it shows, and takes no name for HTML; the verb makes it from a folder."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from pictures import draw, scene_of, straight

import worldsim as ws
from worldsim.benchmarks import Entry, write_report
from worldsim.cli import main
from worldsim.data import write_video
from worldsim.scene import save_scene

HOSTILE = "<img src=x onerror=alert(1)>\"'&.mp4"


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.seen, self.text, self.open = [], [], []

    def handle_starttag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))
        if tag not in ("meta", "img", "br", "rect" if False else "link"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def clip():
    scene = scene_of((1.0, 0.8), [(3.0, 6.0), (6.5, 3.0)], [(1.0, 0.0, 0.0), (-0.6, 0.0, -0.3)], frames=12)
    return scene, *draw(scene, straight([(3.0, 6.0), (6.5, 3.0)], [(1.0, 0.0), (-0.6, -0.3)], 12, 10.0))


def test_the_page_is_self_contained_and_safe(clip, tmp_path):
    scene, video, ids = clip
    report = ws.score(video, masks=ids, scene=scene)
    noted = replace(report, notes=("<script>alert(2)</script>",))
    write_report(tmp_path / "report.html", [Entry(HOSTILE, video, noted), Entry("b", video, report)], title="<b>t</b>")
    page = (tmp_path / "report.html").read_text("utf-8")
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert sum(tag == "script" for tag, _ in tags.seen) == 1
    assert not any(tag in ("img", "b") for tag, _ in tags.seen)
    assert HOSTILE in tags.text
    sources = [a["src"] for tag, a in tags.seen if tag == "video"]
    assert len(sources) == 4
    assert all(s.startswith("data:video/mp4;base64,") for s in sources)
    assert not re.search(r"https?://", page)
    # One strip a law that applies and video, one bar a frame.
    applying = sum(figure.applies for figure in report.figures.values())
    assert sum(tag == "svg" for tag, _ in tags.seen) == 2 * applying
    assert sum(tag == "rect" for tag, _ in tags.seen) == 2 * applying * 12
    for law in report.figures:
        assert law in tags.text


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


def test_the_verb_refuses_folders_without_videos(tmp_path, capsys):
    assert main(["bench", f"videos={tmp_path}"]) == 2
    assert main(["bench"]) == 2
    assert main(["bench", f"videos={tmp_path / 'none'}"]) == 2
    assert "Traceback" not in capsys.readouterr().err
