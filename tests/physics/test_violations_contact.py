"""Penetration, its volume, and pass-through against closed forms and constructed motions."""

from __future__ import annotations

import math

import pytest
import torch
from violation_cases import Box, Plane, Ring, Sphere, balls, bouncing, motion, world

from worldsim.physics import Trajectory
from worldsim.physics.violations import pass_through, penetration, thickness


def straight(start: tuple[float, float, float], end: tuple[float, float, float], frames: int) -> torch.Tensor:
    share = torch.linspace(0, 1, frames, dtype=torch.float64)[:, None]
    a, b = (torch.tensor(x, dtype=torch.float64) for x in (start, end))
    return a + share * (b - a)


STILL = (0.0, 0.0, 0.0)


def test_penetration_of_balls_is_the_overlap_of_their_radii() -> None:
    paths = [straight((0, 0, 0), (0, 0, 0), 5), straight((0.3, 0, 0), (0.1, 0, 0), 5)]
    found = penetration(motion(paths, 0.1), balls(2))
    assert torch.allclose(found.values[:, 0], torch.tensor([0, 0, 0, 0.05, 0.1], dtype=torch.float64), atol=1e-12)
    assert found.unit == "m"
    assert found.subjects.tolist() == [[0, 1]]
    assert abs(float(found.mean) - 0.03) < 1e-12
    assert abs(float(found.worst) - 0.1) < 1e-12
    assert float(found.share) == 1


def test_penetration_energy_is_its_formula_and_differentiates() -> None:
    start = motion([straight((0, 0, 0), (0, 0, 0), 2), straight((0.195, 0, 0), (0.23, 0, 0), 2)], 0.1)
    position = start.position.clone().requires_grad_()

    def energy(x: torch.Tensor) -> torch.Tensor:
        moved = Trajectory(x, *[getattr(start, n) for n in NAMES], start.dt)
        return penetration(moved, balls(2), tau=0.01).energy

    expected = (math.log1p(math.exp(0.5)) ** 2 + math.log1p(math.exp(-3.0)) ** 2) / 2
    assert abs(float(energy(position).detach()) - expected) < 1e-12
    assert torch.autograd.gradcheck(energy, position)


NAMES = ("orientation", "linear_velocity", "angular_velocity", "presence")


def test_links_of_a_group_and_absent_bodies_do_not_penetrate() -> None:
    bodies = world([(Sphere(0.1), False, "arm"), (Sphere(0.1), False, "arm"), (Sphere(0.1), False, None)])
    paths = [
        straight(STILL, STILL, 3),
        straight((0.05, 0, 0), (0.05, 0, 0), 3),
        straight((0, 0, 0.15), (0, 0, 0.15), 3),
    ]
    found = penetration(motion(paths, 0.1), bodies)
    assert found.subjects.tolist() == [[0, 2], [1, 2]]
    moving = motion(paths, 0.1)
    moving.presence[1:, 2] = 0
    found = penetration(moving, bodies)
    assert found.measurable[:, 0].tolist() == [True, False, False]
    assert float(found.values[1:].max()) == 0


def test_a_lawful_bounce_neither_penetrates_nor_passes() -> None:
    bodies = world([(Plane(), True, None), (Sphere(0.1), False, None)])
    path = bouncing(1.0, 0.8, 48, 1 / 24, 0.1)
    moving = motion([torch.zeros_like(path), path], 1 / 24)
    assert float(penetration(moving, bodies).worst) < 1e-12
    assert float(pass_through(moving, bodies).worst) == 0


@pytest.mark.parametrize("frames", [4, 5, 12, 40])
def test_a_ball_through_a_thin_wall_is_one_event_at_any_frame_rate(frames: int) -> None:
    bodies = world([(Box((0.02, 1.0, 1.0)), True, None), (Sphere(0.1), False, None)])
    found = pass_through(motion([straight(STILL, STILL, frames), straight((-1, 0, 0), (1, 0, 0), frames)], 0.1), bodies)
    assert float(found.values.sum()) == 1
    assert found.unit == "events"
    end = int(found.values[:, 0].argmax())
    assert float(straight((-1, 0, 0), (1, 0, 0), frames)[end, 0]) >= 0.12 - 1e-9


def test_a_deep_bounce_a_graze_and_a_clipped_corner_are_no_pass_through() -> None:
    wall = world([(Box((0.2, 1.0, 1.0)), True, None), (Sphere(0.1), False, None)])
    there = straight((-1, 0, 0), (-0.2, 0, 0), 10)
    deep = torch.cat([there, there.flip(0)])
    assert float(penetration(motion([0 * deep, deep], 0.1), wall).worst) > 0.09
    assert float(pass_through(motion([0 * deep, deep], 0.1), wall).worst) == 0
    graze = straight((-1, 0, 0.19), (1, 0, 0.19), 20)
    assert float(pass_through(motion([0 * graze, graze], 0.1), balls(2)).worst) == 0
    corner = torch.cat([straight((-0.6, 0, 0.95), (-0.22, 0, 0.95), 8), straight((-0.22, 0, 0.95), (-0.22, 0, 1.6), 8)])
    assert float(penetration(motion([0 * corner, corner], 0.1), wall).worst) > 0.05
    assert float(pass_through(motion([0 * corner, corner], 0.1), wall).worst) == 0


def test_balls_that_pass_in_depth_do_not_count_and_those_that_meet_do() -> None:
    path = straight((-1, 0, 0), (1, 0, 0), 20)
    behind = path.flip(0) + torch.tensor([0.0, 0.5, 0.0], dtype=torch.float64)
    assert float(pass_through(motion([path, behind], 0.1), balls(2)).values.sum()) == 0
    assert float(pass_through(motion([path, path.flip(0)], 0.1), balls(2)).values.sum()) == 1


def test_a_ring_counts_its_material_and_not_its_hole() -> None:
    bodies = world([(Ring(0.3, 0.03), True, None), (Sphere(0.15), False, None)])
    fall = straight((0, 0, 1), (0, 0, -1), 15)
    side = fall + torch.tensor([0.3, 0.0, 0.0], dtype=torch.float64)
    assert float(pass_through(motion([0 * fall, fall], 0.1), bodies).values.sum()) == 0
    assert float(pass_through(motion([0 * side, side], 0.1), bodies).values.sum()) == 1


def test_overlap_from_the_start_or_to_the_end_and_vanished_bodies_are_not_events() -> None:
    path = straight((-1, 0, 0), (1, 0, 0), 20)
    half = path[10:]
    assert float(pass_through(motion([0 * half, half], 0.1), balls(2)).values.sum()) == 0
    half = path[:10]
    assert float(pass_through(motion([0 * half, half], 0.1), balls(2)).values.sum()) == 0
    moving = motion([0 * path, path], 0.1)
    moving.presence[9, 1] = 0
    found = pass_through(moving, balls(2))
    assert float(found.values.sum()) == 0
    assert found.measurable[:, 0].tolist() == [False, *[True] * 8, False, False, *[True] * 9]


def test_batches_give_what_single_worlds_give() -> None:
    bodies = world([(Box((0.02, 1.0, 1.0)), True, None), (Sphere(0.1), False, None)])
    path = straight((-1, 0, 0), (1, 0, 0), 6)
    one = motion([0 * path, path], 0.1)
    two = motion([0 * path, path * 0.5], 0.1)
    both = one.map(lambda t: t[None])
    other = two.map(lambda t: t[None])
    pair = Trajectory(*(torch.cat([getattr(both, n), getattr(other, n)]) for n in ("position", *NAMES)), dt=0.1)
    repeated = bodies.map(lambda t: t.repeat(2, *[1] * (t.dim() - 1)))
    for law in (pass_through, penetration):
        batch = law(pair, repeated)
        assert batch.energy.shape == (2,)
        assert torch.allclose(batch.values[0], law(one, bodies).values)
        assert torch.allclose(batch.values[1], law(two, bodies).values)


def test_swept_energy_pulls_a_tunnelling_ball_back() -> None:
    """Between two frames on both sides of a wall no depth is seen; the swept energy has a gradient."""
    bodies = world([(Box((0.02, 1.0, 1.0)), True, None), (Sphere(0.1), False, None)])
    path = straight((-0.3, 0, 0), (0.25, 0, 0), 2)
    start = motion([0 * path, path], 0.1)
    position = start.position.clone().requires_grad_()
    moving = Trajectory(position, *[getattr(start, n) for n in NAMES], start.dt)
    assert float(penetration(moving, bodies).worst.detach()) == 0
    energy = pass_through(moving, bodies).energy
    energy.backward()
    assert torch.isfinite(position.grad).all()
    moved = position.detach() - 1e-4 * position.grad / position.grad.norm()
    after = pass_through(Trajectory(moved, *[getattr(start, n) for n in NAMES], start.dt), bodies, substeps=64).energy
    before = pass_through(start, bodies, substeps=64).energy
    assert float(after) < float(before)


def test_thickness_is_that_of_the_scene_shapes() -> None:
    shapes = [Sphere(0.3), Box((0.2, 0.1, 0.4)), Ring(0.3, 0.05), Plane()]
    bodies = world([(shape, True, None) for shape in shapes])
    assert torch.allclose(thickness(bodies)[0], torch.tensor([s.thickness for s in shapes], dtype=torch.float64))


def test_bad_input_is_refused_by_name() -> None:
    moving = motion([straight(STILL, STILL, 3), straight(STILL, STILL, 3)], 0.1)
    with pytest.raises(ValueError, match="tau: must be above 0, got -1"):
        penetration(moving, balls(2), tau=-1)
    with pytest.raises(ValueError, match=r"position: must have shape \(..., 3, 3\)"):
        penetration(moving, balls(3))
    moving.position[1, 0, 2] = float("nan")
    with pytest.raises(ValueError, match=r"position: must be finite, got nan at \(1, 0, 2\)"):
        penetration(moving, balls(2))
    with pytest.raises(ValueError, match="substeps: must be 1 or above, got 0"):
        pass_through(motion([straight(STILL, STILL, 3)] * 2, 0.1), balls(2), substeps=0)
