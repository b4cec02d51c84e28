"""The event-exact closed form against conservation laws, one-dimensional closed forms and time reversal."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from worldsim.scene import Body, Box, Camera, Capsule, Joint, Law, Plane, Scene, Sphere, State, make_scene
from worldsim_envs.exact import refusal, solve_exact

CAMERA = Camera(kind="orthographic", position=(0, -10, 0), target=(0, 0, 0), extent=40.0)


def ball(name, position, velocity=(0, 0, 0), radius=0.5, mass=1.0, e=1.0, spin=(0, 0, 0), friction=0.0):
    return Body(
        name,
        Sphere(radius),
        State(position, linear_velocity=velocity, angular_velocity=spin),
        mass=mass,
        friction=friction,
        restitution=e,
    )


def static(name, shape, position, e=1.0, orientation=(1, 0, 0, 0), friction=0.0):
    return Body(name, shape, State(position, orientation), restitution=e, friction=friction, static=True)


def world(*bodies, gravity=(0.0, 0.0, 0.0), duration=2.0, fps=50.0, planar=False):
    return Scene(bodies=bodies, law=Law(gravity), camera=CAMERA, duration=duration, fps=fps, planar=planar)


def energy(scene, trajectory):
    mass = torch.tensor([b.mass * (not b.static) for b in scene.bodies], dtype=torch.float64)
    g = torch.tensor(scene.law.gravity, dtype=torch.float64)
    kinetic = 0.5 * trajectory.linear_velocity.square().sum(-1)
    return ((kinetic - trajectory.position @ g) * mass).sum(-1)


def test_free_flight_is_the_parabola():
    scene = world(ball("a", (0, 0, 3), (1, 2, 3)), gravity=(0, 0, -9.81))
    t = torch.arange(scene.num_frames, dtype=torch.float64)[:, None] / scene.fps
    start, v, g = (torch.tensor(x, dtype=torch.float64) for x in ([0, 0, 3.0], [1, 2, 3.0], [0, 0, -9.81]))
    got = solve_exact(scene).trajectory
    assert torch.allclose(got.position[:, 0], start + v * t + g * t**2 / 2, atol=1e-12)
    assert torch.allclose(got.linear_velocity[:, 0], v + g * t, atol=1e-12)


def test_elastic_equal_masses_of_physics_section_1():
    # x1 = 0, x2 = .52, r = .1, v1 = 1: contact at .32 s, and x2(1) = .52 + .68.
    scene = world(ball("a", (0, 0, 0), (1, 0, 0), 0.1), ball("b", (0.52, 0, 0), radius=0.1), duration=1.0, fps=1.0)
    solution = solve_exact(scene)
    assert solution.trajectory.position[-1, 1, 0].item() == pytest.approx(1.2, abs=1e-12)
    assert solution.impacts[0].time == pytest.approx(0.32, abs=1e-12)
    assert solution.impacts[0].pair == (0, 1)


@settings(max_examples=60, deadline=None)
@given(
    m1=st.floats(0.2, 9),
    m2=st.floats(0.2, 9),
    v1=st.floats(-3, 3),
    v2=st.floats(-3, 3),
    e1=st.floats(0, 1),
    e2=st.floats(0, 1),
)
def test_head_on_impact_obeys_newtons_law(m1, m2, v1, v2, e1, e2):
    scene = world(ball("a", (0, 0, 0), (v1, 0, 0), mass=m1, e=e1), ball("b", (2, 0, 0), (v2, 0, 0), mass=m2, e=e2))
    solution = solve_exact(scene)
    before = torch.tensor([v1, v2], dtype=torch.float64)
    after = solution.trajectory.linear_velocity[-1, :, 0]
    if v1 - v2 <= 0.5:  # gap 1 m, 2 s
        assert torch.allclose(after, before, atol=1e-12) or v1 - v2 > 0.499
        return
    e = (e1 * e2) ** 0.5
    mean = (m1 * v1 + m2 * v2) / (m1 + m2)
    closed = torch.tensor(
        [mean - m2 * e * (v1 - v2) / (m1 + m2), mean + m1 * e * (v1 - v2) / (m1 + m2)], dtype=torch.float64
    )
    assert torch.allclose(after, closed, atol=1e-9)
    assert solution.impacts[0].time == pytest.approx(1 / (v1 - v2), rel=1e-9)


def test_three_ball_cradle_passes_the_motion_on():
    scene = world(ball("a", (0, 0, 0), (1, 0, 0)), ball("b", (2, 0, 0)), ball("c", (3, 0, 0)), duration=2.0, fps=2.0)
    assert torch.allclose(
        solve_exact(scene).trajectory.linear_velocity[-1, :, 0], torch.tensor([0.0, 0, 1], dtype=torch.float64)
    )


def test_bounces_lose_height_by_e_squared():
    e, height, radius = 0.8, 1.0, 0.25
    scene = world(
        ball("a", (0, 0, height + radius), radius=radius, e=e),
        static("floor", Plane(), (0, 0, 0), e=e),
        gravity=(0, 0, -9.81),
        fps=2000.0,
    )
    solution = solve_exact(scene)
    fall = (2 * height / 9.81) ** 0.5
    expected = fall
    flight = 2 * fall * e
    for impact in solution.impacts:
        assert impact.time == pytest.approx(expected, abs=1e-9)
        expected, flight = expected + flight, flight * e
    tops = solution.trajectory.position[:, 0, 2] - radius
    start = int((fall + fall * e) * 2000)
    assert tops[start - 5 : start + 5].max().item() == pytest.approx(e**2 * height, abs=1e-5)


@pytest.mark.parametrize("planar", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_energy_holds_through_many_elastic_impacts(planar, seed):
    scene = make_scene("bouncing_balls", seed=seed, num_balls=5, planar=planar)
    scene = replace(scene, bodies=tuple(replace(b, restitution=1.0) for b in scene.bodies), duration=4.0)
    solution = solve_exact(scene)
    values = energy(scene, solution.trajectory)
    assert len(solution.impacts) > 10
    assert (values - values[0]).abs().max() <= 1e-9 * values[0].abs()


def test_momentum_holds_between_free_balls_and_energy_falls_when_inelastic():
    rng = np.random.default_rng(0)
    targets = rng.normal(size=(6, 3)) * 0.4
    starts = 4 * np.eye(3)[[0, 1, 2, 0, 1, 2]] * np.array([1, 1, 1, -1, -1, -1])[:, None]
    bodies = [
        ball(str(i), tuple(s), tuple((t - s) / 1.5), mass=1.0 + i, e=0.5)
        for i, (s, t) in enumerate(zip(starts, targets, strict=True))
    ]
    scene = world(*bodies, duration=4.0)
    solution = solve_exact(scene)
    mass = torch.tensor([b.mass for b in bodies], dtype=torch.float64)
    momentum = (solution.trajectory.linear_velocity * mass[:, None]).sum(1)
    assert len(solution.impacts) >= 3
    assert torch.allclose(momentum, momentum[:1].expand_as(momentum), atol=1e-11)
    values = energy(scene, solution.trajectory)
    assert (values.diff() <= 1e-12).all()
    assert values[-1] < 0.9 * values[0]


@pytest.mark.parametrize(("name", "parameters"), [("bouncing_balls", {"num_balls": 3}), ("collision", {})])
def test_time_reversal_returns_to_the_start(name, parameters):
    scene = make_scene(name, seed=1, **parameters)
    scene = replace(scene, bodies=tuple(replace(b, restitution=1.0) for b in scene.bodies))
    solution = solve_exact(scene)
    end = solution.trajectory.frames(solution.trajectory.num_frames - 1)
    states = {}
    for i, body in enumerate(scene.bodies):
        if not body.static:
            p, v = end.position[0, i].tolist(), end.linear_velocity[0, i].tolist()
            states[body.name] = replace(body.state, position=p, linear_velocity=tuple(-x for x in v))
    back = solve_exact(scene.with_states(states)).trajectory
    assert len(solution.impacts) > 0
    assert torch.allclose(back.position.flip(0), solution.trajectory.position, atol=1e-8)


@settings(max_examples=60, deadline=None)
@given(x=st.floats(-1.6, 1.6), y=st.floats(-1.6, 1.6), vx=st.floats(-0.5, 0.5), vy=st.floats(-0.5, 0.5))
def test_faces_edges_and_corners_of_a_box_are_met_at_their_surface(x, y, vx, vy):
    # A ball falls on a box; at the impact it must touch, and before it must not have been inside.
    scene = world(
        ball("a", (x, y, 3.0), (vx, vy, -1.0)),
        static("box", Box((1.0, 1.0, 1.0)), (0, 0, 0)),
        gravity=(0, 0, -2.0),
        fps=500.0,
        duration=1.5,
    )
    solution = solve_exact(scene)
    p = solution.trajectory.position[:, 0]
    gap = (p - p.clamp(-1, 1)).norm(dim=-1) - 0.5
    assert gap.min() > -1e-6
    if solution.impacts:
        t = solution.impacts[0].time
        at = torch.tensor([x + vx * t, y + vy * t, 3.0 - t - t * t], dtype=torch.float64)
        assert (at - at.clamp(-1, 1)).norm().item() == pytest.approx(0.5, abs=1e-9)
    else:
        assert gap.min() > 0


def test_billiards_without_friction_slides_on_its_table():
    scene = make_scene("billiards", seed=3, friction=0.0)
    solution = solve_exact(scene)
    moving = [i for i, b in enumerate(scene.bodies) if not b.static]
    heights = solution.trajectory.position[:, moving, 2]
    assert (heights - heights[:1]).abs().max() < 1e-12
    assert len(solution.impacts) > 5
    speeds = solution.trajectory.linear_velocity[:, moving].square().sum((1, 2))
    assert (speeds.diff() <= 1e-12).all()


def test_slides_down_a_frictionless_incline():
    angle = np.radians(30)
    turn = (float(np.cos(angle / 2)), 0.0, float(np.sin(angle / 2)), 0.0)
    normal = np.array([np.sin(angle), 0, np.cos(angle)])
    scene = world(
        ball("a", tuple(normal * 0.5)), static("ramp", Plane(), (0, 0, 0), orientation=turn), gravity=(0, 0, -9.81)
    )
    trajectory = solve_exact(scene).trajectory
    t = torch.arange(scene.num_frames, dtype=torch.float64) / scene.fps
    along = trajectory.position[:, 0] @ torch.tensor([np.cos(angle), 0, -np.sin(angle)])
    assert torch.allclose(along, 9.81 * np.sin(angle) * t**2 / 2, atol=1e-10)


def test_spin_goes_on_unchanged():
    scene = world(ball("a", (0, 0, 0), spin=(0, 3.0, 0)), duration=1.0, fps=10.0)
    w, _, y, _ = solve_exact(scene).trajectory.orientation[-1, 0].tolist()
    assert (w, y) == pytest.approx((np.cos(1.5), np.sin(1.5)))


@pytest.mark.parametrize(
    ("scene", "reason"),
    [
        (world(ball("a", (0, 0, 1), friction=0.5), static("floor", Plane(), (0, 0, 0), friction=0.5)), "friction"),
        (world(Body("a", Capsule(0.1, 0.2), State((0, 0, 0)))), "moving capsule"),
        (replace(world(ball("a", (0, 0, 0))), law=Law((0, 0, 0), drag=0.1)), "drag"),
        (
            replace(world(ball("a", (0, 0, 0))), joints=(Joint("j", "hinge", "a", None, (0, 0, 0), (0, 0, 0)),)),
            "joints",
        ),
    ],
)
def test_refuses_what_it_cannot_do(scene, reason):
    assert reason in refusal(scene)
    with pytest.raises(ValueError, match=reason):
        solve_exact(scene)


def test_refuses_a_ball_that_comes_to_rest_by_bouncing():
    scene = world(ball("a", (0, 0, 0.6), e=0.3), static("floor", Plane(), (0, 0, 0), e=0.3), gravity=(0, 0, -9.81))
    with pytest.raises(ValueError, match="ever smaller bounces"):
        solve_exact(scene)


def test_refuses_a_ball_that_slides_off_its_support():
    scene = world(
        ball("a", (0, 0, 0.6), (1, 0, 0)), static("slab", Box((0.5, 1, 0.1)), (0, 0, 0)), gravity=(0, 0, -9.81)
    )
    with pytest.raises(ValueError, match="leaves the surface"):
        solve_exact(scene)
