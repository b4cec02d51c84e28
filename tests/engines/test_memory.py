"""Memory of many rendered episodes, each with shapes, colours and a background of its own, stays where it is."""

import gc
import importlib.util
from pathlib import Path

import numpy as np
import pytest

from worldsim.engines import get_engine
from worldsim.scene import Body, Box, Camera, Capsule, Plane, Polygon, Ring, Scene, Sphere, State, planar_camera

PAGE = 4096


def resident():
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def episode(k):
    """Tiny scenes of two frames; every third is planar with polygons."""
    rng = np.random.default_rng(k)
    size = float(rng.uniform(0.1, 0.3))
    colour = tuple(rng.uniform(0, 1, 3).tolist())
    if k % 3 == 2:
        corner = ((-size, -size), (size, -size), (size, size), (-size, size))
        bodies = (
            Body("p", Polygon(corner), State((0, 0, 0)), colour=colour),
            Body("s", Sphere(size), State((1, 0, 0))),
        )
        camera = planar_camera(4.0, 24, (0.0, 0.0))
        return Scene(bodies=bodies, camera=camera, planar=True, background=colour, duration=0.05, fps=20)
    bodies = (
        Body("floor", Plane(float(rng.uniform(2, 9))), State((0, 0, 0)), static=True),
        Body("s", Sphere(size), State((-1, 0, 1)), colour=colour),
        Body("b", Box((size, size, 0.1)), State((0, 0, 1)), colour=colour),
        Body("c", Capsule(size, 0.2), State((1, 0, 1))),
        Body("r", Ring(2 * size, size / 4), State((0, 0, 2))),
    )
    camera = Camera(position=(0, -5, 1), target=(0, 0, 1), width=24, height=24)
    return Scene(bodies=bodies, camera=camera, background=colour, duration=0.05, fps=20)


def growth(engine, first, count):
    """Bytes an episode by which memory grows after a warm-up."""
    simulator = get_engine(engine)
    for k in range(first):
        simulator.simulate(episode(k))
    before = resident()
    for k in range(first, first + count):
        simulator.simulate(episode(k))
    return (resident() - before) / count


def engines():
    bullet = pytest.mark.skipif(importlib.util.find_spec("pybullet") is None, reason="needs pybullet")
    return ["mujoco", pytest.param("pybullet", marks=bullet)]


@pytest.mark.slow
@pytest.mark.parametrize("engine", engines())
def test_memory_is_flat_over_two_hundred_rendered_episodes(engine):
    assert growth(engine, 150, 200) < 1e4  # fresh meshes would leave 40 kB and more


def test_bullet_does_not_keep_the_meshes_that_it_was_given():
    """Fresh lists of coordinates would stay for ever, half a kilobyte a vertex."""
    pytest.importorskip("pybullet")
    from worldsim.engines.pybullet.client import physics_client
    from worldsim.engines.pybullet.render import Stage

    scene = episode(0)
    still = np.array([[body.state.position for body in scene.bodies]])
    for k in range(40):
        if k == 20:
            before = resident()
        with physics_client() as client:
            Stage(client, scene, still)
    assert (resident() - before) / 20 < 3e4
