"""Videos that were made elsewhere, named by scene: hoop-ood-003.mp4, or a folder of frames of that name."""

from __future__ import annotations

from pathlib import Path

from worldsim.benchmarks.suite.generator import Question, UInt8, Unanswered
from worldsim.benchmarks.video_files import find_videos
from worldsim.benchmarks.video_input import load_video


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
