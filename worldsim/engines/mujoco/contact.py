"""The scene's contact law on top of MuJoCo's collision detection and constraint solver.

MuJoCo's own contacts are damped springs without a coefficient of restitution. Here MuJoCo finds the contacts and
solves for the impulses, while the velocities that the contacts aim at come from the law (Newton's restitution,
Coulomb's friction, Moreau's time stepping):

- an impact leaves with v_n' = -e v_n; touching pairs are resolved one after another, fastest first, until none
  approaches;
- a resting contact may approach no further than to the surface, v_n' >= -distance / h, and an overlap is pushed out;
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

Array = NDArray[np.float64]
# A target acceleration that no contact ever needs a force to exceed: the contact is left out of a solve.
OFF = -1e12
# Share of an overlap that is pushed out in one sub-step, and the fastest push, metres a second.
PUSH_OUT = 0.2
FASTEST_PUSH = 0.05
# Nearer than this a contact touches, metres.
TOUCH = 1e-5


class ContactSolver:
    """Solves for the impulses of the contacts that MuJoCo found at the present coordinates.

    Args:
        model: mujoco.MjModel with elliptic cones.
        data: mujoco.MjData.
        owner: (G,) place in the scene of each geom's body.
        restitution: (N, N) pair coefficients.
        step: Sub-step h in contact, seconds.
        threshold: Normal speed below which a touch is rest, not impact, metres a second.
    """

    def __init__(
        self, model: Any, data: Any, owner: NDArray[np.int64], restitution: Array, step: float, threshold: float
    ) -> None:
        self.model, self.data, self.owner = model, data, owner
        self.restitution, self.step, self.threshold = restitution, step, threshold

    def gather(self) -> bool:
        """Read the contacts; run mj_fwdPosition first.

        Returns:
            Whether there is any contact that can bear a force.
        """
        contact = self.data.contact
        address = contact.efc_address
        bears = np.flatnonzero(address >= 0)
        if len(bears) == 0:
            return False
        self.index = bears
        self.normal_row = address[bears].astype(np.int64)
        self.distance = contact.dist[bears]
        self.places = self.owner[contact.geom[bears]]
        self.mu = contact.friction[bears, 0]
        self.rubs = contact.dim[bears] == 3
        self.rub_row = np.stack([self.normal_row[self.rubs] + 1, self.normal_row[self.rubs] + 2], axis=-1)
        self.row_velocity = np.zeros(self.data.nefc)
        self.force = np.zeros(len(bears))
        self.measure()
        return True

    def measure(self) -> None:
        """Bring the contact velocities up to date with qvel."""
        mujoco.mj_mulJacVec(self.model, self.data, self.row_velocity, self.data.qvel)
        self.normal_velocity = self.row_velocity[self.normal_row]

    def _solve(self, active: NDArray[np.bool_], target: Array, rounds: int) -> None:
        """Change qvel so that active contacts reach their target normal velocities, with friction."""
        data, step = self.data, self.step
        aref = np.zeros(data.nefc)
        rubbing = active[self.rubs]
        rows = self.rub_row[rubbing]
        aref[rows] = -self.row_velocity[rows] / step
        mu = self.mu[self.rubs][rubbing]
        before = data.qvel.copy()
        normal = np.where(active, (target - self.normal_velocity) / step, OFF)
        slide = np.hypot(self.row_velocity[rows[:, 0]], self.row_velocity[rows[:, 1]])
        lifted = np.flatnonzero(active & self.rubs)
        for _ in range(rounds):
            aref[self.normal_row] = normal
            aref[self.normal_row[lifted]] -= mu * slide / step
            data.qacc_smooth[:] = 0
            data.qfrc_smooth[:] = 0
            data.qacc_warmstart[:] = 0
            data.efc_aref[:] = aref
            mujoco.mj_fwdConstraint(self.model, data)
            data.qvel[:] = before + step * data.qacc
            self.measure()
            now = np.hypot(self.row_velocity[rows[:, 0]], self.row_velocity[rows[:, 1]])
            if len(now) == 0 or float(np.abs(mu * (now - slide)).max()) < 1e-6 + 1e-4 * float(now.max()):
                break
            slide = now
        self.force += data.efc_force[self.normal_row]

    def impacts(self) -> NDArray[np.bool_]:
        """Which contacts approach too fast to be at rest."""
        result: NDArray[np.bool_] = self.normal_velocity < -self.threshold
        return result

    def resolve_impacts(self, most: int = 64) -> None:
        """Let touching pairs rebound one after another, the fastest first, until none approaches."""
        for _ in range(most):
            hits = self.impacts() & (self.distance <= TOUCH)
            if not hits.any():
                return
            first = self.places[np.argmin(np.where(hits, self.normal_velocity, np.inf))]
            pair = (self.places == first).all(axis=1) & (self.distance <= TOUCH)
            bounce = -self.restitution[first[0], first[1]] * self.normal_velocity
            self._solve(pair, np.where(self.normal_velocity < -self.threshold, bounce, 0.0), rounds=30)

    def resolve_rest(self) -> None:
        """Let no contact approach further than to the surface; push overlaps out gently."""
        push = np.minimum(-PUSH_OUT * self.distance / self.step, FASTEST_PUSH)
        target = np.where(self.distance > 0, -self.distance / self.step, push)
        # What still approaches fast and is not there yet is an impact to come.
        active = ~(self.impacts() & (self.distance > TOUCH))
        if (active & (self.normal_velocity < target)).any():
            self._solve(active, target, rounds=4)
