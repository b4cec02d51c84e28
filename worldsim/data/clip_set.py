"""Small clips of one layout, whole in memory: what studies at 32 and 64 px train and test on.

A set is a pair of files named family_split_role: tensors in safetensors, scenes as JSON lines. RolloutDataset is the
one for videos that do not fit into memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from worldsim.data.clip import Clip, to_float
from worldsim.engines import Rollout
from worldsim.physics import Bodies, LawParameters, Trajectory
from worldsim.scene import Scene, dumps, loads_scene
from worldsim.scene.files import atomic_path

VECTORS = ("position", "orientation", "linear_velocity", "angular_velocity")


@dataclass(frozen=True)
class SmallClip:
    """One clip to be written.

    Attributes:
        scene: With the camera of the pictures below.
        video: (T, H, W, 3) uint8.
        ids: (T, H, W) uint8, the id that covers most of each pixel.
        coverage: (T, M, H, W) uint8, the visible share of each pixel that each of the M moving bodies has, times 255.
        trajectory: (T, N, ...) of all bodies.
        contacts: (K, 3) onset in seconds and the two ids, of all touching pairs and frame intervals.
    """

    scene: Scene
    video: NDArray[np.uint8]
    ids: NDArray[np.uint8]
    coverage: NDArray[np.uint8]
    trajectory: Trajectory
    contacts: NDArray[np.float64]


def average_down(rollout: Rollout, scene: Scene) -> SmallClip:
    """A rollout drawn at a multiple of the scene's picture size, averaged down to it.

    Args:
        rollout: Whose pictures are k times as wide and high as scene.camera says.
        scene: That was played, with the small camera.
    """
    width = scene.camera.width
    factor, rest = divmod(rollout.video.shape[2], width)
    if rest or not factor or rollout.video.shape[1] != factor * scene.camera.height:
        raise ValueError(
            f"rollout.video: must be a whole multiple of {width} x {scene.camera.height} pixels, "
            f"got {rollout.video.shape[2]} x {rollout.video.shape[1]}"
        )

    def mean(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
        t, h, w, *rest = pictures.shape
        blocks = pictures.reshape(t, h // factor, factor, w // factor, factor, *rest)
        average: NDArray[np.float32] = blocks.mean((2, 4), dtype=np.float32)
        return average

    count = len(scene.bodies)
    shares = np.stack([mean((rollout.ids == k).astype(np.float32)) for k in range(count + 1)], 1)
    moving = [k + 1 for k, body in enumerate(scene.bodies) if not body.static]
    contacts = rollout.contacts
    return SmallClip(
        scene=scene,
        video=mean(rollout.video.astype(np.float32)).round().astype(np.uint8),
        ids=shares.argmax(1).astype(np.uint8),
        coverage=(shares[:, moving] * 255).round().astype(np.uint8),
        trajectory=rollout.trajectory,
        contacts=np.column_stack([contacts.onset, contacts.pair.astype(np.float64)]),
    )


def save_clips(folder: Path, family: str, split: str, role: str, clips: Sequence[SmallClip]) -> None:
    """Write a set; the tensors come last and whole, so that a set that is there is complete."""
    stem = f"{family}_{split}_{role}"
    tensors = {
        "video": torch.from_numpy(np.stack([clip.video for clip in clips])),
        "ids": torch.from_numpy(np.stack([clip.ids for clip in clips])),
        "coverage": torch.from_numpy(np.stack([clip.coverage for clip in clips])),
        "presence": torch.stack([clip.trajectory.presence.float() for clip in clips]),
        # Ragged: the first column says of which clip a row is.
        "contacts": torch.from_numpy(
            np.concatenate([np.insert(clip.contacts, 0, i, axis=1) for i, clip in enumerate(clips)])
        ),
    }
    for name in VECTORS:
        tensors[name] = torch.stack([getattr(clip.trajectory, name).float() for clip in clips])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stem}.jsonl").write_text("\n".join(dumps(clip.scene) for clip in clips), encoding="utf-8")
    with atomic_path(folder / f"{stem}.safetensors") as temporary:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary)


class ClipSet:
    """Clips of one family, split and role in memory.

    Attributes:
        tensors: (clips, T, ...) by name: video, ids, coverage, presence and the vectors of Trajectory; and contacts
            (K, 4), which hold clip, onset in seconds and the two ids.
        scenes: One a clip.
    """

    def __init__(self, folder: Path, family: str, split: str, role: str) -> None:
        stem = f"{family}_{split}_{role}"
        self.tensors = load_file(folder / f"{stem}.safetensors")
        lines = (folder / f"{stem}.jsonl").read_text(encoding="utf-8").splitlines()
        self.scenes = [loads_scene(line, where=stem) for line in lines]

    def __len__(self) -> int:
        return len(self.scenes)

    @property
    def num_frames(self) -> int:
        """Of every clip."""
        return self.tensors["video"].shape[1]

    @property
    def moving(self) -> list[int]:
        """Places in Scene.bodies of the bodies that coverage is of."""
        return [k for k, body in enumerate(self.scenes[0].bodies) if not body.static]

    def coverage(self, indices: Sequence[int], start: int, num_frames: int) -> Tensor:
        """(B, T, M, H, W) visible share of each pixel that each moving body has, from 0 to 1."""
        return self.tensors["coverage"][list(indices), start : start + num_frames].float() / 255

    def clip(self, indices: Sequence[int], start: int, num_frames: int, num_context: int) -> Clip:
        """A batch of windows that begin at frame `start`."""
        if not 0 <= start <= self.num_frames - num_frames:
            raise ValueError(f"start: must be between 0 and {self.num_frames - num_frames}, got {start}")
        rows = list(indices)
        scenes = [self.scenes[i] for i in rows]
        cut = slice(start, start + num_frames)
        states = {name: self.tensors[name][rows, cut] for name in (*VECTORS, "presence")}
        return Clip(
            video=to_float(self.tensors["video"][rows, cut]),
            ids=self.tensors["ids"][rows, cut],
            trajectory=Trajectory(**states, dt=1 / scenes[0].fps),
            bodies=Bodies.from_scenes(scenes),
            cameras=tuple(scene.camera for scene in scenes),
            fps=scenes[0].fps,
            law=LawParameters.of(scenes),
            actions=torch.zeros(len(rows), num_frames - 1, 0),
            captions=("",) * len(rows),
            num_context=num_context,
            setups=tuple(scene.setup() for scene in scenes),
        )
