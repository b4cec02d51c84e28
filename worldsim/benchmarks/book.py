"""Results that are kept one scene a line: a run that was stopped goes on, and pieces of a run make one table."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from worldsim.benchmarks.trials import SceneTrials, Trial


class Book:
    """Results a scene a line in a file, by key; those of another state of the benchmark's code do not count.

    Args:
        path: Of the file; None keeps nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.lines: dict[str, dict[str, Any]] = {}
        if path is not None and path.exists():
            text = path.read_text("utf-8")
            if text and not text.endswith("\n"):
                path.write_text(text + "\n", "utf-8")
            for line in text.splitlines():
                try:
                    told = json.loads(line)
                except json.JSONDecodeError:
                    continue  # the line that was being written when a run was stopped
                if told["code"] == fingerprint():
                    self.lines[told["key"]] = told["value"]

    def put(self, key: str, value: Mapping[str, Any]) -> None:
        """Keep one result."""
        self.lines[key] = dict(value)
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            line = json.dumps({"code": fingerprint(), "key": key, "value": value}) + "\n"
            # One unbuffered write a line, so that runs of different families may share a file.
            with self.path.open("ab", buffering=0) as file:
                file.write(line.encode())


def scene_of(told: Mapping[str, Any]) -> SceneTrials:
    """SceneTrials from dataclasses.asdict of them."""
    return SceneTrials(**{**told, "trials": tuple(Trial(**trial) for trial in told["trials"])})


@functools.cache
def fingerprint() -> str:
    """Hash of the code that reads: the benchmark's and that of the laws, without the fitted tables."""
    found = hashlib.sha256()
    for room in ("worldsim.benchmarks", "worldsim.physics.violations"):
        for file in sorted(resources.files(room).iterdir(), key=lambda entry: entry.name):
            if file.name.endswith(".py"):
                found.update(file.name.encode() + file.read_bytes())
    return found.hexdigest()[:16]
