"""Bodies that touch nothing: free fall, drag, wrenches, tumbling."""

import math

import pytest
import torch
from prior_worlds import D, G, ball, box, play, tensors, world

from worldsim.physics import PhysicsPrior, rotation


@pytest.mark.parametrize("shape", [ball, box])
@pytest.mark.parametrize("fps", [5, 60])
def test_free_fall_is_exact(shape, fps):
    out = play(world(shape("a", (0, 0, 1), velocity=(1, 2, 3))), 1.0, fps)
    t = torch.arange(1, fps + 1, dtype=D) / fps
    expected = torch.stack([t, 2 * t, 1 + 3 * t - G * t * t / 2], -1)
    assert (out.position[0, :, 0] - expected).abs().max() < 1e-12


@pytest.mark.parametrize("shape", [ball, box])
@pytest.mark.parametrize("c", [1e-6, 0.3, 20.0])
def test_fall_with_drag_is_the_closed_form(shape, c):
    out = play(world(shape("a", (0, 0, 1), velocity=(1, 0, 0)), drag=c), 1.0, 10)
    phi = -math.expm1(-c) / c
    assert out.position[0, -1, 0, 0].item() == pytest.approx(phi, abs=1e-9)
    assert out.position[0, -1, 0, 2].item() == pytest.approx(1 - G * (1 - phi) / c, abs=1e-9 if c > 1e-3 else 1e-5)
    assert out.linear_velocity[0, -1, 0, 0].item() == pytest.approx(math.exp(-c), abs=1e-9)


def test_a_wrench_gives_force_over_mass_and_torque_over_inertia():
    bodies, start, law = tensors(
        world(ball("a", (0, 0, 0), mass=2.0), box("b", (3, 0, 0), mass=2.0), gravity=(0, 0, 0))
    )
    wrench = torch.zeros(1, 10, 2, 6, dtype=D)
    wrench[..., 0], wrench[..., 4] = 3.0, 0.02
    out = PhysicsPrior()(start, bodies, 10, 0.1, actions=wrench, law=law)
    assert torch.allclose(out.linear_velocity[0, -1, :, 0], torch.tensor([1.5, 1.5], dtype=D))
    assert torch.allclose(out.position[0, -1, 0, 0], torch.tensor(0.75, dtype=D))
    assert torch.allclose(out.angular_velocity[0, -1, :, 1], 0.02 / bodies.inertia[0, :, 1])
    angle = rotation.logarithm(out.orientation[0, -1, 0])[1]
    assert angle.item() == pytest.approx(0.5 * 0.02 / bodies.inertia[0, 0, 1].item(), abs=1e-9)


def _tumble(half, spin, seconds, **config):
    scene = world(box("a", (0, 0, 0), half=half, spin=spin), gravity=(0, 0, 0))
    out = play(scene, seconds, **config)
    inertia = torch.tensor(scene.bodies[0].inertia(), dtype=D)
    q = out.orientation[0, :, 0]
    body = rotation.rotate_inverse(q, out.angular_velocity[0, :, 0])
    momentum = rotation.rotate(q, inertia * body)
    energy = (body * inertia * body).sum(-1) / 2
    start = inertia * torch.tensor(spin, dtype=D)
    drift = (momentum - start).norm(dim=-1).max() / start.norm()
    return body, drift.item(), (energy / (start.square() / inertia).sum() * 2 - 1).abs().max().item()


def test_dzhanibekov_flips_and_keeps_energy_and_momentum():
    body, momentum_drift, energy_drift = _tumble((0.1, 0.2, 0.3), (0.01, 5.0, 0.01), 5.0)
    assert body[:, 1].min() < -4.9  # the middle axis turns over
    assert momentum_drift < 1e-12
    assert energy_drift < 1e-5


def test_a_fast_top_keeps_energy_and_momentum():
    _, momentum_drift, energy_drift = _tumble((0.2, 0.2, 0.02), (1.0, 0.0, 60.0), 2.0)
    assert momentum_drift < 1e-12
    assert energy_drift < 1e-4


def test_orientation_of_a_spinning_ball_is_the_exponential():
    out = play(world(ball("a", (0, 0, 0), spin=(1, 2, 3)), gravity=(0, 0, 0)), 2.0, 7)
    expected = rotation.exponential(torch.tensor([2.0, 4.0, 6.0], dtype=D))
    got = out.orientation[0, -1, 0]
    assert min((got - expected).norm(), (got + expected).norm()) < 1e-12
