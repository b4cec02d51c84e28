"""Boxes, capsules and polygons placed from masks, against the poses that drew them and the simulator's geometry."""

import math

import numpy as np
import pytest
import torch

import worldsim as ws
from worldsim.benchmarks.fit_poses import moved
from worldsim.benchmarks.outline_gaps import PointGaps, Shapes, SightGaps
from worldsim.benchmarks.register import View
from worldsim.benchmarks.register_rigid import register_rigid
from worldsim.benchmarks.track import measure_tracks, outline
from worldsim.benchmarks.trials import fresh
from worldsim.benchmarks.turns import symmetries
from worldsim.physics.bodies import Bodies
from worldsim.physics.geometry import distances, point_distance
from worldsim.physics.rotation import difference, exponential, multiply, rotate_inverse
from worldsim.scene import Body, Box, Camera, Capsule, Law, Polygon, Scene, Sphere, State, planar_camera

PIXELS, SIZE, FPS = 128, 10.0, 24.0
A_PIXEL = SIZE / PIXELS
KITE = ((1.3, 0.0), (0.0, 0.9), (-0.9, 0.0), (0.0, -0.9))
CENTRE = 0.4 / 3  # of the area: a kite's is a third of the way of its ends
SHAPES = {
    "box": Box((0.9, 0.5, 0.5)),
    "square": Box((0.6, 0.5, 0.6)),
    "capsule": Capsule(0.4, 0.6),
    "polygon": Polygon(tuple((x - CENTRE, z) for x, z in KITE)),
}
FOLD = {"box": math.pi, "square": math.pi / 2, "capsule": math.pi, "polygon": 2 * math.pi}


def scene_of(*shapes, frames, gravity=0.0):
    bodies = tuple(Body(f"body {i}", shape, State((2.0 + 4 * i, 0.0, 5.0))) for i, shape in enumerate(shapes))
    camera = planar_camera(SIZE, PIXELS)
    law, duration = Law((0.0, 0.0, gravity)), (frames - 1) / FPS
    return Scene(bodies, law, camera, duration=duration, fps=FPS, planar=True, shading="flat")


def poses(path, angle):
    """Positions (T, N, 3) and orientations (T, N, 4) of (T, N, 2) x, z and (T, N) radians."""
    path, angle = torch.tensor(path), torch.tensor(angle)
    zero = torch.zeros_like(angle)
    return torch.stack([path[..., 0], zero, path[..., 1]], -1), exponential(torch.stack([zero, angle, zero], -1))


def draw(scene, path, angle):
    """(T, H, W) ids by pixel centres; later bodies lie on top."""
    centre = (np.arange(PIXELS) + 0.5) * A_PIXEL
    x, z = np.meshgrid(centre, SIZE - centre)
    points = torch.tensor(np.stack([x, 0 * x, z], -1).reshape(1, -1, 3))
    bodies = Bodies.from_scenes([scene], dtype=torch.float64)
    position, orientation = poses(path, angle)
    ids = np.zeros((len(path), PIXELS, PIXELS), np.uint8)
    for k, kind in enumerate(bodies.kinds):
        local = rotate_inverse(orientation[:, k, None], points - position[:, k, None])
        inside = point_distance(kind, bodies.size[0, k], bodies.vertices[0, k], local, True).distance < 0
        ids[inside.reshape(ids.shape).numpy()] = k + 1
    return ids


def drift(frames, seed, bodies=1):
    """Ways across the middle of the picture, turning all the while."""
    generator = np.random.default_rng(seed)
    time = np.arange(frames)[:, None] / FPS
    path = np.array([4.0, 4.5]) + time[..., None] * generator.uniform(0.3, 0.8, (bodies, 2))
    return path, generator.uniform(0, 6, bodies) + time * generator.uniform(0.5, 2.0, bodies)


def read(scene, ids, places):
    edges = outline(ids)
    view = View(measure_tracks(ids, len(scene.bodies), edges), edges, scene.camera, True, {})
    return register_rigid(view, {k: scene.bodies[k] for k in places})


def folded(angle, fold):
    return (angle + fold / 2) % fold - fold / 2


@pytest.mark.parametrize("covered", [False, True])
@pytest.mark.parametrize("name", SHAPES)
def test_a_planar_pose_is_found_within_a_tenth_of_a_pixel_and_half_a_degree(name, covered):
    scene = scene_of(SHAPES[name], Sphere(0.5), frames=40)
    path, angle = drift(40, 501, 2)
    # The ball lies on top: far away, or over an end of the body.
    path[:, 1] = path[:, 0] + (np.array([0.75, 0.3]) if covered else np.array([3.0, 0.0]))
    ids = draw(scene, path, angle)
    found = read(scene, ids, [0])[0]
    assert found.measured.all()
    away = (found.position[:, [0, 2]] - path[:, 0]) / A_PIXEL
    turned = 2 * np.arctan2(found.orientation[:, 2], found.orientation[:, 0])
    wrong = np.degrees(folded(turned - angle[:, 0], FOLD[name]))
    assert np.sqrt(np.mean(away**2)) < 0.1
    assert np.sqrt(np.mean(wrong**2)) < (0.7 if name == "square" and covered else 0.5)
    # The errors told are those that are made, within a factor of two.
    told = np.sqrt(found.pose_covariance[:, [0, 2], [0, 2]]) / A_PIXEL
    assert 0.3 < np.sqrt(np.mean((away / told) ** 2)) < 1.7
    told = np.degrees(np.sqrt(found.pose_covariance[:, 4, 4]))
    assert 0.3 < np.sqrt(np.mean((wrong / told) ** 2)) < 1.7


def test_sides_along_rows_of_pixels_are_told_to_be_uncertain():
    scene = scene_of(SHAPES["box"], frames=8)
    path = np.full((8, 1, 2), 5.0) + np.linspace(0, 0.3, 8)[:, None, None]
    level, tilted = (
        np.sqrt(read(scene, draw(scene, path, np.full((8, 1), a)), [0])[0].covariance[:, 0, 0]) for a in (0.0, 0.35)
    )
    assert np.median(level) > 0.15 * A_PIXEL
    assert np.median(tilted) < 0.5 * np.median(level)


def test_turns_of_shapes_that_look_alike_stay_continuous():
    scene = scene_of(SHAPES["square"], frames=40)
    path, _ = drift(40, 502)
    angle = np.linspace(0, 4.0, 40)[:, None]
    found = read(scene, draw(scene, path, angle), [0])[0]
    turn = torch.from_numpy(found.orientation)
    steps = difference(turn[:-1], turn[1:])[:, 1].numpy()
    assert steps.sum() == pytest.approx(4.0, abs=0.05)
    assert np.abs(steps - 4.0 / 39).max() < 0.06


@pytest.mark.parametrize("pair", [("box", "square"), ("capsule", "box"), ("polygon", "box"), ("polygon", "capsule")])
@pytest.mark.parametrize("depth", [0.2, 0.6])
def test_penetration_in_a_plane_is_within_five_percent_of_the_smaller_half_width(pair, depth):
    shapes = [SHAPES[name] for name in pair]
    least = min(shape.thickness for shape in shapes)
    scene = scene_of(*shapes, frames=24)
    bodies = Bodies.from_scenes([scene], dtype=torch.float64)
    path, angle = drift(24, 503, 2)
    # For seven frames they stand in each other by the depth that the geometry tells, then apart.
    low, high = torch.zeros(24, dtype=torch.float64), torch.full((24,), 4.0, dtype=torch.float64)
    for _ in range(40):
        middle = (low + high) / 2
        path[:, 1] = path[:, 0] + middle.numpy()[:, None] * np.array([0.8, 0.6])
        gap = distances(bodies, *poses(path, angle)).distance[:, 0]
        low, high = torch.where(gap < -depth * least, middle, low), torch.where(gap < -depth * least, high, middle)
    path[:9, 1] += 0.5
    path[16:, 1] += 0.5
    true = -distances(bodies, *poses(path, angle)).distance[:, 0].numpy()
    ids = draw(scene, path, angle)
    figure = ws.score(np.repeat(ids[..., None] * 80, 3, -1), masks=ids, setup=scene.setup()).figures["penetration"]
    error = (figure.entries[9:16, 0] - true[9:16]) / least
    assert figure.measurable == 1
    assert np.sqrt(np.mean(error**2)) < 0.05
    assert figure.value == pytest.approx(depth * least, abs=0.08 * least)
    assert np.nanmax(figure.per_frame[:9]) < 0.05 * least


def test_a_tumbling_box_falls_as_the_law_says_and_a_wrong_fall_is_measured():
    scene = scene_of(SHAPES["box"], frames=36, gravity=-2.5)
    time = np.arange(36)[:, None] / FPS
    for factor in (1.0, 1.5):
        path = np.stack([3 + 2 * time, 6 + 1.5 * time - 0.5 * 2.5 * factor * time**2], -1)
        ids = draw(scene, path, 0.3 + 1.5 * time)
        report = ws.score(np.repeat(ids[..., None] * 80, 3, -1), masks=ids, setup=scene.setup())
        figure = report.figures["gravity"]
        assert figure.measurable > 0.3
        assert abs(figure.value - (factor - 1) * 2.5) < 0.8
        assert report.figures["rigidity"].measurable > 0.8
        assert report.figures["rigidity"].value < 0.05


@pytest.mark.parametrize(("kind", "size"), [("box", [0.2, 0.3, 0.4]), ("capsule", [0.2, 0.3, 0.0])])
def test_derivatives_of_gaps_are_those_of_differences(kind, size):
    torch.manual_seed(0)
    camera = Camera(position=(0.0, -3.0, 1.5), target=(0.0, 0.0, 0.4), width=128, height=128)
    position = 0.2 * torch.randn(5, 3, dtype=torch.float64)
    orientation = torch.nn.functional.normalize(torch.randn(5, 4, dtype=torch.float64), dim=-1)
    slot = torch.randint(0, 5, (300,))
    shapes = Shapes(kind, torch.tensor([size] * 5, dtype=torch.float64), torch.zeros(5, 1, 2).double(), False)
    pixels = 30 + 68 * torch.rand(300, 2, dtype=torch.float64)
    sights = SightGaps(shapes, slot, pixels, camera)
    near = sights(position, orientation).abs() < 1.0  # a capsule's scale is that of its centre, exact on the outline
    for gaps in (sights, PointGaps(shapes, slot, torch.randn(300, 3).double(), torch.ones(300).double())):
        told = gaps.linear(position, orientation)[2]
        for axis in range(6):
            step = torch.zeros(5, 6, dtype=torch.float64)
            step[:, axis] = 1e-6
            ahead, back = gaps(*moved(position, orientation, step)), gaps(*moved(position, orientation, -step))
            wrong = ((ahead - back) / 2e-6 - told[:, axis])[near].abs()
            assert wrong.max() < (1.0 if kind == "capsule" else 1e-5)


@pytest.fixture(scope="module")
def played():
    return fresh("tumbling", 503, PIXELS, "val")


def boxes(scene):
    return [k for k, body in enumerate(scene.bodies) if not body.static and body.shape.kind == "box"]


def test_boxes_in_space_are_placed_by_depth_to_a_tenth_of_a_pixel_and_half_a_degree(played):
    scene, motion = played.scene, played.trajectory
    edges = outline(played.ids)
    tracks = measure_tracks(played.ids, len(scene.bodies), edges)
    statics = {k + 1: body for k, body in enumerate(scene.bodies) if body.static}
    bodies = {k: scene.bodies[k] for k in boxes(scene)}
    for depth in (played.depth.astype(float), None):
        view = View(tracks, edges, scene.camera, False, statics, depth)
        assert register_rigid(view, bodies) == {}
        for k, found in register_rigid(view, bodies, motion).items():
            true = motion.position[:, k].double().numpy()
            ray = true - np.array(scene.camera.position)
            scale = (scene.camera.focal / np.linalg.norm(ray, axis=-1))[:, None]
            turns = multiply(torch.tensor(found.orientation)[:, None], symmetries(bodies[k].shape, False))
            wrong = difference(turns, motion.orientation[:, k, None].double().expand_as(turns)).norm(dim=-1).amin(-1)
            away = (found.position - true) * scale
            if depth is not None:
                assert found.measured.mean() > 0.6
                assert np.median(np.linalg.norm(away[found.measured], axis=-1)) < 0.1
                assert np.degrees(np.median(wrong.numpy()[found.measured])) < 0.5
            elif found.measured.mean() > 0.5:
                # Silhouettes alone: across the line of sight to half a pixel, along it within the error told.
                ahead = ray / np.linalg.norm(ray, axis=-1, keepdims=True)
                along = (away * ahead).sum(-1)
                across = np.linalg.norm(away - along[:, None] * ahead, axis=-1)
                assert np.median(across[found.measured]) < 0.5
                assert np.median(np.abs(along / scale[:, 0])[found.measured] / found.error[found.measured]) < 2


def test_without_a_scene_boxes_in_space_are_said_not_to_be_measurable():
    played = fresh("tumbling", 503, 64, "val")
    report = ws.score(played.video, masks=played.ids, setup=played.scene.setup())
    assert not report.figures["penetration"].applies
    assert "with a scene" in report.figures["penetration"].reason
