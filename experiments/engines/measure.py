"""How well the engines keep their bars, and how far they agree: errors, which do not hang on the machine's load.

Run python experiments/engines/measure.py --out docs/measured. Each function states its scene and its closed form.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import platform
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from engines_page import page

from worldsim.engines import Simulator, get_engine
from worldsim.scene import Body, Box, Camera, Capsule, Law, Plane, Ring, Scene, Sphere, State, make_scene

CAMERA = Camera(position=(0, -8, 1), target=(0, 0, 1), fov=90)
ENGINES = ("mujoco", "pybullet")


def flight(engine: Simulator) -> float:
    """Metres off x + v t + g t^2 / 2 over 2 s: a spinning ball, in three dimensions and in the plane."""
    worst = 0.0
    for across, spin in ((0.5, (1.0, 2.0, 3.0)), (0.0, (0.0, 4.0, 0.0))):
        velocity = np.array([1.0, across, 3.0])
        start = State((0, 0, 1), linear_velocity=(1.0, across, 3.0), angular_velocity=spin)
        scene = Scene((Body("ball", Sphere(0.1), start),), camera=CAMERA, planar=across == 0)
        t = np.arange(scene.num_frames)[:, None] / scene.fps
        expected = np.array([0, 0, 1]) + velocity * t + np.array(scene.law.gravity) * t**2 / 2
        played = engine.simulate(scene, render=False).trajectory.position[:, 0].numpy()
        worst = max(worst, float(np.abs(played - expected).max()))
    return worst


def impacts(engine: Simulator) -> float:
    """Outgoing velocities of two spheres without friction, off the closed form, as a share of the relative speed.

    Speeds .05 to 6 m/s, mass ratios 1/9 to 9, restitution .3 to 1, head-on and oblique, planar and not.
    """
    worst = 0.0
    cases = itertools.product((0.05, 1.0, 6.0), (1.0, 9.0, 1 / 9), (0.3, 1.0), (0.0, 0.08), (False, True))
    for speed, ratio, e, offset, planar in cases:
        approach = 0.1 / speed
        struck = State((-0.3, 0, 0), linear_velocity=(speed, 0, 0))
        bodies = (
            Body("a", Sphere(0.1), struck, friction=0, restitution=e**1.5),
            Body("b", Sphere(0.1), State((0, 0, offset)), mass=ratio, friction=0, restitution=e**0.5),
        )
        times = {"duration": 2.5 * approach, "fps": 4 / approach}
        scene = Scene(bodies, law=Law((0.0, 0.0, 0.0)), camera=CAMERA, planar=planar, **times)
        normal = np.array([math.sqrt(0.04 - offset**2), 0, offset]) / 0.2
        impulse = (1 + e) * speed * normal[0] / (1 + 1 / ratio)
        expected = np.stack([np.array([speed, 0, 0]) - impulse * normal, impulse / ratio * normal])
        out = engine.simulate(scene, render=False).trajectory.linear_velocity[-1].numpy()
        worst = max(worst, float(np.abs(out - expected).max()) / speed)
    return worst


def rest(engine: Simulator) -> dict[str, float]:
    """Metres that 0.1 m bodies laid on a floor are off their height within 2 s, by shape."""
    floor = Body("floor", Plane(), State((0, 0, 0)), static=True)
    off = {}
    for shape in (Sphere(0.1), Box((0.1, 0.1, 0.1)), Capsule(0.1, 0.1), Ring(0.3, 0.1)):
        height = shape.extent if shape.kind == "capsule" else shape.thickness
        scene = Scene((floor, Body("body", shape, State((0, 0, height)))), camera=CAMERA)
        played = engine.simulate(scene, render=False).trajectory.position[:, 1, 2].numpy()
        off[shape.kind] = float(np.abs(played - height).max())
    return off


def agreement(families: tuple[str, ...], seeds: int) -> dict[str, float]:
    """How far the engines' positions and ids are apart until the first contact in either, over families and seeds."""
    metres, unequal, pixels = 0.0, 0, 0
    for family, seed in itertools.product(families, range(seeds)):
        scene = make_scene(family, seed=seed)
        one, other = (get_engine(name).simulate(scene) for name in ENGINES)
        onsets = [float(r.contacts.onset.min()) for r in (one, other) if len(r.contacts)]
        frames = max(1, int(min([scene.duration, *onsets]) * scene.fps))
        apart = (one.trajectory.position - other.trajectory.position)[:frames]
        metres = max(metres, float(apart.norm(dim=-1).max()))
        unequal += int((one.ids[:frames] != other.ids[:frames]).sum())
        pixels += one.ids[:frames].size
    return {"positions until first contact, m": metres, "share of equal ids until first contact": 1 - unequal / pixels}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", nargs="+", default=["hoop", "bouncing_balls", "collision"])
    parser.add_argument("--seeds", type=int, default=1, help="of each family, for the agreement")
    parser.add_argument("--out", type=Path, help="folder to write engines.json and engines.md to")
    options = parser.parse_args()
    document: dict[str, Any] = {"python": platform.python_version(), "engines": {}}
    for name in ENGINES:
        engine = get_engine(name)
        figures = {"version": engine.version, "free flight, m": flight(engine), "impacts, share": impacts(engine)}
        figures |= {f"rest of a {kind}, m": off for kind, off in rest(engine).items()}
        document["engines"][name] = figures
        print(name, *(f"  {key}: {value}" for key, value in figures.items()), sep="\n")
    document["agreement"] = agreement(tuple(options.families), options.seeds)
    document["agreement of"] = {"families": options.families, "seeds": options.seeds}
    print("agreement", *(f"  {key}: {value}" for key, value in document["agreement"].items()), sep="\n")
    if options.out is not None:
        (options.out / "engines.json").write_text(json.dumps(document, indent=1) + "\n")
        (options.out / "engines.md").write_text(page(document))


if __name__ == "__main__":
    main()
