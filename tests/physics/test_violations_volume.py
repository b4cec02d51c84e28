"""Overlap volume against closed forms. Bars: 6 % for balls, capsules and faces, 16 % for edges, 3 % in the plane."""

from __future__ import annotations

import math

import pytest
import torch
from violation_cases import Box, Plane, Sphere, motion, world

from worldsim.physics import Trajectory, rotation
from worldsim.physics.violations import penetration_volume
from worldsim.scene import Capsule, Shape

DEPTHS = [0.001, 0.004, 0.02, 0.05]
TURN = rotation.exponential(torch.tensor([0.0, math.pi / 4, 0.0], dtype=torch.float64))
FLAT = rotation.exponential(torch.tensor([math.pi / 2, 0.0, 0.0], dtype=torch.float64))


def shared(
    a: Shape, b: Shape, place: tuple[float, float, float], q: torch.Tensor | None = None, planar: bool = False
) -> float:
    bodies = world([(a, a.kind == "plane", None), (b, False, None)], planar)
    moving = motion([torch.zeros(1, 3), [place]], 0.1)
    if q is not None:
        moving.orientation[:, 1] = q
    found = penetration_volume(moving, bodies)
    assert found.unit == ("m^2" if planar else "m^3")
    return float(found.values[0, 0])


def segment(radius: float, depth: float) -> float:
    return radius**2 * math.acos((radius - depth) / radius) - (radius - depth) * math.sqrt(
        2 * radius * depth - depth**2
    )


@pytest.mark.parametrize("depth", DEPTHS)
def test_solids(depth: float) -> None:
    r1, r2 = 0.1, 0.15
    d = r1 + r2 - depth
    lens = math.pi * depth**2 * (d * d + 2 * d * (r1 + r2) - 3 * (r1 - r2) ** 2) / (12 * d)
    assert shared(Sphere(r1), Sphere(r2), (d, 0, 0)) == pytest.approx(lens, rel=0.06)
    cap = math.pi * depth**2 * (3 * r1 - depth) / 3
    assert shared(Plane(), Sphere(r1), (0, 0, r1 - depth)) == pytest.approx(cap, rel=0.06)
    if depth < 0.05:
        lying = segment(0.05, depth) * 0.4 + math.pi * depth**2 * (0.15 - depth) / 3
        assert shared(Plane(), Capsule(0.05, 0.2), (0, 0, 0.05 - depth), FLAT) == pytest.approx(lying, rel=0.06)
    face = depth * 0.2 * 0.16
    boxes = Box((0.1, 0.2, 0.3)), Box((0.05, 0.1, 0.08))
    assert shared(*boxes, (0.15 - depth, 0, 0)) == pytest.approx(face, rel=0.06)
    place = (0.3 + 0.1 * math.sqrt(2) - depth, 0, 0)
    assert shared(Box((0.3,) * 3), Box((0.1,) * 3), place, TURN) == pytest.approx(depth**2 * 0.2, rel=0.16)


@pytest.mark.parametrize("depth", DEPTHS)
def test_planar(depth: float) -> None:
    lens = 2 * segment(0.1, depth / 2)
    assert shared(Sphere(0.1), Sphere(0.1), (0.2 - depth, 0, 0), planar=True) == pytest.approx(lens, rel=0.03)
    boxes = Box((0.1, 0.2, 0.3)), Box((0.05, 0.1, 0.08))
    assert shared(*boxes, (0.15 - depth, 0, 0), planar=True) == pytest.approx(depth * 0.16, rel=0.03)
    place = (0.3 + 0.1 * math.sqrt(2) - depth, 0, 0)
    assert shared(Box((0.3,) * 3), Box((0.1,) * 3), place, TURN, True) == pytest.approx(depth**2, rel=0.03)


def test_apart_there_is_no_volume_and_its_gradient_is_that_of_the_lens() -> None:
    assert shared(Sphere(0.1), Sphere(0.1), (0.3, 0, 0)) == 0
    base = motion([torch.zeros(1, 3), [(0.22, 0.0, 0.0)]], 0.1)
    position = base.position.clone().requires_grad_()
    names = ("orientation", "linear_velocity", "angular_velocity", "presence")
    moving = Trajectory(position, *[getattr(base, n) for n in names], 0.1)
    penetration_volume(moving, world([(Sphere(0.1), False, None), (Sphere(0.15), False, None)])).energy.backward()
    # The derivative of a lens by its depth is the area of the disc in which the spheres cut each other.
    x = (0.22**2 + 0.1**2 - 0.15**2) / (2 * 0.22)
    assert float(position.grad[0, 1, 0]) == pytest.approx(-math.pi * (0.1**2 - x**2), rel=0.06)
