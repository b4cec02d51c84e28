"""Balls that a known table carries: taken from the table where they rest or roll, never where they fly or hover."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from worldsim.benchmarks.register import View, _on_face, _sight
from worldsim.benchmarks.support import _lies, faces_of
from worldsim.benchmarks.track import measure_tracks, outline
from worldsim.benchmarks.trials import fresh, judged
from worldsim.benchmarks.world import read_motion, world_of
from worldsim.engines import get_engine
from worldsim.physics.trajectory import Trajectory
from worldsim.scene import Body, Box, Camera, Law, Plane, Scene, Sphere, State

RADIUS = 0.07
CAMERA = Camera(position=(0.0, -1.6, 1.9), target=(0.0, 0.0, 0.0), width=128, height=128, fov=42.0)
TABLE = Body("table", Box((0.8, 0.8, 0.05)), State((0.0, 0.0, -0.05)), static=True, colour=(0.1, 0.4, 0.3))
FRAMES = 37


def filmed(*ways, law=None, beside=()):
    """Balls on given ways (T, 3) over the table, and static bodies beside it, drawn by MuJoCo."""
    colours = ((0.9, 0.2, 0.2), (0.9, 0.8, 0.2))
    balls = [
        Body(f"ball {i}", Sphere(RADIUS), State(tuple(map(float, way[0]))), colour=colour)
        for i, (way, colour) in enumerate(zip(ways, colours, strict=False))
    ]
    still = (TABLE, *beside)
    scene = Scene((*balls, *still), law or Law(), CAMERA, duration=(FRAMES - 1) / 24, fps=24.0)
    engine = get_engine("mujoco")
    position = np.stack([*ways, *(np.broadcast_to(body.state.position, (FRAMES, 3)) for body in still)], 1)
    motion = Trajectory.from_positions(torch.tensor(position.copy()), 1 / 24)
    frames = engine.render(scene, motion)
    rollout = engine.simulate(replace(scene, bodies=(*balls[:1], *still)), render=False)
    return replace(rollout, scene=scene, trajectory=motion, video=frames.video, ids=frames.ids, depth=frames.depth)


def read(rollout):
    world = world_of(rollout.scene, 128, 128)
    edges = outline(rollout.ids)
    return read_motion(measure_tracks(rollout.ids, len(world.bodies), edges), edges, world, 24.0)


def way(start, velocity, fall=0.0):
    time = np.arange(FRAMES)[:, None] / 24
    return np.array(start) + np.array(velocity) * time + np.array([0.0, 0.0, -fall / 2]) * time**2


def errors(rollout, motion):
    found = motion.registrations[0]
    off = motion.trajectory.position[:, 0].numpy() - rollout.trajectory.position[:, 0].numpy()
    return np.linalg.norm(off, axis=-1)[found.measured] / RADIUS


def test_a_ball_that_rolls_is_placed_by_the_table():
    rolling = filmed(way((-0.5, 0.3, RADIUS), (0.6, -0.3, 0.0)))
    motion = read(rolling)
    assert (motion.registrations[0].carried == 2).all()
    assert errors(rolling, motion).max() < 0.1
    # By its apparent size alone, where no gravity holds it to the table, less is known.
    free = filmed(way((-0.5, 0.3, RADIUS), (0.6, -0.3, 0.0)), law=Law(gravity=(0.0, 0.0, 0.0)))
    alone = read(free)
    assert (alone.registrations[0].carried == 0).all()
    assert np.median(alone.registrations[0].error) > 2 * np.median(motion.registrations[0].error)
    assert errors(free, alone).mean() > 1.5 * errors(rolling, motion).mean()
    # What its distance was taken from is nothing that it is judged against.
    assert np.isinf(motion.gap_variance).all()


def test_what_flies_or_hovers_is_not_carried():
    time = np.arange(FRAMES) / 24
    hop = 0.9  # seconds from one touch to the next
    since = time % hop
    bouncing = way((-0.5, 0.2, RADIUS), (0.5, 0.0, 0.0))
    bouncing[:, 2] += 9.81 / 2 * since * (hop - since) / 2
    motion = read(filmed(bouncing, law=Law(gravity=(0.0, 0.0, -9.81 / 2))))
    assert (motion.registrations[0].carried == 0).mean() > 0.9
    assert bouncing[motion.registrations[0].carried > 0, 2].max(initial=0) < 1.2 * RADIUS
    hovering = read(filmed(way((-0.5, 0.0, 0.4), (0.5, 0.0, 0.0))))
    assert (hovering.registrations[0].carried == 0).all()


def test_an_overlap_of_balls_behind_each_other_on_the_table_is_read():
    front = way((-0.4, 0.0, RADIUS), (0.5, 0.0, 0.0))
    nearing = np.clip((8 - np.abs(np.arange(FRAMES) - 18)) / 4, 0, 1)
    overlap, beside = (
        filmed(front, front + np.outer((2.6 - share * nearing) * RADIUS, (0.0, 1.0, 0.0))) for share in (0.8, 0.5)
    )
    found = judged(overlap, beside, use_masks=True).figures["penetration"]
    assert found.value / RADIUS == pytest.approx(0.2, abs=0.07)
    assert found.floor / RADIUS < 0.05
    pair = found.entries[:, found.subjects.index("ball 0 / ball 1")]
    assert np.isfinite(pair).mean() > 0.8
    assert np.nanmedian(pair[15:22]) / RADIUS == pytest.approx(0.2, abs=0.05)


def test_faces_that_look_up_carry():
    tilted = replace(TABLE, state=State((0.0, 0.0, 0.0), (np.cos(0.2), np.sin(0.2), 0.0, 0.0)))
    ground = Body("ground", Plane(), State((0.0, 0.0, 0.0)), static=True)
    down = np.array([0.0, 0.0, -9.81])
    flat, slope, plane = (faces_of({1: body}, down) for body in (TABLE, tilted, ground))
    assert [len(found) for found in (flat, slope, plane)] == [1, 1, 1]
    assert flat[0].normal.tolist() == [0.0, 0.0, 1.0]
    assert flat[0].middle == pytest.approx([0.0, 0.0, 0.0])
    assert slope[0].normal == pytest.approx([0.0, -np.sin(0.4), np.cos(0.4)])
    assert np.isinf(plane[0].half).all()
    assert faces_of({1: TABLE}, np.zeros(3)) == []


def test_a_ball_that_another_one_covers_in_part_is_still_placed():
    back = way((-0.5, 0.25, RADIUS), (0.6, 0.0, 0.0))
    # It passes behind one that stands still.
    front = np.broadcast_to(back[18] + np.array([0.0, -2.2 * RADIUS, 0.9 * RADIUS]), back.shape)
    passing = filmed(back, front, law=Law(gravity=(0.0, 0.0, 0.0)))
    area = (passing.ids == 1).sum((1, 2))
    assert 0.2 < area[18] / area.max() < 0.8
    # What is left of it looks small; taken for far away, what lies behind it would count as in front.
    assert read(passing).registrations[0].error.max() < RADIUS


def test_the_rail_before_a_ball_is_no_outline_of_it():
    """Else what it hides would make the ball look smaller and farther away than the table lets it be."""
    rail = Body("rail", Box((0.8, 0.05, 0.65 * RADIUS)), State((0.0, -0.4, 0.65 * RADIUS)), static=True)
    rolling = filmed(way((-0.4, -0.35 + 1.02 * RADIUS, RADIUS), (0.5, 0.0, 0.0)), beside=(rail,))
    world = world_of(rolling.scene, 128, 128)
    edges = outline(rolling.ids)
    tracks = measure_tracks(rolling.ids, len(world.bodies), edges)
    statics = {k: world.bodies[k - 1] for k in world.behind}
    view = View(tracks, edges, world.camera, False, statics, None, np.array([0.0, 0.0, -9.81]), 1 / 24)
    face = faces_of({2: TABLE}, view.gravity)[0]
    sight = _on_face(view, _sight(view, 1, RADIUS), replace(face, middle=face.middle - np.array(CAMERA.position)))
    assert (tracks.neighbour[:, 0, 3] > 3).all()
    assert not sight.free.any()
    assert np.array_equal(np.bincount(sight.frame), tracks.neighbour[:, 0, 2])
    assert (read(rolling).registrations[0].carried == 2).all()


def test_a_way_that_bends_unlike_any_flight_is_told_in_three_frames():
    face = faces_of({1: TABLE}, np.array([0.0, 0.0, -9.81]))[0]
    face = replace(face, middle=face.middle - np.array(CAMERA.position))
    at, placed = np.arange(3), np.zeros(3, bool)
    spread = np.tile((0.06 * RADIUS) ** 2 * np.eye(3), (3, 1, 1))
    ahead = face.middle / np.linalg.norm(face.middle)
    fall = -9.81 * (face.normal - ahead / (ahead @ face.normal))

    def lies(share):
        bend = share * np.outer((at - 1.0) ** 2 / 2 / 24**2, fall)
        return _lies(
            face, face.middle + bend, spread, (np.zeros(3), np.ones(3)), at, placed, np.array([0, 0, -9.81]), 1 / 24
        )

    assert [lies(share) for share in (-3.0, 0.0, 1.0, 6.0)] == [True, None, None, True]


def test_the_end_of_a_fall_is_not_carried():
    rollout = fresh("incline", 13, 128, "test")
    found = read(rollout).registrations[1]
    floor = rollout.scene.index("floor")
    above = rollout.trajectory.position[:, 1, 2].numpy() - rollout.scene.bodies[floor].state.position[2]
    radius = rollout.scene.bodies[1].shape.extent
    assert (found.carried == floor + 1).any()
    assert above[found.carried == floor + 1].max() < 1.5 * radius
