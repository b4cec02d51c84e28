"""Every registered family keeps its contract; the planar worlds follow their papers' numbers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from worldsim.engines import get_engine
from worldsim.scene import Scenario, build_scene, check_scenario, make_scene, scenarios
from worldsim.scene.check import parse_intervals
from worldsim_envs import _common, phyworld
from worldsim_envs.exact import solve_exact

FAMILIES = scenarios()
OWN = [
    *("billiards", "bouncing", "bouncing_balls", "collision", "dominoes", "hoop", "incline", "looming", "occluder"),
    *("open_box", "parabola", "tower", "tumbling", "uniform_motion"),
]

# PhyWorld's balls leave the picture by design; in all other families bodies stay in it.
LEAVING = ("uniform_motion", "parabola", "collision")

VARIANTS = [
    ("bouncing_balls", {"num_balls": 1}),
    ("bouncing_balls", {"num_balls": 8}),
    ("bouncing_balls", {"num_balls": None, "planar": False}),
    ("bouncing_balls", {"num_balls": 8, "planar": False}),
    ("billiards", {"num_balls": 10, "friction": 0.0}),
    ("open_box", {"num_balls": 1, "gravity": 0.0}),
    ("open_box", {"num_balls": 5}),
    ("incline", {"slip": True}),
    ("incline", {"slip": False}),
    ("tumbling", {"planar": True, "num_bodies": 6}),
    ("tumbling", {"num_bodies": 6}),
    ("tower", {"stable": True, "num_blocks": 7}),
    ("tower", {"stable": False, "num_blocks": 2}),
    ("dominoes", {"num_dominoes": 10}),
    ("occluder", {"shape": "box"}),
    ("hoop", {"aim": "through", "planar_motion": False}),
    ("hoop", {"aim": "side", "framing": "close", "pixels": 32}),
    ("hoop", {"aim": "side"}),
    ("hoop", {"aim": "rim", "planar_motion": False}),
    ("hoop", {"aim": "board"}),
    ("collision", {"level": "both"}),
]

IN_VIEW = [(name, p) for name, p in [(name, {}) for name in OWN] + VARIANTS if name not in LEAVING]


def test_all_families_of_this_package_are_registered():
    assert set(OWN) <= set(FAMILIES)


@pytest.mark.parametrize("name", FAMILIES)
def test_family_keeps_its_contract(name):
    check_scenario(FAMILIES[name], seeds=4)


@pytest.mark.parametrize(("name", "parameters"), VARIANTS)
def test_variants_keep_the_contract(name, parameters):
    check_scenario(FAMILIES[name], seeds=4, parameters=parameters)


@pytest.mark.slow
@pytest.mark.parametrize("name", OWN)
def test_many_seeds_keep_the_contract(name):
    check_scenario(FAMILIES[name], seeds=300)


@pytest.mark.parametrize("name", OWN)
def test_pixels_shading_and_clip_are_parameters(name):
    scene = make_scene(name, seed=2, pixels=96, shading="flat", duration=1.5, fps=20.0)
    assert (scene.camera.width, scene.camera.height, scene.shading) == (96, 96, "flat")
    assert scene.num_frames == 31


@pytest.mark.parametrize("name", OWN)
def test_defaults_are_49_frames_or_phyworlds_32(name):
    scene = make_scene(name)
    papers = ("uniform_motion", "parabola", "collision", "bouncing", "looming")
    assert scene.num_frames == (32 if name in papers else 49)
    assert 1 / scene.fps == pytest.approx(0.1 if name in papers else 1 / 24)
    assert scene.camera.width == 64


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("split", ["id", "ood"])
def test_moving_bodies_start_apart(name, split):
    # Balls around bodies suffice to tell spheres apart; the engines refuse the rest.
    for seed in range(20):
        bodies = [b for b in make_scene(name, seed, split).bodies if not b.static and b.shape.kind == "sphere"]
        for i, a in enumerate(bodies):
            for b in bodies[:i]:
                gap = math.dist(a.state.position, b.state.position) - a.shape.radius - b.shape.radius
                assert gap > 0, (name, seed)


@pytest.mark.parametrize(
    ("name", "parameters", "field"),
    [
        ("hoop", {"aim": "sky"}, "hoop.aim"),
        ("tower", {"num_blocks": 1}, "tower.num_blocks"),
        ("tower", {"stable": "maybe"}, "tower.stable"),
        ("bouncing_balls", {"num_balls": 9}, "bouncing_balls.num_balls"),
        ("billiards", {"friction": -1.0}, "billiards.friction"),
        ("collision", {"level": "mass"}, "collision.level"),
        ("occluder", {"shape": "cone"}, "occluder.shape"),
        ("dominoes", {"num_dominoes": 2.5}, "dominoes.num_dominoes"),
        ("tumbling", {"num_bodies": 0}, "tumbling.num_bodies"),
        ("incline", {"slip": 2}, "incline.slip"),
        ("open_box", {"num_balls": 6}, "open_box.num_balls"),
    ],
)
def test_bad_parameters_are_refused_by_name(name, parameters, field):
    with pytest.raises(ValueError, match=rf"{field}: must be"):
        make_scene(name, **parameters)


class TestCheckScenario:
    """check_scenario must catch what it promises to catch."""

    good = FAMILIES["uniform_motion"]

    def test_a_build_that_draws_from_elsewhere(self):
        loose = np.random.default_rng(0)
        bad = replace(self.good, build=lambda rng, split, **p: phyworld.uniform_motion(loose, split, **p))
        with pytest.raises(ValueError, match="the same scene for the same seed"):
            check_scenario(bad)

    def test_a_build_that_ignores_the_seed(self):
        bad = replace(
            self.good, build=lambda rng, split, **p: phyworld.uniform_motion(np.random.default_rng(0), "id", **p)
        )
        with pytest.raises(ValueError, match="a new scene for each seed"):
            check_scenario(bad)

    def test_a_build_that_ignores_the_split(self):
        bad = replace(self.good, build=lambda rng, split, **p: phyworld.uniform_motion(rng, "id", **p))
        with pytest.raises(ValueError, match="out of distribution in at least one quantity"):
            check_scenario(bad)

    def test_values_outside_the_documented_range(self):
        bad = replace(self.good, ranges={**self.good.ranges, "speed": ("[1, 1.5] units/s", "[9, 10] units/s")})
        with pytest.raises(ValueError, match=r"uniform_motion\(id, seed \d+\)\.speed: must be inside"):
            check_scenario(bad)

    def test_a_camera_that_looks_elsewhere(self):
        def build(rng, split, **parameters):
            scene = phyworld.uniform_motion(rng, split, **parameters)
            (ball,) = scene.bodies
            away = replace(ball, name="away", state=replace(ball.state, position=(500.0, 0.0, 0.0)))
            return replace(scene, bodies=(replace(ball, static=True), away))

        with pytest.raises(ValueError, match="sees at least half of the moving bodies"):
            check_scenario(replace(self.good, build=build, measure=None))

    def test_a_family_that_need_not_be_registered(self):
        mine = Scenario("mine", phyworld.parabola, "one line", phyworld.PARAMETERS)
        check_scenario(mine)
        assert build_scene(mine, 3).family == "mine"

    def test_intervals_are_read_from_the_text(self):
        assert parse_intervals("[0.3, .6] or [1.5, 2] m, times [x]") == ((0.3, 0.6), (1.5, 2.0))


@pytest.mark.parametrize(("name", "parameters"), [(name, {}) for name in OWN] + VARIANTS)
@pytest.mark.parametrize("split", ["id", "ood"])
def test_no_overlapping_starts(name, parameters, split):
    # MuJoCo refuses overlapping starts; two frames are enough to be asked.
    for seed in range(2):
        scene = replace(make_scene(name, seed, split, **parameters), duration=1 / 24, fps=24.0)
        get_engine("mujoco").simulate(scene, render=False)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "parameters"), IN_VIEW)
def test_bodies_stay_in_view(name, parameters):
    """Bar: in distribution, centres of moving bodies are in the picture for 80 % of the frames on average."""
    shares = []
    scenes = [make_scene(name, seed, **parameters) for seed in range(10)]
    for scene, played in zip(scenes, get_engine("mujoco").simulate_batch(scenes), strict=True):
        moving = [i for i, body in enumerate(scene.bodies) if not body.static]
        shares.append(scene.camera.sees(played.position[:, moving].numpy()).mean())
    assert np.mean(shares) >= 0.8


def test_phyworld_numbers():
    for seed in range(200):
        scene = make_scene("uniform_motion", seed)
        (ball,) = scene.bodies
        r, x, v = ball.shape.radius, ball.state.position[0] - 0.01 * ball.state.linear_velocity[0], _common.speed(ball)
        assert r - 1e-9 <= x <= max(10 - (24 * v * 0.1 + r), r + 0.5) + 1e-9
        assert r + 0.5 <= ball.state.position[2] <= 9.5 - r
        assert ball.mass == pytest.approx(math.pi * r * r)
        assert (ball.friction, ball.restitution, scene.law.gravity[2]) == (0.0, 1.0, 0.0)
        scene = make_scene("parabola", seed)
        (ball,) = scene.bodies
        r = ball.shape.radius
        assert 8.5 - r <= ball.state.position[2] + 1.25e-4 <= 9.5 - r
        assert scene.law.gravity == (0.0, 0.0, -2.5)


@pytest.mark.parametrize(("split", "level"), [("id", "any"), ("ood", "radius"), ("ood", "velocity"), ("ood", "both")])
def test_collision_leaves_eight_frames_on_either_side(split, level):
    for seed in range(100):
        scene = make_scene("collision", seed, split, level=level)
        contact = phyworld.contact_time(scene)
        frames = np.arange(32) * 0.1
        assert (frames < contact).sum() >= 8
        assert (frames > contact - 0.011).sum() >= 8
        one, two = scene.bodies
        assert one.state.position[2] == two.state.position[2]
        for ball in scene.bodies:
            assert ball.shape.radius <= ball.state.position[0] - 0.01 * ball.state.linear_velocity[0] + 1e-9
            assert ball.state.position[0] - 0.01 * ball.state.linear_velocity[0] <= 10 - ball.shape.radius + 1e-9
        solution = solve_exact(scene)
        assert solution.impacts[0].time == pytest.approx(contact, abs=1e-9)


@pytest.mark.parametrize(("level", "radius", "speed"), [("radius", 1, 0), ("velocity", 0, 1), ("both", 1, 1)])
def test_ood_levels_shift_what_they_say(level, radius, speed):
    scenario = FAMILIES["uniform_motion"]
    for seed in range(40):
        measured = scenario.measure(make_scene("uniform_motion", seed, "ood", level=level))
        assert (0.7 <= measured["radius"][0] <= 1.4) == (not radius)
        assert (1.0 <= measured["speed"][0] <= 4.0) == (not speed)


@pytest.mark.parametrize("split", ["id", "ood"])
def test_bouncing_bounces_in_the_middle_of_the_clip(split):
    for seed in range(60):
        scene = make_scene("bouncing", seed, split)
        solution = solve_exact(scene)
        assert 0.25 * 3.1 - 1e-9 <= solution.impacts[0].time <= 0.75 * 3.1 + 1e-9
        p, r = solution.trajectory.position[:, 0], scene.bodies[0].shape.radius
        assert p[:, [0, 2]].min() >= r - 1e-9
        assert p[:, [0, 2]].max() <= 10 - r + 1e-9


@pytest.mark.parametrize("split", ["id", "ood"])
def test_looming_grows_and_stays_in_view(split):
    for seed in range(60):
        scene = make_scene("looming", seed, split)
        p = solve_exact(scene).trajectory.position[:, 0].numpy()
        pixels, depth = scene.camera.project(p)
        apparent = scene.camera.focal * scene.bodies[0].shape.radius / depth
        assert (np.diff(apparent) > 0).all()
        assert (pixels[-1] - apparent[-1] >= 0).all()
        assert (pixels[-1] + apparent[-1] <= 64).all()
        assert ((pixels >= 0) & (pixels <= 64)).all()


def test_splits_and_roles_never_share_a_scene():
    for name in ("bouncing_balls", "hoop", "tower"):
        bodies = [make_scene(name, s, p, r).bodies for s in range(3) for p in ("id", "ood") for r in ("train", "test")]
        assert all(a != b for i, a in enumerate(bodies) for b in bodies[:i])
