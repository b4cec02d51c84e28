"""Contacts at rest and with friction: inclines, sliding, rolling, stacks, Painlevé's rod."""

import math

import pytest
import torch
from prior_worlds import D, G, about_y, ball, box, floor, play, polygon, world


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize(("slope", "mu", "slides"), [(0.3, 0.32, False), (0.3, 0.29, True), (0.6, 0.4, True)])
def test_incline_sticks_and_slips_at_tan_theta_equal_mu(slope, mu, slides, planar):
    # tan .3 = .309
    q, n = about_y(slope), (math.sin(slope), 0.0, math.cos(slope))
    start = tuple(0.1 * c for c in n)
    scene = world(box("a", start, q=q, friction=mu), floor(q=q, mu=mu, e=0.0), planar=planar)
    out = play(scene, 0.5)
    moved = (out.position[0, -1, 0] - torch.tensor(start, dtype=D)).norm().item()
    a = G * (math.sin(slope) - mu * math.cos(slope)) if slides else 0.0
    assert moved == pytest.approx(a * 0.125, abs=1e-6)
    assert out.angular_velocity.abs().max() < 1e-5


@pytest.mark.parametrize("shape", ["box", "capless ball"])
def test_sliding_stops_after_v_squared_over_2_mu_g(shape):
    v, mu = 1.5, 0.4
    if shape == "box":
        body = box("a", (-0.5, 0, 0.1), half=(0.2, 0.2, 0.1), velocity=(v, 0, 0), friction=mu)
        out = play(world(body, floor(mu=mu)), 0.6)
        assert (out.position[0, -1, 0, 0] + 0.5).item() == pytest.approx(v * v / (2 * mu * G), abs=1e-4)
        assert out.linear_velocity[0, -1, 0].abs().max() < 1e-6
    else:  # too heavy to turn: the fast path of spheres with a huge moment of inertia
        from prior_worlds import tensors, with_state

        from worldsim.physics import PhysicsPrior

        bodies, start, law = tensors(world(ball("a", (-0.5, 0, 0.1), (v, 0, 0), e=0.0, mu=mu), floor(mu=mu)))
        bodies = type(bodies)(**{**vars(bodies), "inertia": bodies.inertia * 1e9})
        out = PhysicsPrior()(with_state(start), bodies, 36, 1 / 60, law=law)
        assert (out.position[0, -1, 0, 0] + 0.5).item() == pytest.approx(v * v / (2 * mu * G), abs=2e-4)


@pytest.mark.parametrize(("planar", "share"), [(False, 5 / 7), (True, 2 / 3)])
@pytest.mark.parametrize("fps", [24, 240])
def test_a_sliding_sphere_rolls_at_its_share_of_the_speed(planar, share, fps):
    scene = world(ball("a", (0, 0, 0.1), (2, 0, 0), e=0.0, mu=0.3), floor(mu=0.3, e=0), planar=planar)
    out = play(scene, 1.0, fps)
    v, spin = out.linear_velocity[0, -1, 0, 0].item(), out.angular_velocity[0, -1, 0, 1].item()
    assert v == pytest.approx(share * 2, abs=1e-6)
    assert spin == pytest.approx(v / 0.1, abs=1e-5)
    assert out.position[0, :, 0, 2].sub(0.1).abs().max() < 1e-9


def test_a_ball_rolls_down_an_incline_at_5_7_g_sin():
    slope = 0.3
    q, n = about_y(slope), (math.sin(slope), 0.0, math.cos(slope))
    start = tuple(0.1 * c for c in n)
    out = play(world(ball("a", start, e=0.0, mu=0.8), floor(q=q, mu=0.8, e=0.0)), 0.5, 24)
    moved = (out.position[0, -1, 0] - torch.tensor(start, dtype=D)).norm().item()
    assert moved == pytest.approx(5 / 7 * G * math.sin(slope) * 0.125, rel=1e-6)


def test_friction_of_an_impact_turns_a_ball():
    # A ball that hits the floor with v_z and slides: mu (1 + e) v_z of tangential velocity is lost, no more.
    out = play(world(ball("a", (0, 0, 0.15), (3, 0, -2), e=0.64, mu=0.1), floor(mu=0.1), gravity=(0, 0, 0)), 0.1, 50)
    assert out.linear_velocity[0, -1, 0, 0].item() == pytest.approx(3 - 0.1 * 1.8 * 2, abs=1e-9)
    assert out.angular_velocity[0, -1, 0, 1].item() == pytest.approx(0.1 * 1.8 * 2 * 2.5 / 0.1, abs=1e-7)


@pytest.mark.parametrize("kind", ["boxes", "planar boxes", "hexagons"])
def test_a_stack_stays_at_rest(kind):
    if kind == "hexagons":
        flat = tuple((0.12 * math.cos(k * math.pi / 3), 0.12 * math.sin(k * math.pi / 3)) for k in range(6))
        h = 0.12 * math.sin(math.pi / 3)
        make = lambda k: polygon(f"b{k}", (0, 0, h * (2 * k + 1)), vertices=flat, restitution=0.2, friction=0.5)  # noqa: E731
    else:
        make = lambda k: box(f"b{k}", (0, 0, 0.1 + 0.2 * k), restitution=0.2)  # noqa: E731
    scene = world(*(make(k) for k in range(4)), floor(), planar=kind != "boxes")
    out = play(scene, 0.5, 30)
    start = torch.tensor([b.state.position for b in scene.bodies], dtype=D)
    assert (out.position[0, -1] - start).norm(dim=-1).max() < 1e-5
    assert out.linear_velocity[0, -1].abs().max() < 1e-4


def test_a_dropped_box_comes_to_rest_without_sinking():
    out = play(world(box("a", (0, 0, 0.4), q=about_y(0.3), restitution=0.3), floor(), planar=True), 2.0, 30)
    z, v = out.position[0, -1, 0, 2].item(), out.linear_velocity[0, -1, 0].abs().max().item()
    assert z == pytest.approx(0.1, abs=1e-4)
    assert v < 1e-3
    assert out.position[0, :, 0, 2].min() > 0.1 - 1e-4


@pytest.mark.slow
def test_a_pyramid_of_balls_between_walls_settles():
    walls = [floor("f", e=0.2), floor("l", (-0.35, 0, 0), about_y(math.pi / 2), e=0.2)]
    walls.append(floor("r", (0.35, 0, 0), about_y(-math.pi / 2), e=0.2))
    balls = [ball(f"b{i}", (-0.22 + 0.22 * (i % 3), 0, 0.12 + 0.21 * (i // 3)), e=0.2, mu=0.5) for i in range(9)]
    out = play(world(*balls, *walls, planar=True), 3.0, 60)
    x = out.position[0, -1, :9]
    gaps = (x[:, None] - x[None]).norm(dim=-1) + torch.eye(9, dtype=D)
    assert gaps.min() > 0.2 - 2e-3
    assert x[:, 2].min() > 0.1 - 2e-3
    assert out.linear_velocity[0, -1].abs().max() < 0.05


@pytest.mark.parametrize("mu", [0.5, 1.5, 5.0])
def test_painleves_rod_stays_finite_and_loses_energy(mu):
    # A thin rod dragged with its leading end on the floor: rigid-body friction has no consistent force there.
    half, tilt = 0.5, 1.0
    q = about_y(tilt)
    height = 0.01 * math.cos(tilt) + half * math.sin(tilt)
    rod = box("rod", (0, 0, height), half=(half, 0.01, 0.01), q=q, velocity=(3, 0, 0), friction=mu)
    out = play(world(rod, floor(mu=mu, e=0.0), planar=True), 0.5, 60)
    assert torch.isfinite(out.position).all()
    v, w = out.linear_velocity[0, :, 0], out.angular_velocity[0, :, 0, 1]
    moment = rod.inertia(True)[1]
    energy = 0.5 * v.square().sum(-1) + 0.5 * moment * w.square() + G * out.position[0, :, 0, 2]
    assert energy.max() <= (0.5 * 9 + G * height) * (1 + 1e-6)
    assert out.position[0, :, 0, 2].min() > 0.0
