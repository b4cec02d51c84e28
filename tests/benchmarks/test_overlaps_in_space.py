"""Depth of overlap of boxes and capsules in space with their depth given, against the simulator's geometry."""

import dataclasses

import numpy as np
import pytest
import torch

import worldsim as ws
from worldsim.engines import get_engine
from worldsim.physics.bodies import Bodies
from worldsim.physics.geometry import collision_pairs, distances
from worldsim.scene import Capsule, make_scene

PIXELS, BAR = 128, 0.05  # of the smaller half extent or radius
SHARES = (0.2, 0.6)  # of the same: how deep twins overlap
ENGINE = "mujoco"


def play(seed, kinds):
    """Three boxes that tumble and fall, the first of them of these kinds."""
    scene = make_scene("tumbling", seed=seed, split="id", role="val")
    bodies, wanted = [], iter(kinds)
    for body in scene.bodies:
        if not body.static and next(wanted, "box") == "capsule":
            low, _, high = sorted(body.shape.half_extents)
            body = dataclasses.replace(body, shape=Capsule(low, max(high - low, 0.3 * low)))
        bodies.append(body)
    camera = dataclasses.replace(scene.camera, height=PIXELS, width=PIXELS)
    return get_engine(ENGINE).simulate(dataclasses.replace(scene, bodies=tuple(bodies), camera=camera, duration=1.5))


def in_view(ids, body):
    """(T,) whether a body of 60 pixels or more is seen, not at the picture's edge."""
    own = ids == body + 1
    edge = own[:, [0, -1]].any(axis=(1, 2)) | own[:, :, [0, -1]].any(axis=(1, 2))
    return (own.sum(axis=(1, 2)) > 60) & ~edge


def meeting(rollout):
    """The pair that comes nearest while both are in view for three frames on both sides: frame, place, bodies."""
    bodies = Bodies.from_scenes([rollout.scene], dtype=torch.float64)
    motion = rollout.trajectory.map(lambda x: x.double())
    gap = distances(bodies, motion.position, motion.orientation).distance.numpy()
    found = []
    for place, pair in enumerate(collision_pairs(bodies)):
        if any(bodies.static[k] for k in pair):
            continue
        seen = np.all([in_view(rollout.ids, k) for k in pair], axis=0)
        times = [t for t in range(8, len(seen) - 8) if seen[t - 3 : t + 4].all()]
        found += [(gap[t, place], t, place, pair) for t in times]
    return bodies, motion, *min(found)[1:]


def twin(rollout, share):
    """The rollout with its nearest pair moved into each other for five frames, and what the geometry says of it."""
    bodies, motion, t, place, (a, b) = meeting(rollout)
    least = min(rollout.scene.bodies[k].shape.thickness for k in (a, b))
    frames, position = slice(t - 2, t + 3), motion.position.clone()
    way = position[t, a] - position[t, b]
    low, high = torch.zeros(5, dtype=torch.float64), torch.full((5,), 4.0, dtype=torch.float64)
    for _ in range(45):
        middle = (low + high) / 2
        position[frames, a] = position[frames, b] + middle[:, None] * way / way.norm()
        deep = distances(bodies, position, motion.orientation).distance[frames, place] < -share * least
        low, high = torch.where(deep, middle, low), torch.where(deep, high, middle)
    moved = dataclasses.replace(rollout.trajectory, position=position.to(rollout.trajectory.position.dtype))
    drawn = get_engine(ENGINE).render(rollout.scene, moved)
    name = " / ".join(rollout.scene.bodies[k].name for k in (a, b))
    true = -distances(bodies, moved.position.double(), motion.orientation).distance[frames, place].numpy()
    return drawn, frames, name, true, least


def errors(seed, kinds, share):
    """Depths read less the true ones in the frames of the overlap, over the smaller half extent or radius."""
    rollout = play(seed, kinds)
    drawn, frames, name, true, least = twin(rollout, share)
    report = ws.score(drawn.video, masks=drawn.ids, scene=rollout, depth=drawn.depth)
    figure = report.figures["penetration"]
    assert true == pytest.approx(share * least, abs=1e-4)
    return (figure.entries[frames, figure.subjects.index(name)] - true) / least


@pytest.mark.parametrize(("seed", "kinds"), [(502, ["box"] * 3), (503, ["capsule"] * 3)])
def test_an_overlap_in_space_is_read_within_five_percent_of_the_smaller_half_extent(seed, kinds):
    # Of seed 502 a neighbour's pose that fits a little worse leaves depths off by up to 17 % of the half extent.
    wrong = errors(seed, kinds, SHARES[0])
    assert np.isfinite(wrong).all()
    assert np.abs(wrong).max() < BAR


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(500, 510))
@pytest.mark.parametrize("kinds", [["box"] * 3, ["capsule"] * 3, ["box", "capsule", "box"]])
def test_ten_scenes_of_overlaps_in_space_keep_to_the_bar(seed, kinds):
    for share in SHARES:
        wrong = errors(seed, kinds, share)
        assert np.isfinite(wrong).mean() >= 0.8
        assert np.nanmax(np.abs(wrong)) < BAR
