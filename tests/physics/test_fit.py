"""Identification finds the law from sixteen frames, its covariance is honest; projection makes trajectories lawful."""

from dataclasses import replace

import pytest
import torch

from worldsim.physics import Bodies, LawParameters, PhysicsPrior, PriorConfig, Trajectory, concatenate, distances
from worldsim.physics.fit import identify, levenberg_marquardt, project
from worldsim.scene import Body, Law, Plane, Scene, Sphere, State, planar_camera

F64 = torch.float64
# Flights and impacts of spheres are exact at any step.
FLIGHT = PhysicsPrior(config=PriorConfig(max_step=0.1))


def ball(name, x, z, velocity, radius=0.5, mass=1.0, restitution=0.8, friction=0.0):
    state = State((x, 0, z), linear_velocity=velocity)
    return Body(name, Sphere(radius), state, mass=mass, restitution=restitution, friction=friction)


def floor(restitution=0.8, friction=0.0):
    return Body("floor", Plane(), State((0, 0, 0)), static=True, restitution=restitution, friction=friction)


def world(*bodies, gravity=-9.81):
    law = Law((0, 0, gravity))
    return Scene(bodies, planar=True, camera=planar_camera(10), fps=10, duration=1.5, law=law)


def truth(scene, prior=FLIGHT):
    start, bodies = Trajectory.start_of([scene], F64), Bodies.from_scenes([scene], F64)
    law = LawParameters.of([scene], F64)
    return concatenate([start, prior(start, bodies, scene.num_frames - 1, 1 / scene.fps, law=law)]), bodies, law


def noisy(trajectory, bodies, copies, noise, seed=0):
    """Copies of a trajectory with noise on the moving bodies, and their bodies."""
    many = trajectory.map(lambda x: x.expand(copies, *x.shape[1:]).clone())
    shake = noise * torch.randn(many.position.shape, generator=torch.Generator().manual_seed(seed), dtype=F64)
    shake[..., 1] = 0
    shake[:, :, [i for i, static in enumerate(bodies.static) if static]] = 0
    many = replace(many, position=many.position + shake)
    return many, bodies.map(lambda x: x.expand(copies, *x.shape[1:]))


def wrong(**figures):
    values = {name: torch.tensor(value, dtype=F64) for name, value in figures.items()}
    return LawParameters(**{"gravity": torch.tensor([0.0, 0.0, -9.81], dtype=F64), **values})


def test_levenberg_marquardt_solves_rosenbrock():
    def residual(theta, world):
        return torch.stack([10 * (theta[:, 1] - theta[:, 0] ** 2), 1 - theta[:, 0]], -1)

    start = torch.tensor([[-1.2, 1.0], [2.0, -3.0]], dtype=F64)
    fit = levenberg_marquardt(residual, start, iterations=100)
    torch.testing.assert_close(fit.theta, torch.ones(2, 2, dtype=F64))
    assert fit.converged.all()


def test_gravity_and_restitution_from_a_bounce():
    seen, bodies, _ = truth(world(ball("a", 2, 3, (1, 0, 0)), floor()))
    guess = wrong(gravity=[0.0, 0.0, -7.0], restitution=0.5)
    found = identify(seen, bodies, ("gravity", "restitution"), law=guess, prior=FLIGHT)
    assert found.law.gravity[0, 2] == pytest.approx(-9.81, rel=1e-2)
    assert found.law.restitution[0] == pytest.approx(0.8, rel=1e-2)
    assert found.converged.all()
    torch.testing.assert_close(found.trajectory.position, seen.position, atol=1e-6, rtol=0)


def test_mass_ratio_and_restitution_from_a_collision():
    bodies = (ball("a", 2, 5, (2, 0, 0), mass=1.0), ball("b", 5, 5.2, (-1, 0, 0), mass=3.0))
    seen, bodies, _ = truth(world(*bodies, gravity=0.0))
    guess = wrong(gravity=[0.0, 0.0, 0.0], restitution=0.5, mass=[[1.0, 1.0]])
    found = identify(seen, bodies, ("restitution", "mass"), law=guess, prior=FLIGHT)
    assert found.law.mass[0, 1] / found.law.mass[0, 0] == pytest.approx(3.0, rel=1e-2)
    assert found.law.restitution[0] == pytest.approx(0.8, rel=1e-2)


def test_friction_from_a_slide():
    prior = PhysicsPrior(config=PriorConfig(max_step=0.05))
    seen, bodies, _ = truth(world(ball("a", 1, 0.5, (3, 0, 0), friction=0.2), floor(friction=0.2)), prior)
    found = identify(seen, bodies, ("friction",), law=wrong(friction=0.4), prior=prior)
    assert found.law.friction[0] == pytest.approx(0.2, rel=1e-2)


def test_missing_frames_cost_precision_only():
    seen, bodies, _ = truth(world(ball("a", 2, 3, (1, 0, 0)), floor()))
    presence = seen.presence.clone()
    presence[:, [0, 3, 4, 11], 0] = 0
    position = torch.where(presence[..., None] > 0, seen.position, torch.zeros_like(seen.position))
    guess = wrong(gravity=[0.0, 0.0, -7.0], restitution=0.5)
    whole = identify(seen, bodies, ("gravity", "restitution"), law=guess, prior=FLIGHT)
    part = identify(
        replace(seen, position=position, presence=presence), bodies, ("gravity", "restitution"), law=guess, prior=FLIGHT
    )
    assert part.law.gravity[0, 2] == pytest.approx(-9.81, rel=1e-2)
    assert part.law.restitution[0] == pytest.approx(0.8, rel=1e-2)
    assert (part.std["gravity"] > whole.std["gravity"]).all()


@pytest.mark.parametrize("trials", [pytest.param(200, marks=pytest.mark.slow), 40])
def test_the_covariance_covers_the_truth_at_its_stated_rate(trials):
    noise = 0.005
    seen, bodies, _ = truth(world(ball("a", 2, 3, (1, 0, 0)), floor()))
    many, bodies = noisy(seen, bodies, trials, noise)
    guess = wrong(gravity=[0.0, 0.0, -8.5], restitution=0.7)
    found = identify(many, bodies, ("gravity", "restitution"), law=guess, noise=noise, prior=FLIGHT)
    off = torch.stack(
        [
            (found.law.gravity[:, 2] + 9.81) / found.std["gravity"][:, 1],
            (found.law.restitution - 0.8) / found.std["restitution"][:, 0],
        ]
    )
    for bound, rate in ((1.0, 0.683), (1.96, 0.95)):
        covered = (off.abs() < bound).double().mean(1)
        slack = 3 * (rate * (1 - rate) / trials) ** 0.5
        assert ((covered - rate).abs() < slack).all(), (bound, covered)
    assert found.misfit.mean() == pytest.approx((25 / 32) ** 0.5, abs=0.05)  # 32 readings, 7 parameters


def perturbed(trials):
    """Two balls over a floor, their trajectories spoilt in three ways."""
    scene = world(ball("a", 2, 3, (1.5, 0, 0)), ball("b", 5.5, 2, (-1, 0, 1)), floor())
    seen, bodies, law = truth(scene)
    many, bodies = noisy(seen, bodies, trials, 0.05)
    position = many.position.clone()
    generator = torch.Generator().manual_seed(1)
    for k in range(trials):
        frame = int(torch.randint(3, 13, (1,), generator=generator))
        if k % 3 == 1:  # a teleport of half a unit
            position[k, frame, 0, 0] += 0.5
        if k % 3 == 2:  # pressed into the floor for two frames
            position[k, frame : frame + 2, 1, 2] -= 0.4
    clean = seen.map(lambda x: x.expand(trials, *x.shape[1:]))
    return replace(many, position=position), clean, bodies, law


@pytest.mark.parametrize("trials", [pytest.param(100, marks=pytest.mark.slow), 12])
def test_projection_ends_lawful_and_closer_to_the_truth(trials):
    spoilt, clean, bodies, law = perturbed(trials)
    fixed = project(spoilt, bodies, law=law, prior=FLIGHT)
    # Feasible: the trajectory is its own roll-out, and nothing overlaps.
    again = FLIGHT(fixed.frames(0, 1), bodies, fixed.num_frames - 1, fixed.dt, law=law)
    assert (again.position - fixed.position[:, 1:]).abs().max() < 1e-4
    gaps = distances(bodies, fixed.position, fixed.orientation).distance
    assert gaps.min() > -1e-4
    moving = [0, 1]
    before = (spoilt.position - clean.position)[:, :, moving].square().mean((1, 2, 3))
    after = (fixed.position - clean.position)[:, :, moving].square().mean((1, 2, 3))
    assert (after < before).all()


def test_the_gradient_of_projection_is_that_of_the_projected_trajectory():
    spoilt, _, bodies, law = perturbed(1)
    spoilt = replace(spoilt, position=0.1 * spoilt.position + 0.9 * perturbed(1)[1].position)
    direction = torch.randn(spoilt.position.shape, generator=torch.Generator().manual_seed(2), dtype=F64)
    weights = torch.randn(spoilt.position.shape, generator=torch.Generator().manual_seed(3), dtype=F64)
    direction[..., 1], direction[:, :, 2] = 0, 0

    def value(position):
        return (project(replace(spoilt, position=position), bodies, law=law, prior=FLIGHT).position * weights).sum()

    leaf = spoilt.position.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(value(leaf), leaf)
    with torch.no_grad():
        step = 1e-5
        numeric = (value(spoilt.position + step * direction) - value(spoilt.position - step * direction)) / (2 * step)
    # Gauss-Newton leaves out the curvature times the misfit, which is small near a lawful trajectory.
    assert float((gradient * direction).sum()) == pytest.approx(float(numeric), rel=2e-2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t, b: identify(t, b, ("colour",)), "learn: must be among gravity"),
        (lambda t, b: identify(t, b, ("mass",)), "learn: must not hold mass with a single moving body"),
        (lambda t, b: identify(t, b, noise=0.0), "noise: must be above 0"),
        (lambda t, b: identify(t.map(lambda x: x * float("nan")), b), "observed.position: must be finite"),
        (lambda t, b: project(replace(t, presence=torch.zeros_like(t.presence)), b), "at least 2 frames"),
        (lambda t, b: project(t.frames(0, 1), b), "observed.position: must have shape"),
    ],
)
def test_refusals(change, words):
    seen, bodies, _ = truth(world(ball("a", 2, 3, (1, 0, 0)), floor()))
    with pytest.raises(ValueError, match=words):
        change(seen, bodies)
