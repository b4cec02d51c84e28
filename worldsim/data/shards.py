"""Tar shards in the WebDataset layout (KEY.MEMBER names) with a JSON index of offsets, hashes, seeds and versions.

The index of shard-00000.tar is shard-00000.json beside it. The tar is renamed into place last: where it exists, it is
whole and so is its index. Headers carry no time and no owner, so that equal samples give equal bytes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any

from worldsim.scene import from_dict
from worldsim.scene.errors import DataError
from worldsim.scene.files import PathLike, commit, full_disk, temporary_name, write_bytes

INDEX_VERSION = 1
_BLOCK = 512
REMEDY = "delete the shard and run the command that made it again, or leave it out with exclude=[{name!r}]"


@dataclass(frozen=True)
class Member:
    """Where one member of a sample lies.

    Attributes:
        offset: Of its first byte in the tar.
        size: Bytes.
        sha256: Of its bytes, in hexadecimal.
    """

    offset: int
    size: int
    sha256: str


@dataclass(frozen=True)
class Sample:
    """One rollout of a shard.

    Attributes:
        key: What its member names begin with.
        members: Member name to place.
        facts: Plain values to choose samples by without opening them: family, seed, split, role, engine and so on.
    """

    key: str
    members: dict[str, Member]
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ShardIndex:
    """What a shard holds.

    Attributes:
        shard: File name of the tar, in the folder of the index.
        size: Of the tar, bytes.
        sha256: Of the tar, in hexadecimal.
        samples: In the order in which they were written.
    """

    shard: str
    size: int
    sha256: str
    samples: tuple[Sample, ...]


def check_name(name: str, where: str) -> str:
    """Refuse names that would lead out of their folder."""
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or ":" in name:
        raise DataError(f"{where}: names must stay inside the shard, got {name!r}; do not use this file")
    return name


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, 0o644, 0
    return info.tobuf(format=tarfile.USTAR_FORMAT)


class ShardWriter:
    """Writes samples to a shard that comes into being whole when the with block ends, or not at all.

    Args:
        path: Of the tar; the index takes its name with the suffix .json.
    """

    def __init__(self, path: PathLike) -> None:
        self.path = Path(path)
        self._temporary = temporary_name(self.path)
        self._samples: list[Sample] = []
        self._offset = 0
        self._hash = hashlib.sha256()

    def __enter__(self) -> ShardWriter:
        self._file = open(self._temporary, "wb")
        return self

    def _append(self, data: bytes) -> None:
        self._file.write(data)
        self._hash.update(data)
        self._offset += len(data)

    def add(self, key: str, members: Mapping[str, bytes], facts: Mapping[str, Any]) -> None:
        """Append a sample; keys have no dot, since what follows the first dot is the member's name."""
        check_name(key, str(self.path))
        if "." in key or "/" in key:
            raise ValueError(f"key: must be without '.' and '/', got {key!r}")
        places = {}
        for name, data in members.items():
            self._append(_header(f"{key}.{name}", len(data)))
            places[name] = Member(self._offset, len(data), hashlib.sha256(data).hexdigest())
            self._append(data)
            self._append(b"\0" * (-len(data) % _BLOCK))
        self._samples.append(Sample(key, places, dict(facts)))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if kind is None:
                self._append(b"\0" * 2 * _BLOCK)
            self._file.close()
            if kind is None:
                index = ShardIndex(self.path.name, self._offset, self._hash.hexdigest(), tuple(self._samples))
                write_index(self.path.with_suffix(".json"), index)
                commit(self._temporary, self.path)
        except OSError as failure:
            error = failure
            raise
        finally:
            self._temporary.unlink(missing_ok=True)
            if isinstance(error, OSError) and (full := full_disk(error, self.path)):
                raise full from None


def write_index(path: PathLike, index: ShardIndex) -> None:
    """Write an index whole or not at all."""
    document = {"schema": "worldsim.shard", "version": INDEX_VERSION, **dataclasses.asdict(index)}
    write_bytes(path, json.dumps(document, separators=(",", ":"), allow_nan=False).encode() + b"\n")


def read_index(path: PathLike) -> ShardIndex:
    """The index of a shard; the path is that of the index or of the tar.

    Raises:
        DataError: Where it is missing, damaged, of a newer version, names files outside its folder, or
            disagrees with the size of the tar.
    """
    source = Path(path).with_suffix(".json")
    remedy = REMEDY.format(name=source.stem)
    try:
        document = json.loads(source.read_bytes())
    except FileNotFoundError:
        raise DataError(f"{source}: must lie beside its shard, is missing; {remedy}") from None
    except ValueError as error:
        raise DataError(f"{source}: must be JSON, {error}; {remedy}") from None
    if not isinstance(document, dict) or document.pop("schema", None) != "worldsim.shard":
        raise DataError(f"{source}: must be a worldsim.shard document; {remedy}")
    version = document.pop("version", None)
    if not isinstance(version, int) or version > INDEX_VERSION:
        raise DataError(
            f"{source}: version must be at most {INDEX_VERSION}, got {version!r}; "
            "a newer worldsim wrote it, upgrade to read it"
        )
    index = _build_index(document, source, remedy)
    tar = source.with_name(check_name(index.shard, str(source)))
    if not tar.exists():
        raise DataError(f"{tar}: must lie beside its index, is missing; {remedy}")
    if tar.stat().st_size != index.size:
        raise DataError(
            f"{tar}: must have {index.size} bytes by its index, has {tar.stat().st_size}; "
            f"it is truncated or not the shard that was indexed: {remedy}"
        )
    return index


def _build_index(document: dict[str, Any], source: Path, remedy: str) -> ShardIndex:
    try:
        samples = []
        for row in document.pop("samples"):
            members = {
                check_name(name, str(source)): from_dict(Member, place, f"{row['key']}.{name}")
                for name, place in row["members"].items()
            }
            samples.append(Sample(check_name(row["key"], str(source)), members, row["facts"]))
        return ShardIndex(samples=tuple(samples), **document)
    except DataError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataError(f"{source}: must be an index of samples, {error!r}; {remedy}") from None


def read_members(tar: PathLike, sample: Sample, names: list[str]) -> dict[str, bytes]:
    """The bytes of those of the named members that the sample has, each checked against its hash.

    Raises:
        DataError: Where the shard is missing, truncated, bit-flipped or not what its index says.
    """
    path = Path(tar)
    remedy = REMEDY.format(name=path.stem)
    out = {}
    try:
        with open(path, "rb") as file:
            for name in names:
                if (place := sample.members.get(name)) is None:
                    continue
                file.seek(place.offset)
                data = file.read(place.size)
                if hashlib.sha256(data).hexdigest() != place.sha256:
                    state = "is truncated" if len(data) < place.size else "has changed since it was written"
                    raise DataError(
                        f"{path}: {sample.key}.{name} must have the sha256 of its index, the shard {state}; {remedy}"
                    )
                out[name] = data
    except FileNotFoundError:
        raise DataError(f"{path}: must lie beside its index, is missing; {remedy}") from None
    return out


def scan_tar(path: PathLike) -> ShardIndex:
    """The index of a WebDataset tar that has none, by reading it through.

    Raises:
        DataError: Where it is no whole tar, or holds links, folders or names that lead outside.
    """
    source = Path(path)
    samples: dict[str, dict[str, Member]] = {}
    try:
        with tarfile.open(source, "r:") as tar:
            for info in tar:
                check_name(info.name, str(source))
                if not info.isreg():
                    raise DataError(
                        f"{source}: must hold plain files only, {info.name!r} is none; do not use this file"
                    )
                key, _, member = info.name.partition(".")
                data = tar.extractfile(info)
                content = data.read() if data else b""
                if len(content) != info.size:
                    raise DataError(
                        f"{source}: {info.name} must have {info.size} bytes, has {len(content)}; "
                        "the file is truncated: copy or make it again"
                    )
                places = samples.setdefault(key, {})
                places[member] = Member(info.offset_data, info.size, hashlib.sha256(content).hexdigest())
    except FileNotFoundError:
        raise FileNotFoundError(f"{source}: must be a tar shard, there is no such file") from None
    except tarfile.TarError as error:
        raise DataError(f"{source}: must be a whole tar, {error}; copy or make it again") from None
    with open(source, "rb") as file:
        file.seek(-min(2 * _BLOCK, os.path.getsize(source)), os.SEEK_END)
        if file.read() != b"\0" * 2 * _BLOCK:
            raise DataError(f"{source}: must end in two empty blocks; it is truncated: copy or make it again")
    rows = tuple(Sample(key, members) for key, members in samples.items())
    return ShardIndex(source.name, os.path.getsize(source), file_hash(source), rows)


def file_hash(path: PathLike) -> str:
    """The sha256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
