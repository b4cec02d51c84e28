"""What a user's word for a model stands for."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worldsim.benchmarks.suite.baselines import BASELINES
from worldsim.benchmarks.suite.checkpoints import CheckpointGenerator, is_world_model
from worldsim.benchmarks.suite.generator import CallableGenerator, Generator, Reference, check_arguments
from worldsim.benchmarks.suite.pipelines import load_pipeline
from worldsim.benchmarks.suite.video_folder import VideoFolder
from worldsim.benchmarks.video_files import find_videos


def load_generator(model: Any, arguments: Mapping[str, Any] | None = None) -> Generator | Reference:
    """The generator that a word stands for.

    Args:
        model: One of "truth", "pybullet", "static" and "prior"; "package.module:function" (or a class that makes a
            Generator); "diffusers:FOLDER_OR_NAME"; a folder with a pipeline, with videos named by scene, or with a
            checkpoint; the name of a shipped checkpoint. Or a Generator, a WorldModel or a function itself.
        arguments: Further arguments of the model, such as steps.

    Raises:
        ValueError: Where nothing of that name is found, or arguments are unknown.
    """
    given = dict(arguments or {})
    if not isinstance(model, str | Path):
        return _of_object(model, given)
    word = str(model)
    if word in BASELINES:
        return _made(BASELINES[word], given, word)
    if word.startswith("diffusers:"):
        return load_pipeline(word.removeprefix("diffusers:"), given)
    path = Path(word)
    if path.is_dir():
        if (path / "model_index.json").exists():
            return load_pipeline(word, given)
        if find_videos(path):
            return _made(VideoFolder, {"folder": path, **given}, word)
    elif ":" in word:
        return _imported(word, given)
    return _made(CheckpointGenerator, {"model": word, "name": path.name, **given}, word)


def _of_object(model: Any, given: dict[str, Any]) -> Generator | Reference:
    if is_world_model(model):
        return _made(CheckpointGenerator, {"model": model, "name": "WorldModel", **given}, "a WorldModel")
    if isinstance(model, Generator | Reference):
        if given:
            raise ValueError(f"model_args: must be empty for a generator that is made already, got {given}")
        return model
    if callable(model):
        return CallableGenerator(getattr(model, "__qualname__", type(model).__name__), model, given)
    raise ValueError(f"model: must be a word, a generator or a function, got {type(model).__name__}")


def _imported(word: str, given: dict[str, Any]) -> Generator | Reference:
    module, _, name = word.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"model: must be package.module:function, {word} cannot be imported: {error}") from error
    if inspect.isclass(found):
        return _of_object(_made(found, given, word), {})
    if isinstance(found, Generator | Reference):
        return _of_object(found, given)
    return CallableGenerator(word, found, given)


def _made(kind: Any, given: Mapping[str, Any], word: str) -> Generator | Reference:
    check_arguments(kind, given, word)
    made: Generator | Reference = kind(**given)
    return made
