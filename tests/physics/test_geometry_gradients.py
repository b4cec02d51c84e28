"""Derivatives of signed distances: exact away from kinks, finite everywhere."""

from __future__ import annotations

import pytest
import torch
from geometry_cases import ALL_PAIRS, Case, cases, measure
from torch import Tensor

from worldsim.physics import rotation
from worldsim.physics.geometry import PairDistance, point_distance


def posed(case: Case, move: Tensor, turn: Tensor, size: Tensor) -> Case:
    orientation = rotation.multiply(rotation.exponential(turn), case.orientation)
    return Case(case.kind, case.size * (1 + size[:, None]), case.vertices, case.position + move, orientation)


@pytest.mark.parametrize(("kind_a", "kind_b", "planar"), ALL_PAIRS)
def test_distance_normal_and_witnesses_have_the_derivative_of_central_differences(
    kind_a: str, kind_b: str, planar: bool
) -> None:
    """As torch.autograd.gradcheck, but with all pairs of the batch moved at once, for pairs do not mix."""
    count, step = 24, 1e-6
    a, b = cases(kind_a, count, 21, planar), cases(kind_b, count, 22, planar)
    free = torch.tensor([1.0, 0.0, 1.0] if planar else [1.0, 1.0, 1.0], dtype=torch.float64)
    spin = 1 - free if planar else free

    def function(x: Tensor) -> Tensor:
        first = posed(a, free * x[:, 0:3], spin * x[:, 3:6], x[:, 6])
        second = posed(b, free * x[:, 7:10], spin * x[:, 10:13], x[:, 13])
        result = measure(first, second, planar)
        return torch.cat([result.distance[:, None], result.normal, result.witness_a, result.witness_b], -1)

    start = torch.zeros(count, 14, dtype=torch.float64, requires_grad=True)
    output = function(start)
    assert 0 < int((output[:, 0] < 0).sum()) < count
    rows = [torch.autograd.grad(output[:, m].sum(), start, retain_graph=True)[0] for m in range(10)]
    with torch.no_grad():
        moves = step * torch.eye(14, dtype=torch.float64)
        columns = [(function(start + move) - function(start - move)) / (2 * step) for move in moves]
    analytic, numeric = torch.stack(rows, 1), torch.stack(columns, 2)
    assert torch.allclose(analytic, numeric, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(("kind_a", "kind_b", "planar"), ALL_PAIRS)
def test_gradcheck(kind_a: str, kind_b: str, planar: bool) -> None:
    a, b = cases(kind_a, 2, 33, planar), cases(kind_b, 2, 34, planar)
    free = torch.tensor([1.0, 0.0, 1.0] if planar else [1.0, 1.0, 1.0], dtype=torch.float64)

    def function(move: Tensor, turn: Tensor) -> PairDistance:
        none = torch.zeros(2, dtype=torch.float64)
        return measure(posed(a, free * move, (1 - free if planar else free) * turn, none), b, planar)

    inputs = [torch.zeros(2, 3, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    assert torch.autograd.gradcheck(function, inputs, fast_mode=True)


@pytest.mark.parametrize("kind", ["sphere", "capsule", "box", "ring", "polygon", "plane"])
def test_the_normal_of_a_point_is_the_gradient_of_its_distance(kind: str) -> None:
    shape = cases(kind, 300, 23, planar=kind == "polygon")
    points = cases("sphere", 300, 24).position.requires_grad_()
    result = point_distance(kind, shape.size, shape.vertices, points)
    (gradient,) = torch.autograd.grad(result.distance.sum(), points)
    assert float((gradient - result.normal.detach()).abs().max()) < 1e-9
    few = points.detach()[:10].clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda p: point_distance(kind, shape.size[:10], shape.vertices[:10], p), few, atol=1e-5
    )


def gradients(a: Case, b: Case, planar: bool) -> tuple[PairDistance, list[Tensor]]:
    inputs = [t.clone().requires_grad_() for t in (a.position, a.orientation, b.position, b.orientation)]
    result = measure(
        Case(a.kind, a.size, a.vertices, inputs[0], inputs[1]),
        Case(b.kind, b.size, b.vertices, inputs[2], inputs[3]),
        planar,
    )
    total = sum(part.sum() for part in result)
    return result, list(torch.autograd.grad(total, inputs, allow_unused=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("kind_a", "kind_b", "planar"), ALL_PAIRS)
def test_degenerate_poses_give_finite_gradients(kind_a: str, kind_b: str, planar: bool, dtype: torch.dtype) -> None:
    """Concentric, identical, parallel face on face, touching exactly, end to end, a quarter turn apart."""
    upright = torch.tensor([1.0, 0.0, 0.0, 0.0])
    quarter = torch.tensor([0.5**0.5, 0.0, 0.5**0.5, 0.0])
    shifts = [(0, 0, 0), (0, 0, 0.6), (0.6, 0, 0), (0, 0, 0.3), (0.3, 0, 0.3), (0.9, 0, 0), (0, 0, 1e-9), (0, 0, 1.2)]
    if not planar:
        shifts += [(0, 0.6, 0), (0.3, 0.3, 0.3)]
    count = 2 * len(shifts)
    a, b = cases(kind_a, count, 25, planar), cases(kind_b, count, 26, planar)
    for case in (a, b):
        case.size = torch.full_like(case.size, 0.3) * (case.size > 0)
        if case.kind == "ring":
            case.size[:, 1] = 0.1
        if case.kind == "polygon":
            square = [[-0.3, -0.3], [0.3, -0.3], [0.3, 0.3], *[[-0.3, 0.3]] * 9]
            case.vertices = torch.tensor(square).expand(count, 12, 2)
        case.position = torch.zeros(count, 3)
        case.orientation = upright.expand(count, 4)
    b.position = torch.tensor(shifts * 2, dtype=torch.float64)
    b.orientation = torch.stack([upright] * len(shifts) + [quarter] * len(shifts))
    result, grads = gradients(a.to(dtype), b.to(dtype), planar)
    for part in result:
        assert torch.isfinite(part).all()
    assert torch.allclose(result.normal.square().sum(-1), torch.ones((), dtype=dtype), atol=1e-5)
    for grad in grads:
        assert grad is None or torch.isfinite(grad).all()


def test_concentric_balls_push_each_other_apart() -> None:
    a, b = cases("sphere", 1, 27), cases("sphere", 1, 28)
    b.position = a.position
    start = b.position.clone().requires_grad_()
    measure(a, Case("sphere", b.size, b.vertices, start, b.orientation)).distance.sum().backward()
    assert abs(float(start.grad.square().sum()) - 1) < 1e-12


@pytest.mark.parametrize("pair", [("box", "box"), ("capsule", "box"), ("ring", "box"), ("capsule", "capsule")])
def test_single_precision_stays_near_double(pair: tuple[str, str]) -> None:
    a, b = cases(pair[0], 500, 29), cases(pair[1], 500, 30)
    exact = measure(a, b).distance
    single = measure(a.to(torch.float32), b.to(torch.float32)).distance
    assert float((single - exact).abs().max()) < 5e-6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pair", "backend"),
    [
        (("sphere", "sphere"), "inductor"),
        (("box", "box"), "aot_eager"),
        (("ring", "sphere"), "aot_eager"),
        (("ring", "box"), "aot_eager"),
    ],
)
def test_runs_under_torch_compile_in_one_graph(pair: tuple[str, str], backend: str) -> None:
    a, b = cases(pair[0], 20, 31), cases(pair[1], 20, 32)

    def function(p: Tensor) -> PairDistance:
        return measure(Case(a.kind, a.size, a.vertices, p, a.orientation), b)

    start = a.position.clone().requires_grad_()
    compiled, eager = torch.compile(function, fullgraph=True, backend=backend)(start), function(start)
    for one, other in zip(compiled, eager, strict=True):
        assert torch.allclose(one, other, atol=1e-12)
    (gradient,), (expected,) = (torch.autograd.grad(r.distance.sum(), start) for r in (compiled, eager))
    assert torch.allclose(gradient, expected, atol=1e-10)
