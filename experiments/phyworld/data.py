"""Clips of PhyWorld's three worlds: event-exact motion, painted at 32 px with exactly covered edges.

python experiments/phyworld/data.py OUT [--train 1500] [--test 200] [--val 64]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from safetensors.torch import load_file, save_file

import worldsim as ws
from worldsim.data.clip import Clip, to_float
from worldsim.physics import Bodies, LawParameters, Trajectory
from worldsim.scene import Scene, dumps, loads_scene
from worldsim.scene.files import atomic_path
from worldsim_envs.exact import exact_trajectory

FAMILIES = ("uniform_motion", "parabola", "collision")
PIXELS = 32
# Seeds; test scenes below 40,000 were looked at while the model was designed.
FIRST = {"train": 0, "val": 0, "test": 40_000}
VECTORS = ("position", "orientation", "linear_velocity", "angular_velocity")


def paint(scene: Scene, trajectory: Trajectory) -> np.ndarray:
    """(T, H, W, 3) uint8: discs on the background, each edge pixel covered as far as 32 x 32 points in it lie inside.

    A picture drawn by an engine at a few times the size leaves position errors that frame differences enlarge tenfold;
    this one lets the reader's floor be that of eight bits.
    """
    camera = scene.camera
    scale, height, width = camera.height / camera.extent, camera.height, camera.width
    # Pixels from the picture's upper left corner to the centres of the discs.
    across = (trajectory.position[..., 0].numpy() - camera.target[0]) * scale + width / 2
    down = height / 2 - (trajectory.position[..., 2].numpy() - camera.target[2]) * scale
    rows, columns = np.mgrid[:height, :width] + 0.5
    offsets = (np.arange(32) + 0.5) / 32 - 0.5
    video = np.broadcast_to(np.array(scene.background) * 255.0, (len(across), height, width, 3)).copy()
    for k, body in enumerate(scene.bodies):
        radius = body.shape.radius * scale
        x, y = across[:, k, None, None], down[:, k, None, None]
        distance = np.hypot(columns - x, rows - y) - radius
        cover = (distance < 0).astype(np.float64)
        t, i, j = np.nonzero(np.abs(distance) < 0.75)
        dx = columns[i, j][:, None] + offsets - across[t, k][:, None]
        dy = rows[i, j][:, None] + offsets - down[t, k][:, None]
        cover[t, i, j] = (dx[:, None, :] ** 2 + dy[:, :, None] ** 2 < radius**2).mean((1, 2))
        # Discs lie side by side: where two touch, what they cover of a pixel adds up.
        video += cover[..., None] * (np.array(body.colour) - np.array(scene.background)) * 255
    return video.clip(0, 255).round().astype(np.uint8)


def draw(family: str, split: str, role: str, seed: int) -> tuple[Scene, np.ndarray, Trajectory]:
    """One scene at 32 px, its (T, H, W, 3) video and its exact trajectory."""
    scene = ws.make_scene(family, seed=seed, split=split, role=role, pixels=PIXELS)
    trajectory = exact_trajectory(scene)
    return scene, paint(scene, trajectory), trajectory


def make(out: Path, family: str, split: str, role: str, count: int) -> None:
    """Write one set of clips unless it is there."""
    target = out / f"{family}_{split}_{role}.safetensors"
    if target.exists():
        return
    rows = [
        draw(family, split, role, seed)
        for seed in track(range(FIRST[role], FIRST[role] + count), f"{family} {split} {role}")
    ]
    tensors = {"video": torch.from_numpy(np.stack([video for _, video, _ in rows]))}
    for name in VECTORS:
        tensors[name] = torch.stack([getattr(trajectory, name).float() for _, _, trajectory in rows])
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{target.stem}.jsonl").write_text("\n".join(dumps(scene) for scene, _, _ in rows), encoding="utf-8")
    with atomic_path(target) as temporary:
        save_file(tensors, temporary)


class ClipSet:
    """Clips of one family, split and role in memory."""

    def __init__(self, folder: Path, family: str, split: str, role: str) -> None:
        stem = f"{family}_{split}_{role}"
        self.tensors = load_file(folder / f"{stem}.safetensors")
        lines = (folder / f"{stem}.jsonl").read_text(encoding="utf-8").splitlines()
        self.scenes = [loads_scene(line, where=stem) for line in lines]

    def __len__(self) -> int:
        return len(self.scenes)

    def clip(self, indices: list[int], start: int, num_frames: int, num_context: int) -> Clip:
        """A batch of windows that begin at frame `start`."""
        scenes = [self.scenes[i] for i in indices]
        cut = slice(start, start + num_frames)
        vectors = {name: self.tensors[name][indices, cut] for name in VECTORS}
        presence = torch.ones_like(vectors["position"][..., 0])
        video = self.tensors["video"][indices, cut]
        return Clip(
            video=to_float(video),
            ids=torch.zeros(video.shape[:-1], dtype=torch.uint8),
            trajectory=Trajectory(**vectors, presence=presence, dt=1 / scenes[0].fps),
            bodies=Bodies.from_scenes(scenes),
            cameras=tuple(scene.camera for scene in scenes),
            fps=scenes[0].fps,
            law=LawParameters.of(scenes),
            actions=torch.zeros(len(indices), num_frames - 1, 0),
            captions=("",) * len(indices),
            num_context=num_context,
            setups=tuple(scene.setup() for scene in scenes),
        )


def main() -> None:
    """Write all sets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--train", type=int, default=1500)
    parser.add_argument("--test", type=int, default=200)
    parser.add_argument("--val", type=int, default=64)
    arguments = parser.parse_args()
    for family in FAMILIES:
        make(arguments.out, family, "id", "train", arguments.train)
        for split in ("id", "ood"):
            make(arguments.out, family, split, "test", arguments.test)
        make(arguments.out, family, "id", "val", arguments.val)


if __name__ == "__main__":
    main()
