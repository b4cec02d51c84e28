"""What the public geometry refuses, and its symmetries."""

from __future__ import annotations

import math

import pytest
import torch
from geometry_cases import ALL_PAIRS, Case, cases, measure
from hypothesis import given, settings
from hypothesis import strategies as st

from worldsim.physics import Bodies, collision_pairs, distances, rotation, signed_distance
from worldsim.physics.geometry import closest_points, known_pair
from worldsim.scene import Body, Box, Capsule, Law, Plane, Polygon, Ring, Scene, Sphere, State

HERE, THERE = State((0.0, 0.0, 0.0)), State((1.0, 0.0, 0.0))
SQUARE = Polygon(((-0.2, -0.2), (0.2, -0.2), (0.2, 0.2), (-0.2, 0.2)))


def pose(*shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    orientation = torch.zeros(*shape, 4, dtype=torch.float64)
    orientation[..., 0] = 1
    return torch.zeros(*shape, 3, dtype=torch.float64), orientation


@pytest.mark.parametrize(("kind_a", "kind_b", "planar"), ALL_PAIRS)
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.floats(0.05, 20.0), angle=st.floats(-3.0, 3.0))
def test_swap_rigid_motion_and_scale(
    kind_a: str, kind_b: str, planar: bool, seed: int, scale: float, angle: float
) -> None:
    """Swapping flips the normal; moving the world moves the witnesses; scaling it scales the distance."""
    a, b = cases(kind_a, 20, seed, planar), cases(kind_b, 20, seed + 1, planar)
    result, swapped = measure(a, b, planar), measure(b, a, planar)
    assert torch.allclose(swapped.distance, result.distance, atol=1e-9)
    # Where two features are equally deep either may be named; at random poses they are not.
    assert torch.allclose(swapped.normal, -result.normal, atol=1e-5)
    assert torch.allclose(swapped.witness_a, result.witness_b, atol=1e-5)
    axis = torch.tensor([0.0, angle, 0.0] if planar else [0.3, angle, -0.5], dtype=torch.float64)
    shift = torch.tensor([0.7, 0.0, -1.1] if planar else [0.7, 2.0, -1.1], dtype=torch.float64)
    turn = rotation.exponential(axis)
    moved = measure(a.moved(shift, turn), b.moved(shift, turn), planar)
    assert torch.allclose(moved.distance, result.distance, atol=1e-9)
    assert torch.allclose(moved.normal, rotation.rotate(turn, result.normal), atol=1e-5)
    assert torch.allclose(moved.witness_a, rotation.rotate(turn, result.witness_a) + shift, atol=1e-5)
    larger = measure(scaled(a, scale), scaled(b, scale), planar)
    assert torch.allclose(larger.distance, scale * result.distance, atol=1e-9 * max(1.0, scale))


def scaled(case: Case, factor: float) -> Case:
    return Case(case.kind, factor * case.size, factor * case.vertices, factor * case.position, case.orientation)


def test_scene_shapes_and_states() -> None:
    assert abs(float(signed_distance(Sphere(0.3), HERE, Sphere(0.2), THERE)) - 0.5) < 1e-15
    assert abs(float(signed_distance(SQUARE, HERE, Sphere(0.2), THERE)) - 0.6) < 1e-15
    lying = State((1.0, 0.0, 0.0), (math.sqrt(0.5), 0.0, math.sqrt(0.5), 0.0))
    assert abs(float(signed_distance(Box((0.1, 0.1, 0.1)), HERE, Capsule(0.1, 0.3), lying)) - 0.5) < 1e-12
    position, orientation = pose(5)
    position[:, 2] = torch.arange(5)
    assert signed_distance(Plane(), HERE, Sphere(0.5), (position, orientation)).tolist() == [-0.5, 0.5, 1.5, 2.5, 3.5]
    assert closest_points(Ring(1.0, 0.1), HERE, Sphere(0.2), HERE).distance.item() == pytest.approx(0.7)


def test_signed_distance_passes_gradcheck() -> None:
    position, orientation = pose(2)
    position[:, 0] = torch.tensor([0.35, 0.9])
    inputs = [position.requires_grad_(), orientation.requires_grad_()]
    for shape in (Sphere(0.3), Capsule(0.1, 0.3), Ring(0.4, 0.1)):
        assert torch.autograd.gradcheck(
            lambda p, q, shape=shape: signed_distance(
                Box((0.2, 0.3, 0.4)), State((0.02, 0.05, 0.11), unit()), shape, (p, q / q.norm(dim=-1, keepdim=True))
            ),
            inputs,
        )


def unit() -> tuple[float, ...]:
    q = torch.tensor([0.9, 0.1, -0.2, 0.3], dtype=torch.float64)
    return tuple((q / q.norm()).tolist())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((Plane(), HERE, Plane(), THERE), r"unknown pair \('plane', 'plane'\)"),
        ((Ring(0.3, 0.1), HERE, SQUARE, THERE), r"unknown pair \('ring', 'polygon'\)"),
        ((SQUARE, HERE, Sphere(0.1), THERE, False), r"unknown pair \('polygon', 'sphere'\), planar=False"),
        (("ball", HERE, Sphere(0.1), THERE), "shape_a: must be one of sphere, box"),
        ((Sphere(0.1), HERE, Sphere(0.1), (1, 2, 3)), "pose_b: must be a State or a tuple"),
        ((Sphere(0.1), HERE, Sphere(0.1), (torch.zeros(2), torch.zeros(4))), r"pose_b.position: must have shape"),
        ((Sphere(0.1), HERE, Sphere(0.1), (torch.zeros(3), torch.zeros(3))), r"pose_b.orientation: must have shape"),
        ((Sphere(0.1), HERE, Sphere(0.1), (torch.zeros(3), torch.ones(4))), "unit quaternions w x y z, got length 2"),
        ((Sphere(0.1), HERE, Sphere(0.1), (torch.full((3,), torch.nan), torch.ones(4) / 2)), "must be finite, got nan"),
        ((Sphere(0.1), pose(2), Sphere(0.1), pose(3)), "must broadcast over leading axes"),
        ((Box((0.1, 0.2, 0.3)), HERE, Sphere(0.1), THERE, None, 0.1), "rounding: must be from 0 to below"),
    ],
)
def test_refusals_name_field_rule_and_value(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        signed_distance(*arguments)


def test_negative_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"sphere.radius: must be above 0, got -0.1"):
        Sphere(-0.1)
    bodies = gather([(Sphere(0.1), False, None), (Box((0.1, 0.1, 0.1)), False, None)])
    bodies.size[0, 1, 2] = -0.3
    with pytest.raises(ValueError, match=r"bodies.size\[1\]: must be above 0 for a box, got -0.3"):
        distances(bodies, *pose(1, 2))


def gather(shapes: list[tuple[object, bool, str | None]], planar: bool = False, worlds: int = 1) -> Bodies:
    bodies = tuple(
        Body(f"b{i}", shape, HERE, static=static, group=group) for i, (shape, static, group) in enumerate(shapes)
    )
    return Bodies.from_scenes([Scene(bodies, Law(), planar=planar)] * worlds, dtype=torch.float64)


def test_pairs_leave_out_statics_among_each_other_and_links_of_one_group() -> None:
    bodies = gather(
        [
            (Plane(), True, None),
            (Box((1, 1, 1)), True, None),
            (Sphere(1), False, "a"),
            (Sphere(1), False, "a"),
            (Sphere(1), False, None),
        ]
    )
    assert collision_pairs(bodies) == ((0, 2), (0, 3), (0, 4), (1, 2), (1, 3), (1, 4), (2, 4), (3, 4))


@pytest.mark.parametrize("leading", [(), (4,), (2, 5)])
def test_all_pairs_are_those_measured_one_by_one(leading: tuple[int, ...]) -> None:
    shapes = [Plane(), Box((0.2, 0.3, 0.1)), Sphere(0.3), Ring(0.5, 0.1), Capsule(0.1, 0.2), Box((0.1, 0.1, 0.4))]
    bodies = gather([(shape, shape.kind == "plane", None) for shape in shapes], worlds=leading[0] if leading else 1)
    generator = torch.Generator().manual_seed(0)
    position = torch.randn(*leading, 6, 3, generator=generator, dtype=torch.float64)
    orientation = rotation.normalise(torch.randn(*leading, 6, 4, generator=generator, dtype=torch.float64))
    found = distances(bodies, position, orientation)
    assert found.distance.shape == (*leading, 15)
    for k, (i, j) in enumerate(found.pairs.tolist()):
        one = closest_points(
            shapes[i],
            (position[..., i, :], orientation[..., i, :]),
            shapes[j],
            (position[..., j, :], orientation[..., j, :]),
        )
        for name in ("distance", "normal", "witness_a", "witness_b"):
            part = getattr(found, name)[..., k] if name == "distance" else getattr(found, name)[..., k, :]
            assert torch.allclose(part, getattr(one, name), atol=1e-12)
    some = distances(bodies, position, orientation, pairs=[(5, 2), (0, 1)])
    assert torch.allclose(some.distance[..., 1], found.distance[..., 0])
    with pytest.raises(ValueError, match=r"pairs: must be two different places below 6, got \(1, 6\)"):
        distances(bodies, position, orientation, pairs=[(1, 6)])


def test_a_world_of_one_body_has_no_pairs() -> None:
    found = distances(gather([(Sphere(0.1), False, None)]), *pose(3, 1))
    assert found.distance.shape == (3, 0)
    assert found.normal.shape == (3, 0, 3)


def test_known_pairs() -> None:
    assert known_pair("box", "ring", False)
    assert known_pair("polygon", "plane", True)
    assert not known_pair("polygon", "plane", False)
    assert not known_pair("cone", "plane", False)
