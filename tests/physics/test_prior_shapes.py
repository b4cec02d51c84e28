"""Shapes between contacts: near pairs are culled safely, and no impact is missed in a step of any length."""

import pytest
import torch
from prior_worlds import HEXAGON, D, ball, box, floor, leaves, tensors, with_state, world

from worldsim.physics import LawParameters, PhysicsPrior, PriorConfig
from worldsim.physics.geometry import distances
from worldsim.physics.prior.law import default_law
from worldsim.physics.prior.matter import resolve
from worldsim.physics.prior.shape_world import measured, shape_world
from worldsim.physics.prior.state import State
from worldsim.scene import Body, Capsule, Polygon, Ring
from worldsim.scene import State as Start

WALL = (0.5**0.5, 0, -(0.5**0.5), 0)  # faces -x


def _assorted(planar):
    bodies = [ball("a", (0, 0, 0), radius=0.2), box("b", (0, 0, 0), half=(0.3, 0.1, 0.2)), floor()]
    shapes = [Capsule(0.1, 0.3), Capsule(0.2, 0.1)]
    shapes += [Polygon(HEXAGON), Polygon(tuple((2 * x, 0.5 * z) for x, z in HEXAGON))] if planar else [Ring(0.4, 0.05)]
    bodies += [Body(f"s{i}", shape, Start((0, 0, 0))) for i, shape in enumerate(shapes)]
    return world(*bodies, planar=planar)


def _scattered(planar, worlds):
    bodies, start, _ = tensors(_assorted(planar))
    generator = torch.Generator().manual_seed(5)
    shape = (worlds, *start.position.shape[2:])
    x = 0.5 * torch.randn(shape, generator=generator, dtype=D)
    q = torch.randn(*shape[:2], 4, generator=generator, dtype=D)
    if planar:
        x[..., 1] = 0
        q[..., [1, 3]] = 0
        q[:, 2] = torch.tensor([1.0, 0, 0, 0], dtype=D)  # the floor may not turn over
    q = q / q.norm(dim=-1, keepdim=True)
    still = torch.zeros_like(x)
    return bodies, State(x, q, still, still)


@pytest.mark.parametrize("planar", [False, True])
def test_clearance_is_never_above_the_distance(planar):
    bodies, state = _scattered(planar, 200)
    scene = shape_world(bodies, resolve(bodies, default_law(bodies), 200, None))
    exact = distances(bodies, state.position, state.orientation).distance
    clearance = scene.clearance(state)
    assert (clearance <= exact + 1e-12).all()
    assert (clearance > 0).float().mean() > 0.2  # it does cull


@pytest.mark.parametrize("planar", [False, True])
def test_chosen_pairs_are_measured_as_all_are(planar):
    bodies, state = _scattered(planar, 50)
    scene = shape_world(bodies, resolve(bodies, default_law(bodies), 50, None))
    exact = distances(bodies, state.position, state.orientation)
    chosen = exact.distance < 0.1
    some = measured(scene, state, chosen)
    assert torch.equal(some.distance[~chosen], torch.ones_like(some.distance[~chosen]))
    for found, all_of_them in zip(some, exact[1:], strict=True):
        assert (found[chosen] - all_of_them[chosen]).abs().max() < 1e-12


def _thrown(half):
    cube = box("a", (0, 0, 0.4), half, velocity=(1.2, 0.3, -1.0), spin=(2, -3, 1.5), restitution=1.0, friction=0.0)
    return tensors(world(cube, floor(), floor("wall", (0.4, 0, 0), WALL)))


def test_a_thrown_cube_takes_the_same_way_in_steps_of_any_length():
    bodies, start, law = _thrown((0.1, 0.1, 0.1))
    ends = [
        PhysicsPrior(config=PriorConfig(max_step=step))(start, bodies, 1, 0.5, law=law) for step in (1 / 240, 1 / 30, 1)
    ]
    assert (ends[0].angular_velocity[0, -1, 0] - start.angular_velocity[0, 0, 0]).norm() > 1  # it did hit
    for end in ends[1:]:
        assert (end.position - ends[0].position).abs().max() < 1e-6


@pytest.mark.parametrize(
    ("half", "step"), [((0.1, 0.1, 0.1), 1.0), ((0.1, 0.1, 0.1), 1 / 60), ((0.1, 0.06, 0.14), 1 / 240)]
)
def test_gradients_of_a_thrown_box_match_finite_differences(half, step):
    bodies, start, law = _thrown(half)
    prior = PhysicsPrior(config=PriorConfig(max_step=step))

    def loss(x, v):
        worlds = start.map(lambda tensor: tensor.expand(len(x), *tensor.shape[1:]))
        rows = LawParameters(law.gravity.expand(len(x), 3))
        out = prior(with_state(worlds, position=x, linear_velocity=v), bodies, 1, 0.5, law=rows)
        return out.position[:, -1, 0].square().sum(-1)

    x, v, _ = leaves(start)
    got = torch.cat([g[0, 0, 0] for g in torch.autograd.grad(loss(x, v).sum(), [x, v])])
    nudge = torch.zeros(2, 12, 1, 3, 3, dtype=D)
    for k in range(6):
        nudge[k // 3, 2 * k, 0, 0, k % 3], nudge[k // 3, 2 * k + 1, 0, 0, k % 3] = 1e-6, -1e-6
    with torch.no_grad():
        ends = loss(start.position + nudge[0], start.linear_velocity + nudge[1])
    want = (ends[::2] - ends[1::2]) / 2e-6
    assert (got - want).norm() < 1e-3 * want.norm()
