"""Peak memory of scoring a long video and a 4K video, read from files by the built-in tracker; the bar is 1 GiB.

Run: OMP_NUM_THREADS=1 python experiments/speed/score_memory.py [--cases long 4k] [--frames N]. For each case a video of
two discs that go to and fro is written frame by frame; a process of its own then scores it with the scene's setup and
says its peak resident memory (ru_maxrss), which includes Python, torch and MuJoCo. One line of JSON a case.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from worldsim.benchmarks.track import UInt8
from worldsim.data import write_video
from worldsim.scene import Body, Law, Scene, Sphere, State, load_scene, planar_camera, save_scene

CASES = {"long": (10_000, 128, 128), "4k": (48, 3840, 2160)}  # frames, width, height
SIZE = 10.0  # metres that the picture is high
COLOURS = ((0.9, 0.1, 0.1), (0.1, 0.2, 0.9))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--frames", type=int, help="in place of the case's own number")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        score_one(*arguments.child)
        return
    for case in arguments.cases:
        frames, width, height = CASES[case]
        frames = arguments.frames or frames
        with tempfile.TemporaryDirectory() as folder:
            video, setting = Path(folder) / "video.mp4", Path(folder) / "scene.json"
            scene = scene_of(frames, width, height)
            save_scene(scene, setting)
            write_video(video, draw(scene, frames), scene.fps)
            told = subprocess.run(
                [sys.executable, __file__, "--child", str(video), str(setting)], check=True, stdout=subprocess.PIPE
            )
        print(json.dumps({"case": case, **json.loads(told.stdout)}), flush=True)


def score_one(video: str, setting: str) -> None:
    """Score in this process and print what it took."""
    import worldsim as ws

    start = time.process_time()
    report = ws.score(video, setup=load_scene(setting).setup())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    shape, seconds = report.ids.shape, time.process_time() - start
    objects = int(report.ids.max())
    print(json.dumps({"ids": shape, "objects": objects, "peak_mib": round(peak), "seconds": round(seconds, 1)}))


def scene_of(frames: int, width: int, height: int) -> Scene:
    """Two discs above each other."""
    camera = dataclasses.replace(planar_camera(SIZE, height), width=width)
    bodies = tuple(
        Body(f"ball_{i}", Sphere(0.8), State((5.0, 0.0, z)), colour=colour)
        for i, (z, colour) in enumerate(zip((2.5, 7.0), COLOURS, strict=True))
    )
    return Scene(bodies, Law((0.0, 0.0, 0.0)), camera, (frames - 1) / 24, 24.0, planar=True, shading="flat")


def draw(scene: Scene, frames: int) -> Iterator[UInt8]:
    """(H, W, 3) frames: discs that go to and fro between the sides in 2 and 3 seconds."""
    camera = scene.camera
    focal = camera.height / SIZE
    for t in range(frames):
        frame = np.full((camera.height, camera.width, 3), 255, np.uint8)
        for body, period in zip(scene.bodies, (2.0, 3.0), strict=True):
            assert body.state is not None
            x = -3.5 + 7 * abs(2 * ((t / scene.fps / period) % 1) - 1)
            u, v, r = x * focal + camera.width / 2, (SIZE - body.state.position[2]) * focal, body.shape.extent * focal
            rows, columns = (slice(int(c - r - 1), int(c + r + 2)) for c in (v, u))
            grid_v, grid_u = np.mgrid[rows, columns] + 0.5
            disc = (grid_u - u) ** 2 + (grid_v - v) ** 2 <= r * r
            frame[rows, columns][disc] = np.round(255 * np.array(body.colour))
        yield frame


if __name__ == "__main__":
    main()
