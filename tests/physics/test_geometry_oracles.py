"""Signed distances against Coal, shapely, dense search and closed forms.

Bar: within 1e-6 m of Coal and shapely on 1,000 random pairs of each kind, apart and overlapping, in double precision.
"""

from __future__ import annotations

import math

import coal
import numpy as np
import pytest
import shapely
import torch
from geometry_cases import FLAT, PLANAR_PAIRS, SPATIAL_PAIRS, Case, cases, measure
from torch import Tensor

from worldsim.physics import rotation
from worldsim.physics.geometry import point_distance

BAR = 1e-6
COUNT = 1000


def coal_shape(kind: str, size: list[float]) -> coal.CollisionGeometry:
    if kind == "sphere":
        return coal.Sphere(size[0])
    if kind == "capsule":
        return coal.Capsule(size[0], 2 * size[1])
    if kind == "box":
        return coal.Box(2 * size[0], 2 * size[1], 2 * size[2])
    return coal.Halfspace(np.array([0.0, 0.0, 1.0]), 0.0)


def coal_distances(a: Case, b: Case) -> np.ndarray:
    request = coal.DistanceRequest()
    request.enable_signed_distance = True
    request.gjk_tolerance = request.epa_tolerance = 1e-12
    request.gjk_max_iterations = request.epa_max_iterations = 2000
    matrices = [rotation.to_matrix(case.orientation).numpy() for case in (a, b)]
    positions = [case.position.numpy() for case in (a, b)]
    values = []
    for i in range(len(a.size)):
        shapes = [coal_shape(case.kind, case.size[i].tolist()) for case in (a, b)]
        poses = [coal.Transform3s(m[i], p[i]) for m, p in zip(matrices, positions, strict=True)]
        values.append(coal.distance(shapes[0], poses[0], shapes[1], poses[1], request, coal.DistanceResult()))
    return np.array(values)


@pytest.mark.parametrize(("kind_a", "kind_b"), [pair for pair in SPATIAL_PAIRS if "ring" not in pair])
def test_spatial_pairs_agree_with_coal(kind_a: str, kind_b: str) -> None:
    a, b = cases(kind_a, COUNT, 1), cases(kind_b, COUNT, 2)
    result = measure(a, b)
    overlapping = int((result.distance < 0).sum())
    assert 100 < overlapping < 900
    assert np.abs(result.distance.numpy() - coal_distances(a, b)).max() < BAR


def core_points(case: Case, i: int) -> tuple[np.ndarray, float]:
    """Corners in x, z of the core of a planar shape, and its radius."""
    size = case.size[i].tolist()
    local = {
        "sphere": lambda: np.zeros((1, 2)),
        "capsule": lambda: np.array([[0, -size[1]], [0, size[1]]]),
        "box": lambda: np.array([[x * size[0], z * size[2]] for x in (-1, 1) for z in (-1, 1)]),
        "polygon": lambda: case.vertices[i].numpy(),
    }[case.kind]()
    matrix = rotation.to_matrix(case.orientation[i]).numpy()[[0, 2]][:, [0, 2]]
    return local @ matrix.T + case.position[i, [0, 2]].numpy(), size[0] if case.kind in ("sphere", "capsule") else 0.0


def shapely_distance(a: tuple[np.ndarray, float], b: tuple[np.ndarray, float]) -> float:
    """Of the origin to the boundary of the Minkowski difference of two cores."""
    hull = shapely.MultiPoint((b[0][:, None] - a[0][None]).reshape(-1, 2)).convex_hull
    origin = shapely.Point(0, 0)
    distance = hull.distance(origin)
    if hull.geom_type == "Polygon" and hull.contains(origin):
        distance = -hull.exterior.distance(origin)
    return distance - a[1] - b[1]


@pytest.mark.parametrize(("kind_a", "kind_b"), [pair for pair in PLANAR_PAIRS if "plane" not in pair])
def test_planar_pairs_agree_with_shapely(kind_a: str, kind_b: str) -> None:
    a, b = cases(kind_a, COUNT, 3, planar=True), cases(kind_b, COUNT, 4, planar=True)
    result = measure(a, b, planar=True)
    assert 100 < int((result.distance < 0).sum()) < 900
    expected = [shapely_distance(core_points(a, i), core_points(b, i)) for i in range(COUNT)]
    assert np.abs(result.distance.numpy() - expected).max() < BAR
    assert float(result.normal[..., 1].abs().max()) == 0


@pytest.mark.parametrize("kind", FLAT)
def test_planar_plane_is_the_lowest_point(kind: str) -> None:
    plane, other = cases("plane", COUNT, 5, planar=True), cases(kind, COUNT, 6, planar=True)
    result = measure(plane, other, planar=True)
    normal = rotation.to_matrix(plane.orientation)[..., 2].numpy()[:, [0, 2]]
    for i in range(COUNT):
        corners, radius = core_points(other, i)
        height = ((corners - plane.position[i, [0, 2]].numpy()) @ normal[i]).min() - radius
        assert abs(height - float(result.distance[i])) < 1e-12


def ring_oracle(ring: Case, other: Case) -> Tensor:
    """Least distance from 1024 points of the circle to the other shape, then zoomed in four times by sixty."""

    def distance(angle: Tensor) -> Tensor:
        circle = ring.size[:, :1, None] * torch.stack([angle.cos(), angle.sin(), torch.zeros_like(angle)], -1)
        world = ring.position[:, None] + rotation.rotate(ring.orientation[:, None], circle)
        local = rotation.rotate_inverse(other.orientation[:, None], world - other.position[:, None])
        return point_distance(other.kind, other.size[:, None], None, local).distance

    grid = torch.linspace(-math.pi, math.pi, 1025, dtype=torch.float64).expand(len(ring.size), 1025)
    width = 2 * math.pi / 1024
    value, index = distance(grid).min(-1)
    centre = grid.gather(-1, index[:, None])
    for _ in range(4):
        grid = centre + width * torch.linspace(-1, 1, 201, dtype=torch.float64)
        value, index = distance(grid).min(-1)
        centre, width = grid.gather(-1, index[:, None]), width / 60
    return value - ring.size[:, 1]


@pytest.mark.parametrize("kind", ["sphere", "capsule", "box", "ring", "plane"])
def test_ring_pairs_agree_with_dense_search(kind: str) -> None:
    ring, other = cases("ring", 400, 7), cases(kind, 400, 8)
    result = measure(ring, other)
    assert 40 < int((result.distance < 0).sum()) < 360
    assert float((result.distance - ring_oracle(ring, other)).abs().max()) < BAR


def test_a_ball_in_the_hole_of_a_ring_is_apart_from_it() -> None:
    ring, ball = cases("ring", 1, 9), cases("sphere", 1, 9)
    ball.position = ring.position
    ball.size = torch.tensor([[0.1, 0.0, 0.0]], dtype=torch.float64)
    expected = ring.size[0, 0] - ring.size[0, 1] - 0.1
    assert abs(float(measure(ring, ball).distance - expected)) < 1e-12


@pytest.mark.parametrize("kind_b", ["sphere", "capsule", "box", "plane", "ring"])
def test_rounding_a_box_is_a_smaller_box_made_thicker(kind_b: str) -> None:
    box, other = cases("box", 200, 10), cases(kind_b, 200, 11)
    small = Case("box", box.size - 0.05, box.vertices, box.position, box.orientation)
    core = Case("box", other.size - 0.05, *other.arguments[2:]) if kind_b == "box" else other
    expected = measure(small, core).distance - (0.1 if kind_b == "box" else 0.05)
    assert float((measure(box, other, rounding=0.05).distance - expected).abs().max()) < 1e-12


def test_point_distance_of_polygons_agrees_with_shapely() -> None:
    polygon = cases("polygon", 200, 12, planar=True)
    points = torch.tensor(np.random.default_rng(13).uniform(-1, 1, (200, 3)))
    result = point_distance("polygon", polygon.size, polygon.vertices, points)
    for i in range(200):
        shape, point = shapely.Polygon(polygon.vertices[i].numpy()), shapely.Point(*points[i, [0, 2]].numpy())
        expected = -shape.exterior.distance(point) if shape.contains(point) else shape.distance(point)
        assert abs(float(result.distance[i]) - expected) < 1e-12


@pytest.mark.parametrize("kind", ["sphere", "capsule", "box", "plane", "ring"])
def test_point_distance_is_that_of_a_ball_of_no_size(kind: str) -> None:
    shape, ball = cases(kind, 500, 14), cases("sphere", 500, 15)
    local = rotation.rotate_inverse(shape.orientation, ball.position - shape.position)
    result = point_distance(kind, shape.size, None, local)
    pair = measure(shape, ball)
    assert float((result.distance - ball.size[:, 0] - pair.distance).abs().max()) < 1e-12
    assert float((rotation.rotate(shape.orientation, result.normal) - pair.normal).abs().max()) < 1e-9
    foot = local - result.distance[:, None] * result.normal
    assert float(point_distance(kind, shape.size, None, foot).distance.abs().max()) < 1e-12
