"""What the PhyWorld readers make of true pictures: python -m worldsim.benchmarks.protocols.floors [clips].

Uniform motion in distribution, role "test", seeds from 0 on, drawn as the original draws, read by both readers. The
motion is a straight line, so that no engine's error enters.
"""

from __future__ import annotations

import sys

import numpy as np

from worldsim.benchmarks.protocols.discs import draw_discs, read_discs
from worldsim.benchmarks.protocols.outcome import Measured, mean_of
from worldsim.benchmarks.protocols.phyworld import judge, legacy_error
from worldsim.scene import Sphere, make_scene

SIZES = (256, 128, 64)
# The original's renderer with an unbiased parser and with its own, on other draws.
EXPECTED = {256: (0.0006, 0.0100), 128: (0.0018, 0.0206), 64: (0.0047, 0.0411)}


def floors(clips: int, size: int, split: str = "id") -> tuple[Measured, Measured]:
    """Mean velocity errors of true pictures, unbiased and biased reader, units a second."""
    unbiased, biased = [], []
    for seed in range(clips):
        scene = make_scene("uniform_motion", seed=seed, split=split)
        (ball,) = scene.bodies
        assert isinstance(ball.shape, Sphere)
        assert ball.state is not None
        time = np.arange(scene.num_frames)[:, None] / scene.fps
        start, velocity = np.array(ball.state.position)[[0, 2]], np.array(ball.state.linear_velocity)[[0, 2]]
        truth = (start + time * velocity)[:, None]
        video = draw_discs(truth, [ball.shape.radius], size)
        radii, dt = [ball.shape.radius], 1 / scene.fps
        found = judge(read_discs(video, 1, "linspace"), truth, radii, False, dt)
        unbiased.append(found["velocity_error"])
        biased.append(legacy_error(read_discs(video, 1, "legacy"), truth, radii, velocity[0], dt))
    return mean_of(unbiased, "units/s"), mean_of(biased, "units/s")


def main() -> None:
    """Print the table."""
    clips = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    print(f"| pixels | clips | unbiased | expected | biased | expected |\n|{'---|' * 6}")
    for size in SIZES:
        own, legacy = floors(clips, size)
        low, high = EXPECTED[size]
        told = [f"{m.value:.4f} ± {m.error:.4f}" for m in (own, legacy)]
        print(f"| {size} | {own.count} | {told[0]} | {low:.4f} | {told[1]} | {high:.4f} |")


if __name__ == "__main__":
    main()
