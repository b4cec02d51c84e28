"""Rotations against scipy, closed forms and finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from worldsim.physics import rotation


def quaternions(count: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return rotation.normalise(torch.randn(count, 4, generator=generator, dtype=torch.float64))


def to_scipy(q: torch.Tensor) -> Rotation:
    return Rotation.from_quat(q.roll(-1, -1).numpy())


def test_products_matrices_and_turns_are_those_of_scipy() -> None:
    a, b = quaternions(200), quaternions(200, 1)
    v = torch.randn(200, 3, dtype=torch.float64)
    assert np.allclose(
        rotation.to_matrix(rotation.multiply(a, b)), (to_scipy(a) * to_scipy(b)).as_matrix(), rtol=0, atol=1e-12
    )
    assert np.allclose(rotation.rotate(a, v), to_scipy(a).apply(v.numpy()), rtol=0, atol=1e-12)
    assert np.allclose(rotation.rotate_inverse(a, v), to_scipy(a).inv().apply(v.numpy()), rtol=0, atol=1e-12)
    assert np.allclose(rotation.to_matrix(a), to_scipy(a).as_matrix(), rtol=0, atol=1e-12)


def test_a_turn_about_y_takes_z_towards_x() -> None:
    q = rotation.exponential(torch.tensor([0.0, math.pi / 2, 0.0], dtype=torch.float64))
    turned = rotation.rotate(q, torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64))
    assert torch.allclose(turned, torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64), atol=1e-15)


def test_exponential_and_logarithm_are_inverse_from_zero_to_pi() -> None:
    axis = torch.nn.functional.normalize(torch.randn(300, 3, dtype=torch.float64), dim=-1)
    angle = torch.cat([torch.tensor([0.0, 1e-12, 1e-8, 9e-4, 1.1e-3]), torch.linspace(0, math.pi - 1e-6, 295)])
    vector = axis * angle.double()[:, None]
    q = rotation.exponential(vector)
    assert np.allclose(q.numpy(), Rotation.from_rotvec(vector.numpy()).as_quat()[:, [3, 0, 1, 2]], rtol=0, atol=1e-14)
    assert torch.allclose(rotation.logarithm(q), vector, rtol=0, atol=1e-9)
    assert torch.allclose(rotation.logarithm(-q), vector, rtol=0, atol=1e-9)


def test_matrix_to_quaternion_and_back_even_for_half_turns() -> None:
    q = torch.cat([quaternions(200), torch.eye(4, dtype=torch.float64)])
    matrix = rotation.to_matrix(q)
    assert torch.allclose(rotation.to_matrix(rotation.from_matrix(matrix)), matrix, rtol=0, atol=1e-14)


def test_integrating_a_constant_spin_gives_its_angle() -> None:
    omega = torch.tensor([0.3, -2.0, 1.1], dtype=torch.float64)
    q = torch.tensor([1.0, 0, 0, 0], dtype=torch.float64)
    for _ in range(1000):
        q = rotation.integrate(q, omega, 1e-3)
    assert torch.allclose(rotation.logarithm(q), omega, rtol=0, atol=1e-12)
    start = quaternions(1)[0]
    assert torch.allclose(rotation.difference(start, rotation.integrate(start, omega, 0.5)), omega / 2, atol=1e-13)


@pytest.mark.parametrize("scale", [0.0, 1e-5, 1e-3, 1.0])
def test_gradients_of_exponential_and_logarithm(scale: float) -> None:
    vector = (scale * torch.randn(5, 3, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(rotation.exponential, vector)
    q = rotation.exponential(vector.detach()).requires_grad_()
    assert torch.autograd.gradcheck(lambda q: rotation.logarithm(rotation.normalise(q)), q)
    assert torch.autograd.gradcheck(lambda q: rotation.from_matrix(rotation.to_matrix(rotation.normalise(q))), q)


def test_kabsch_finds_the_motion_and_matches_scipy_under_noise() -> None:
    generator = torch.Generator().manual_seed(3)
    points = torch.randn(20, 8, 3, generator=generator, dtype=torch.float64)
    q = quaternions(20)
    shift = torch.randn(20, 3, generator=generator, dtype=torch.float64)
    moved = rotation.rotate(q[:, None], points) + shift[:, None]
    fit = rotation.kabsch(points, moved)
    assert torch.allclose(fit.rotation, rotation.to_matrix(q), atol=1e-12)
    assert torch.allclose(fit.translation, shift, atol=1e-12)
    assert float(fit.residual.max()) < 1e-12
    weights = torch.rand(20, 8, generator=generator, dtype=torch.float64)
    noisy = moved + 0.1 * torch.randn(20, 8, 3, generator=generator, dtype=torch.float64)
    fit = rotation.kabsch(points, noisy, weights)
    for k in range(20):
        w = (weights[k] / weights[k].sum()).numpy()
        a, b = points[k].numpy(), noisy[k].numpy()
        expected, _ = Rotation.align_vectors(b - w @ b, a - w @ a, weights=w)
        assert np.allclose(fit.rotation[k], expected.as_matrix(), atol=1e-9)


def test_kabsch_never_reflects() -> None:
    points = torch.randn(8, 3, dtype=torch.float64)
    mirrored = points * torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64)
    assert torch.allclose(torch.det(rotation.kabsch(points, mirrored).rotation), torch.ones((), dtype=torch.float64))


def test_gradients_of_kabsch_are_exact_where_singular_values_coincide() -> None:
    cube = torch.tensor([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=torch.float64)
    target = rotation.rotate(quaternions(1), cube).requires_grad_()
    assert torch.autograd.gradcheck(lambda t: rotation.kabsch(cube, t)[:2], target)
    noisy = (target.detach() + 0.05 * torch.randn(8, 3, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda t: tuple(rotation.kabsch(cube, t)), noisy)


def test_gradients_of_kabsch_stay_finite_for_points_on_a_line_or_in_a_point() -> None:
    line = torch.linspace(-1, 1, 6, dtype=torch.float64)[:, None] * torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float64)
    for points in (line, torch.zeros(6, 3, dtype=torch.float64)):
        target = points.clone().requires_grad_()
        fit = rotation.kabsch(points, target)
        (fit.rotation.sum() + fit.translation.sum() + fit.residual.sum()).backward()
        assert torch.isfinite(target.grad).all()
