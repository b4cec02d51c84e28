"""A Rollout as named byte members, and back. Equal rollouts give equal bytes; nothing is pickled.

Members: scene.json, video.mp4, ids.zst, depth.zst, trajectory.safetensors.zst, contacts.safetensors.zst,
actions.safetensors.zst, caption.json, events.json, meta.json. A rollout that was not rendered has no video, ids and
depth members.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import torch

from worldsim.data.arrays import decode_arrays, decode_depth, decode_ids, encode_arrays, encode_depth, encode_ids
from worldsim.data.video import decode_video, encode_video
from worldsim.engines import Contacts, Rollout
from worldsim.physics import Trajectory
from worldsim.scene import Scene, dumps, loads_scene
from worldsim.scene.errors import DataError

ROLLOUT_VERSION = 1

# What a reader may ask for -> the member that holds it. The scene and meta.json are always read.
PARTS: dict[str, str] = {
    "video": "video.mp4",
    "ids": "ids.zst",
    "depth": "depth.zst",
    "trajectory": "trajectory.safetensors.zst",
    "contacts": "contacts.safetensors.zst",
    "actions": "actions.safetensors.zst",
    "caption": "caption.json",
    "events": "events.json",
}
PICTURES = ("video", "ids", "depth")
ALWAYS = ("scene.json", "meta.json")
RGB = {"fast": "h264-444", "exact": "exact"}

_TENSORS = tuple(f.name for f in dataclasses.fields(Trajectory) if f.name != "dt")
_CONTACTS = tuple(f.name for f in dataclasses.fields(Contacts))


def _plain(value: Any) -> Any:
    """Numpy values that engines and captions leave in their dicts, as JSON values."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray | torch.Tensor):
        return value.tolist()
    raise TypeError(f"must be plain values, got {type(value).__name__}")


def to_json(value: Any, where: str) -> bytes:
    """JSON bytes, refusing what JSON has no word for."""
    try:
        return json.dumps(value, allow_nan=False, default=_plain, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: must be JSON values, {error}") from None


def from_json(data: bytes, where: str) -> Any:
    """The value of JSON bytes; `where` names them in errors."""
    try:
        return json.loads(data)
    except ValueError as error:
        raise DataError(f"{where}: must be JSON, {error}; copy or make the file again") from None


def encode_rollout(rollout: Rollout, rgb: str = "fast", source: Mapping[str, Any] | None = None) -> dict[str, bytes]:
    """Bytes of each member of a rollout.

    Args:
        rollout: To be stored.
        rgb: "fast" (H.264 at crf 18 in full chroma) or "exact" (lossless).
        source: Plain values on where the rollout comes from (split, role, preset), kept in meta.json.

    Raises:
        ValueError: Where an argument or a field of the rollout cannot be stored.
    """
    if rgb not in RGB:
        raise ValueError(f"rgb: must be one of {', '.join(RGB)}, got {rgb!r}")
    trajectory = rollout.trajectory
    members = {
        "scene.json": dumps(rollout.scene).encode(),
        "trajectory.safetensors.zst": encode_arrays(
            {n: getattr(trajectory, n).detach().cpu().numpy() for n in _TENSORS}
        ),
        "contacts.safetensors.zst": encode_arrays({n: getattr(rollout.contacts, n) for n in _CONTACTS}),
        "actions.safetensors.zst": encode_arrays({"actions": rollout.actions}),
        "caption.json": to_json(rollout.caption, "caption"),
        "events.json": to_json(rollout.events, "events"),
        "meta.json": to_json(_meta(rollout, rgb, source), "info"),
    }
    if len(rollout.video):
        members["video.mp4"] = encode_video(rollout.video, rollout.scene.fps, RGB[rgb])
        members["ids.zst"] = encode_ids(rollout.ids)
        members["depth.zst"] = encode_depth(rollout.depth, rollout.scene.camera.far)
    return dict(sorted(members.items()))


def _meta(rollout: Rollout, rgb: str, source: Mapping[str, Any] | None) -> dict[str, Any]:
    from worldsim import __version__

    return {
        "schema": "worldsim.rollout",
        "version": ROLLOUT_VERSION,
        "worldsim": __version__,
        "engine": rollout.engine,
        "engine_version": rollout.engine_version,
        "family": rollout.scene.family,
        "seed": rollout.scene.seed,
        "frames": rollout.trajectory.num_frames,
        "pictures": len(rollout.video),
        "size": [rollout.scene.camera.height, rollout.scene.camera.width],
        "dt": rollout.trajectory.dt,
        "rgb": rgb,
        "source": dict(source or {}),
        "info": rollout.info,
    }


def wanted_members(parts: Collection[str] | None) -> list[str]:
    """The members to read for the named parts; None is all of them."""
    for part in parts or ():
        if part not in PARTS:
            raise ValueError(f"parts: must be among {', '.join(PARTS)}, got {part!r}")
    return [*ALWAYS, *(member for part, member in PARTS.items() if parts is None or part in parts)]


def read_meta(data: bytes, where: str) -> dict[str, Any]:
    """The meta.json of a rollout, refusing other documents and newer versions."""
    meta = from_json(data, where)
    if not isinstance(meta, dict) or meta.get("schema") != "worldsim.rollout":
        raise DataError(f"{where}: must be a worldsim.rollout document; copy or make the file again")
    version = meta.get("version")
    if not isinstance(version, int) or version > ROLLOUT_VERSION:
        raise DataError(
            f"{where}: version must be at most {ROLLOUT_VERSION}, got {version!r}; "
            "a newer worldsim wrote it, upgrade to read it"
        )
    return meta


def _scene(data: bytes, where: str) -> Scene:
    try:
        return loads_scene(data.decode(), where)
    except DataError:
        raise
    except ValueError as error:
        raise DataError(str(error)) from None


def decode_rollout(
    members: Mapping[str, bytes], where: str = "rollout", parts: Collection[str] | None = None
) -> Rollout:
    """The rollout that encode_rollout wrote.

    Args:
        members: Name to bytes; those that `parts` does not ask for may be missing.
        where: Names the rollout in errors, such as its shard and key.
        parts: Of PARTS, what to decode; None is everything. What is not decoded comes back empty: no frames in
            pictures, the start state alone as the trajectory, no contacts, (0, 0) actions, no text.

    Raises:
        DataError: Where a member is missing, damaged, of a newer version, or disagrees with the others.
    """
    for name in ALWAYS:
        if name not in members:
            raise DataError(f"{where}/{name}: must be there, is missing; make the shard again")
    meta = read_meta(members["meta.json"], f"{where}/meta.json")
    scene = _scene(members["scene.json"], f"{where}/scene.json")
    wanted = PARTS if parts is None else parts
    height, width = scene.camera.height, scene.camera.width

    def part(name: str, decode: Callable[[bytes, str], Any], empty: Any) -> Any:
        absent_picture = name in PICTURES and meta["pictures"] == 0
        if name not in wanted or absent_picture:
            return empty
        if PARTS[name] not in members:
            raise DataError(f"{where}/{PARTS[name]}: must be there, is missing; make the shard again")
        return decode(members[PARTS[name]], f"{where}/{PARTS[name]}")

    def tensors(data: bytes, at: str) -> Trajectory:
        arrays = decode_arrays(data, _TENSORS, at)
        return Trajectory(**{n: torch.from_numpy(arrays[n].copy()) for n in _TENSORS}, dt=meta["dt"])

    def contacts(data: bytes, at: str) -> Contacts:
        arrays = decode_arrays(data, _CONTACTS, at)
        return Contacts(**{n: arrays[n] for n in _CONTACTS})

    try:
        rollout = Rollout(
            scene=scene,
            video=part("video", lambda b, at: decode_video(b, at)[0], np.zeros((0, height, width, 3), np.uint8)),
            ids=part("ids", decode_ids, np.zeros((0, height, width), np.uint8)),
            depth=part("depth", decode_depth, np.zeros((0, height, width), np.float32)),
            trajectory=part("trajectory", tensors, None) or _at_start(scene),
            contacts=part("contacts", contacts, Contacts.empty()),
            actions=part(
                "actions", lambda b, at: decode_arrays(b, ("actions",), at)["actions"], np.zeros((0, 0), np.float32)
            ),
            engine=meta["engine"],
            engine_version=meta["engine_version"],
            events=part("events", from_json, []),
            caption=part("caption", from_json, {}),
            info=meta["info"],
        )
    except KeyError as error:
        raise DataError(f"{where}/meta.json: must hold {error}, is missing; make the shard again") from None
    _check_agreement(rollout, meta, wanted, where)
    return rollout


def _at_start(scene: Scene) -> Trajectory:
    """The (1, N, ...) start states."""
    return Trajectory.start_of([scene], torch.float64).map(lambda tensor: tensor[0])


def _check_agreement(rollout: Rollout, meta: Mapping[str, Any], wanted: Collection[str], where: str) -> None:
    camera, bodies = rollout.scene.camera, len(rollout.scene.bodies)
    expected: dict[str, tuple[int, ...]] = {
        "video": (meta["pictures"], camera.height, camera.width, 3),
        "ids": (meta["pictures"], camera.height, camera.width),
        "depth": (meta["pictures"], camera.height, camera.width),
    }
    found = {name: getattr(rollout, name).shape for name in PICTURES}
    expected["trajectory"] = (meta["frames"], bodies, 3)
    found["trajectory"] = tuple(rollout.trajectory.position.shape)
    for name in expected:
        if name in wanted and found[name] != expected[name]:
            raise DataError(
                f"{where}/{PARTS[name]}: must have shape {expected[name]} by its scene and meta.json, "
                f"got {found[name]}; make the shard again"
            )
