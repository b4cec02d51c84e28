"""Captions: what happens in simulated scenes is told, every sentence is proven, and false sentences are caught."""

from dataclasses import replace

import numpy as np
import pytest

from worldsim.captions import LEVELS, Lexicon, check_captions, describe, extract_events
from worldsim.captions.refer import COLOURS, colour_name
from worldsim.captions.templates import TEMPLATES, Claim, read, sentences, write
from worldsim.engines import get_engine
from worldsim.scene import (
    Body,
    Box,
    Camera,
    Law,
    Plane,
    Ring,
    Scene,
    Sphere,
    State,
    list_scenes,
    make_scene,
    planar_camera,
)

FLOOR = Body("floor", Plane(), State((0, 0, 0)), static=True, colour=(0.6, 0.6, 0.6), restitution=0.2)
CAMERA = Camera(position=(0, -5, 1.2), target=(0, 0, 0.8), width=64, height=64)


def play(*bodies, **fields):
    scene = Scene(bodies, **{"camera": CAMERA, "duration": 1.5, "fps": 24, **fields})
    return describe(get_engine("mujoco").simulate(scene))


def kinds(rollout, subject):
    return [event.kind for event in extract_events(rollout) if event.subject == subject]


def told(rollout, level):
    return [read(sentence, Lexicon.of(rollout.scene)).kind for sentence in sentences(rollout.caption[level])]


def test_a_box_falls_and_rests():
    box = Body("box", Box((0.2, 0.2, 0.2)), State((0, 0, 1.0)), restitution=0.1, colour=COLOURS["blue"])
    rollout = play(box, FLOOR)
    assert kinds(rollout, "box") == ["contact", "support", "rest"]
    fall = float(np.sqrt(2 * 0.8 / 9.81))
    assert extract_events(rollout)[0].time == pytest.approx(fall, abs=0.005)
    assert f"At {fall:.2f} s, the box" in rollout.caption["quantitative"]
    assert told(rollout, "events") == ["contact", "support", "rest"]


def test_a_ball_passes_through_a_ring():
    ring = Body("hoop", Ring(0.4, 0.03), State((0, 0, 1.0)), static=True, colour=(0.9, 0.5, 0.1))
    through = play(Body("ball", Sphere(0.12), State((0, 0, 1.6))), ring, FLOOR, duration=0.5)
    beside = play(Body("ball", Sphere(0.12), State((0.7, 0, 1.6))), ring, FLOOR, duration=0.5)
    assert kinds(through, "ball") == ["through"]
    assert "through the hoop" in through.caption["events"] or "goes through a hoop" in through.caption["prompt"]
    assert "through" not in kinds(beside, "ball")


def test_a_ball_hides_and_comes_out_again():
    wall = Body("wall", Box((0.4, 0.05, 0.6)), State((0, -0.6, 0.7)), static=True, colour=COLOURS["grey"])
    ball = Body("ball", Sphere(0.12), State((-1.0, 0, 0.9), linear_velocity=(1.6, 0, 0)))
    rollout = play(ball, wall, law=Law(gravity=(0, 0, 0)))
    assert kinds(rollout, "ball") == ["hidden", "reappear"]
    assert "behind the wall" in rollout.caption["events"]


def test_a_ball_leaves_the_view():
    ball = Body("ball", Sphere(0.5), State((5, 0, 5), linear_velocity=(6, 0, 0)))
    rollout = play(ball, planar=True, shading="flat", camera=planar_camera(10, 64), law=Law(gravity=(0, 0, 0)))
    assert kinds(rollout, "ball") == ["exit"]
    assert extract_events(rollout)[0].time == pytest.approx(5.5 / 6, abs=1 / 24 + 1e-6)


def test_balls_stay_inside_walls():
    scene = make_scene("bouncing_balls", seed=0)
    rollout = describe(get_engine("mujoco").simulate(scene))
    contained = {event.subject for event in extract_events(rollout) if event.kind == "contain"}
    assert contained == {body.name for body in scene.bodies if not body.static}


@pytest.mark.parametrize("name", list_scenes())
@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 6))])
def test_every_sentence_of_every_family_is_proven(name, seed):
    rollout = describe(get_engine("mujoco").simulate(make_scene(name, seed=seed)))
    assert set(rollout.caption) == set(LEVELS)
    assert rollout.caption["prompt"]
    findings = check_captions(rollout)
    assert len(findings) >= 3
    assert [finding for finding in findings if finding.reason] == []


def test_what_lies_on_a_table_is_not_inside_it():
    tiles = [
        Body(f"tile_{i}", Box((0.2, 0.2, 0.05)), State((x, y, 0.05)), static=True, group="table")
        for i, (x, y) in enumerate([(-0.4, -0.4), (0.4, -0.4), (0.4, 0.4), (-0.4, 0.4), (0, 0)])
    ]
    cube = Body("cube", Box((0.1, 0.1, 0.1)), State((0, 0, 0.2)), colour=COLOURS["blue"])
    assert "contain" not in kinds(play(cube, *tiles), "cube")


def test_words_hang_on_the_seed_alone():
    scene = make_scene("collision", seed=5)
    rollout = get_engine("mujoco").simulate(scene)
    assert describe(rollout).caption == describe(rollout).caption
    captions = {describe(replace(rollout, scene=replace(scene, seed=n))).caption["scene"] for n in range(8)}
    assert len(captions) > 3


# A lie for each kind of claim that the falling box tells, and for what it does not do.
LIES = [
    "The box hits the ball.",
    "The ball passes through the floor.",
    "The box stays inside the floor.",
    "The ball disappears behind the box.",
    "The box leaves the view.",
    "There is no gravity.",
    "Gravity is 9.71 m/s^2.",
    "The box weighs 1.10 kg.",
    "The ball is 0.31 m across.",
    "The ball starts at rest.",
    "The ball starts out moving to the left.",
    "The ball starts at 0.40 m/s.",
    "At 0.10 s, the box hits the floor.",
    "The scene holds a box and a ball.",
    "The ball comes to rest.",
    "The box moves to the right.",
    "The box does not move.",
    "The floor hits the sky.",
    "The box dances.",
]


def box_and_ball():
    box = Body("box", Box((0.2, 0.2, 0.2)), State((0, 0, 1.0)), restitution=0.8, colour=COLOURS["blue"])
    ball = Body("ball", Sphere(0.15), State((-0.9, 0, 0.15), linear_velocity=(0.2, 0, 0)), friction=0.0)
    return play(box, ball, replace(FLOOR, friction=0.0))


@pytest.mark.parametrize("lie", LIES)
def test_lies_are_caught(lie):
    rollout = box_and_ball()
    findings = check_captions(replace(rollout, caption={"scene": lie}))
    assert len(findings) == 1
    assert findings[0].reason


def test_a_wrong_order_is_caught():
    rollout = box_and_ball()
    text = "First, the box comes to rest. Then the box hits the floor."
    assert any("out of order" in f.reason for f in check_captions(replace(rollout, caption={"events": text})))


@pytest.mark.parametrize("kind", list(TEMPLATES))
def test_every_template_reads_back(kind):
    words = Lexicon.of(box_and_ball().scene)
    claim = Claim(
        kind,
        subject="box" if any("{S}" in t for t in TEMPLATES[kind]) else "",
        other="ball" if any("{O}" in t for t in TEMPLATES[kind]) else "",
        number=1.25 if any("{N}" in t for t in TEMPLATES[kind]) else None,
        direction="to the left" if any("{D}" in t for t in TEMPLATES[kind]) else "",
        names=("box", "ball", "floor") if any("{L}" in t for t in TEMPLATES[kind]) else (),
    )
    for seed in range(6):
        for lead in ("", "First,", "Then"):
            text = write(claim, words, np.random.default_rng(seed), lead)
            assert read(sentences(text)[0], words) == claim


def test_expressions_tell_objects_apart():
    def ball(name, x, radius, colour):
        return Body(name, Sphere(radius), State((x, 0, 1)), colour=colour)

    red, blue = COLOURS["red"], COLOURS["blue"]
    scene = Scene((ball("a", -1, 0.2, red), ball("b", 0, 0.2, blue), ball("c", 0.5, 0.3, red), FLOOR), camera=CAMERA)
    words = Lexicon.of(scene)
    assert words.refer("b") == "blue ball"
    assert words.refer("c") == "large red ball"
    assert words.refer("a") == "small red ball"
    same = Scene((ball("a", -1, 0.2, red), ball("b", 0, 0.2, red), ball("c", 0.7, 0.2, red)), camera=CAMERA)
    words = Lexicon.of(same)
    names = {words.refer(name): name for name in "abc"}
    assert len(names) == 3
    assert all(words.resolve(expression) == name for expression, name in names.items())
    with pytest.raises(ValueError, match=r"stands for \['a', 'b', 'c'\]"):
        words.resolve("red ball")


@pytest.mark.parametrize("name", list(COLOURS))
def test_colours_keep_their_names_when_nudged(name):
    rng = np.random.default_rng(0)
    for _ in range(10):
        nudged = tuple(np.clip(np.array(COLOURS[name]) + rng.uniform(-0.03, 0.03, 3), 0, 1))
        assert colour_name(nudged) == name
