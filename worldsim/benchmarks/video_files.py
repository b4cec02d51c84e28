"""Which videos a folder holds, and which masks lie beside one."""

from __future__ import annotations

from pathlib import Path

from worldsim.data.video import IMAGE_SUFFIXES

VIDEO_SUFFIXES = (".mp4", ".gif", ".webm", ".mov", ".avi", ".mkv")
_MASKS = "_masks"  # end of the name of a folder of masks


def find_videos(folder: Path) -> list[Path]:
    """Videos and folders of frames in a folder, in order of their names; mask folders are none."""
    found = []
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.name.endswith(_MASKS):
            if any(file.suffix.lower() in IMAGE_SUFFIXES for file in path.iterdir()):
                found.append(path)
        elif path.suffix.lower() in VIDEO_SUFFIXES:
            found.append(path)
    return found


def videos_in(folder: Path) -> list[Path]:
    """Videos and folders of frames in a folder, as find_videos, at least one.

    Raises:
        FileNotFoundError: Where there is no such folder.
        ValueError: Where it holds none.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: must be a folder of videos, there is no such folder")
    found = find_videos(folder)
    if not found:
        raise ValueError(f"videos: must be a folder that holds videos ({', '.join(VIDEO_SUFFIXES)}), {folder} has none")
    return found


def base_of(video: Path) -> Path:
    """The path that what belongs to a video begins with: its own without the suffix, or that of its frames' folder."""
    return video.with_suffix("") if video.is_file() else video


def masks_beside(video: Path) -> Path | None:
    """NAME.npz or the folder NAME_masks beside a video; None where neither is there."""
    base = base_of(video)
    beside = (base.with_name(base.name + ".npz"), base.with_name(base.name + _MASKS))
    return next((candidate for candidate in beside if candidate.exists()), None)
