"""torch.compile of roll-outs and one-step defects, for spheres, boxes and polygons: values and gradients as eager.

As one graph, without breaks. Compiling unrolls what eager mode loops over until nothing is left to do, so that few
rounds and sweeps are asked for here, as who compiles should. WORLDSIM_COMPILE_BACKEND=inductor runs the whole compiler.
"""

import os

import pytest
import torch
from prior_worlds import D, about_y, ball, box, floor, leaves, polygon, tensors, with_state, world

from worldsim.physics import PhysicsPrior, PriorConfig, Solver, defects

BACKEND = os.environ.get("WORLDSIM_COMPILE_BACKEND", "aot_eager")
FLOOR = floor(e=0.8, mu=0.5)
SCENES = {
    "spheres": lambda: world(
        ball("a", (0, 0, 0.14), (1, 0.2, -1), e=0.8, mu=0.4, spin=(0, 3, 1)),
        ball("b", (0.5, 0.1, 0.5), (-1, 0, 0), mass=2, e=0.8, mu=0.3),
        FLOOR,
    ),
    "boxes": lambda: world(
        box("a", (0, 0, 0.18), velocity=(0.3, 0, -1), q=about_y(0.3), restitution=0.5, spin=(0, 1, 0)), FLOOR
    ),
    "polygons": lambda: world(
        polygon("a", (0, 0, 0.16), velocity=(0.3, 0, -1), restitution=0.5, friction=0.3), FLOOR, planar=True
    ),
}


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("what", ["roll-out", "defects"])
@pytest.mark.parametrize("kind", SCENES)
def test_compiled_values_and_gradients_are_those_of_eager_mode(kind, what):
    bodies, start, law = tensors(SCENES[kind]())
    config = PriorConfig(max_step=1.0, rounds=2, solver=Solver(sweeps=6))
    prior = PhysicsPrior(config=config)
    x, v, moving = leaves(start)

    def roll(x, v):
        out = prior(with_state(start, position=x, linear_velocity=v), bodies, 1, 0.05, law=law, check=False)
        return out.position, out.linear_velocity

    later = roll(x.detach(), v.detach())
    seen = moving.map(lambda tensor: tensor.detach().expand(-1, 2, *tensor.shape[2:]))

    def fold(x, v):
        position, velocity = (torch.cat(parts, 1) for parts in zip((x, v), later, strict=True))
        path = with_state(seen, position=position, linear_velocity=velocity)
        found = defects(path, bodies, 0.05, law, "trajectory", config=config, check=False)
        return found.position, found.linear_velocity

    function = roll if what == "roll-out" else fold
    # Away from the law's own answer, where a squared defect would have no gradient.
    inputs = (x, v)
    compiled = torch.compile(function, backend=BACKEND, fullgraph=True)
    results = []
    for call in (function, compiled):
        out = call(*inputs)
        loss = sum((value + 0.1).square().sum() for value in out)
        results.append((*out, *torch.autograd.grad(loss, inputs)))
    for plain, traced in zip(*results, strict=True):
        assert plain.dtype == D
        assert (plain - traced).abs().max() < 1e-6 * (1 + plain.abs().max())
