"""MuJoCo pictures: ids, depth, colour and cameras against projection; replay; presets; contexts in other processes."""

import dataclasses
import logging
import multiprocessing
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from worldsim.engines.mujoco import MujocoSimulator
from worldsim.scene import (
    Body,
    Box,
    Camera,
    Capsule,
    Law,
    Plane,
    Polygon,
    Ring,
    Scene,
    Sphere,
    State,
    planar_camera,
)

SIM = MujocoSimulator()
TILT = (0.9, 0.3, 0.3, 0.1)
TILT = tuple(float(x) for x in np.array(TILT) / np.linalg.norm(TILT))


def solid_scene(camera, **fields):
    bodies = (
        Body("floor", Plane(), State((0, 0, 0)), static=True, colour=(0.6, 0.6, 0.5)),
        Body("ball", Sphere(0.2), State((-0.7, 0, 0.9), linear_velocity=(0.4, 0, 1)), colour=(0.9, 0.1, 0.1)),
        Body("box", Box((0.15, 0.2, 0.1)), State((0.1, 0.2, 0.8), TILT), colour=(0.1, 0.8, 0.1)),
        Body("capsule", Capsule(0.1, 0.2), State((0.8, 0, 0.7), TILT), colour=(0.1, 0.1, 0.9)),
        Body("ring", Ring(0.3, 0.05), State((0, 1.0, 1.9), TILT), colour=(0.8, 0.6, 0.1)),
    )
    return Scene(bodies=bodies, camera=camera, duration=0.5, fps=12, **fields)


CAMERAS = [
    Camera(position=(0.4, -4, 1.7), target=(0.05, 0, 0.9), fov=40, width=96, height=64),
    Camera(position=(-1, -3, 3), target=(0, 0, 0.8), up=(0.2, 0, 1), fov=50, width=48, height=64),
    Camera(kind="orthographic", position=(0.3, -5, 2), target=(0, 0, 0.9), extent=2.6, width=80, height=72),
]


@pytest.mark.parametrize("camera", CAMERAS, ids=lambda c: f"{c.kind}-{c.width}x{c.height}")
def test_projected_centres_lie_inside_their_ids_and_depth_is_metres(camera):
    rollout = SIM.simulate(solid_scene(camera))
    assert set(np.unique(rollout.ids)) <= set(range(6))
    for k in range(rollout.scene.num_frames):
        centres = rollout.trajectory.position[k].numpy()
        pixels, depth = camera.project(centres)
        for body in (1, 2, 3):
            if camera.sees(centres[body]):
                u, v = pixels[body].astype(int)
                assert rollout.ids[k, v, u] == body + 1
    # The middle of the ball shows its near side, in metres along the line of sight.
    pixels, depth = camera.project(rollout.trajectory.position[0, 1].numpy())
    u, v = pixels.astype(int)
    assert abs(rollout.depth[0, v, u] - (float(depth) - 0.2)) < 0.02


@pytest.mark.parametrize("camera", CAMERAS[::2], ids=lambda c: c.kind)
def test_mask_centroids_agree_with_projection_to_sub_pixel(camera):
    camera = dataclasses.replace(camera, width=256, height=256)
    ball = Body("ball", Sphere(0.15), State((0.3, 0.1, 1.2)))
    scene = Scene(bodies=(ball,), camera=camera, duration=0.1, law=Law((0, 0, 0)))
    ids = SIM.simulate(scene).ids[0]
    rows, columns = np.nonzero(ids == 1)
    pixels, _ = camera.project(np.array([0.3, 0.1, 1.2]))
    # The outline of a ball under perspective is an ellipse whose centre is a little farther out.
    assert np.abs([columns.mean() + 0.5 - pixels[0], rows.mean() + 0.5 - pixels[1]]).max() < 0.35
    if camera.kind == "orthographic":
        area = np.pi * (0.15 * camera.focal) ** 2
        assert abs(len(rows) / area - 1) < 0.02


def test_depth_of_the_floor_is_the_plane_seen_through_every_pixel():
    camera = CAMERAS[0]
    floor = Body("floor", Plane(), State((0, 0, 0)), static=True)
    ball = Body("ball", Sphere(0.05), State((0, 0, 1.5)))
    rollout = SIM.simulate(Scene(bodies=(floor, ball), camera=camera, duration=0.05))
    rows, columns = np.nonzero(rollout.ids[0] == 1)
    size = np.array([camera.width / 2, camera.height / 2])
    rays = np.stack([columns + 0.5, rows + 0.5], -1) - size
    directions = np.concatenate([rays / camera.focal, np.ones((len(rows), 1))], -1) @ camera.rotation
    expected = -camera.position[2] / directions[:, 2]
    near = expected < 15
    assert near.sum() > 500
    assert np.abs(rollout.depth[0][rows, columns] - expected)[near].max() < 5e-3


def test_flat_shading_gives_each_body_its_colour_and_the_background():
    bodies = (
        Body("a", Sphere(1.0), State((3, 0, 5)), colour=(0.8, 0.2, 0.4)),
        Body("b", Polygon(((-1, -1), (1, -1), (0, 2))), State((7, 0, 5)), colour=(0.1, 0.5, 1.0)),
        Body("c", Box((1, 0.5, 0.3)), State((5, 0, 2)), colour=(0, 0, 0)),
    )
    scene = Scene(
        bodies=bodies,
        camera=planar_camera(),
        planar=True,
        shading="flat",
        background=(0.9, 0.95, 1.0),
        law=Law((0, 0, 0)),
    )
    rollout = SIM.simulate(scene)
    colours = [scene.background] + [b.colour for b in bodies]
    for number, colour in enumerate(colours):
        pixels = rollout.video[rollout.ids == number].astype(float)
        assert len(pixels) > 0
        assert np.abs(pixels - np.array(colour) * 255).max() <= 1


@pytest.mark.parametrize("shading", ["flat", "shaded"])
@pytest.mark.parametrize("preset", ["fast", "standard", "quality"])
def test_replay_of_a_rollout_draws_the_same_frames(preset, shading):
    scene = solid_scene(CAMERAS[0], shading=shading)
    rollout = SIM.simulate(scene, preset=preset)
    frames = SIM.render(scene, rollout.trajectory, preset=preset)
    assert np.array_equal(frames.video, rollout.video)
    assert np.array_equal(frames.ids, rollout.ids)
    assert np.array_equal(frames.depth, rollout.depth)
    assert np.all(rollout.depth[rollout.ids == 0] == np.float32(scene.camera.far))


def test_presets_share_ids_and_depth_and_differ_in_light():
    scene = solid_scene(CAMERAS[0])
    fast, standard, quality = (SIM.simulate(scene, preset=p) for p in ("fast", "standard", "quality"))
    assert np.array_equal(fast.ids, quality.ids)
    assert np.array_equal(fast.ids, standard.ids)
    assert np.array_equal(fast.depth, standard.depth)
    # Shadows darken some of the floor.
    floor = fast.ids == 1
    darker = fast.video[floor].astype(int) - standard.video[floor]
    assert (darker > 30).sum() > 100
    assert standard.video[floor].mean() < fast.video[floor].mean()
    again = SIM.simulate(scene, preset="fast")
    assert np.array_equal(again.video, fast.video)


def test_impossible_poses_are_drawn_and_absent_bodies_are_not():
    scene = solid_scene(CAMERAS[0])
    trajectory = SIM.simulate(scene, render=False).trajectory
    position, presence = trajectory.position.clone(), trajectory.presence.clone()
    position[:, 2] = position[:, 3] + torch.tensor([0.0, 0.05, 0.0])  # the box inside the capsule
    presence[2:, 1] = 0  # the ball vanishes
    frames = SIM.render(scene, dataclasses.replace(trajectory, position=position, presence=presence))
    assert (frames.ids[:2] == 2).any()
    assert not (frames.ids[2:] == 2).any()
    pixels, _ = scene.camera.project(position[0, 2].numpy())
    u, v = pixels.astype(int)
    assert frames.ids[0, v, u] in (3, 4)


def test_jointed_bodies_are_drawn_where_the_trajectory_says():
    from worldsim.scene import Joint

    link = Body("link", Box((0.3, 0.1, 0.1)), State((0.3, 0, 1)))
    joint = Joint("pivot", "hinge", "link", None, (0, 0, 1), (-0.3, 0, 0))
    scene = Scene(bodies=(link,), joints=(joint,), camera=CAMERAS[0], duration=0.1)
    trajectory = SIM.simulate(scene, render=False).trajectory
    moved = dataclasses.replace(trajectory, position=trajectory.position + torch.tensor([-0.9, 0.0, 0.4]))
    ids = SIM.render(scene, moved).ids[0]
    (u, v), _ = scene.camera.project(np.array([-0.6, 0, 1.4]))
    assert ids[int(v), int(u)] == 1


def test_a_trajectory_of_other_bodies_and_an_unknown_preset_are_refused():
    scene = solid_scene(CAMERAS[0])
    trajectory = SIM.simulate(scene, render=False).trajectory
    with pytest.raises(ValueError, match=r"trajectory.position: must be of shape"):
        SIM.render(scene, trajectory.map(lambda t: t[:, :2]))
    with pytest.raises(ValueError, match="preset: must be one of fast, standard, quality, got 'slow'"):
        SIM.simulate(scene, preset="slow")


def _draw(queue):
    scene = solid_scene(CAMERAS[0])
    try:
        queue.put(MujocoSimulator().simulate(scene).video.sum())
    except RuntimeError as error:
        queue.put(str(error))


def _draw_in(method):
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=_draw, args=(queue,))
    child.start()
    result = queue.get(timeout=120)
    child.join(30)
    assert child.exitcode == 0
    return result


def test_a_spawned_child_draws_the_same_after_the_parent_drew():
    expected = SIM.simulate(solid_scene(CAMERAS[0])).video.sum()
    assert _draw_in("spawn") == expected


@pytest.mark.slow
def test_a_forked_child_draws_and_one_forked_too_late_says_so():
    here = os.path.dirname(__file__)
    code = (
        f"import sys; sys.path.insert(0, {here!r})\n"
        "from test_mujoco_pictures import CAMERAS, SIM, _draw_in, solid_scene\n"
        "child = _draw_in('fork')\n"
        "print(child == SIM.simulate(solid_scene(CAMERAS[0])).video.sum())\n"
        "print(_draw_in('fork'))"
    )
    same, late = run(code).stdout.splitlines()
    assert same == "True"
    assert "forked after its parent had drawn" in late


def run(code, **environment):
    env = {k: v for k, v in os.environ.items() if k not in ("MUJOCO_GL", "PYOPENGL_PLATFORM")} | environment
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120)


def test_the_backend_is_chosen_and_logged_and_a_given_one_is_kept():
    code = (
        "import logging, os; logging.basicConfig(level=logging.INFO)\n"
        "import worldsim.engines.mujoco; print(os.environ['MUJOCO_GL'])"
    )
    chosen = run(code)
    assert chosen.stdout.strip() in ("egl", "osmesa")
    assert f"MUJOCO_GL={chosen.stdout.strip()}" in chosen.stderr
    assert run(code, MUJOCO_GL="disable").stdout.strip() == "disable"


@pytest.mark.slow
def test_a_backend_that_fails_is_named_with_the_packages_to_install():
    code = (
        "import worldsim.engines.mujoco.context as c\n"
        "try: c.make_current(8, 8)\n"
        "except RuntimeError as error: print(error)"
    )
    said = run(code, MUJOCO_GL="osmesa", PYOPENGL_PLATFORM="egl").stdout
    assert "osmesa: " in said
    assert "apt-get install libegl1" in said
    assert "switches rendering off" in run(code, MUJOCO_GL="off").stdout


def test_nothing_is_logged_above_info_when_all_is_well(caplog):
    with caplog.at_level(logging.WARNING):
        SIM.simulate(solid_scene(CAMERAS[0]))
    assert not caplog.records
