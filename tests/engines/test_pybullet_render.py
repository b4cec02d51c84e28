"""PyBullet engine: pictures against the camera's own projection, ids and depth against ray casting, presets."""

import math

import numpy as np
import pytest
import torch

from worldsim.physics.trajectory import Trajectory
from worldsim.scene import Body, Box, Camera, Capsule, Plane, Polygon, Ring, Scene, Sphere, State, planar_camera

pytest.importorskip("pybullet")

from worldsim.engines.pybullet import PybulletSimulator
from worldsim.engines.pybullet.meshes import body_mesh

SIM = PybulletSimulator()
PERSPECTIVE = Camera(position=(1.0, -4.0, 2.0), target=(0.0, 0.0, 0.6), width=144, height=96)
CAMERAS = {
    "perspective": PERSPECTIVE,
    "orthographic": Camera(
        kind="orthographic", position=(3, -4, 2), target=(0, 0, 0.6), extent=4, width=96, height=128
    ),
    "planar": planar_camera(4.0, 128, (0.0, 0.6)),
}


def start(scene, frames=1):
    return Trajectory.start_of([scene], torch.float64).map(lambda t: t[0].repeat_interleave(frames, 0))


def ball(name, position, radius=0.3, colour=(0.8, 0.2, 0.2), **fields):
    return Body(name, Sphere(radius), State(position), colour=colour, **fields)


def rays(camera):
    """Origins and unit directions through all pixel centres, and the cosine to the line of sight."""
    v, u = np.mgrid[0 : camera.height, 0 : camera.width] + 0.5
    flat = np.stack([u - camera.width / 2, v - camera.height / 2], -1) / camera.focal
    rotation = camera.rotation
    if camera.kind == "orthographic":
        origin = np.array(camera.position) + flat @ rotation[:2]
        return origin, np.broadcast_to(rotation[2], origin.shape), np.ones(flat.shape[:2])
    direction = flat @ rotation[:2] + rotation[2]
    size = np.linalg.norm(direction, axis=-1)
    return np.broadcast_to(camera.position, direction.shape), direction / size[..., None], 1 / size


@pytest.mark.parametrize("kind", CAMERAS)
def test_a_sphere_covers_the_pixels_and_has_the_depth_that_ray_casting_finds(kind):
    camera, centre, radius = CAMERAS[kind], np.array([0.2, 0.0, 0.7]), 0.5
    scene = Scene((ball("ball", tuple(centre), radius),), camera=camera)
    frames = SIM.render(scene, start(scene))
    origin, direction, cosine = rays(camera)
    along = ((centre - origin) * direction).sum(-1)
    miss = np.linalg.norm(origin + along[..., None] * direction - centre, axis=-1)
    pixel = radius / 2 / (radius * camera.focal / (1.0 if kind != "perspective" else 4.3))  # half a pixel, metres
    ids = frames.ids[0]
    assert (ids[miss < radius - pixel] == 1).all()
    assert (ids[miss > radius + pixel] == 0).all()
    inner = miss < 0.8 * radius
    depth = (along - np.sqrt(np.maximum(radius**2 - miss**2, 0))) * cosine
    assert np.abs(frames.depth[0] - depth)[inner].max() < 0.02 * radius
    assert (frames.depth[0][ids == 0] == np.float32(camera.far)).all()


@pytest.mark.parametrize("kind", CAMERAS)
def test_centroids_fall_where_the_camera_projects_them(kind):
    camera = CAMERAS[kind]
    positions = [(-0.7, 0.0, 0.2), (0.6, 0.0, 1.3), (0.5, 0.0, -0.1)]
    scene = Scene(tuple(ball(f"ball{i}", p, 0.25) for i, p in enumerate(positions)), camera=camera)
    frames = SIM.render(scene, start(scene))
    pixels, _ = camera.project(np.array(positions))
    for i, expected in enumerate(pixels):
        v, u = np.nonzero(frames.ids[0] == i + 1)
        assert abs(u.mean() + 0.5 - expected[0]) < 0.25
        assert abs(v.mean() + 0.5 - expected[1]) < 0.25


def test_flat_scenes_have_exactly_the_colours_of_their_bodies():
    square = Polygon(((-0.3, -0.3), (0.3, -0.3), (0.3, 0.3), (-0.3, 0.3)))
    bodies = (
        ball("ball", (-0.6, 0.0, 0.5), colour=(0.8, 0.2, 0.2)),
        Body("square", square, State((0.5, 0.0, 0.9)), colour=(0.1, 0.3, 0.9)),
    )
    camera = planar_camera(3.0, 64, (0.0, 0.6))
    scene = Scene(bodies, camera=camera, planar=True, shading="flat", background=(0.9, 1.0, 0.8))
    for preset in ("fast", "standard"):
        frames = SIM.render(scene, start(scene), preset=preset)
        colours = np.array([[230, 255, 204], [204, 51, 51], [26, 76, 230]], np.uint8)
        assert set(np.unique(frames.ids)) == {0, 1, 2}
        assert (frames.video[0] == colours[frames.ids[0]]).all()
        assert (frames.ids == 2).sum() == pytest.approx((0.6 / 3 * 64) ** 2, rel=0.1)


def test_presets_share_ids_and_depth_and_quality_smooths_edges():
    scene = Scene(
        (ball("ball", (0.0, 0.0, 0.6)), Body("floor", Plane(), State((0, 0, 0)), static=True)), camera=PERSPECTIVE
    )
    fast, quality = (SIM.render(scene, start(scene), preset=p) for p in ("fast", "quality"))
    assert (fast.ids == quality.ids).all()
    assert (fast.depth == quality.depth).all()
    assert (fast.video != quality.video).any()
    with pytest.raises(ValueError, match="preset"):
        SIM.render(scene, start(scene), preset="best")


def test_a_floor_reaches_behind_the_camera_and_has_the_depth_of_the_plane():
    floor = Body("floor", Plane(20.0), State((0, 0, 0)), static=True, colour=(0.5, 0.5, 0.5))
    scene = Scene((floor, ball("ball", (0.0, 0.0, 0.6))), camera=PERSPECTIVE)
    frames = SIM.render(scene, start(scene))
    origin, direction, cosine = rays(PERSPECTIVE)
    reach = -origin[..., 2] / np.where(direction[..., 2] < 0, direction[..., 2], np.nan)
    hit = origin + reach[..., None] * direction
    inside = (np.abs(hit[..., :2]) < 19).all(-1) & (frames.ids[0] != 2)
    assert inside.sum() > 2000
    assert (frames.ids[0][inside] == 1).all()
    assert np.abs(frames.depth[0] - reach * cosine)[inside].max() < 2e-3


def test_nearer_bodies_hide_farther_ones_and_absent_ones_are_not_drawn():
    near, far = ball("near", (0.25, -1.0, 0.9), 0.3), ball("far", (0.0, 0.0, 0.6), 0.3, (0.2, 0.2, 0.9))
    scene = Scene((near, far), camera=PERSPECTIVE)
    both = start(scene, 2)
    presence = both.presence.clone()
    presence[1, 0] = 0
    frames = SIM.render(scene, Trajectory(**{**vars(both), "presence": presence}))
    u, v = PERSPECTIVE.project(np.array([0.25, -1.0, 0.9]))[0].astype(int)
    assert frames.ids[0, v, u] == 1
    assert (frames.ids[1] != 1).all()
    assert (frames.ids[1] == 2).sum() > (frames.ids[0] == 2).sum()


def test_impossible_poses_are_drawn_as_given():
    scene = Scene((ball("a", (0, 0, 0.6)), ball("b", (2.0, 0, 0.6))), camera=PERSPECTIVE)
    poses = start(scene)
    same = Trajectory(**{**vars(poses), "position": poses.position[:, :1].repeat(1, 2, 1)})
    assert set(np.unique(SIM.render(scene, same).ids)) <= {0, 1, 2}
    with pytest.raises(ValueError, match=r"trajectory\.position"):
        SIM.render(scene, Trajectory(*(t[:, :1] for t in list(vars(poses).values())[:5]), dt=poses.dt))


SHAPES = [Sphere(0.4), Box((0.2, 0.3, 0.4)), Capsule(0.2, 0.3), Ring(0.4, 0.1)]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.kind)
def test_meshes_are_closed_outward_and_of_the_right_volume(shape):
    mesh = body_mesh(shape, 48)
    edges = np.sort(np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]]), axis=1)
    corners = mesh.vertices[mesh.faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    volume = np.einsum("fk,fk->", corners[:, 0], normal) / 6
    expected = {
        "sphere": 4 / 3 * math.pi * 0.4**3,
        "box": 0.4 * 0.6 * 0.8,
        "capsule": math.pi * 0.2**2 * (0.6 + 4 / 3 * 0.2),
        "ring": 2 * math.pi**2 * 0.4 * 0.1**2,
    }[shape.kind]
    assert volume == pytest.approx(expected, rel=0.01)
    assert (np.einsum("fk,fk->f", normal, mesh.normals[mesh.faces].mean(1)) > 0).all()
    assert np.allclose(np.linalg.norm(mesh.normals, axis=-1), 1)
    assert edges.max() < len(mesh.vertices)


def test_shadows_fall_on_the_floor_away_from_the_light_and_nowhere_else():
    floor = Body("floor", Plane(5.0), State((0, 0, 0)), static=True, colour=(0.6, 0.6, 0.6))
    above = Camera(position=(0.0, -0.01, 8.0), target=(0.0, 0.0, 0.0), up=(0, 1, 0), width=96, height=96)
    scene = Scene((floor, ball("ball", (0.0, 0.0, 1.0), 0.3)), camera=above)
    fast, standard, quality = (SIM.render(scene, start(scene), preset=p) for p in ("fast", "standard", "quality"))
    v, u = np.mgrid[0:96, 0:96] + 0.5
    # The floor's points by their pixels, and the centre of the ball's shadow: down the light from (-1, -2, 4).
    x, y = (u - 48) / above.focal * 8.0, (48 - v) / above.focal * 8.0
    towards = np.array([-1.0, -2.0, 4.0]) / math.sqrt(21)
    point = np.stack([x, y, np.zeros_like(x)], -1) - [0, 0, 1.0]
    miss = np.linalg.norm(point - (point @ towards)[..., None] * towards, axis=-1)
    on_floor = standard.ids[0] == 1
    for frames in (standard, quality):
        ratio = frames.video[0].astype(float).sum(-1) / fast.video[0].astype(float).sum(-1)
        shaded = on_floor & (miss < 0.2) & (np.hypot(x, y) > 0.45)
        assert shaded.sum() > 12
        assert np.allclose(ratio[shaded], 0.6, atol=0.02)
        clear = on_floor & (miss > 0.45) & (np.hypot(x, y) > 0.6)
        assert np.allclose(ratio[clear], 1.0, atol=0.01)
