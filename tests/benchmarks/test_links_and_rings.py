"""Rings by outlines and depth, and links of jointed bodies by masks of each body, against the simulator's poses."""

import dataclasses
import math

import numpy as np
import pytest
import torch

import worldsim as ws
from worldsim.benchmarks.fit_poses import moved
from worldsim.benchmarks.outline_gaps import Shapes
from worldsim.benchmarks.rays import rays
from worldsim.benchmarks.register import View
from worldsim.benchmarks.register_rigid import register_rigid
from worldsim.benchmarks.ring_gaps import RingGaps
from worldsim.benchmarks.track import measure_tracks, outline
from worldsim.benchmarks.trials import fresh
from worldsim.benchmarks.turns import reversed_in_depth, turned
from worldsim.benchmarks.world import world_of
from worldsim.engines import get_engine
from worldsim.physics.bodies import Bodies
from worldsim.physics.geometry import collision_pairs, distances
from worldsim.physics.geometry.points import circle_distance
from worldsim.physics.rotation import exponential, multiply, rotate, rotate_inverse
from worldsim.scene import Camera, Ring, make_scene

PIXELS = 128


@pytest.fixture(scope="module")
def rings():
    """Three rings that tumble and fall."""
    scene = make_scene("tumbling", seed=500, split="id", role="val")
    bodies = []
    for body in scene.bodies:
        if not body.static:
            low, _, high = sorted(body.shape.half_extents)
            body = dataclasses.replace(body, shape=Ring(high, 0.4 * low))
        bodies.append(body)
    camera = dataclasses.replace(scene.camera, height=PIXELS, width=PIXELS)
    return get_engine("mujoco").simulate(dataclasses.replace(scene, bodies=tuple(bodies), camera=camera, duration=1.0))


@pytest.fixture(scope="module")
def walkers():
    return fresh("crossing_quadrupeds", 503, PIXELS, "val")


def a_camera():
    return Camera(position=(0.0, -3.0, 1.5), target=(0.0, 0.0, 0.4), width=PIXELS, height=PIXELS)


def some_rings(count=5):
    torch.manual_seed(0)
    position = 0.2 * torch.randn(count, 3, dtype=torch.float64)
    orientation = torch.nn.functional.normalize(torch.randn(count, 4, dtype=torch.float64), dim=-1)
    size = torch.tensor([[0.3, 0.05, 0.0]] * count, dtype=torch.float64)
    shapes = Shapes("ring", size, torch.zeros(count, 1, 2).double(), False)
    return shapes, position, orientation, torch.randint(0, count, (300,)), 30 + 68 * torch.rand(300, 2).double()


def test_lines_of_sight_pass_a_ring_as_far_as_its_signed_distance_along_them_says():
    shapes, position, orientation, slot, pixels = some_rings()
    camera = a_camera()
    found = RingGaps(shapes, slot, pixels, camera)(position, orientation)
    origin, direction = (torch.tensor(part) for part in rays(camera, pixels.numpy()))
    along = torch.linspace(2.0, 4.6, 4001).double()
    points = origin[:, None] + along[:, None] * direction[:, None]
    local = rotate_inverse(orientation[slot][:, None], points - position[slot][:, None])
    closest, at = circle_distance(local, shapes.size[slot][:, None, 0], shapes.size[slot][:, None, 1]).distance.min(-1)
    depth = (points[range(300), at] - torch.tensor(camera.position)) @ torch.tensor(camera.rotation[2].copy())
    near = closest.abs() < 0.1  # farther off, a pixel at the ring's depth is not one at the line's
    assert near.sum() > 30
    assert (found / camera.focal * depth)[near] == pytest.approx(closest[near].numpy(), abs=2e-3)


def test_derivatives_of_a_rings_gaps_are_those_of_differences():
    shapes, position, orientation, slot, pixels = some_rings()
    gaps = RingGaps(shapes, slot, pixels, a_camera())
    near = gaps(position, orientation).abs() < 1.0  # the scale is held, which is exact on the outline
    told = gaps.linear(position, orientation)[2]
    for axis in range(6):
        step = torch.zeros(5, 6, dtype=torch.float64)
        step[:, axis] = 1e-6
        ahead, back = gaps(*moved(position, orientation, step)), gaps(*moved(position, orientation, -step))
        assert ((ahead - back) / 2e-6 - told[:, axis])[near].abs().max() < 1.0


def test_turns_reversed_in_depth_are_mirror_images_and_are_their_own_inverse():
    ahead = torch.nn.functional.normalize(torch.randn(6, 3, generator=torch.manual_seed(1)).double(), dim=-1)
    turn = torch.nn.functional.normalize(torch.randn(6, 4).double(), dim=-1)
    axis, image = (
        rotate(q, torch.tensor([0.0, 0, 1]).double().expand(6, 3)) for q in (turn, reversed_in_depth(turn, ahead))
    )
    mirror = axis - 2 * (axis * ahead).sum(-1, keepdim=True) * ahead
    assert torch.allclose(-image, mirror)
    ring = Ring(0.3, 0.05)
    assert turned(ring, turn, reversed_in_depth(reversed_in_depth(turn, ahead), ahead)).abs().max() < 1e-6
    # A turn about its own axis is none that a ring shows, one across it is shown whole.
    about = exponential(0.4 * axis)
    across = torch.linalg.cross(axis, ahead)
    across = 0.4 * across / across.norm(dim=-1, keepdim=True)
    assert turned(ring, turn, multiply(about, turn)).abs().max() < 1e-6
    assert torch.allclose(turned(ring, turn, multiply(exponential(across), turn)), across)


def view_of(rollout, depth):
    edges = outline(rollout.ids)
    tracks = measure_tracks(rollout.ids, len(rollout.scene.bodies), edges)
    statics = {k + 1: body for k, body in enumerate(rollout.scene.bodies) if body.static}
    return View(tracks, edges, rollout.scene.camera, False, statics, depth)


def movers(scene):
    return {k: body for k, body in enumerate(scene.bodies) if not body.static}


def wrong(rollout, k, found):
    """Errors across and along the line of sight in pixels, and of the tilt in radians, where measured."""
    camera = rollout.scene.camera
    true = rollout.trajectory.position[:, k].double().numpy()
    ray = true - np.array(camera.position)
    length = np.linalg.norm(ray, axis=-1, keepdims=True)
    away = (found.position - true) * camera.focal / length
    along = (away * ray / length).sum(-1, keepdims=True)
    across = np.linalg.norm(away - along * ray / length, axis=-1)
    turn = rollout.trajectory.orientation[:, k].double()
    tilt = turned(rollout.scene.bodies[k].shape, torch.tensor(found.orientation), turn).norm(dim=-1).numpy()
    own = found.measured
    return across[own], along[own, 0], tilt[own]


def test_rings_are_placed_by_depth_to_a_tenth_of_a_pixel_and_half_a_degree(rings):
    found = register_rigid(view_of(rings, rings.depth.astype(float)), movers(rings.scene), rings.trajectory)
    assert len(found) == 3
    for k, registration in found.items():
        across, along, tilt = wrong(rings, k, registration)
        assert registration.measured.mean() > 0.8
        assert np.median(across) < 0.1
        assert np.median(np.abs(along)) < 0.2
        assert np.degrees(np.median(tilt)) < 0.5


def test_rings_are_placed_by_their_outlines_alone_within_the_error_told(rings):
    found = register_rigid(view_of(rings, None), movers(rings.scene), rings.trajectory)
    for k, registration in found.items():
        across, _, tilt = wrong(rings, k, registration)
        own = registration.measured
        true = rings.trajectory.position[:, k].double().numpy()[own]
        assert own.mean() > 0.5
        assert np.median(across) < 0.3
        assert np.degrees(np.median(tilt)) < 3
        away = np.linalg.norm(registration.position[own] - true, axis=-1)
        assert np.median(away / registration.error[own]) < 2


def test_a_tilt_that_outlines_do_not_tell_from_its_mirror_image_counts_as_unknown(rings):
    view = view_of(rings, None)
    bodies = movers(rings.scene)
    start = rings.trajectory
    ahead = torch.tensor(rings.scene.camera.rotation[2].copy()).expand(start.num_frames, 3)
    orientation = start.orientation.clone().double()
    for k in bodies:
        orientation[:, k] = reversed_in_depth(orientation[:, k], ahead)
    misled = register_rigid(
        view, bodies, dataclasses.replace(start, orientation=orientation.to(start.orientation.dtype))
    )
    for k, registration in misled.items():
        _, _, tilt = wrong(rings, k, registration)
        told = registration.pose_covariance[registration.measured, 3:, 3:]
        axis = rotate(torch.tensor(registration.orientation), torch.tensor([0.0, 0, 1]).double().expand(len(ahead), 3))
        axis = axis.numpy()[registration.measured]
        # Without what is not known about the ring's own axis.
        known = np.trace(told, axis1=1, axis2=2) - np.einsum("ti,tij,tj->t", axis, told, axis)
        assert (tilt < 3 * np.sqrt(known) + math.radians(5)).mean() > 0.9


def test_a_ring_pressed_into_the_floor_is_read_within_five_percent_of_its_tube(rings):
    scene = rings.scene
    k = next(iter(movers(scene)))
    bodies = Bodies.from_scenes([scene], dtype=torch.float64)
    floor = next(i for i, body in enumerate(scene.bodies) if body.shape.kind == "plane")
    place = collision_pairs(bodies).index(tuple(sorted((k, floor))))
    motion = rings.trajectory.map(lambda x: x.double())
    seen = [t for t in range(4, 20) if (rings.ids[t] == k + 1).sum() > 60]
    t = seen[len(seen) // 2]
    position = motion.position.clone()
    gap = distances(bodies, position, motion.orientation).distance[t - 2 : t + 3, place]
    tube = scene.bodies[k].shape.minor_radius
    position[t - 2 : t + 3, k, 2] -= gap + 0.6 * tube
    moved_ = dataclasses.replace(rings.trajectory, position=position.to(rings.trajectory.position.dtype))
    drawn = get_engine("mujoco").render(scene, moved_)
    figure = ws.score(drawn.video, masks=drawn.ids, scene=rings, depth=drawn.depth).figures["penetration"]
    name = " / ".join(scene.bodies[i].name for i in sorted((k, floor)))
    read = figure.entries[t - 2 : t + 3, figure.subjects.index(name)]
    # Engines draw a ring as capsules, by up to a tenth of its tube's radius off the circle.
    assert np.abs(read / tube - 0.6).max() < 0.05


def test_links_of_walkers_are_placed_by_depth_and_masks_of_each_body(walkers):
    found = register_rigid(view_of(walkers, walkers.depth.astype(float)), movers(walkers.scene), walkers.trajectory)
    assert len(found) == 24
    rows = [wrong(walkers, k, registration) for k, registration in found.items()]
    across, along, _ = (np.concatenate(part) for part in zip(*rows, strict=True))
    assert np.mean([registration.measured.mean() for registration in found.values()]) > 0.6
    assert np.median(across) < 0.2
    assert np.median(np.abs(along)) < 0.2


def test_a_walker_that_sinks_into_the_floor_is_found_and_its_own_links_are_exempt(walkers):
    scene = walkers.scene
    own = [k for k, body in movers(scene).items() if body.name.startswith("walker_a")]
    depth = 0.02
    position = walkers.trajectory.position.clone()
    position[20:30][:, own] -= torch.tensor([0.0, 0.0, depth])
    moved_ = dataclasses.replace(walkers.trajectory, position=position)
    drawn = get_engine("mujoco").render(scene, moved_)
    figure = ws.score(drawn.video, masks=drawn.ids, scene=walkers, depth=drawn.depth).figures["penetration"]
    bodies = Bodies.from_scenes([scene], dtype=torch.float64)
    gaps = distances(bodies, moved_.position.double(), moved_.orientation.double()).distance.numpy()
    names = [" / ".join(scene.bodies[k].name for k in pair) for pair in collision_pairs(bodies)]
    assert set(figure.subjects) <= set(names)
    groups = {body.name: body.object_name for body in scene.bodies}
    assert all(len({groups[name] for name in subject.split(" / ")}) == 2 for subject in figure.subjects)
    true = np.maximum(-gaps[:, [names.index(subject) for subject in figure.subjects]], 0)
    known = np.isfinite(figure.entries)
    assert (known & (true > 0.5 * depth)).sum() >= 5
    thin = min(body.shape.thickness for body in movers(scene).values())
    error = np.abs(figure.entries - true)[known & (true > 0.5 * depth)] / thin
    assert np.median(error) < 0.05
    assert figure.value - figure.floor > 0.5 * depth


def test_what_cannot_be_placed_is_said_with_its_reason(walkers):
    scene = walkers.scene
    assert world_of(scene, PIXELS, PIXELS).rigid == ()
    (told,) = world_of(scene, PIXELS, PIXELS).unplaced(True)
    assert told.startswith("not placed: walker_a_torso, ")
    assert told.endswith("masks of each body alone")
    (told,) = world_of(scene, PIXELS, PIXELS, linked=True).unplaced(True)
    assert told.endswith("tell no distance without depth")
    assert world_of(scene, PIXELS, PIXELS, linked=True, deep=True).unplaced(True) == ()
    assert "without a scene" in world_of(scene, PIXELS, PIXELS, linked=True, deep=True).unplaced(False)[0]
    report = ws.score(walkers.video, scene=walkers)
    assert any("links of one object" in note for note in report.notes)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["robot_push", "newtons_cradle", "pendulum", "crossing_quadrupeds"])
def test_lawful_jointed_bodies_read_less_overlap_than_a_millimetre_with_depth(family):
    played = fresh(family, 505, PIXELS, "val")
    report = ws.score(played.video, masks=played.ids, scene=played, depth=played.depth)
    figure = report.figures["penetration"]
    assert figure.measurable > 0.3
    # Engines leave .1 to .4 mm under what rests.
    assert figure.value < 1e-3
    assert report.figures["pass_through"].value == 0
    assert report.notes == ()
