"""Time a humanoid step from torch with its backward against the mjd_transitionFD calls that it makes.

Run: python experiments/speed/mujoco_step.py [--worlds 16] [--steps 4] [--threads 1]. The bar is a ratio of 1.2.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from pathlib import Path

import gymnasium
import mujoco
import numpy as np
import torch

from worldsim.physics.mujoco_derivatives import MujocoDynamics


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=16)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    path = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets" / "humanoid.xml"
    model = mujoco.MjModel.from_xml_path(str(path))
    model.opt.integrator = mujoco.mjtIntegrator.mjINT_EULER  # the file's RK4 has no transitionFD
    dynamics = MujocoDynamics(model, arguments.threads)
    layout = dynamics.layout
    state = dynamics.initial_state(arguments.worlds)
    for _ in range(20):
        state = dynamics.step(state)
    ctrl = 0.1 * torch.randn(arguments.worlds, arguments.steps, layout.nu, dtype=torch.float64)
    with torch.no_grad():
        played = dynamics.rollout(state, ctrl)
    visited = torch.cat([state[:, None], played[:, :-1]], 1).numpy()

    torch_times, plain_times = [], []
    for _ in range(arguments.repeats + 1):  # interleaved, so that both see the same load; the first warms up
        leaf = state.clone().requires_grad_()
        start = time.perf_counter()
        dynamics.rollout(leaf, ctrl).square().sum().backward()
        torch_times.append(time.perf_counter() - start)
        plain_times.append(plain(dynamics, visited, ctrl.numpy()))
    ours, bare = statistics.median(torch_times[1:]), statistics.median(plain_times[1:])
    calls = arguments.worlds * arguments.steps
    print(
        f"mujoco {mujoco.__version__}, torch {torch.__version__}, {platform.machine()}, load {os.getloadavg()[0]:.2f}"
    )
    print(f"humanoid nv {layout.nv}, {arguments.worlds} worlds, {arguments.steps} steps, {arguments.threads} threads")
    print(f"forward and backward {1e3 * ours / calls:.3f} ms a step; transitionFD alone {1e3 * bare / calls:.3f} ms")
    print(f"ratio {ours / bare:.3f} (bar 1.2)")


def plain(dynamics: MujocoDynamics, visited: np.ndarray, ctrl: np.ndarray) -> float:
    """Seconds for the bare mjd_transitionFD calls on the same states, on as many threads."""
    layout, model = dynamics.layout, dynamics._workers.model
    size = 2 * layout.nv + layout.na

    def sweep(data: mujoco.MjData, world: int) -> None:
        a, b = np.zeros((size, size)), np.zeros((size, layout.nu))
        for t in range(ctrl.shape[1]):
            data.qpos[:] = visited[world, t, : layout.nq]
            data.qvel[:] = visited[world, t, layout.nq : layout.nq + layout.nv]
            data.ctrl[:] = ctrl[world, t]
            data.qacc_warmstart[:] = 0
            mujoco.mjd_transitionFD(model, data, dynamics.eps, dynamics.centred, a, b, None, None)

    start = time.perf_counter()
    dynamics._workers.run(sweep, len(visited))
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
