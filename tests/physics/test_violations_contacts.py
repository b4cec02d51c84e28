"""Contacts shared by laws, and the sweep of what comes close, against laws that work alone and the sweep of all."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from violation_cases import Box, Plane, Ring, Sphere, balls, motion, world

from worldsim.physics import Bodies, Trajectory
from worldsim.physics.rotation import normalise
from worldsim.physics.violations import (
    Contacts,
    dynamics_residual,
    gravity_error,
    momentum_drift,
    pass_through,
    penetration,
    unanswered_contact,
    uncaused_response,
)
from worldsim.scene import Capsule


def tumbling(bodies: Bodies, frames: int, seed: int, lead: tuple[int, ...] = ()) -> Trajectory:
    """Random ways and turns, so fast that bodies tunnel through each other."""
    generator = torch.Generator().manual_seed(seed)
    shape = (*lead, frames, bodies.num_bodies)
    position = torch.randn(*shape, 3, generator=generator, dtype=torch.float64).mul(0.25)
    turn = normalise(torch.randn(*shape, 4, generator=generator, dtype=torch.float64))
    still = torch.tensor(bodies.static)[:, None]
    position = torch.where(still, position[..., :1, :, :], position)
    turn = torch.where(still, turn[..., :1, :, :], turn)
    presence = (torch.rand(shape, generator=generator) > 0.05).double()
    return dataclasses.replace(Trajectory.from_positions(position, 0.1), orientation=turn, presence=presence)


SPACE = world(
    [
        (Sphere(0.1), False, None),
        (Box((0.2, 0.02, 0.1)), False, None),
        (Capsule(0.05, 0.1), False, None),
        (Ring(0.2, 0.03), True, None),
        (Plane(1.0), True, None),
    ]
)
FLAT = world(
    [(Sphere(0.1), False, None), (Sphere(0.15), False, None), (Box((0.3, 0.1, 0.02)), True, None)], planar=True
)


@pytest.mark.parametrize("lead", [(), (2,)])
def test_events_are_those_of_the_whole_sweep(lead: tuple[int, ...]) -> None:
    found = 0.0
    for seed in range(3):
        for bodies in (SPACE, FLAT, balls(3)):
            trajectory = tumbling(bodies, 8, seed, lead)
            if bodies.planar:
                flat = torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)
                level = torch.tensor([1.0, 0.0, 1.0, 0.0], dtype=torch.float64)
                turn = normalise(trajectory.orientation * level)
                trajectory = dataclasses.replace(trajectory, position=trajectory.position * flat, orientation=turn)
            whole, close = (pass_through(trajectory, bodies, smooth=smooth) for smooth in (True, False))
            assert torch.equal(whole.values, close.values)
            assert torch.equal(whole.measurable, close.measurable)
            found += float(whole.values.sum())
    assert found > 0  # the random ways do tunnel


def test_laws_read_the_same_from_shared_contacts() -> None:
    trajectory = tumbling(SPACE, 9, 4)
    shared = Contacts(trajectory, SPACE)
    for law in (
        *(penetration, unanswered_contact, dynamics_residual, gravity_error),
        *(uncaused_response, momentum_drift, pass_through),
    ):
        alone, together = law(trajectory, SPACE), law(trajectory, SPACE, contacts=shared)
        assert torch.equal(alone.values, together.values)
        assert torch.equal(alone.measurable, together.measurable)


def test_near_is_told_pair_by_pair() -> None:
    trajectory = tumbling(SPACE, 9, 5)
    contacts = Contacts(trajectory, SPACE)
    measured, exists = contacts.distances, trajectory.presence > 0.5
    expected = torch.zeros(9, SPACE.num_bodies, dtype=torch.bool)
    for column, (i, j) in enumerate(measured.pairs.tolist()):
        step = (trajectory.position[:, j] - trajectory.position[:, i]).diff(dim=0).norm(dim=-1)
        for t in range(9):
            way = max(float(step[max(0, min(7, t + k))]) for k in (-2, -1, 0, 1))
            if exists[t, i] and exists[t, j] and float(measured.distance[t, column]) < 0.01 + way:
                expected[t, i] = expected[t, j] = True
    assert torch.equal(contacts.near(0.01), expected)
    assert not expected.all()


def test_flags_asked_first_leave_the_gradient() -> None:
    trajectory = motion([[(0.0, 0.0, 0.0)] * 4, [(0.15, 0.0, 0.0)] * 4], 0.1)
    position = trajectory.position.clone().requires_grad_()
    trajectory = dataclasses.replace(trajectory, position=position)
    contacts = Contacts(trajectory, balls(2))
    contacts.near(0.01)
    penetration(trajectory, contacts.bodies, contacts=contacts).mean.sum().backward()
    assert position.grad is not None
    assert float(position.grad.abs().sum()) > 0


def test_contacts_of_another_trajectory_are_refused() -> None:
    bodies = balls(2)
    one, other = (motion([[(0.0, 0.0, 0.0)] * 4, [(x, 0.0, 0.0)] * 4], 0.1) for x in (0.15, 0.3))
    with pytest.raises(ValueError, match="contacts: must be of the trajectory"):
        penetration(one, bodies, contacts=Contacts(other, bodies))
