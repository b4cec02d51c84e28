"""Files that exist only once whole: temporary name, fsync, rename, fsync of the folder."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from worldsim.scene.errors import DataError

PathLike = str | os.PathLike[str]

TEMPORARY_PREFIX = ".partial-"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def temporary_name(path: PathLike) -> Path:
    """Where the bytes of `path` are gathered before the rename; carries the process id, so that two writers never meet.

    The suffix stays the last part of the name, since codecs choose the container by it.
    """
    target = Path(path)
    return target.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{target.name}")


def sync_folder(folder: PathLike) -> None:
    """Make renames within a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def commit(temporary: PathLike, path: PathLike) -> None:
    """Move a finished temporary file to its name, for good."""
    with open(temporary, "rb+") as file:
        os.fsync(file.fileno())
    os.replace(temporary, path)
    sync_folder(Path(path).parent)


def full_disk(error: OSError, path: PathLike) -> DataError | None:
    """The error to raise where a write failed for want of space, None for any other failure."""
    if error.errno not in _FULL:
        return None
    return DataError(
        f"{path}: must fit on its disk, which is full ({os.strerror(error.errno or 0)}); nothing half-written was "
        "kept: free space or choose another folder, then run the same command again"
    )


@contextmanager
def atomic_path(path: PathLike) -> Iterator[Path]:
    """Give a temporary path to write to; on success it takes its name, on failure it is removed.

    Raises:
        DataError: Where the disk is full.
    """
    temporary = temporary_name(path)
    try:
        yield temporary
        commit(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and (full := full_disk(error, path)):
            raise full from None
        raise


@contextmanager
def atomic_file(path: PathLike) -> Iterator[BinaryIO]:
    """As atomic_path, with the temporary file opened for writing."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        yield file


def write_bytes(path: PathLike, data: bytes) -> None:
    """Write a whole file or nothing."""
    with atomic_file(path) as file:
        file.write(data)


def read_json(path: PathLike) -> Any:
    """What a JSON file holds.

    Raises:
        ValueError: Where it cannot be read, or is no JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: must be readable JSON, {error}") from None


def remove_stale(folder: PathLike) -> int:
    """Remove what killed writers left behind in a folder that nobody else writes to; returns how many files."""
    stale = list(Path(folder).glob(f"{TEMPORARY_PREFIX}*"))
    for path in stale:
        path.unlink(missing_ok=True)
    return len(stale)
