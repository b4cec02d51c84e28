"""The scene's contact law on top of MuJoCo's collision detection and constraint solver.

MuJoCo's own contacts are damped springs without a coefficient of restitution. Here MuJoCo finds the contacts and
solves for the impulses, while the velocities that the contacts aim at come from the law (Newton's restitution,
Coulomb's friction, Moreau's time stepping):

- an impact leaves with v_n' = -e v_n; touching pairs are resolved one after another, fastest first, until none
  approaches;
- a resting contact may approach no further than to the surface, v_n' >= -c distance / h, and overlaps are pushed out;
- tangential velocity goes to zero as far as mu times the normal impulse carries.

A solve minimises MuJoCo's convex cost with the smooth accelerations set to zero. That cost relaxes Coulomb's law: a
sliding contact would lift off at mu |v_t|. The change of variables of De Saxce & Feng (1998), iterated as by Acary,
Cadoux, Lemarechal & Malick (2011, "A formulation of the linear discrete Coulomb friction problem via convex
optimization", eq. 12), takes that off the target again and gives the exact law.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.engines.mujoco.backend import mujoco
from worldsim.engines.mujoco.model import RIGID

Array = NDArray[np.float64]
# A target acceleration that no contact ever needs a force to exceed: the contact is left out of a solve.
OFF = -1e12
# Share of a gap that a resting contact may close in one sub-step; with all of it, rest would alternate for ever.
CLOSE = 0.5
# Share of an overlap that is pushed out in one sub-step, and the fastest push, metres a second.
PUSH_OUT = 0.2
FASTEST_PUSH = 0.05
# Nearer than this a contact touches, metres.
TOUCH = 1e-5
# Approach slower than this is rest even without gravity, metres a second.
SLOWEST_IMPACT = 1e-3
# A lone contact reaches the share d of its target acceleration, with d the impedance of the model's pairs.
EXACT = 1.0 / RIGID[0]


class ContactSolver:
    """Solves for the impulses of the contacts that MuJoCo found at the present coordinates.

    Args:
        model: mujoco.MjModel with elliptic cones.
        data: mujoco.MjData.
        owner: (G,) place in the scene of each geom's body.
        restitution: (N, N) pair coefficients.
        gravity: Strength, metres a second squared.
    """

    def __init__(self, model: Any, data: Any, owner: NDArray[np.int64], restitution: Array, gravity: float) -> None:
        self.model, self.data, self.owner = model, data, owner
        self.restitution, self.gravity = restitution, gravity
        self.set_step(1e-3)
        self.rested_slide = np.zeros(0)

    def set_step(self, step: float) -> None:
        """Take another sub-step h, seconds.

        With it goes the approach speed below which a touch is rest and not impact: a falling body gains g h in one
        sub-step, and that alone is no impact.
        """
        self.step = step
        self.threshold = SLOWEST_IMPACT + 1.5 * self.gravity * step

    def gather(self, before: Array) -> bool:
        """Read the contacts; run mj_fwdPosition first.

        Args:
            before: qvel at the start of the step. What forces added since is a push, not an impact: a driven foot
                presses on the floor, it does not fall on it at every step.

        Returns:
            Whether there is any contact that can bear a force.
        """
        contact, rows, count = self.data.contact, self.data.nefc, self.data.ncon
        address = contact.efc_address
        # Which contacts bear forces, which of those have friction, and the constraint rows of either.
        self.index: Any = slice(None)
        self.rubs: Any = slice(None)
        if count and address[0] == 0 and rows == 3 * count:
            # The usual case, three rows a contact and nothing else: strides are quicker than index arrays.
            self.normal: Any = slice(0, None, 3)
            self.rub: Any = (slice(1, None, 3), slice(2, None, 3))
        else:
            self.index = np.flatnonzero(address >= 0)
            if len(self.index) == 0:
                return False
            self.normal = address[self.index].astype(np.int64)
            self.rubs = np.flatnonzero(contact.dim[self.index] == 3)
            self.rub = (self.normal[self.rubs] + 1, self.normal[self.rubs] + 2)
        self.distance = contact.dist[self.index]
        self.mu = contact.friction[self.index, 0][self.rubs]
        self.row_velocity = np.empty(rows)
        self.force = np.zeros(len(self.distance))
        self._measure()
        self.pushed = None
        if self.normal_velocity.min() < -self.threshold:
            started = np.empty(rows)
            mujoco.mj_mulJacVec(self.model, self.data, started, before)
            self.pushed = np.minimum(self.normal_velocity - started[self.normal], 0.0)
        return True

    def places(self) -> NDArray[np.int64]:
        """(C, 2) places in the scene of the bodies that each contact joins."""
        result: NDArray[np.int64] = self.owner[self.data.contact.geom[self.index]]
        return result

    def _measure(self) -> None:
        """Bring the contact velocities up to date with qvel."""
        velocity = self.row_velocity
        mujoco.mj_mulJacVec(self.model, self.data, velocity, self.data.qvel)
        self.normal_velocity = velocity[self.normal]
        self.slide = np.hypot(velocity[self.rub[0]], velocity[self.rub[1]])

    def _solve(self, target: Array, slide: Array, rounds: int, tolerance: float) -> None:
        """Change qvel so that contacts reach their target normal velocities, with friction.

        Args:
            target: (C,) metres a second; -inf leaves a contact out.
            slide: (R,) first guess of the sliding speeds that remain, metres a second.
            rounds: How often that guess may be corrected.
            tolerance: Error in the normal velocity at which the guess is good enough, metres a second.
        """
        data, rate = self.data, 1.0 / self.step
        before = data.qvel.copy()
        normal = np.maximum((target - self.normal_velocity) * (EXACT * rate), OFF)
        aref = np.zeros(data.nefc)
        for rows in self.rub:
            aref[rows] = self.row_velocity[rows] * -rate
        data.qacc_smooth[:] = 0
        data.qfrc_smooth[:] = 0
        for _ in range(rounds):
            lowered = normal.copy()
            lowered[self.rubs] -= self.mu * slide * rate
            aref[self.normal] = lowered
            data.efc_aref[:] = aref
            mujoco.mj_fwdConstraint(self.model, data)
            np.multiply(data.qacc, self.step, out=data.qvel)
            data.qvel += before
            self._measure()
            if len(slide) == 0 or float((self.mu * np.abs(self.slide - slide) - 1e-3 * self.slide).max()) < tolerance:
                break
            slide = self.slide
            data.qacc_warmstart[:] = data.qacc
        self.force += data.efc_force[self.normal]

    def impacts(self) -> NDArray[np.bool_] | None:
        """Which contacts approach too fast to be at rest; None where no one does."""
        if self.normal_velocity.min() >= -self.threshold:
            return None
        fast: NDArray[np.bool_] = self.normal_velocity < -self.threshold
        if self.pushed is not None:
            fast &= self.normal_velocity - self.pushed < -self.threshold
        return fast if fast.any() else None

    def resolve_impacts(self, most: int = 64) -> None:
        """Let touching pairs rebound one after another, the fastest first, until none approaches."""
        places = None
        for _ in range(most):
            fast = self.impacts()
            if fast is None:
                return
            touching = self.distance <= TOUCH
            hits = fast & touching
            if not hits.any():
                return
            places = self.places() if places is None else places
            first = places[np.argmin(np.where(hits, self.normal_velocity, np.inf))]
            bounce = -self.restitution[first[0], first[1]] * self.normal_velocity
            target = np.where((places == first).all(axis=1) & touching, np.where(fast, bounce, 0.0), -np.inf)
            self._solve(target, self.slide, rounds=30, tolerance=1e-5)

    def resolve_rest(self) -> None:
        """Let no contact approach further than to the surface; push overlaps out gently."""
        target = self.distance / -self.step
        target = np.minimum(target * np.where(target < 0, CLOSE, PUSH_OUT), FASTEST_PUSH)
        fast = self.impacts()
        if fast is not None:
            # What approaches fast and is not there yet is an impact to come.
            target[fast & (self.distance > TOUCH)] = -np.inf
        if (self.normal_velocity < target).any():
            # A resting or sliding contact slides on nearly as it did a step ago.
            known = len(self.rested_slide) == len(self.slide)
            self._solve(target, self.rested_slide if known else self.slide, rounds=4, tolerance=2e-4)
        self.rested_slide = self.slide
