"""What the engines are measured against: event-exact end positions and gradients by differences, in float64.

Spheres are solved by worldsim_envs.exact. Cubes, whose moments of inertia are equal, keep their spin in flight, so that
a corner meets a plane where a known function of time crosses zero; the impulse there is that of one frictionless point.
Sampled are worlds of few impacts, none of which nearly coincide for one body (there the motion has no derivative to
compare with); spheres must meet one another at least once, cubes surely never.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from task import DURATION, GRAVITY, INERTIA, MASS, PLANES, RADIUS, Array, Start, Task

from worldsim.scene import Body, Plane, Scene, Sphere, State
from worldsim_envs.exact import solve_exact

CORNERS = RADIUS * np.array(list(itertools.product((-1, 1), repeat=3)), float)
# Impacts of one body closer in time than this, slower than this, or more of them: not a world to take gradients in.
LEAST_GAP, LEAST_SPEED, MOST_IMPACTS = 0.005, 0.1, 3
EPSILON = 1e-6


@dataclass(frozen=True)
class Truth:
    """K sampled worlds.

    Attributes:
        worlds: (K,) their places in the batch.
        position: (K, N, 3) at the end.
        coordinates: (K, C) places in the flattened (2, N, 3) of start positions and velocities.
        gradient: (K, C) of mean over bodies of |x_T|^2.
        impacts: (K,) impacts in the world.
    """

    worlds: NDArray[np.int64]
    position: Array
    coordinates: NDArray[np.int64]
    gradient: Array
    impacts: NDArray[np.int64]


def sample(task: Task, start: Start, count: int, coordinates: int) -> Truth:
    """Solve worlds one after another until `count` of them are fit; `coordinates` of each are differenced."""
    solve = _spheres if task.shape == "sphere" else _cubes
    found: list[tuple[int, Array, NDArray[np.int64], Array, int]] = []
    for world in range(len(start.position)):
        single = [part[world] for part in (start.position, start.orientation, start.velocity, start.spin)]
        end, impacts = solve(*single)
        met = any(max(pair) < task.count for _, pair, _ in impacts)
        if not _fit(impacts, task.count) or met != (task.shape == "sphere"):
            continue
        rng = np.random.default_rng([7, world])
        size = 6 * task.count
        chosen = np.sort(rng.choice(size, min(size, coordinates), replace=False))
        gradient = np.array([_slope(solve, single, k) for k in chosen])
        found.append((world, end, chosen, gradient, len(impacts)))
        if len(found) == count:
            break
    if len(found) < count:
        raise RuntimeError(f"{task.name}: {len(found)} of {count} fit worlds among {len(start.position)}")
    return Truth(*(np.stack(column) for column in zip(*found, strict=True)))


def _slope(solve, single: list[Array], place: int) -> float:
    """Central difference of the loss by one coordinate of start positions and velocities."""
    values = []
    for sign in (1, -1):
        moved = [part.copy() for part in single]
        half = moved[0].size
        moved[0 if place < half else 2].reshape(-1)[place % half] += sign * EPSILON
        values.append(np.square(solve(*moved)[0]).sum(-1).mean())
    return float(values[0] - values[1]) / (2 * EPSILON)


def _fit(impacts: list[tuple[float, tuple[int, int], float]], bodies: int) -> bool:
    """Whether impacts are few, fast and apart; each is (time, pair, approach speed), planes numbered after bodies."""
    for body in range(bodies):
        times = [0.0, *(time for time, pair, _ in impacts if body in pair), DURATION]
        if len(times) > MOST_IMPACTS + 2 or min(np.diff(times)) < LEAST_GAP:
            return False
    return bool(impacts) and all(speed > LEAST_SPEED for *_, speed in impacts)


def _spheres(position: Array, turn: Array, velocity: Array, spin: Array):
    h = 0.5**0.5
    turns = ((1, 0, 0, 0), (h, 0, h, 0), (h, 0, -h, 0), (h, -h, 0, 0), (h, h, 0, 0))
    bodies = [
        Body(f"body{i}", Sphere(RADIUS), State(tuple(x), linear_velocity=tuple(v)), MASS, restitution=1.0, friction=0.0)
        for i, (x, v) in enumerate(zip(position, velocity, strict=True))
    ]
    for k, ((normal, offset), q) in enumerate(zip(PLANES, turns, strict=True)):
        place = tuple(offset * n for n in normal)
        bodies.append(Body(f"plane{k}", Plane(), State(place, q), restitution=1.0, friction=0.0, static=True))
    solution = solve_exact(Scene(tuple(bodies), duration=DURATION, fps=1 / DURATION))
    impacts = [(impact.time, impact.pair, impact.approach) for impact in solution.impacts]
    return solution.trajectory.position[-1, : len(position)].numpy(), impacts


def _cubes(position: Array, turn: Array, velocity: Array, spin: Array):
    x, v, w = position.copy(), velocity.copy(), spin.copy()
    corners = np.einsum("nij,kj->nki", _matrices(turn), CORNERS)
    ends, impacts, paths = [], [], []
    for i in range(len(x)):
        end, hits, path = _cube(x[i], v[i], w[i], corners[i])
        ends.append(end)
        paths.append(path)
        impacts += [(time, (i, len(x) + plane), speed) for time, plane, speed in hits]
    # Spheres around the cubes that never meet: the cubes are sure not to.
    for a, b in itertools.combinations(paths, 2):
        if np.linalg.norm(a - b, axis=-1).min() < 2 * RADIUS * 3**0.5:
            impacts.append((0.0, (0, 1), 0.0))  # never fit
            break
    return np.array(ends), sorted(impacts)


def _cube(x: Array, v: Array, w: Array, corners: Array):
    """Fly one cube through its impacts; its end, its impacts and its path at 100 instants."""
    down = np.array([0, 0, -GRAVITY])
    normals, offsets = np.array([n for n, _ in PLANES], float), np.array([o for _, o in PLANES])
    now, hits, path = 0.0, [], []
    while True:
        left = DURATION - now

        grid = np.linspace(0, left, max(3, int(left / 2e-4)))
        middle = x + grid[:, None] * v + 0.5 * grid[:, None] ** 2 * down
        turned = np.einsum("tij,kj->tki", _turns(w[None] * grid[:, None]), corners)
        level = (middle[:, None] + turned) @ normals.T - offsets
        crossing = (level[1:] < 0) & (level[:-1] >= 0)
        if not crossing.any():
            path.append(middle)
            samples = np.concatenate(path)
            pick = np.linspace(0, len(samples) - 1, 100).astype(int)
            return x + left * v + 0.5 * left * left * down, hits, samples[pick]
        step = int(np.argmax(crossing.any((1, 2))))
        roots = [
            (
                brentq(_height, grid[step], grid[step + 1], (x, v, w, corners[k], normals[p], offsets[p]), xtol=1e-15),
                k,
                p,
            )
            for k, p in zip(*np.nonzero(crossing[step]), strict=True)
        ]
        t, corner, plane = min(roots)
        path.append(middle[: step + 1])
        x, v = x + t * v + 0.5 * t * t * down, v + t * down
        corners = corners @ _turn(w * t).T
        arm, n = corners[corner], normals[plane]
        lever = np.cross(arm, n)
        approach = -float(n @ (v + np.cross(w, arm)))
        impulse = 2 * approach / (1 / MASS + lever @ lever / INERTIA["box"])
        v, w = v + impulse / MASS * n, w + impulse / INERTIA["box"] * lever
        # The corner sits on the plane to rounding: lift it off, so that its own crossing is not found again.
        x = x + n * max(0.0, 1e-13 - float(n @ (x + arm) - offsets[plane]))
        now += t
        hits.append((now, int(plane), approach))


def _height(t: float, x: Array, v: Array, w: Array, corner: Array, normal: Array, offset: float) -> float:
    """Of a corner over a plane after t seconds of flight."""
    centre = x + t * v - 0.5 * t * t * np.array([0, 0, GRAVITY])
    return float(normal @ (centre + _turn(w * t) @ corner) - offset)


def _turn(vector: Array) -> Array:
    return _turns(vector[None])[0]


def _turns(vectors: Array) -> Array:
    """(T, 3, 3) rotation matrices of (T, 3) rotation vectors (Rodrigues)."""
    angle = np.linalg.norm(vectors, axis=-1)[:, None, None]
    x, y, z = vectors.T
    zero = np.zeros_like(x)
    skew = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(-1, 3, 3)
    safe = np.where(angle > 1e-12, angle, 1.0)
    return np.eye(3) + np.sinc(angle / np.pi) * skew + (1 - np.cos(safe)) / safe**2 * (skew @ skew)


def _matrices(quaternions: Array) -> Array:
    w, x, y, z = quaternions.T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), -1, 0)
