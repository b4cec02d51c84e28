"""Videos that were made elsewhere, named by scene: hoop-ood-003.mp4, or a folder of frames of that name."""

from __future__ import annotations

from pathlib import Path

from worldsim.benchmarks.suite.generators import Question, UInt8, Unanswered
from worldsim.benchmarks.video_input import load_video
from worldsim.data.video import IMAGE_SUFFIXES

VIDEO_SUFFIXES = (".mp4", ".gif", ".webm", ".mov", ".avi", ".mkv")


def find_videos(folder: Path) -> list[Path]:
    """Videos and folders of frames in a folder, in order of their names; mask folders are none."""
    found = []
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.name.endswith("_masks"):
            if any(file.suffix.lower() in IMAGE_SUFFIXES for file in path.iterdir()):
                found.append(path)
        elif path.suffix.lower() in VIDEO_SUFFIXES:
            found.append(path)
    return found


class VideoFolder:
    """A folder of answers. A video holds the new frames, or the context and then the new frames."""

    def __init__(self, folder: Path) -> None:
        """Find the videos; two of one name are refused."""
        self.name = Path(folder).resolve().name
        self._videos: dict[str, Path] = {}
        for path in find_videos(Path(folder)):
            case = path.name if path.is_dir() else path.stem
            if case in self._videos:
                raise ValueError(f"model: must hold one video a scene, got {self._videos[case]} and {path}")
            self._videos[case] = path

    def answer(self, question: Question) -> UInt8:
        """The video of that scene.

        Raises:
            Unanswered: Where there is none.
        """
        path = self._videos.get(question.case)
        if path is None:
            raise Unanswered(f"no video named {question.case}")
        frames = load_video(path, question.truth.scene.fps).frames
        context = question.context
        new = len(question.truth.video) - context
        if len(frames) not in (new, new + context):
            raise ValueError(
                f"{path}: must have {new} new frames, or {new + context} with the context, has {len(frames)}"
            )
        return frames[-new:]
