"""Moments of drawn masks against the poses that drew them."""

import math

import numpy as np
import pytest
import torch

from worldsim.physics import Bodies, Trajectory
from worldsim.scene import Body, Box, Camera, Polygon, Scene, Sphere, State, planar_camera
from worldsim.vision import (
    View,
    harmonic,
    mask_moments,
    planar_position,
    rasterise,
    sphere_position,
    unproject,
)


def draw(shape, x, z, angle, pixels=64, tau=0.5):
    """Amodal mask of one planar body, with the body's turn about +y."""
    turn = (math.cos(angle / 2), 0.0, math.sin(angle / 2), 0.0)
    scene = Scene(bodies=(Body("b", shape, State((x, 0, z), turn)),), camera=planar_camera(10, pixels), planar=True)
    start = Trajectory.start_of([scene], torch.float64)
    return rasterise(start, Bodies.from_scenes([scene], torch.float64), scene.camera, tau_px=tau).masks[0, 0, 0]


def poses(count, seed=0):
    rng = np.random.default_rng(seed)
    return [(*rng.uniform(3.5, 6.5, 2), rng.uniform(-math.pi / 2, math.pi / 2)) for _ in range(count)]


@pytest.mark.parametrize(
    "shape", [Box((1.0, 0.5, 0.5)), Sphere(0.8), Box((0.7, 0.5, 0.7))], ids=["2:1", "ball", "square"]
)
def test_centroid_within_two_hundredths_of_a_pixel(shape):
    """The bar: centroid within .02 px at 64 px."""
    view = View.from_cameras(planar_camera(10, 64), torch.float64)
    worst = 0.0
    for x, z, angle in poses(60):
        found = planar_position(mask_moments(draw(shape, x, z, angle)).centroid[None], view)[0]
        worst = max(worst, 6.4 * math.hypot(float(found[0]) - x, float(found[2]) - z))
        assert found[1] == 0
    assert worst < 0.02, worst


def test_angle_within_half_a_degree():
    """The bar: angle within .5 degrees on 2:1 boxes at 64 px."""
    worst = 0.0
    for x, z, angle in poses(60, 1):
        found = float(mask_moments(draw(Box((1.0, 0.5, 0.5)), x, z, angle)).angle)
        worst = max(worst, abs((found - angle + math.pi / 2) % math.pi - math.pi / 2))
    assert worst < math.radians(0.5), math.degrees(worst)


def test_squares_by_the_fourth_harmonic():
    """Long axis undefined (elongation near 0); the corners' direction is known modulo a quarter turn."""
    for x, z, angle in poses(20, 2):
        mask = draw(Box((0.9, 0.5, 0.9)), x, z, angle)
        assert mask_moments(mask).elongation < 0.01
        found = harmonic(mask, 4)
        gap = (float(found.angle) - angle - math.pi / 4 + math.pi / 4) % (math.pi / 2) - math.pi / 4
        assert abs(gap) < math.radians(1.0), math.degrees(gap)
        assert found.strength > 0.1


def test_triangle_by_the_third_and_disc_by_none():
    corner = [(math.cos(a), math.sin(a)) for a in (math.pi / 2, math.pi * 7 / 6, math.pi * 11 / 6)]
    mask = draw(Polygon(tuple(corner)), 5, 5, 0.2)
    # A corner points up at angle 0; up is -pi/2 from u towards v, and the turn adds to it.
    gap = (float(harmonic(mask, 3).angle) - (0.2 - math.pi / 2) + math.pi / 3) % (2 * math.pi / 3) - math.pi / 3
    assert abs(gap) < math.radians(1.0)
    assert harmonic(draw(Sphere(1.5), 5, 5, 0.0), 4).strength < 0.01


def test_area_and_covariance_of_a_box():
    mask = draw(Box((1.5, 0.5, 0.75)), 5.02, 4.97, 0.0, pixels=128, tau=0.25)
    found = mask_moments(mask)
    assert math.isclose(float(found.area), 3.0 * 1.5 * 12.8**2, rel_tol=0.01)
    assert math.isclose(float(found.covariance[0, 0]), (1.5 * 12.8) ** 2 / 3, rel_tol=0.02)
    assert math.isclose(float(found.covariance[1, 1]), (0.75 * 12.8) ** 2 / 3, rel_tol=0.02)
    assert found.border == 0


def test_border_says_that_a_mask_is_cut():
    assert mask_moments(draw(Sphere(1.0), 9.8, 5.0, 0.0)).border > 0.01


def test_sphere_position_from_known_size():
    """Closed form of the ellipse against the analytic area and centre of the outline, off axis and near."""
    camera = Camera(position=(0.0, -3.0, 1.0), target=(0, 0, 0.5), fov=70, width=64, height=64)
    view = View.from_cameras(camera, torch.float64)
    position = torch.tensor([[[0.7, -0.6, 1.2]], [[0.0, 1.5, 0.0]]], dtype=torch.float64)
    radius = 0.4
    for point in position:
        c = view.to_camera(point[None])[0, 0]
        angle = torch.linspace(0, 2 * math.pi, 100001, dtype=torch.float64)
        axis = c / c.norm()
        e1 = torch.linalg.cross(axis, torch.tensor([0.3, 1.0, 0.2], dtype=torch.float64))
        e1 = e1 / e1.norm()
        e2 = torch.linalg.cross(axis, e1)
        half = math.asin(radius / float(c.norm()))
        rim = math.cos(half) * axis + math.sin(half) * (angle.cos()[:, None] * e1 + angle.sin()[:, None] * e2)
        u, v = (rim[:, :2] / rim[:, 2:] * view.focal + 32).T
        cross = u[:-1] * v[1:] - u[1:] * v[:-1]
        area = cross.sum() / 2
        centroid = torch.stack([((u[:-1] + u[1:]) * cross).sum(), ((v[:-1] + v[1:]) * cross).sum()]) / (6 * area)
        found = sphere_position(area.abs()[None], centroid[None], radius, view)
        assert (found - point).abs().max() < 1e-6
    scene = Scene(bodies=(Body("b", Sphere(radius), State((0.3, 0.2, 0.6))),), camera=camera)
    start = Trajectory.start_of([scene], torch.float64)
    mask = rasterise(start, Bodies.from_scenes([scene], torch.float64), camera, tau_px=0.25).masks[0, 0]
    seen = mask_moments(mask)
    found = sphere_position(seen.area, seen.centroid, radius, view)
    assert (found - start.position[0, 0]).norm() < 0.03


def test_unproject_inverts_project():
    for camera in (planar_camera(10, 64), Camera()):
        points = np.random.default_rng(0).uniform(-0.5, 0.5, (5, 3))
        pixels, depth = camera.project(points)
        view = View.from_cameras(camera, torch.float64)
        back = unproject(torch.from_numpy(pixels)[None], view, torch.from_numpy(depth)[None])[0]
        assert np.allclose(back.numpy(), points, atol=1e-9)


def test_gradcheck_and_empty_masks():
    mask = torch.rand(2, 6, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()

    def read(value):
        found, corners = mask_moments(value), harmonic(value, 4)
        return (*vars(found).values(), corners.angle, corners.strength)

    assert torch.autograd.gradcheck(read, (mask,))
    empty = torch.zeros(3, 6, 7, requires_grad=True)
    total = sum(value.sum() for value in (*vars(mask_moments(empty)).values(), harmonic(empty).angle))
    total.backward()
    assert torch.isfinite(total)
    assert torch.isfinite(empty.grad).all()


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="masks"):
        mask_moments(torch.zeros(5))
    with pytest.raises(ValueError, match="order"):
        harmonic(torch.zeros(5, 5), 1)
    with pytest.raises(ValueError, match="perspective"):
        sphere_position(torch.ones(1), torch.ones(1, 2), 0.1, View.from_cameras(planar_camera()))
    along = Camera(kind="orthographic", position=(0, 0, 5), target=(0, 0, 0), up=(0, 1, 0))
    with pytest.raises(ValueError, match="plane y = 0"):
        planar_position(torch.ones(1, 2), View.from_cameras(along))
