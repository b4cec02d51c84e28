"""Impacts: bounces against the closed form, gradients against it and against finite differences, cradles, momentum."""

import math

import pytest
import torch
from prior_worlds import D, G, about_y, ball, box, floor, leaves, play, polygon, tensors, with_state, world

from worldsim.physics import LawParameters, PhysicsPrior, PriorConfig


def height_of_bounces(h, e, t):
    """Height above the floor at time t of a point let fall from h: closed form."""
    fall = math.sqrt(2 * h / G)
    if t < fall:
        return h - G * t * t / 2
    t, v = t - fall, e * G * fall
    while t > 2 * v / G:
        t, v = t - 2 * v / G, v * e
    return v * t - G * t * t / 2


@pytest.mark.parametrize(("shape", "dt"), [("ball", 1 / 24), ("ball", 1 / 240), ("box", 1 / 24)])
def test_bounces_follow_the_closed_form(shape, dt):
    if shape == "ball":
        body, config = ball("a", (0, 0, 1.1), e=0.64), {"max_step": 1.0}
    else:
        body, config = box("a", (0, 0, 1.1), restitution=0.64), {"max_step": 1 / 60}
    frames = round(2 / dt)
    out = play(world(body, floor()), 2.0, 1 / dt, **config)
    expected = [0.1 + height_of_bounces(1.0, 0.8, (k + 1) * dt) for k in range(frames)]
    assert (out.position[0, :, 0, 2] - torch.tensor(expected, dtype=D)).abs().max() < (
        1e-9 if shape == "ball" else 2e-6
    )


def test_bounce_k_reaches_e_to_the_2k_h():
    out = play(world(ball("a", (0, 0, 1.1), e=0.64), floor()), 2.9, 60, max_step=1.0)
    apex = out.position[0, :, 0, 2] - 0.1 + out.linear_velocity[0, :, 0, 2] ** 2 / (2 * G)
    reached = apex[:1]
    for value in apex:
        if (value / reached[-1] - 1).abs() > 1e-6:
            reached = torch.cat([reached, value[None]])
    expected = torch.tensor([0.8 ** (2 * k) for k in range(len(reached))], dtype=D)
    assert len(reached) >= 7
    assert (reached / expected - 1).abs().max() < 1e-9


@pytest.mark.parametrize(("shape", "max_step"), [(ball, 1.0), (ball, 0.007), (box, 0.02), (box, 0.03)])
def test_head_on_gradient_is_exactly_1_0_1_0(shape, max_step):
    more = {"e": 1.0} if shape is ball else {"restitution": 1.0, "friction": 0.0}
    bodies, start, law = tensors(
        world(shape("a", (0, 0, 0), velocity=(1, 0, 0), **more), shape("b", (0.52, 0, 0), **more), gravity=(0, 0, 0))
    )
    x, v, start = leaves(start)
    out = PhysicsPrior(config=PriorConfig(max_step=max_step))(start, bodies, 1, 1.0, law=law)
    last = out.position[0, -1, 1, 0]
    gx, gv = torch.autograd.grad(last, [x, v])
    got = torch.cat([gx[0, 0, :, 0], gv[0, 0, :, 0]])
    assert last.item() == pytest.approx(1.2, abs=1e-9)
    assert (got - torch.tensor([1.0, 0.0, 1.0, 0.0], dtype=D)).abs().max() < 1e-6


def test_gradients_through_bounces_match_the_closed_form():
    # After one bounce: z(T) = r + v s - g s^2 / 2 with v = e g t1, s = T - t1, t1 = sqrt(2 h / g).
    e, h, time = 0.8, 1.0, 0.7
    bodies, start, _ = tensors(world(ball("a", (0, 0, h + 0.1)), floor()))
    h_, e_, g_ = (torch.tensor(value, dtype=D, requires_grad=True) for value in (h, e, G))
    t1 = torch.sqrt(2 * h_ / g_)
    expected = 0.1 + e_ * g_ * t1 * (time - t1) - g_ * (time - t1) ** 2 / 2
    want = torch.autograd.grad(expected, [h_, e_, g_])
    x, _, start = leaves(start)
    restitution = torch.tensor([[e * e, 1.0]], dtype=D, requires_grad=True)
    gravity = torch.tensor([0.0, 0.0, -G], dtype=D, requires_grad=True)
    law = LawParameters(gravity, restitution=restitution)
    out = PhysicsPrior(config=PriorConfig(max_step=1.0))(start, bodies, 10, time / 10, law=law).position[0, -1, 0, 2]
    gx, ge, gg = torch.autograd.grad(out, [x, restitution, gravity])
    assert out.item() == pytest.approx(expected.item(), abs=1e-9)
    assert gx[0, 0, 0, 2].item() == pytest.approx(want[0].item(), rel=1e-6)
    assert ge[0, 0].item() * 2 * e == pytest.approx(want[1].item(), rel=1e-6)
    assert -gg[2].item() == pytest.approx(want[2].item(), rel=1e-6)


OBLIQUE = {
    "discs": lambda: [
        ball("a", (0, 0, 0), (1, 0, 0.1), e=0.9, mu=0.3),
        ball("b", (0.5, 0, 0.13), mass=2, e=0.9, mu=0.3),
    ],
    "boxes": lambda: [
        box("a", (0, 0, 0), velocity=(1, 0, 0.1), q=about_y(0.3), spin=(0, 0.7, 0), restitution=0.9),
        box("b", (0.5, 0, 0.06), half=(0.1, 0.1, 0.15), q=about_y(-0.2), mass=2.0, restitution=0.9),
    ],
    "polygons": lambda: [
        polygon("a", (0, 0, 0), velocity=(1, 0, 0.1), spin=(0, 0.7, 0), restitution=0.9, friction=0.3),
        polygon("b", (0.5, 0, 0.07), q=about_y(0.5), mass=2.0, restitution=0.9, friction=0.3),
    ],
    "disc on box": lambda: [
        ball("a", (0, 0, 0), (1, 0, 0.1), e=0.9, mu=0.3, spin=(0, 2, 0)),
        box("b", (0.5, 0, 0.06), half=(0.1, 0.1, 0.15), q=about_y(-0.2), mass=2.0, restitution=0.9),
    ],
}


@pytest.mark.parametrize("name", OBLIQUE)
def test_oblique_gradients_match_finite_differences_of_the_roll_out(name):
    bodies, start, law = tensors(world(*OBLIQUE[name](), gravity=(0, 0, -1), planar=True))
    prior = PhysicsPrior(config=PriorConfig(max_step=1 / 30))
    weights = torch.tensor([0.3, 0, -0.2, 1.0, 0, 0.3], dtype=D)

    def loss(x, v):
        worlds = start.map(lambda tensor: tensor.expand(len(x), *tensor.shape[1:]))
        rows = LawParameters(law.gravity.expand(len(x), 3))
        out = prior(with_state(worlds, position=x, linear_velocity=v), bodies, 1, 0.8, law=rows)
        return (out.position[:, -1].flatten(1) * weights).sum(1) + 0.1 * out.angular_velocity[:, -1, 1, 1]

    x, v, _ = leaves(start)
    got = torch.autograd.grad(loss(x, v).sum(), [x, v])
    # All nudged worlds as one batch: 2 quantities, 2 bodies, 2 axes, 2 signs.
    nudges = [(which, body, axis) for which in range(2) for body in range(2) for axis in (0, 2)]
    batch = torch.zeros(2, 2 * len(nudges), 1, 2, 3, dtype=D)
    for k, (which, body, axis) in enumerate(nudges):
        batch[which, 2 * k, 0, body, axis], batch[which, 2 * k + 1, 0, body, axis] = 1e-5, -1e-5
    with torch.no_grad():
        ends = loss(start.position + batch[0], start.linear_velocity + batch[1])
    for k, (which, body, axis) in enumerate(nudges):
        difference = ((ends[2 * k] - ends[2 * k + 1]) / 2e-5).item()
        assert got[which][0, 0, body, axis].item() == pytest.approx(difference, rel=1e-4, abs=1e-4)


def test_oblique_discs_match_the_event_exact_solution():
    bodies, start, law = tensors(world(*OBLIQUE["discs"](), gravity=(0, 0, 0), planar=True))
    x, v, start = leaves(start)
    law = LawParameters(law.gravity, friction=torch.zeros((), dtype=D))
    out = PhysicsPrior()(start, bodies, 4, 0.2, law=law).position[0, -1, :, ::2]
    got = torch.autograd.grad(out[1, 1] + 0.5 * out[0, 0], [x, v])
    p, u = x[0, 0, :, ::2], v[0, 0, :, ::2]
    r, w = p[0] - p[1], u[0] - u[1]
    b, c = (r * w).sum(), (r * r).sum() - 0.04
    tau = c / (-b + torch.sqrt(b * b - (w * w).sum() * c))
    n = (r + tau * w) / 0.2
    impulse = -(1 + 0.9) * (w * n).sum() / (1 + 0.5) * n
    after = torch.stack([u[0] + impulse, u[1] - impulse / 2])
    expected = p + tau * u + (0.8 - tau) * after
    want = torch.autograd.grad(expected[1, 1] + 0.5 * expected[0, 0], [x, v])
    assert torch.allclose(out, expected, atol=1e-10)
    for a, b in zip(got, want, strict=True):
        assert (a - b).abs().max() < 1e-8


@pytest.mark.parametrize("shape", [ball, box])
def test_the_three_ball_cradle_gives_0_0_1(shape):
    more = {"e": 1.0} if shape is ball else {"restitution": 1.0, "friction": 0.0}
    row = [shape("a", (-1, 0, 0), velocity=(1, 0, 0), **more)]
    row += [shape("b", (0, 0, 0), **more), shape("c", (0.2, 0, 0), **more)]
    out = play(world(*row, gravity=(0, 0, 0)), 1.2, 10, max_step=0.1)
    assert (out.linear_velocity[0, -1, :, 0] - torch.tensor([0.0, 0.0, 1.0], dtype=D)).abs().max() < 1e-6


@pytest.mark.parametrize("speed", [1e-4, 1e-2, 1.0])
def test_slow_impacts_are_not_damped(speed):
    pair = world(ball("a", (0, 0, 0), (speed, 0, 0), e=0.9), ball("b", (0.21, 0, 0), e=0.9), gravity=(0, 0, 0))
    out = play(pair, 0.02 / speed, 1000 * speed, max_step=1e3)
    v = out.linear_velocity[0, -1, :, 0]
    assert ((v[1] - v[0]) / speed).item() == pytest.approx(0.9, abs=1e-9)


def test_momentum_and_energy_hold_in_a_gas_of_elastic_balls():
    generator = torch.Generator().manual_seed(3)
    grid = [(0.35 * i, 0.35 * j, 0.35 * k) for i in range(2) for j in range(2) for k in range(2)]
    scene = world(*(ball(f"b{i}", p, mass=1 + 0.3 * i) for i, p in enumerate(grid)), gravity=(0, 0, 0))
    bodies, start, law = tensors(scene)
    centre = start.position.mean(2, keepdim=True)
    inward = (centre - start.position) * 2 + torch.randn(start.position.shape, generator=generator, dtype=D) * 0.3
    start = with_state(start, linear_velocity=inward)
    out = PhysicsPrior()(start, bodies, 20, 0.1, law=law)
    mass = bodies.mass[0, :, None]
    before, after = start.linear_velocity[0, 0], out.linear_velocity[0, -1]
    assert (after - before).abs().max() > 0.1  # they did collide
    assert ((mass * after).sum(0) - (mass * before).sum(0)).abs().max() < 1e-10
    assert ((mass * after**2).sum() / (mass * before**2).sum()).item() == pytest.approx(1.0, abs=1e-9)


def test_momentum_and_spin_hold_between_boxes():
    bodies, start, law = tensors(world(*OBLIQUE["boxes"](), gravity=(0, 0, 0), planar=True))
    out = PhysicsPrior()(start, bodies, 8, 0.1, law=law)

    def momenta(t, k):
        p = bodies.mass[0, :, None] * t.linear_velocity[0, k]
        spin = bodies.inertia[0, :, 1] * t.angular_velocity[0, k, :, 1]
        return p.sum(0), torch.linalg.cross(t.position[0, k], p)[:, 1].sum() + spin.sum()

    for before, after in zip(momenta(start, 0), momenta(out, -1), strict=True):
        assert (before - after).abs().max() < 1e-9
