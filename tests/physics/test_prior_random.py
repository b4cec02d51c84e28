"""Random heaps: gradients of eight bodies in contact stay finite, whatever touches whatever."""

import pytest
import torch
from prior_worlds import D, ball, box, floor, polygon, tensors, with_state, world

from worldsim.physics import LawParameters, PhysicsPrior


def _heap(kinds, planar):
    make = {
        "ball": lambda n, p: ball(n, p, e=0.3, mu=0.5),
        "box": lambda n, p: box(n, p, restitution=0.3),
        "polygon": lambda n, p: polygon(n, p, restitution=0.3, friction=0.5),
    }
    bodies = [make[kinds[i % len(kinds)]](f"b{i}", (0.25 * (i % 4), 0, 0.2 + 0.25 * (i // 4))) for i in range(8)]
    return world(*bodies, floor(e=0.3, mu=0.5), planar=planar)


def _gradients_are_finite(kinds, planar, worlds, seed, dtype, frames):
    bodies, start, law = tensors(_heap(kinds, planar), dtype=dtype)
    generator = torch.Generator().manual_seed(seed)

    def noise(scale):
        values = scale * torch.randn(worlds, 1, 9, 3, generator=generator, dtype=D).to(dtype)
        values[:, :, 8] = 0
        if planar:
            values[..., 1] = 0
        return values

    # Close enough that most neighbours touch or overlap at the start.
    centre = start.position.mean(2, keepdim=True)
    x = (start.position - centre) * torch.tensor([0.8, 0.8, 1.0], dtype=dtype) + centre + noise(0.03)
    x[:, :, 8] = start.position[:, :, 8]
    v = noise(1.0)
    x.requires_grad_()
    v.requires_grad_()
    wide = start.map(lambda t: t.expand(worlds, *t.shape[1:]))
    gravity = law.gravity.expand(worlds, 3).clone().requires_grad_()
    friction = bodies.friction.clone().requires_grad_()
    figures = LawParameters(gravity, friction=friction)
    out = PhysicsPrior()(
        with_state(wide, position=x, linear_velocity=v), bodies, frames, 1 / 60, law=figures, check=False
    )
    loss = out.position.square().mean() + out.angular_velocity.square().mean() + out.orientation[..., 1].mean()
    gradients = torch.autograd.grad(loss, [x, v, gravity, friction])
    touching = (out.position[:, -1, :8, None] - out.position[:, -1, None, :8]).norm(dim=-1)
    assert (touching + 9 * torch.eye(8, dtype=dtype)).amin((1, 2)).lt(0.35).float().mean() > 0.9
    for gradient in gradients:
        assert torch.isfinite(gradient).all()


CASES = [(("ball",), False), (("ball",), True), (("box", "ball"), True), (("polygon", "box"), True), (("box",), False)]


@pytest.mark.parametrize(
    ("kinds", "planar"), [*CASES[:2], *(pytest.param(*c, marks=pytest.mark.slow) for c in CASES[2:])]
)
@pytest.mark.parametrize("dtype", [torch.float32, D])
def test_gradients_are_finite_in_heaps(kinds, planar, dtype):
    _gradients_are_finite(kinds, planar, 50 if kinds == ("ball",) else 20, seed=7, dtype=dtype, frames=3)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("kinds", "planar"), CASES)
def test_gradients_are_finite_in_10_000_heaps(kinds, planar, seed):
    _gradients_are_finite(kinds, planar, 250, seed=100 + seed, dtype=torch.float32, frames=2)
