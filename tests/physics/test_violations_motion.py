"""Dynamics, energy, momentum, gravity, teleport, stillness: zero on lawful motion, sized right on broken motion."""

from __future__ import annotations

import math

import pytest
import torch
from violation_cases import Box, G, Plane, Sphere, balls, bouncing, flight, motion, world

from worldsim.physics import Trajectory
from worldsim.physics.violations import (
    dynamics_residual,
    energy_gain,
    free_flight,
    gravity_error,
    mechanical_energy,
    momentum_drift,
    observed_states,
    stillness,
    teleport,
)

DT = 1 / 24
NAMES = ("orientation", "linear_velocity", "angular_velocity", "presence")
FLOOR = world([(Plane(), True, None), (Sphere(0.1), False, None)])


def on_floor(path: torch.Tensor) -> Trajectory:
    return motion([torch.zeros_like(path), path], DT)


def with_position(base: Trajectory, position: torch.Tensor) -> Trajectory:
    return Trajectory(position, *[getattr(base, name) for name in NAMES], base.dt)


def dragged(velocity: float, drag: float, frames: int) -> torch.Tensor:
    """(T, 3) closed-form flight along x under gravity and linear drag."""
    time = DT * torch.arange(frames, dtype=torch.float64)
    phi = (1 - torch.exp(-drag * time)) / drag
    return torch.stack([velocity * phi, 0 * time, -G * (time - phi) / drag], -1)


def test_free_flight_has_no_residual_with_or_without_drag() -> None:
    path = flight((0, 0, 5), (1, 0.5, 3), 24, DT)
    for law in (dynamics_residual, gravity_error):
        found = law(motion([path], DT), balls(1))
        assert float(found.worst) < 1e-10
        assert float(found.share) > 0.8
    found = dynamics_residual(motion([dragged(3.0, 0.7, 24)], DT), balls(1), drag=0.7)
    assert float(found.worst) < 1e-12
    assert float(gravity_error(motion([dragged(3.0, 0.7, 24)], DT), balls(1), drag=0.7, window=1).worst) < 2e-3


def test_wrong_gravity_reads_as_its_size() -> None:
    moving = motion([flight((0, 0, 9), (1, 0, 0), 24, DT, g=G / 2)], DT)
    found = dynamics_residual(moving, balls(1))
    assert torch.allclose(found.values[found.measurable], torch.tensor(G / 2 * DT**2, dtype=torch.float64))
    found = gravity_error(moving, balls(1))
    assert torch.allclose(found.values[found.measurable], torch.tensor(G / 2, dtype=torch.float64), rtol=1e-9)
    assert found.unit == "m/s^2"


def test_a_lawful_bounce_leaves_no_residual_where_it_can_be_measured() -> None:
    moving = on_floor(bouncing(1.5, 0.8, 72, DT, 0.1, vx=0.7))
    for law in (dynamics_residual, gravity_error):
        found = law(moving, FLOOR)
        assert float(found.worst) < 1e-9
        assert int(found.measurable[:, 1].sum()) >= 10
        assert not bool(found.measurable[:, 0].any())


def test_a_swerve_in_the_air_is_caught_by_the_dynamics_alone() -> None:
    path = flight((0, 0, 5), (1, 0, 2), 24, DT)
    path[12:, 1] += 0.4 * (torch.arange(12, dtype=torch.float64) * DT)
    found = dynamics_residual(motion([path], DT), balls(1))
    assert abs(float(found.worst) - 0.4 * DT) < 1e-9
    assert int(found.values[:, 0].argmax()) == 13
    assert float(teleport(motion([path], DT)).worst) < G * DT**2


def test_observed_velocity_is_that_of_the_instant() -> None:
    path = flight((0, 0, 5), (1, 0, 2), 5, DT)
    states = observed_states(motion([path], DT), torch.tensor([0.0, 0.0, -G], dtype=torch.float64), 0.0)
    assert torch.allclose(states.linear_velocity[:, 0, 2], 2 - G * DT * torch.arange(1, 4, dtype=torch.float64))


def test_a_given_step_is_asked_at_all_frames_at_once_and_its_impacts_are_masked() -> None:
    gravity = torch.tensor([0.0, 0.0, -G], dtype=torch.float64)
    path = bouncing(1.5, 0.8, 48, DT, 0.1)
    calls = []

    def step(states: Trajectory) -> Trajectory:
        calls.append(states.num_frames)
        return free_flight(states, gravity, 0.0)

    moving = on_floor(path)
    found = dynamics_residual(moving, FLOOR, step=step)
    assert calls == [46]
    assert float(found.worst) > 0.05
    falling = path.diff(dim=0)[:, 2]
    hit = torch.zeros(48, 2, dtype=torch.bool)
    hit[1:, 1] = (falling - torch.cat([falling[:1], falling[:-1]]) > -0.9 * G * DT * DT) & (torch.arange(47) > 0)
    found = dynamics_residual(moving, FLOOR, step=step, impacts=hit)
    assert float(found.worst) < 1e-9
    assert int(found.measurable[:, 1].sum()) > 20


def test_dynamics_energy_is_charbonnier_and_differentiates() -> None:
    base = motion([flight((0, 0, 9), (1, 0, 0), 6, DT, g=G / 2)], DT)
    residual = G / 2 * DT**2
    found = dynamics_residual(base, balls(1), scale=1e-2)
    assert abs(float(found.energy) - (math.hypot(residual, 1e-2) - 1e-2)) < 1e-12
    position = base.position.clone().requires_grad_()
    for law in (dynamics_residual, gravity_error):
        assert torch.autograd.gradcheck(lambda x, law=law: law(with_position(base, x), balls(1)).energy, position)
    lawful = with_position(base, flight((0, 0, 9), (1, 0, 0), 6, DT)[:, None].requires_grad_())
    (gradient,) = torch.autograd.grad(dynamics_residual(lawful, balls(1)).mean, lawful.position)
    assert torch.isfinite(gradient).all()


def test_energy_is_kept_in_flight_lost_in_bounces_and_never_gained() -> None:
    path = flight((0, 0, 5), (1, 0, 2), 24, DT)
    assert float(energy_gain(motion([path], DT), balls(1)).worst) < 1e-11
    dense = bouncing(1.5, 0.8, 400, 1 / 400, 0.1)
    moving = motion([torch.zeros_like(dense), dense], 1 / 400)
    bodies = FLOOR
    energy = mechanical_energy(moving, bodies, torch.tensor([0.0, 0.0, -G], dtype=torch.float64))
    assert abs(float(energy[0, 1]) - G * 1.5) < 1e-9
    assert abs(float(energy[250, 1]) - G * (0.1 + 0.64 * 1.4)) < 1e-9


def test_a_super_elastic_bounce_gains_what_it_gains_and_work_pays_for_it() -> None:
    velocity = torch.zeros(4, 1, 3, dtype=torch.float64)
    velocity[:, 0, 0] = torch.tensor([1.0, 1.0, -2.0, -2.0])
    base = motion([torch.zeros(4, 3)], DT)
    moving = Trajectory(base.position, base.orientation, velocity, base.angular_velocity, base.presence, DT)
    bodies = world([(Sphere(0.1), False, None)], mass=2.0)
    found = energy_gain(moving, bodies)
    assert found.values[:, 0].tolist() == [0, 0, pytest.approx(3.0), 0]
    paid = energy_gain(moving, bodies, work=torch.tensor([0.0, 3.0, 0.0], dtype=torch.float64))
    assert float(paid.worst) < 1e-12
    speed = velocity.clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda v: (
            energy_gain(
                Trajectory(base.position, base.orientation, v, base.angular_velocity, base.presence, DT), bodies
            ).energy
        ),
        speed,
    )


def test_spin_counts_with_the_inertia_of_its_axis() -> None:
    bodies = world([(Box((0.1, 0.2, 0.3)), False, None)], mass=3.0)
    base = motion([torch.zeros(2, 3)], DT)
    turn = torch.tensor([0.5**0.5, 0.0, 0.5**0.5, 0.0], dtype=torch.float64).expand(2, 1, 4)
    spin = torch.tensor([0.0, 0.0, 2.0], dtype=torch.float64).expand(2, 1, 3)
    moving = Trajectory(base.position, turn, 0 * base.position, spin, base.presence, DT)
    expected = 0.5 * (3.0 / 3 * (0.2**2 + 0.3**2)) * 4
    gravity = torch.tensor([0.0, 0.0, -G], dtype=torch.float64)
    assert torch.allclose(mechanical_energy(moving, bodies, gravity), torch.tensor(expected, dtype=torch.float64))


def collision(factor: float) -> tuple[Trajectory, torch.Tensor]:
    """Two equal balls that swap velocities at frame 6; `factor` scales what the second carries away."""
    time = DT * torch.arange(13, dtype=torch.float64)
    hit = 6 * DT
    velocity = torch.zeros(13, 2, 3, dtype=torch.float64)
    velocity[:6, 0, 0] = 1
    velocity[6:, 1, 0] = factor
    position = torch.zeros(13, 2, 3, dtype=torch.float64)
    position[:, 0, 0] = torch.minimum(time, torch.tensor(hit, dtype=torch.float64)) - hit - 0.2
    position[:, 1, 0] = factor * (time - hit).clamp_min(0)
    position[..., 2] = 5 - G / 2 * time[:, None] ** 2
    velocity[..., 2] = -G * time[:, None]
    base = Trajectory.from_positions(position, DT)
    return Trajectory(position, base.orientation, velocity, base.angular_velocity, base.presence, DT), velocity


def test_momentum_is_kept_by_a_collision_and_its_break_is_measured() -> None:
    moving, _ = collision(1.0)
    assert float(momentum_drift(moving, balls(2)).worst) < 1e-12
    moving, velocity = collision(1.5)
    found = momentum_drift(moving, balls(2))
    assert abs(float(found.worst) - 0.5) < 1e-12
    assert int(found.values[:, 0].argmax()) == 6
    assert found.unit == "N s"
    speed = velocity.clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda v: (
            momentum_drift(
                Trajectory(moving.position, moving.orientation, v, moving.angular_velocity, moving.presence, DT),
                balls(2),
            ).energy
        ),
        speed,
    )


def test_momentum_is_not_asked_where_the_floor_takes_part() -> None:
    moving = on_floor(bouncing(1.5, 0.8, 48, DT, 0.1))
    found = momentum_drift(moving, FLOOR)
    assert 0.1 < float(found.share) < 1
    assert float(found.worst) < 0.2
    path = bouncing(1.5, 0.8, 480, DT / 10, 0.1)
    fine = motion([torch.zeros_like(path), path], DT / 10)
    assert float(momentum_drift(fine, FLOOR).worst) < 1e-9


def test_drag_takes_the_momentum_that_it_takes() -> None:
    path = dragged(3.0, 0.7, 24)
    time = DT * torch.arange(24, dtype=torch.float64)
    velocity = torch.zeros(24, 1, 3, dtype=torch.float64)
    velocity[:, 0, 0] = 3 * torch.exp(-0.7 * time)
    velocity[:, 0, 2] = -G * (1 - torch.exp(-0.7 * time)) / 0.7
    base = motion([path], DT)
    moving = Trajectory(base.position, base.orientation, velocity, base.angular_velocity, base.presence, DT)
    assert float(momentum_drift(moving, balls(1), drag=0.7).worst) < 1e-4
    assert float(momentum_drift(moving, balls(1)).worst) > 0.03


def test_teleport_is_zero_in_flight_small_at_impacts_and_the_leap_where_one_is_made() -> None:
    path = flight((0, 0, 5), (1, 0, 2), 24, DT)
    assert float(teleport(motion([path], DT)).worst) < 1e-12
    bounce = bouncing(1.5, 0.8, 40, DT, 0.1, vx=0.5)
    assert float(teleport(on_floor(bounce)).worst) < 1.001 * G * DT**2
    path[10:, 0] += 0.5
    found = teleport(motion([path], DT))
    assert abs(float(found.values[10, 0]) - 0.5) < 1e-9
    assert float(found.values.sum()) < 1.6
    assert float(teleport(motion([path], DT), allowance=0.6).worst) == 0
    assert found.measurable[:, 0].tolist() == [False, False, *[True] * 21, False]
    base = motion([path + 0.01 * torch.sin(torch.arange(24.0).double())[:, None] ** 2], DT)
    position = base.position.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: teleport(with_position(base, x)).energy, position)


def test_a_frozen_clip_is_still_and_the_expected_one_is_not() -> None:
    path = flight((0, 0, 5), (1, 0, 2), 24, DT)
    expected = motion([path, torch.zeros_like(path)], DT)
    frozen = motion([path[:1].expand_as(path), torch.zeros_like(path)], DT)
    assert float(stillness(expected, expected).worst) == 0
    found = stillness(frozen, expected)
    assert float(found.values[-1, 0]) == 1
    assert not bool(found.measurable[:, 1].any())
    slow = motion([flight((0, 0, 5), (0.5, 0, 1), 24, DT, g=G / 2), torch.zeros_like(path)], DT)
    assert abs(float(stillness(slow, expected).values[-1, 0]) - 0.5) < 1e-9
    position = slow.position.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: stillness(with_position(slow, x), expected).energy, position)


def test_bad_input_is_refused_by_name() -> None:
    moving = motion([flight((0, 0, 5), (1, 0, 2), 5, DT)], DT)
    with pytest.raises(ValueError, match="drag: must be 0 or above, got -1"):
        dynamics_residual(moving, balls(1), drag=-1)
    with pytest.raises(ValueError, match="at least 3 frames for this law, got 2"):
        dynamics_residual(moving.frames(0, 2), balls(1))
    with pytest.raises(ValueError, match="window: must be a whole number from 1, got 0"):
        gravity_error(moving, balls(1), window=0)
    with pytest.raises(ValueError, match=r"gravity: must have shape \(..., 3\)"):
        dynamics_residual(moving, balls(1), gravity=torch.zeros(2))
    with pytest.raises(ValueError, match=r"work: must have shape \(4,\)"):
        energy_gain(moving, balls(1), work=torch.zeros(5))
    with pytest.raises(ValueError, match=r"expected.position: must have shape \(5, 1, 3\)"):
        stillness(moving, moving.frames(0, 4))
