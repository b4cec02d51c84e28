"""check_simulator: does an engine keep the Simulator contract? For people who bring their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from worldsim.engines.protocol import Simulator
from worldsim.engines.rollout import Rollout
from worldsim.scene import Actuator, Body, Box, Camera, Joint, Law, Plane, Robot, Scene, Sphere, State, planar_camera


def check_simulator(simulator: Any, *, render: bool = True) -> None:
    """Play a few tiny scenes and compare with what the protocol promises.

    Checks names, shapes, dtypes and frame times; free flight within 1e-4 m and its velocity; the pair law (head-on
    impact of unequal spheres, restitution sqrt(e_i e_j), within 1 % of the relative speed) with its contact;
    refusal of overlapping starts and of wrongly shaped actions; equality of simulate_batch with simulate;
    ids, depth and colours of pictures, absence, and that rendering a rollout's own trajectory gives its frames again.

    Args:
        simulator: Any object.
        render: Without it, pictures are not asked for, for engines on machines that cannot draw.

    Raises:
        ValueError: Saying what is wrong, with what was expected and what was got.
    """
    if not isinstance(simulator, Simulator):
        raise ValueError(
            f"simulator: must have name, version, simulate, simulate_batch and render, got {type(simulator).__name__}"
        )
    for name in ("name", "version"):
        value = getattr(simulator, name)
        _expect(f"simulator.{name}", "a non-empty string", isinstance(value, str) and bool(value), value)
    for check in (_check_flight, _check_pair_law, _check_refusals, _check_actions, _check_batch):
        _run(check, simulator)
    if render:
        _run(_check_pictures, simulator)


def _expect(what: str, rule: str, holds: bool, got: object) -> None:
    if not holds:
        raise ValueError(f"{what}: must be {rule}, got {got!r}")


def _run(check: Callable[[Simulator], None], simulator: Simulator) -> None:
    try:
        check(simulator)
    except ValueError:
        raise
    except Exception as error:
        name = check.__name__.strip("_").replace("_", " ")
        raise ValueError(f"simulator failed in {name}: {type(error).__name__}: {error}") from error


CAMERA = Camera(position=(0.0, -4.0, 1.0), target=(0.0, 0.0, 1.0), width=32, height=24)


def _flight_scene() -> Scene:
    ball = Body("ball", Sphere(0.1), State((0.0, 0.0, 1.0), linear_velocity=(0.3, 0.1, 2.0)))
    wall = Body("wall", Box((0.1, 0.1, 0.1)), State((1.0, 0.0, 1.0)), static=True)
    return Scene(bodies=(ball, wall), camera=CAMERA, duration=0.5, fps=20.0)


def _impact_scene(planar: bool) -> Scene:
    a = Body("a", Sphere(0.1), State((-0.3, 0.0, 0.0), linear_velocity=(2.0, 0.0, 0.0)), restitution=0.9)
    b = Body("b", Sphere(0.1), State((0.2, 0.0, 0.0)), mass=3.0, restitution=0.4)
    camera = planar_camera(2.0, 32, (0.0, 0.0))
    return Scene(bodies=(a, b), law=Law((0.0, 0.0, 0.0)), camera=camera, duration=0.5, fps=20.0, planar=planar)


def _arm_scene() -> Scene:
    link = Body("link", Box((0.2, 0.02, 0.02)), State((0.2, 0.0, 1.0)))
    joint = Joint("hinge", "hinge", "link", None, (0.0, 0.0, 1.0), (-0.2, 0.0, 0.0), damping=0.1)
    return Scene(
        bodies=(link,),
        law=Law((0.0, 0.0, 0.0)),
        camera=CAMERA,
        duration=0.5,
        fps=20.0,
        joints=(joint,),
        robot=Robot((Actuator("hinge", gain=5.0, damping=0.5),), controls=((0.5,),)),
    )


def _check_shapes(rollout: Rollout, scene: Scene, simulator: Simulator, frames: int) -> None:
    count, bodies, camera = scene.num_frames, len(scene.bodies), scene.camera
    trajectory = rollout.trajectory
    _expect("rollout.engine", "the simulator's name", rollout.engine == simulator.name, rollout.engine)
    recorded = rollout.engine_version
    _expect("rollout.engine_version", "the simulator's version", recorded == simulator.version, recorded)
    _expect("rollout.scene", "the scene that was played", rollout.scene == scene, rollout.scene)
    widths = {"position": 3, "orientation": 4, "linear_velocity": 3, "angular_velocity": 3}
    for name, width in widths.items():
        tensor = getattr(trajectory, name)
        _expect(
            f"trajectory.{name}",
            f"(T, N, k) = {(count, bodies, width)}",
            tensor.shape == (count, bodies, width),
            tensor.shape,
        )
        _expect(f"trajectory.{name}", "float64", tensor.dtype == torch.float64, tensor.dtype)
    _expect("trajectory.presence", "1 for all", bool((trajectory.presence == 1).all()), trajectory.presence)
    _expect("trajectory.dt", "1 / fps", abs(trajectory.dt - 1 / scene.fps) < 1e-12, trajectory.dt)
    size = (frames, camera.height, camera.width)
    for name, shape, kind in (("video", (*size, 3), np.uint8), ("ids", size, np.uint8), ("depth", size, np.float32)):
        array = getattr(rollout, name)
        _expect(f"rollout.{name}", f"of shape {shape}", array.shape == shape, array.shape)
        _expect(f"rollout.{name}", f"of type {np.dtype(kind)}", array.dtype == kind, array.dtype)
    actuators = len(scene.robot.actuators) if scene.robot else 0
    wanted = (count - 1, actuators)
    _expect("rollout.actions", f"(T - 1, A) = {wanted}", rollout.actions.shape == wanted, rollout.actions.shape)


def _check_flight(simulator: Simulator) -> None:
    scene = _flight_scene()
    rollout = simulator.simulate(scene, render=False)
    _check_shapes(rollout, scene, simulator, 0)
    time = np.arange(scene.num_frames)[:, None] / scene.fps
    start, gravity = scene.bodies[0].state, np.array(scene.law.gravity)
    assert start is not None
    position = np.array(start.position) + time * np.array(start.linear_velocity) + time**2 / 2 * gravity
    miss = np.abs(rollout.trajectory.position[:, 0].numpy() - position).max(axis=1)
    worst = int(miss.argmax())
    _expect(
        "free flight",
        "within 1e-4 m of x + v t + g t^2 / 2",
        miss[worst] < 1e-4,
        f"{miss[worst]:.3g} m at frame {worst}",
    )
    velocity = np.array(start.linear_velocity) + time * gravity
    off = float(np.abs(rollout.trajectory.linear_velocity[:, 0].numpy() - velocity).max())
    _expect("velocity in free flight", "within 1e-3 m/s of v + g t, at the frame's own time", off < 1e-3, off)
    still = float((rollout.trajectory.position[:, 1] - rollout.trajectory.position[0, 1]).abs().max())
    _expect("a static body", "still", still == 0, still)


def _check_pair_law(simulator: Simulator) -> None:
    for planar in (False, True):
        scene = _impact_scene(planar)
        rollout = simulator.simulate(scene, render=False)
        velocity = rollout.trajectory.linear_velocity[-1, :, 0].numpy()
        impulse = (1 + np.sqrt(0.9 * 0.4)) * 2.0 / (1 / 1.0 + 1 / 3.0)
        wanted = np.array([2.0 - impulse, impulse / 3.0])
        off = float(np.abs(velocity - wanted).max()) / 2.0
        where = "a planar" if planar else "a three-dimensional"
        rule = f"{wanted.round(4).tolist()} within 1 % of the relative speed (e = sqrt(e_i e_j))"
        _expect(f"velocities after {where} impact", rule, off < 0.01, velocity.tolist())
        contacts = rollout.contacts
        _expect("contacts of one impact", "one row or two", 1 <= len(contacts) <= 2, len(contacts))
        _expect(
            "contacts.pair", "[1, 2], ids with the lower first", contacts.pair[0].tolist() == [1, 2], contacts.pair[0]
        )
        along = float(contacts.normal[0] @ np.array([1.0, 0.0, 0.0]))
        _expect("contacts.normal", "from the first body to the second", along > 0.99, contacts.normal[0])
        _expect("contacts.time", "near 0.15 s", abs(contacts.time[0] - 0.15) < 0.02, contacts.time[0])
        _expect("contacts.onset", "not after contacts.time", contacts.onset[0] <= contacts.time[0], contacts.onset[0])
        frame = int(np.ceil(contacts.time[0] * scene.fps - 1e-6))
        _expect("contacts.frame", f"{frame}, that ends the interval", contacts.frame[0] == frame, contacts.frame[0])
        _expect("contacts.force", "above 0", contacts.force[0] > 0, contacts.force[0])


def _check_refusals(simulator: Simulator) -> None:
    floor = Body("floor", Plane(), State((0.0, 0.0, 0.0)), static=True)
    ball = Body("ball", Sphere(0.1), State((0.0, 0.0, 0.05)))
    scene = Scene(bodies=(floor, ball), camera=CAMERA, duration=0.1, fps=20.0)
    try:
        simulator.simulate(scene, render=False)
    except ValueError as error:
        named = "floor" in str(error) and "ball" in str(error)
        _expect("the refusal of an overlapping start", "one that names both bodies", named, str(error))
    else:
        raise ValueError("overlapping start: must be refused by a ValueError, was played")


def _check_actions(simulator: Simulator) -> None:
    scene = _arm_scene()
    rollout = simulator.simulate(scene, render=False)
    _check_shapes(rollout, scene, simulator, 0)
    held = bool(np.allclose(rollout.actions, 0.5))
    _expect("rollout.actions", "the robot's program with its last row held", held, rollout.actions[:3])
    actions = np.full((scene.num_frames - 1, 1), -0.5, np.float32)
    other = simulator.simulate(scene, actions, render=False)
    # A positive turn about +y lowers the link's far end.
    heights = [float(r.trajectory.position[-1, 0, 2]) for r in (rollout, other)]
    _expect("heights under ctrl .5 and -.5", "below and above 1 m", heights[0] < 0.99 and heights[1] > 1.01, heights)
    try:
        simulator.simulate(scene, actions[:-1], render=False)
    except ValueError:
        return
    raise ValueError("actions: a wrong shape must be refused by a ValueError, was played")


def _check_batch(simulator: Simulator) -> None:
    scenes = [_flight_scene(), _impact_scene(True)]
    batch = simulator.simulate_batch(scenes, threads=2)
    _expect("simulate_batch", "one trajectory a scene", len(batch) == 2, len(batch))
    for scene, trajectory in zip(scenes, batch, strict=True):
        alone = simulator.simulate(scene, render=False).trajectory
        same = torch.equal(alone.position, trajectory.position) and torch.equal(
            alone.linear_velocity, trajectory.linear_velocity
        )
        _expect("simulate_batch", "equal to simulate", same, (alone.position - trajectory.position).abs().max())


def _check_pictures(simulator: Simulator) -> None:
    for scene in (_flight_scene(), _impact_scene(True)):
        rollout = simulator.simulate(scene)
        _check_shapes(rollout, scene, simulator, scene.num_frames)
        for k in (0, scene.num_frames - 1):
            _check_ids(rollout, scene, k)
        again = simulator.render(scene, rollout.trajectory)
        for name in ("video", "ids", "depth"):
            same = np.array_equal(getattr(again, name), getattr(rollout, name))
            _expect(f"render of the rollout's own trajectory: {name}", "the same picture", same, "another")
        beyond = rollout.depth[rollout.ids == 0]
        _expect("depth where nothing is", "camera.far", bool((beyond == np.float32(scene.camera.far)).all()), beyond)
        gone = rollout.trajectory.presence.clone()
        gone[:, 0] = 0
        trajectory = rollout.trajectory
        absent = type(trajectory)(
            trajectory.position,
            trajectory.orientation,
            trajectory.linear_velocity,
            trajectory.angular_velocity,
            gone,
            trajectory.dt,
        )
        seen = bool((simulator.render(scene, absent).ids == 1).any())
        _expect("a body of presence 0", "not drawn", not seen, "drawn")


def _check_ids(rollout: Rollout, scene: Scene, k: int) -> None:
    centres = rollout.trajectory.position[k].numpy()
    pixels, depth = scene.camera.project(centres)
    for i, body in enumerate(scene.bodies):
        if not scene.camera.sees(centres[i]):
            continue
        u, v = (int(c) for c in pixels[i])
        where = f"frame {k} at the centre of body[{body.name}]"
        _expect(f"ids in {where}", str(i + 1), int(rollout.ids[k, v, u]) == i + 1, int(rollout.ids[k, v, u]))
        front = float(depth[i]) - float(rollout.depth[k, v, u])
        rule = "the camera's distance to its near side in metres"
        _expect(f"depth in {where}", rule, 0 < front < 1.8 * body.shape.extent, float(rollout.depth[k, v, u]))
