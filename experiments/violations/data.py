"""Shaded clips whose bodies move in one vertical plane: three to five balls in a box, and a ball shot at a ring's side.

python experiments/violations/data.py OUT [--train 3000] [--val 60] [--test 200] [--flat] [--space]
    [--families NAME ...] [--splits id ood]

Simulated and drawn by MuJoCo at 128 px and averaged down to 32; 24 frames at 16 a second. Numbers are clips of the box
and as many of the hoop; with --space, of three balls that move in all three directions, and of these alone. Scenes of
roles val and test are kept only where two objects truly touch after the first four frames; their seeds are in the
scenes.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

import worldsim as ws
from worldsim.data import ClipSet, SmallClip, average_down, save_clips
from worldsim.scene import Scene

Floats = NDArray[np.float64]

NUM_FRAMES, NUM_CONTEXT = 24, 4
PIXELS, OVERSAMPLING = 32, 4
FPS = 16.0
# Places in the order of seeds; test scenes before this one were looked at while models and measures were designed.
FIRST_TEST = 2000


@dataclass(frozen=True)
class Family:
    """A set of scenes of one layout.

    Attributes:
        scene: Name of the scenario family.
        share: Of a role's clips that it gets.
        first, step: Seeds are first, first + step, ... so that no two sets draw from one stream.
        parameters: Of the scenario family.
        free: Whether bodies move in all three directions, where the others keep to the plane y = 0.
    """

    scene: str
    share: float = 1.0
    first: int = 0
    step: int = 1
    parameters: dict[str, Any] = field(default_factory=dict)
    free: bool = False


FAMILIES = {
    **{f"balls{n}": Family("bouncing_balls", 1 / 3, n - 3, 3, {"num_balls": n}) for n in (3, 4, 5)},
    "hoop": Family("hoop", parameters={"aim": "side", "framing": "close"}),
    "space3": Family("open_box", parameters={"num_balls": 3}, free=True),
}


def families(free: bool) -> tuple[str, ...]:
    """Names of the sets in which motion is free, or of those in which it keeps to a plane."""
    return tuple(name for name, told in FAMILIES.items() if told.free == free)


def make_scene(family: str, split: str, role: str, place: int, shading: str = "shaded") -> Scene:
    """The scene at a place in the order of a family's seeds, with the camera that the engine draws with."""
    told = FAMILIES[family]
    return ws.make_scene(
        told.scene,
        seed=told.first + place * told.step,
        split=split,
        role=role,
        pixels=PIXELS * OVERSAMPLING,
        duration=(NUM_FRAMES - 1) / FPS,
        fps=FPS,
        shading=shading,
        **told.parameters,
    )


def touches(scene: Scene, contacts: Floats) -> list[tuple[float, int, int]]:
    """When, in frames, which ids begin to touch: two balls, or a ball and the hoop. Balls rest on room and floor.

    Args:
        scene: Whose ids they are.
        contacts: (K, 3) onset in seconds and two ids, a row for each frame interval in which a pair touches, in order.
    """
    objects = [not body.static or body.group == "hoop" for body in scene.bodies]
    found: list[tuple[float, int, int]] = []
    last: dict[tuple[int, int], int] = {}
    for onset, first, second in contacts.tolist():
        pair, interval = (int(first), int(second)), math.ceil(onset * scene.fps - 1e-6)
        if objects[pair[0] - 1] and objects[pair[1] - 1]:
            if last.get(pair, -2) < interval - 1:
                found.append((onset * scene.fps, *pair))
            last[pair] = interval
    return found


def touches_of(clips: ClipSet, index: int) -> list[tuple[float, int, int]]:
    """The touches of a stored clip."""
    rows = clips.tensors["contacts"].numpy()
    return touches(clips.scenes[index], rows[rows[:, 0] == index, 1:])


def window_start(clips: ClipSet, index: int, num_frames: int) -> int:
    """First frame of a window that has the clip's first touch after the fourth frame in its middle, where it can."""
    onsets = [onset for onset, _, _ in touches_of(clips, index) if onset > NUM_CONTEXT - 1]
    if not onsets:
        return 0
    return max(0, min(int(onsets[0]) - num_frames // 2, clips.num_frames - num_frames))


def draw(fine: Scene, need_touch: bool) -> SmallClip | None:
    """Play a scene and average its pictures down; None where a touch is needed and none comes after the context."""
    engine = ws.get_engine("mujoco")
    rollout = engine.simulate(fine, render=False)
    contacts = np.column_stack([rollout.contacts.onset, rollout.contacts.pair])
    if need_touch and not any(NUM_CONTEXT - 1 < onset < NUM_FRAMES - 2 for onset, _, _ in touches(fine, contacts)):
        return None
    frames = engine.render(fine, rollout.trajectory)
    drawn = dataclasses.replace(rollout, video=frames.video, ids=frames.ids, depth=frames.depth)
    camera = dataclasses.replace(fine.camera, width=PIXELS, height=PIXELS)
    return average_down(drawn, dataclasses.replace(fine, camera=camera))


def make(out: Path, family: str, split: str, role: str, count: int, shading: str = "shaded") -> None:
    """Write one set of clips unless it is there."""
    name = family if shading == "shaded" else f"{family}-{shading}"
    if not count or (out / f"{name}_{split}_{role}.safetensors").exists():
        return
    clips: list[SmallClip] = []
    first = place = FIRST_TEST if role == "test" else 0
    with Progress() as progress:
        bar = progress.add_task(f"{name} {split} {role}", total=count)
        while len(clips) < count:
            clip = draw(make_scene(family, split, role, place, shading), need_touch=role != "train")
            place += 1
            if clip is not None:
                clips.append(clip)
                progress.advance(bar)
    save_clips(out, name, split, role, clips)
    print(f"{name} {split} {role}: {count} clips of {place - first} scenes")


def main() -> None:
    """Write all sets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--train", type=int, default=3000)
    parser.add_argument("--val", type=int, default=60)
    parser.add_argument("--test", type=int, default=200)
    parser.add_argument("--flat", action="store_true", help="also the test scenes in flat colours")
    parser.add_argument("--space", action="store_true", help="free motion in space, in place of the other sets")
    parser.add_argument("--families", nargs="*", choices=list(FAMILIES), help="sets to make; all where left out")
    parser.add_argument("--splits", nargs="+", choices=["id", "ood"], default=["id", "ood"], help="of the test clips")
    arguments = parser.parse_args()
    for family in arguments.families or families(arguments.space):
        told = FAMILIES[family]
        # Shares add up: 200 clips of the box are 66 + 67 + 67.
        counts = {
            role: round(getattr(arguments, role) * (told.first + 1) * told.share)
            - round(getattr(arguments, role) * told.first * told.share)
            for role in ("train", "val", "test")
        }
        make(arguments.out, family, "id", "train", counts["train"])
        make(arguments.out, family, "id", "val", counts["val"])
        for split in arguments.splits:
            make(arguments.out, family, split, "test", counts["test"])
            if arguments.flat:
                make(arguments.out, family, split, "test", counts["test"], "flat")


if __name__ == "__main__":
    main()
