"""Twins do what their strength says, in the states and in the figures."""

import numpy as np
import pytest

import worldsim as ws
from worldsim.benchmarks import KINDS, NotApplicable, violate
from worldsim.benchmarks.trials import broken_pair, fresh, twins_of


@pytest.fixture(scope="module")
def collision():
    return ws.simulate(ws.make_scene("collision", seed=0, split="id", role="train"))


@pytest.fixture(scope="module")
def parabola():
    return ws.simulate(ws.make_scene("parabola", seed=0, split="id", role="train"))


def radii(rollout):
    return [body.shape.radius for body in rollout.scene.bodies]


def test_twins_keep_the_picture_before_the_onset_and_their_record(collision):
    for kind in KINDS:
        try:
            twin = violate(collision, kind)
        except NotApplicable:
            continue
        assert twin.video.shape == collision.video.shape, kind
        assert twin.info["twin"]["kind"] == kind
        assert len(twin.contacts) == 0
        # Laws about a whole stretch may begin before the onset; the rest keeps the context that a model is given.
        if kind in ("teleport", "vanishing", "deformation", "colour_swap", "energy_gain", "frozen"):
            assert np.array_equal(twin.video[:5], collision.video[:5]), kind
        assert not np.array_equal(twin.video, collision.video), kind


def test_interpenetration_is_as_deep_as_its_strength(collision):
    for strength in (0.1, 0.5):
        twin = violate(collision, "interpenetration", strength)
        position = twin.trajectory.position
        depth = sum(radii(twin)) - (position[:, 0] - position[:, 1]).norm(dim=-1)
        assert depth.max().item() == pytest.approx(strength * min(radii(twin)), rel=1e-6)
        assert int((depth > 0.99 * depth.max()).sum()) == 5


def test_interpenetration_is_read_within_five_percent_of_the_smaller_radius():
    scene = ws.make_scene("collision", seed=1, split="id", role="train")
    from dataclasses import replace

    rollout = ws.simulate(replace(scene, camera=replace(scene.camera, width=128, height=128)))
    twin = violate(rollout, "interpenetration", 0.2)
    figure = ws.score(twin.video, masks=twin.ids, scene=rollout).figures["penetration"]
    assert abs(figure.value - 0.2 * min(radii(twin))) < 0.05 * min(radii(twin))
    assert figure.floor < 0.05 * min(radii(twin))


def test_wrong_gravity_changes_the_second_difference_by_its_strength(parabola):
    twin = violate(parabola, "wrong_gravity", 1.5)
    dt = twin.trajectory.dt
    pull = twin.trajectory.position[:, 0, 2].diff(n=2) / dt**2
    true = parabola.trajectory.position[:, 0, 2].diff(n=2) / dt**2
    ratio = (pull / true)[2:6]
    assert np.allclose(ratio, 1.5, atol=1e-3)


def test_energy_gain_adds_its_share_of_kinetic_energy():
    rollout = ws.simulate(ws.make_scene("bouncing", seed=0, split="id", role="train"))
    twin = violate(rollout, "energy_gain", 0.2)
    square, true = (one.trajectory.position.diff(dim=0).square().sum((-1, -2)).numpy() for one in (twin, rollout))
    onset = twin.info["twin"]["frame"]
    assert np.allclose(square[: onset - 1], true[: onset - 1])
    # Without gravity and losses speeds are constant but in steps that hold an impact.
    assert np.median(square[onset:]) / np.median(true) == pytest.approx(1.2, rel=0.01)


def test_each_twin_raises_its_own_law(collision, parabola):
    bouncing = ws.simulate(ws.make_scene("bouncing_balls", seed=0, split="id", role="test"))
    for rollout, kinds in (
        (
            collision,
            ("interpenetration", "deformation", "vanishing", "appearing", "teleport", "frozen"),
        ),
        (parabola, ("wrong_gravity", "energy_gain")),
        (bouncing, ("pass_through",)),
    ):
        for kind in kinds:
            twin = violate(rollout, kind)
            report = ws.score(twin.video, masks=twin.ids, scene=rollout)
            figure = report.figures[KINDS[kind].law]
            assert figure.value > figure.floor, kind
            assert figure.score < 0.6, (kind, str(report))
            assert report.headline < 0.98, kind


def test_a_colour_swap_is_a_leap_to_a_reader_by_colour(collision):
    twin = violate(collision, "colour_swap")
    figure = ws.score(twin.video, scene=collision).figures["teleport"]
    assert figure.value > figure.floor + min(radii(twin))


def test_twins_that_cannot_be_made_say_why(collision, parabola):
    with pytest.raises(NotApplicable, match="two free balls"):
        violate(parabola, "interpenetration")
    with pytest.raises(NotApplicable, match="no gravity"):
        violate(collision, "wrong_gravity")
    with pytest.raises(NotApplicable, match="backwards"):
        violate(parabola, "time_reversal")
    for arguments, message in (
        (("melting",), "kind"),
        (("teleport", 0.0), "strength"),
        (("appearing", 7.0), "strength: must be 1 or left out for kind appearing, got 7.0"),
        (("pass_through", 0.5), "strength: must be 1 or left out for kind pass_through, got 0.5"),
        (("colour_swap", 2), "strength: must be 1 or left out for kind colour_swap, got 2"),
        (("frozen", 2.0), "strength: must be 1 or left out for kind frozen, got 2.0"),
        (("time_reversal", 2.0), "strength: must be 1 or left out for kind time_reversal, got 2.0"),
        (("teleport", 1.0, "x"), "body"),
    ):
        with pytest.raises(ValueError, match=message):
            violate(parabola, *arguments)
    assert violate(parabola, "frozen", 1).info["twin"]["strength"] == 1.0


def test_a_ball_that_is_led_through_another_one_meets_no_third():
    rollout = fresh("billiards", 1, 64, "test")
    twins = list(twins_of(rollout, "pass_through"))
    assert len(twins) == 3
    for twin in twins:
        own = twin.scene.index(twin.info["twin"]["body"])
        gap = (twin.trajectory.position[:, :7] - twin.trajectory.position[:, own, None]).norm(dim=-1)
        entered = (gap < 1.9 * twin.scene.bodies[own].shape.extent).any(0)
        assert entered.sum() == 2, broken_pair(twin)  # itself and its partner
