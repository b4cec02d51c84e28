"""Rigidity of points, masks and groups, and permanence, against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from violation_cases import Box, Sphere, motion, world

from worldsim.physics import Trajectory, rotation
from worldsim.physics.violations import (
    Violation,
    group_rigidity,
    mask_moments,
    mask_rigidity,
    permanence,
    point_rigidity,
)


def turning(points: torch.Tensor, frames: int) -> torch.Tensor:
    """(T, 1, P, 3) points carried along by a turn and a shift."""
    time = torch.linspace(0, 1, frames, dtype=torch.float64)
    axis = torch.tensor([0.3, -1.0, 0.5], dtype=torch.float64)
    q = rotation.exponential(time[:, None] * axis)
    return (rotation.rotate(q[:, None], points) + time[:, None, None] * axis)[:, None]


def cloud(count: int = 12) -> torch.Tensor:
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_rigid_motion_of_points_leaves_nothing() -> None:
    assert float(point_rigidity(turning(cloud(), 6)).worst) < 1e-12
    flat = turning(cloud() * torch.tensor([1.0, 0, 1.0]), 6)[..., [0, 2]]
    time = torch.linspace(0, 2, 6, dtype=torch.float64)
    cosine, sine = time.cos()[:, None, None], time.sin()[:, None, None]
    plane = torch.stack(
        [cosine * flat[0, ..., 0] - sine * flat[0, ..., 1], sine * flat[0, ..., 0] + cosine * flat[0, ..., 1]], -1
    )
    assert float(point_rigidity(plane).worst) < 1e-12


def test_growth_is_a_violation_unless_scale_is_allowed() -> None:
    points = turning(cloud(), 3)
    points[2] = 1.2 * points[2]
    radius = (cloud() - cloud().mean(0)).square().sum(-1).mean().sqrt()
    found = point_rigidity(points)
    assert abs(float(found.values[2, 0]) - 0.2 * float(radius)) < 1e-9
    assert float(point_rigidity(points, scale=True).worst) < 1e-9


def test_shear_is_a_violation_either_way_and_differentiates() -> None:
    points = turning(cloud(), 2)
    points[1, ..., 0] += 0.3 * points[1, ..., 2]
    assert float(point_rigidity(points, scale=True).worst) > 0.05
    start = points.clone().requires_grad_()
    for scale in (False, True):
        assert torch.autograd.gradcheck(lambda p, scale=scale: point_rigidity(p, scale=scale).energy, start)
    rigid = turning(cloud(), 3).requires_grad_()
    point_rigidity(rigid).mean.backward()
    assert torch.isfinite(rigid.grad).all()


def test_points_that_are_not_seen_do_not_count() -> None:
    points = turning(cloud(), 3)
    points[1:, 0, 3] += 5
    seen = torch.ones(3, 1, 12, dtype=torch.bool)
    seen[1:, 0, 3] = False
    assert float(point_rigidity(points, seen).worst) < 1e-12
    seen[2, 0, 2:] = False
    assert point_rigidity(points, seen).measurable[:, 0].tolist() == [True, True, False]


def ellipse(a: float, b: float, angle: float, size: int = 64) -> torch.Tensor:
    """(H, W) soft mask of an ellipse in the middle."""
    grid = torch.arange(size, dtype=torch.float64) + 0.5 - size / 2
    y, x = torch.meshgrid(grid, grid, indexing="ij")
    u, v = math.cos(angle) * x + math.sin(angle) * y, -math.sin(angle) * x + math.cos(angle) * y
    radius = ((u / a).square() + (v / b).square()).sqrt()
    return torch.sigmoid((1 - radius) * math.sqrt(a * b) / 0.3)


def test_mask_moments_of_an_ellipse() -> None:
    area, axes = mask_moments(ellipse(16, 8, 0.7))
    assert abs(float(area) / (math.pi * 16 * 8) - 1) < 0.02
    assert torch.allclose(axes, torch.tensor([64.0, 16.0], dtype=torch.float64), rtol=0.02)


def test_a_turning_mask_is_rigid_and_a_stretched_one_is_not() -> None:
    turn = torch.stack([ellipse(16, 8, 0.3 * k) for k in range(6)])[:, None]
    assert float(mask_rigidity(turn).worst) < 0.005
    stretched = torch.stack([ellipse(12, 8, 0), ellipse(15, 8, 0.4)])[:, None]
    assert abs(float(mask_rigidity(stretched).values[1, 0]) - math.log(15 / 12)) < 0.01
    shrunk = torch.stack([ellipse(16, 8, 0), ellipse(12, 6, 0)])[:, None]
    assert abs(float(mask_rigidity(shrunk).values[1, 0]) - math.log(16 / 12)) < 0.01


def test_round_empty_and_hidden_masks() -> None:
    masks = torch.stack([ellipse(6, 6, 0, 24), ellipse(6, 6, 0, 24), 0 * ellipse(6, 6, 0, 24)])[
        :, None
    ].requires_grad_()
    found = mask_rigidity(masks)
    assert found.measurable[:, 0].tolist() == [True, True, False]
    found.energy.backward()
    assert torch.isfinite(masks.grad).all()
    hidden = mask_rigidity(masks.detach(), whole=torch.tensor([[True], [False], [True]]))
    assert hidden.measurable[:, 0].tolist() == [True, False, False]
    soft = torch.stack([ellipse(4, 3, 0.2, 12), ellipse(4, 2.5, 0.5, 12)])[:, None].requires_grad_()
    assert torch.autograd.gradcheck(lambda m: mask_rigidity(m).energy, soft)


def test_a_group_that_moves_as_one_is_rigid_and_a_slipping_link_is_not() -> None:
    bodies = world([(Box((0.1, 0.1, 0.1)), False, "g"), (Sphere(0.2), False, "g"), (Sphere(0.1), False, None)])
    offset = torch.tensor([[0.0, 0, 0], [0.5, 0, 0], [3, 0, 0]], dtype=torch.float64)
    position = turning(offset, 4)[:, 0]
    axis = torch.tensor([0.3, -1.0, 0.5], dtype=torch.float64)
    q = rotation.exponential(torch.linspace(0, 1, 4, dtype=torch.float64)[:, None] * axis)
    base = motion([position[:, k] for k in range(3)], 0.1)
    moving = Trajectory(
        position,
        q[:, None].expand(4, 3, 4).contiguous(),
        base.linear_velocity,
        base.angular_velocity,
        base.presence,
        0.1,
    )
    found = group_rigidity(moving, bodies)
    assert found.subjects.tolist() == [[0, 1]]
    assert float(found.worst) < 1e-12
    position[3, 1] += torch.tensor([0.0, 0.07, 0.0], dtype=torch.float64)
    assert abs(float(group_rigidity(moving, bodies).values[3, 0]) - 0.07) < 1e-9
    moving.orientation[2, 1] = rotation.multiply(
        moving.orientation[2, 1], rotation.exponential(torch.tensor([0.0, 0.0, 0.1], dtype=torch.float64))
    )
    assert abs(float(group_rigidity(moving, bodies).values[2, 0]) - 0.1 * 0.2) < 1e-9
    start = moving.position.clone().requires_grad_()
    names = ("orientation", "linear_velocity", "angular_velocity", "presence")
    assert torch.autograd.gradcheck(
        lambda x: group_rigidity(Trajectory(x, *[getattr(moving, n) for n in names], 0.1), bodies).energy, start
    )
    with pytest.raises(ValueError, match=r"rigid_groups: must be out of \[0, 1\], got 7"):
        group_rigidity(moving, bodies, [7])


def test_presence_lost_and_born() -> None:
    moving = motion([torch.zeros(4, 3)] * 2, 0.1)
    assert float(permanence(moving).worst) == 0
    moving.presence[2:, 0] = 0
    moving.presence[0, 1] = 0
    found = permanence(moving)
    assert found.values.tolist() == [[0, 0], [0, 1], [1, 1], [1, 1]]


def test_areas_count_against_the_area_expected() -> None:
    moving = motion([torch.zeros(4, 3)] * 2, 0.1)
    expected = torch.tensor([[100.0, 50], [100, 20], [100, 5], [100, 0]], dtype=torch.float64)
    assert float(permanence(moving, expected, expected).worst) == 0
    seen = expected.clone()
    seen[1, 0], seen[2, 0], seen[3, 0], seen[2, 1] = 70, 130, 1000, 1
    found = permanence(moving, seen, expected)
    assert torch.allclose(found.values[:, 0], torch.tensor([0, 0.3, 0.3, 1.0], dtype=torch.float64))
    assert found.measurable[:, 1].tolist() == [True, True, False, False]
    area = seen[:3].clone().requires_grad_()
    short = moving.frames(0, 3)
    assert torch.autograd.gradcheck(lambda a: permanence(short, a, expected[:3]).energy, area)
    with pytest.raises(ValueError, match="must be given together"):
        permanence(moving, visible_area=seen)
    with pytest.raises(ValueError, match="visible_area: must be 0 or above, got -1"):
        permanence(moving, seen - 1, expected)


def test_a_violation_refuses_parts_that_do_not_fit() -> None:
    values = torch.zeros(3, 2)
    with pytest.raises(ValueError, match=r"violation\.measurable: must be bool of shape \(3, 2\)"):
        Violation("x", "m", values, values, torch.zeros(2, 1), torch.zeros(()))
    with pytest.raises(ValueError, match=r"violation\.energy: must have shape \(\)"):
        Violation("x", "m", values, values.bool(), torch.zeros(2, 1), torch.zeros(2))
