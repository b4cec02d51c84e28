"""Time the soft rasteriser: 64 clips of 16 frames with 4 objects at 32 px, forward and backward, on one thread.

Run: OMP_NUM_THREADS=1 python experiments/speed/raster.py [--clips 64] [--repeats 5]. The bar is 1 s.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import platform
import statistics
import time

import torch

from worldsim.physics import Bodies, Trajectory
from worldsim.scene import Body, Box, Camera, Capsule, Ring, Scene, Sphere, State, planar_camera
from worldsim.vision import rasterise

SHAPES = {"sphere": Sphere(0.8), "box": Box((1.0, 0.5, 0.5)), "capsule": Capsule(0.4, 0.8), "ring": Ring(0.8, 0.2)}
MIXES = {
    "spheres": ("sphere",) * 4,
    "boxes": ("box",) * 4,
    "capsules": ("capsule",) * 4,
    "spheres and boxes": ("sphere", "box", "sphere", "box"),
    "one of each": ("sphere", "box", "capsule", "ring"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--pixels", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    load = os.getloadavg()[0]
    print(f"torch {torch.__version__}, {platform.processor() or platform.machine()}, load {load:.2f}, one thread")
    print(f"{arguments.clips} clips of {arguments.frames} frames, 4 objects, {arguments.pixels} px; seconds, median")
    cameras = {
        "planar": planar_camera(10, arguments.pixels),
        "perspective": Camera(
            position=(5, -14, 6), target=(5, 0, 5), width=arguments.pixels, height=arguments.pixels, fov=45
        ),
    }
    for view, camera in cameras.items():
        for mix, kinds in MIXES.items():
            forward, backward = measure(kinds, camera, view == "planar", arguments)
            total = forward + backward
            print(f"{view:12} {mix:18} forward {forward:.3f}  backward {backward:.3f}  total {total:.3f}", flush=True)


def measure(kinds: tuple[str, ...], camera: Camera, planar: bool, arguments: argparse.Namespace) -> tuple[float, float]:
    """Median seconds of forward and backward of a colour loss over repeats."""
    generator = torch.Generator().manual_seed(0)
    bodies = tuple(Body(f"b{i}", SHAPES[kind], State((2.0 + 2 * i, 0.0, 5.0))) for i, kind in enumerate(kinds))
    made = Bodies.from_scenes([Scene(bodies=bodies, camera=camera, planar=planar)])
    position = torch.rand(arguments.clips, arguments.frames, 4, 3, generator=generator) * 8 + 1
    position[..., 1] *= 0.0 if planar else 0.5
    trajectory = Trajectory.from_positions(position, 1 / 24)
    angle = torch.rand(position.shape[:-1], generator=generator) * 6
    zero = torch.zeros_like(angle)
    turn = torch.stack([(angle / 2).cos(), zero, (angle / 2).sin(), zero], -1)
    forward, backward = [], []
    for _ in range(arguments.repeats + 1):  # the first warms up
        leaves = [position.clone().requires_grad_(), turn.clone().requires_grad_()]
        moved = dataclasses.replace(trajectory, position=leaves[0], orientation=leaves[1])
        start = time.perf_counter()
        raster = rasterise(moved, made, camera, channels=("colour",))
        assert raster.colour is not None
        loss = (raster.colour - 0.5).square().mean()
        middle = time.perf_counter()
        torch.autograd.grad(loss, leaves, allow_unused=True)  # flat spheres look alike whatever their turn
        end = time.perf_counter()
        forward.append(middle - start)
        backward.append(end - middle)
    return statistics.median(forward[1:]), statistics.median(backward[1:])


if __name__ == "__main__":
    main()
