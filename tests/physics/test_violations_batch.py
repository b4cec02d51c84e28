"""Every law in batches, in single precision, and without bodies that could meet."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from violation_cases import Box, Plane, Sphere, bouncing, flight, motion, world

from worldsim.physics import Bodies, Trajectory, concatenate
from worldsim.physics.violations import (
    Violation,
    dynamics_residual,
    energy_gain,
    gravity_error,
    group_rigidity,
    momentum_drift,
    pass_through,
    penetration,
    penetration_volume,
    permanence,
    stillness,
    teleport,
)

Law = Callable[[Trajectory, Bodies], Violation]
DT = 1 / 24
BODIES = world(
    [(Plane(), True, None), (Sphere(0.1), False, "g"), (Box((0.1, 0.1, 0.1)), False, "g"), (Sphere(0.2), False, None)]
)
LAWS: dict[str, Law] = {
    "penetration": penetration,
    "penetration_volume": penetration_volume,
    "pass_through": pass_through,
    "group_rigidity": group_rigidity,
    "permanence": lambda trajectory, bodies: permanence(trajectory),
    "teleport": lambda trajectory, bodies: teleport(trajectory),
    "dynamics": dynamics_residual,
    "energy": energy_gain,
    "momentum": momentum_drift,
    "gravity": gravity_error,
    "stillness": lambda trajectory, bodies: stillness(
        trajectory, Trajectory.from_positions(trajectory.position.flip(-2), DT)
    ),
}


def clip(speed: float, seed: int | None = None) -> Trajectory:
    """Lawful bodies; with a seed, they tremble, one sinks through the floor, one goes through another and fades."""
    ball = bouncing(1.2, 0.7, 12, DT, 0.1, vx=speed)
    box = flight((0.05, 0, 1.4), (0, 0, speed), 12, DT)
    other = flight((1.0, 0, 3), (-speed, 0, 1), 12, DT)
    lawful = motion([0 * ball, ball, box, other], DT)
    if seed is None:
        return lawful
    generator = torch.Generator().manual_seed(seed)
    noise, turn = (torch.randn(lawful.position.shape, generator=generator, dtype=torch.float64) for _ in range(2))
    position = lawful.position + 0.02 * noise
    aside = torch.tensor([0.4, 0.0, 0.0], dtype=torch.float64)
    position[7 + seed, 3], position[8 + seed, 3] = position[7 + seed, 1] + aside, position[8 + seed, 1] - aside
    position[8:, 1, 2] = -0.3 * speed
    presence = lawful.presence.clone()
    presence[11:, 3] = 0.3 * speed
    quaternion = torch.cat([torch.ones_like(turn[..., :1]), 0.1 * turn], -1)
    quaternion = quaternion / quaternion.norm(dim=-1, keepdim=True)
    moved = Trajectory.from_positions(position, DT)
    return Trajectory(position, quaternion, moved.linear_velocity, 0.1 * noise, presence, DT)


@pytest.mark.parametrize("name", LAWS)
def test_a_batch_of_worlds_is_what_its_worlds_are(name: str) -> None:
    law, single = LAWS[name], [clip(0.5, seed=1), clip(1.5, seed=2)]
    apart = [law(world, BODIES) for world in single]
    assert not torch.allclose(apart[0].values, apart[1].values, rtol=0.05), "worlds that are alike test nothing"
    worlds = BODIES.map(lambda t: t.repeat(2, *[1] * (t.dim() - 1)))
    batch = law(concatenate(single, "batch"), worlds)
    shared = law(concatenate(single, "batch"), BODIES)
    nested = law(concatenate(single, "batch").map(lambda t: t[:, None].expand(2, 3, *t.shape[1:])), worlds)
    for k, one in enumerate(apart):
        assert one.energy.shape == ()
        for part in ("values", "measurable", "energy", "mean", "worst", "share"):
            expected = getattr(one, part)
            assert torch.allclose(getattr(batch, part)[k].double(), expected.double(), atol=1e-9), part
            assert torch.allclose(getattr(shared, part)[k].double(), expected.double(), atol=1e-9), part
            assert torch.allclose(getattr(nested, part)[k, 2].double(), expected.double(), atol=1e-9), part


@pytest.mark.parametrize("name", LAWS)
def test_single_precision_and_gradients(name: str) -> None:
    base = clip(0.5).to(torch.float32)
    position = base.position.clone().requires_grad_()
    names = ("orientation", "linear_velocity", "angular_velocity", "presence")
    inputs = {n: getattr(base, n).clone().requires_grad_() for n in names}
    found = LAWS[name](Trajectory(position, *inputs.values(), DT), BODIES.to(torch.float32))
    assert found.values.dtype == torch.float32
    total = found.energy.sum() + found.mean.sum()
    if total.requires_grad:
        for gradient in torch.autograd.grad(total, [position, *inputs.values()], allow_unused=True):
            assert gradient is None or torch.isfinite(gradient).all()
    exact = LAWS[name](clip(0.5), BODIES)
    assert torch.allclose(found.worst.detach().double(), exact.worst, atol=2e-2, rtol=2e-2)


@pytest.mark.parametrize("name", LAWS)
def test_a_lone_body_has_no_pairs_and_no_error(name: str) -> None:
    lone = world([(Sphere(0.1), False, None)])
    found = LAWS[name](motion([flight((0, 0, 5), (1, 0, 1), 12, DT)], DT), lone)
    assert float(found.worst) < 1e-9
    assert torch.isfinite(found.energy).all()
