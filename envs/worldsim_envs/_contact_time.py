"""When a ball in free flight first touches another ball, a plane, or a box: roots of polynomials in time.

Flight is p + v t + a t^2 / 2. A root counts only where the gap is closing, so that a pair that has just bounced, or
touches while parting, is not found again.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldsim.scene import Body, Box, Plane, Sphere
from worldsim.scene.shapes import Shape

Array = NDArray[np.float64]

# Roots this little before now belong to an impact that rounding put behind us, seconds.
EARLY = 1e-9
# A gap that closes slower than this does not count as closing: rounding of a pair that slides along or has stopped.
SLOWEST = 1e-9


@dataclass(frozen=True)
class Static:
    """A static body: its place in Scene.bodies, shape, centre, and rotation from body to world axes."""

    index: int
    shape: Shape
    centre: Array
    rotation: Array

    def local(self, vector: Array) -> Array:
        """A world vector in body axes."""
        result: Array = vector @ self.rotation
        return result

    def distance(self, point: Array) -> tuple[float, Array]:
        """Signed distance of a point from the surface, and the outward unit normal there (world frame)."""
        p = self.local(point - self.centre)
        if isinstance(self.shape, Plane):
            return float(p[2]), self.rotation[:, 2].copy()
        if isinstance(self.shape, Sphere):
            norm = float(np.linalg.norm(p))
            return norm - self.shape.radius, self.rotation @ (p / norm)
        assert isinstance(self.shape, Box)
        half = np.array(self.shape.half_extents)
        outside = p - np.clip(p, -half, half)
        gap = float(np.linalg.norm(outside))
        if gap > 0:
            return gap, self.rotation @ (outside / gap)
        axis = int(np.argmax(np.abs(p) - half))
        normal = self.rotation[:, axis] * (1.0 if p[axis] >= 0 else -1.0)
        return float(abs(p[axis]) - half[axis]), normal

    def flat_at(self, point: Array) -> bool:
        """Whether the nearest part of the surface to a point outside is flat."""
        if isinstance(self.shape, Plane):
            return True
        if not isinstance(self.shape, Box):
            return False
        p = np.abs(self.local(point - self.centre))
        return int((p > np.array(self.shape.half_extents)).sum()) <= 1


def as_static(index: int, body: Body) -> Static:
    """The static body in the form used here."""
    assert body.state is not None
    return Static(index, body.shape, np.array(body.state.position), body.state.rotation)


def _real_roots(coefficients: Array) -> list[float]:
    """Real roots of a polynomial (highest power first), polished by Newton steps."""
    scale = float(np.abs(coefficients).max())
    if scale == 0:
        return []
    c = np.where(np.abs(coefficients) < 1e-14 * scale, 0.0, coefficients)
    if np.count_nonzero(c[:-1]) == 0:
        return []
    slope = np.polyder(c)
    found = []
    for root in np.roots(c):
        if abs(root.imag) > 1e-6 * max(1.0, abs(root)):
            continue
        t = float(root.real)
        for _ in range(3):
            rate = float(np.polyval(slope, t))
            if rate == 0:
                break
            t -= float(np.polyval(c, t)) / rate
        found.append(t)
    return found


def first_closing_root(coefficients: Array, horizon: float) -> float:
    """Earliest time in [0, horizon] at which a gap polynomial reaches 0 while falling; infinite where it never does.

    A gap that is already at or under 0 by rounding and still falling counts as time 0.
    """
    slope = np.polyder(coefficients)
    best = math.inf
    for t in _real_roots(coefficients):
        if -EARLY <= t <= horizon + EARLY and t < best and float(np.polyval(slope, max(t, 0.0))) < -SLOWEST:
            best = max(t, 0.0)
    value, rate = float(coefficients[-1]), float(slope[-1]) if len(slope) else 0.0
    scale = float(np.abs(coefficients).max())
    if value <= 0 and value > -1e-9 * scale and rate < -SLOWEST:
        best = 0.0
    return best if best <= horizon else math.inf


def _squared_distance(p: Array, v: Array, a: Array, radius: float) -> Array:
    """Coefficients of |p + v t + a t^2 / 2|^2 - radius^2, highest power first."""
    return np.array([a @ a / 4, v @ a, v @ v + p @ a, 2 * p @ v, p @ p - radius * radius])


def ball_ball_time(p: Array, v: Array, a: Array, radius: float, horizon: float) -> float:
    """When two balls touch, from their relative position, velocity and acceleration and the sum of radii.

    In common gravity a is 0 and the gap is a quadratic, solved in the form that loses no digits.
    """
    if float(np.abs(a).max()) > 0:
        return first_closing_root(_squared_distance(p, v, a, radius), horizon)
    b, c, speed2 = float(p @ v), float(p @ p) - radius * radius, float(v @ v)
    discriminant = b * b - speed2 * c
    if b >= -1e-12 * radius * math.sqrt(speed2) or discriminant < 0:
        return math.inf
    t = max(c, 0.0) / (-b + math.sqrt(discriminant))
    return t if t <= horizon else math.inf


def surface_hit(surface: Static, p: Array, v: Array, a: Array, radius: float, horizon: float) -> float:
    """When a ball touches a static body, infinite where it does not within the horizon (seconds)."""
    q, u, b = surface.local(p - surface.centre), surface.local(v), surface.local(a)
    if isinstance(surface.shape, Plane):
        return first_closing_root(np.array([b[2] / 2, u[2], q[2] - radius]), horizon)
    if isinstance(surface.shape, Sphere):
        return first_closing_root(_squared_distance(q, u, b, radius + surface.shape.radius), horizon)
    assert isinstance(surface.shape, Box)
    return _box_hit(np.array(surface.shape.half_extents), q, u, b, radius, horizon)


def _reach(q: float, u: float, b: float, horizon: float) -> tuple[float, float]:
    """Lowest and highest coordinate of q + u t + b t^2 / 2 over [0, horizon]."""
    values = [q, q + u * horizon + b * horizon * horizon / 2]
    if b != 0 and 0 < -u / b < horizon:
        values.append(q - u * u / (2 * b))
    return min(values), max(values)


def _box_hit(half: Array, q: Array, u: Array, b: Array, radius: float, horizon: float) -> float:
    """First touch of a box: its faces, then its edges and corners where the path comes near them."""
    spans = [_reach(q[k], u[k], b[k], horizon) for k in range(3)]
    if any(low > half[k] + radius or high < -half[k] - radius for k, (low, high) in enumerate(spans)):
        return math.inf
    best = math.inf
    for k in range(3):
        others = [m for m in range(3) if m != k]
        for sign in (-1.0, 1.0):
            gap = np.array([sign * b[k] / 2, sign * u[k], sign * q[k] - half[k] - radius])
            t = first_closing_root(gap, min(horizon, best))
            if math.isfinite(t):
                at = q + u * t + b * (t * t / 2)
                if all(abs(at[m]) <= half[m] for m in others):
                    best = min(best, t)
    for signs in itertools.product((-1.0, 0.0, 1.0), repeat=3):
        fixed = [k for k in range(3) if signs[k] != 0]
        if len(fixed) < 2:
            continue
        corner = np.array(signs) * half
        near = all(spans[k][0] <= corner[k] + radius and spans[k][1] >= corner[k] - radius for k in fixed)
        # The rounded part begins beyond the face's border on all fixed axes.
        beyond = all(spans[k][1] > half[k] if signs[k] > 0 else spans[k][0] < -half[k] for k in fixed)
        if not (near and beyond):
            continue
        gap = _squared_distance((q - corner)[fixed], u[fixed], b[fixed], radius)
        t = first_closing_root(gap, min(horizon, best))
        if math.isfinite(t):
            at = q + u * t + b * (t * t / 2)
            outside = all(at[k] * signs[k] >= half[k] for k in fixed)
            if outside and all(abs(at[m]) <= half[m] for m in range(3) if m not in fixed):
                best = min(best, t)
    return best
