"""Work goes where something happens: leaving out what cannot meet changes neither values nor gradients."""

import pytest
import torch
from prior_worlds import D, ball, floor, tensors, with_state, world

from worldsim.physics import LawParameters, PriorConfig, defects
from worldsim.physics.prior.matter import resolve
from worldsim.physics.prior.prior import make_stepper
from worldsim.physics.prior.state import State


def _crowd(drag, resting=True):
    """Nine balls in a tray, some at rest on the floor, told in an order that mixes in the floor."""
    balls = [ball(f"b{i}", (0.3 * (i % 3), 0.3 * (i // 3), 0.4), e=0.64, mu=0.3, mass=1 + 0.2 * i) for i in range(9)]
    walls = [floor("floor", e=0.64, mu=0.3), floor("side", (-0.3, 0, 0), (0.5**0.5, 0, 0.5**0.5, 0), e=0.8, mu=0.1)]
    scene = world(*balls[:4], walls[0], *balls[4:], walls[1], drag=drag)
    bodies, start, law = tensors(scene)
    generator = torch.Generator().manual_seed(611)
    noise = torch.randn(3, 12, 11, 3, generator=generator, dtype=D)
    spheres = [i for i, kind in enumerate(bodies.kinds) if kind == "sphere"]
    x, v = (t[0].expand(12, -1, -1).clone() for t in (start.position, start.linear_velocity))
    x[:, spheres] += 0.05 * noise[0][:, spheres]
    v[:, spheres] = 1.5 * noise[1][:, spheres]
    spin = torch.zeros_like(v)
    spin[:, spheres] = 3 * noise[2][:, spheres]
    if resting:
        x[::2, spheres[:2], 2] = 0.1
        v[::2, spheres[:2]] = spin[::2, spheres[:2]] = 0
    turned = start.orientation[0].expand(12, -1, -1)
    return bodies, State(x, turned, v, spin), law


@pytest.mark.parametrize("drag", [0.0, 0.4])
@pytest.mark.parametrize("step", [0.004, 0.15])
@pytest.mark.parametrize("resting", [False, True])
def test_a_step_that_looks_only_at_near_pairs_is_the_step_that_looks_at_all(drag, step, resting):
    bodies, state, law = _crowd(drag, resting)
    results = []
    for everything in (False, True):
        config = PriorConfig()
        parts = [state.position, state.linear_velocity, state.angular_velocity]
        x, v, spin = (part.clone().requires_grad_() for part in parts)
        start = State(x, state.orientation, v, spin)
        gravity = law.gravity.clone().requires_grad_()
        matter = resolve(bodies, LawParameters(gravity, law.drag), 12, None)
        stepper = make_stepper(bodies, matter, start, config)
        if everything:
            stepper.log = []  # a record of contacts keeps every body of every world in play
        wrench = 0.5 * torch.ones(12, 9, 6, dtype=D) if drag else None
        after, turn, touched = stepper.step(stepper.enter(start), step, wrench)
        values = (after.position, after.linear_velocity, after.angular_velocity, turn)
        loss = sum(value.square().sum() for value in values)
        results.append((values, touched, torch.autograd.grad(loss, [x, v, spin, gravity])))
    sparse, dense = results
    assert torch.equal(sparse[1], dense[1])
    assert 0 < int(sparse[1].sum()) < sparse[1].numel()
    for ours, theirs in zip(sparse[0], dense[0], strict=True):
        assert (ours - theirs).abs().max() < 1e-12 * (1 + theirs.abs().max())
    for ours, theirs in zip(sparse[2], dense[2], strict=True):
        # Contacts at rest are linearised where the sweeps stop, which is at a relative 1e-6.
        bound = 1e-4 if resting else 1e-9
        assert (ours - theirs).abs().max() < bound * (1 + theirs.abs().max())


def test_defects_of_a_batch_are_those_of_its_worlds_alone():
    bodies, state, law = _crowd(0.0)
    frames = torch.stack([state.position + k / 60 * state.linear_velocity for k in range(3)], 1)
    start = tensors(world(*[ball(f"b{i}", (0, 0, 1)) for i in range(4)]))[1]
    whole = with_state(
        start.map(lambda t: t),
        position=frames,
        orientation=state.orientation[:, None].expand(-1, 3, -1, -1),
        linear_velocity=state.linear_velocity[:, None].expand(-1, 3, -1, -1),
        angular_velocity=state.angular_velocity[:, None].expand(-1, 3, -1, -1),
        presence=torch.ones(12, 3, 11, dtype=D),
    )
    together = defects(whole, bodies, 1 / 60, law=law, velocities="trajectory")
    for k in range(0, 12, 5):
        alone = defects(whole.map(lambda t, k=k: t[k : k + 1]), bodies, 1 / 60, law=law, velocities="trajectory")
        assert (together.position[k] - alone.position[0]).abs().max() < 1e-12
        assert (together.linear_velocity[k] - alone.linear_velocity[0]).abs().max() < 1e-10
