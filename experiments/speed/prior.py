"""Speed of the prior on the common task: spheres in a tray of five planes, forward and backward.

The loss is mean |x_T|^2 over .5 s. Rows: the task stepped at 5 ms as every engine steps it, with frames at 1/24 s (the
prior's flights and impacts are exact at any step), and the same motion as one-step defects. Position errors are against
the prior itself in float64 at 1 ms, which the tests hold to closed forms. Run on a quiet machine:

    python experiments/speed/prior.py                # the whole table, as JSON lines
    python experiments/speed/prior.py --smoke        # a few steps of the smallest case
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import time

import torch

from worldsim.physics import Bodies, LawParameters, PhysicsPrior, PriorConfig, Trajectory, defects
from worldsim.scene import Body, Plane, Scene, Sphere, State

DURATION = 0.5
LONG = 1e3  # a step as long as the frame


def tray(num_spheres: int) -> Scene:
    """Spheres over a floor between four walls."""
    side = round(math.sqrt(num_spheres))
    h = math.sqrt(0.5)
    walls = [(0, 0, 0, (1, 0, 0, 0)), (-1, 0, 0, (h, 0, h, 0)), (1, 0, 0, (h, 0, -h, 0))]
    walls += [(0, -1, 0, (h, -h, 0, 0)), (0, 1, 0, (h, h, 0, 0))]
    bodies = [
        Body(
            f"ball{i}",
            Sphere(0.1),
            State((0.4 * (i % side) - 0.6, 0.4 * (i // side) - 0.6, 0.5)),
            friction=0.3,
            restitution=0.64,
        )
        for i in range(num_spheres)
    ]
    bodies += [
        Body(f"wall{i}", Plane(), State((x, y, z), q), friction=0.3, restitution=0.64, static=True)
        for i, (x, y, z, q) in enumerate(walls)
    ]
    return Scene(tuple(bodies))


def worlds(num_spheres: int, batch: int, dtype: torch.dtype, seed: int = 0) -> tuple[Bodies, Trajectory]:
    """The tray with random velocities of 2 m/s a component."""
    scene = tray(num_spheres)
    bodies, start = Bodies.from_scenes([scene], dtype), Trajectory.start_of([scene], dtype)
    start = start.map(lambda tensor: tensor.expand(batch, *tensor.shape[1:]).clone())
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(batch, 1, num_spheres, 3, generator=generator, dtype=torch.float64)
    start.linear_velocity[:, :, :num_spheres] = 2 * noise.to(dtype)
    return bodies, start


def final(prior: PhysicsPrior, bodies: Bodies, start: Trajectory, frames: int) -> Trajectory:
    """The roll-out of half a second."""
    return prior(start, bodies, frames, DURATION / frames, check=False)


def measure(num_spheres: int, batch: int, frames: int, repeats: int, smoke: bool) -> dict[str, object]:
    """Wall-clock of one configuration and the error of its final positions."""
    bodies, start = worlds(num_spheres, batch, torch.float32)
    prior = PhysicsPrior(config=PriorConfig(max_step=LONG))
    x = start.position.clone().requires_grad_()
    begin = Trajectory(x, start.orientation, start.linear_velocity, start.angular_velocity, start.presence, start.dt)
    forward, both = [], []
    out = None
    for _ in range(repeats + 1):
        x.grad = None
        t0 = time.perf_counter()
        out = final(prior, bodies, begin, frames)
        t1 = time.perf_counter()
        out.position[:, -1, :num_spheres].square().mean().backward()
        forward.append(t1 - t0)
        both.append(time.perf_counter() - t0)
    assert out is not None
    checked = min(batch, 2 if smoke else 16)
    bodies64, start64 = worlds(num_spheres, batch, torch.float64)
    few = start64.map(lambda tensor: tensor[:checked])
    with torch.no_grad():
        truth = final(prior, bodies64, few, 50 if smoke else 500).position[:, -1, :num_spheres]
    error = (out.position[:checked, -1, :num_spheres].detach() - truth).norm(dim=-1).median().item()
    # Defects: all frame intervals as one batch, on the roll-out's own states.
    held = out.map(lambda tensor: tensor.detach())
    observed = Trajectory(
        held.position.clone().requires_grad_(),
        held.orientation,
        held.linear_velocity,
        held.angular_velocity,
        held.presence,
        held.dt,
    )
    law = LawParameters(torch.tensor([0.0, 0.0, -9.81]))
    folded = []
    for _ in range(repeats + 1):
        t0 = time.perf_counter()
        found = defects(observed, bodies, law=law, velocities="trajectory", config=prior.config, check=False)
        found.position.square().mean().backward()
        folded.append(time.perf_counter() - t0)
    simulated = batch * DURATION
    return {
        "spheres": num_spheres,
        "worlds": batch,
        "frames": frames,
        "first_gradient_s": both[0],
        "sim_s_per_s_forward": simulated / min(forward[1:]),
        "sim_s_per_s_gradient": simulated / min(both[1:]),
        "world_steps_5ms_per_s_gradient": simulated / 0.005 / min(both[1:]),
        "sim_s_per_s_defects_gradient": simulated / min(folded[1:]),
        "median_position_error_m": error,
    }


def main() -> None:
    """Print one JSON line a configuration."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="a few steps of the smallest case")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--worlds", type=int, nargs="+", default=[64, 1024])
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(
        json.dumps(
            {
                "torch": torch.__version__,
                "machine": platform.processor() or platform.machine(),
                "threads": arguments.threads,
                "load": os.getloadavg()[0],
            }
        )
    )
    if arguments.smoke:
        print(json.dumps(measure(4, 4, 6, 1, True)))
        return
    for num_spheres in (4, 16):
        for batch in arguments.worlds:
            for frames in (100, 12):
                print(json.dumps(measure(num_spheres, batch, frames, arguments.repeats, False)), flush=True)


if __name__ == "__main__":
    main()
