"""Scenes and setups as JSON: exact round trip, a schema version, and a place for migrations."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from worldsim.scene.files import write_bytes
from worldsim.scene.scene import SCHEMA_VERSION, Scene, Setup
from worldsim.scene.shapes import SHAPES

T = TypeVar("T")

# A function for each schema version that turns its dict into the next version's.
MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}


def to_dict(value: Any) -> Any:
    """Plain JSON values from a scene dataclass; shapes carry their kind."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: to_dict(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"kind": value.kind, **fields} if type(value) in SHAPES.values() else fields  # type: ignore[attr-defined]
    if isinstance(value, tuple):
        return [to_dict(item) for item in value]
    return value


def _build(kind: Any, data: Any, where: str) -> Any:
    origin = typing.get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        options = [option for option in typing.get_args(kind) if option is not type(None)]
        if data is None:
            if len(options) == len(typing.get_args(kind)):
                raise ValueError(f"{where}: must not be null")
            return None
        if set(options) <= set(SHAPES.values()):
            return _build_shape(data, where)
        return _build(options[0], data, where)
    if origin is tuple:
        if not isinstance(data, list):
            raise ValueError(f"{where}: must be a list, got {data!r}")
        item = typing.get_args(kind)[0]
        return tuple(_build(item, value, f"{where}[{i}]") for i, value in enumerate(data))
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _build_dataclass(kind, data, where)
    if kind is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if kind in (float, int, str, bool) and (not isinstance(data, kind) or (kind is int and isinstance(data, bool))):
        raise ValueError(f"{where}: must be of type {kind.__name__}, got {data!r}")
    return data


def _build_shape(data: Any, where: str) -> Any:
    kind = data.get("kind") if isinstance(data, dict) else None
    if kind not in SHAPES:
        raise ValueError(f"{where}.kind: must be one of {', '.join(SHAPES)}, got {kind!r}")
    return _build_dataclass(SHAPES[kind], {k: v for k, v in data.items() if k != "kind"}, where)


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    """Types of a dataclass's fields; resolving them anew for every body took most of the time of reading a scene."""
    return typing.get_type_hints(kind)


def _build_dataclass(kind: type[T], data: Any, where: str) -> T:
    if not isinstance(data, dict):
        raise ValueError(f"{where}: must be an object, got {data!r}")
    hints = _hints(typing.cast(Any, kind))
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for name in data:
        if name not in fields:
            raise ValueError(f"{where}.{name}: must be one of {', '.join(fields)}, got an unknown field")
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in data:
            raise ValueError(f"{where}.{name}: must be given, is missing")
    return kind(**{name: _build(hints[name], value, f"{where}.{name}") for name, value in data.items()})


def from_dict(kind: type[T], data: Any, where: str) -> T:
    """Build a scene dataclass from JSON values, refusing unknown fields and wrong types by name."""
    return _build_dataclass(kind, data, where)


def dumps(value: Scene | Setup) -> str:
    """JSON text of a scene or setup, with its schema version."""
    name = "scene" if isinstance(value, Scene) else "setup"
    return json.dumps({"schema": f"worldsim.{name}", "version": SCHEMA_VERSION, name: to_dict(value)}, allow_nan=False)


def _loads(kind: type[T], name: str, text: str, where: str) -> T:
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{where}: must be JSON, {error}") from None
    if not isinstance(data, dict) or data.get("schema") != f"worldsim.{name}":
        raise ValueError(f"{where}: must be a worldsim.{name} document")
    version = data.get("version")
    if not isinstance(version, int) or version < 1:
        raise ValueError(f"{where}.version: must be a whole number from 1, got {version!r}")
    if version > SCHEMA_VERSION:
        raise ValueError(
            f"{where}.version: must be at most {SCHEMA_VERSION}, got {version}; "
            "a newer worldsim wrote it, upgrade to read it"
        )
    body: Any = data.get(name)
    for step in range(version, SCHEMA_VERSION):
        body = MIGRATIONS[step](body)
    return from_dict(kind, body, where)


def loads_scene(text: str, where: str = "scene") -> Scene:
    """A Scene from JSON text; `where` names it in errors."""
    return _loads(Scene, "scene", text, where)


def loads_setup(text: str, where: str = "setup") -> Setup:
    """A Setup from JSON text; `where` names it in errors."""
    return _loads(Setup, "setup", text, where)


def save_scene(scene: Scene, path: str | os.PathLike[str]) -> None:
    """Write a scene as JSON, whole or not at all."""
    write_bytes(path, dumps(scene).encode("utf-8"))


def load_scene(path: str | os.PathLike[str]) -> Scene:
    """Read a scene that save_scene wrote."""
    return loads_scene(Path(path).read_text(encoding="utf-8"), where=str(path))
