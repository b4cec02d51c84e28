"""Advance a compiled scene in time: smooth motion first, contact by the scene's law at its end, impacts located.

Smooth motion (gravity, drag, joints, actuators) knows no contacts. It is in closed form where bodies fly freely, else
by MuJoCo's Runge-Kutta of fourth order or, where joints are damped or driven, its implicitfast with positions by the
mean of old and new velocity. Free flight is one step for as long as nothing can touch. Other steps are short, and
contacts are looked for at their end. Where something struck, the step is taken again, shorter, so that it ends at the
touch, and the impact is resolved there.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from worldsim.engines.mujoco.backend import mujoco
from worldsim.engines.mujoco.contact import TOUCH, ContactSolver
from worldsim.engines.mujoco.flight import Flight, flies_freely
from worldsim.engines.mujoco.model import Compiled, compile_scene
from worldsim.engines.mujoco.states import read_velocities, set_start
from worldsim.engines.record import Touches
from worldsim.engines.stepping import MAX_STEP, divide, tightest_pair
from worldsim.scene import Scene

Array = NDArray[np.float64]
# Longest step in contact, seconds: resting bodies hold still and sliding ones brake exactly at any step.
CONTACT_STEP = 2e-3
# Longest step away from contact, seconds. Its error is that of Runge-Kutta; impacts within are located.
FREE_STEP = 4e-3
# How long short steps are taken where no longer one is certain to be free, before it is asked again, seconds.
PATIENCE = 4 * FREE_STEP
# A step that moves nothing by more than this, metres, radians and their rates, will be followed by its like.
STILL = 1e-11
# How often a step is shortened to end at a touch.
RETRIES = 4
# Steps are no shorter than this, seconds.
SHORTEST = 1e-9


class Player:
    """One scene in play: model, data and the clock.

    Args:
        scene: To be played; its start states are set.
        compiled: The scene's model where there is one already.
    """

    def __init__(self, scene: Scene, compiled: Compiled | None = None) -> None:
        self.scene = scene
        self.compiled = compiled or compile_scene(scene)
        self.model = self.compiled.model
        self.data = mujoco.MjData(self.model)
        self.time = 0.0
        self.tightest = tightest_pair(scene)
        self.extents = np.array([0.0 if body.static else body.shape.extent for body in scene.bodies])
        gravity = float(np.linalg.norm(scene.law.gravity))
        restitution = np.array([body.restitution for body in scene.bodies])
        self.solver = ContactSolver(
            self.model,
            self.data,
            self.compiled.geom_owner,
            np.sqrt(restitution[:, None] * restitution[None, :]),
            gravity,
        )
        option = self.model.opt
        integrators = mujoco.mjtIntegrator
        option.integrator = int(integrators.mjINT_IMPLICITFAST if self.compiled.damped else integrators.mjINT_RK4)
        option.tolerance = 1e-12
        flags = mujoco.mjtDisableBit
        self._with_contact = int(flags.mjDSBL_AUTORESET)
        self._without_contact = self._with_contact | int(flags.mjDSBL_CONTACT)
        dragged = scene.law.drag > 0
        self._dragged = self.compiled.body_ids[list(self.compiled.jointed)] if dragged else np.zeros(0, np.int64)
        self.touches: list[Touches] = []
        set_start(self.compiled, self.data, scene)
        option.disableflags = self._with_contact
        mujoco.mj_fwdPosition(self.model, self.data)
        self.near = self.solver.gather(self.data.qvel.copy())
        if self.near:
            self._record()
        free = flies_freely(scene, self.compiled)
        self.flight = Flight(scene, self.compiled, self.data) if free else None
        # Until when nothing can touch, and when to ask for that again, seconds.
        self.clear_until, self.ask_at = 0.0, 0.0

    def advance(self, until: float) -> None:
        """Play up to that time, in seconds, exactly."""
        budget = None
        while until - self.time > SHORTEST:
            if self._fly(until):
                continue
            if budget is None:
                self._choose_steps(until - self.time)
                budget = 40 * max(1, round((until - self.time) / self.step))
            longest = self.step if self.near else self.free_step
            # Equal steps to the end, so that no sliver remains.
            left = until - self.time
            step = left / math.ceil(left / longest - 1e-9)
            if self.near:
                step = min(step, self._next_touch())
            budget -= 1
            before = self.data.qpos.copy() if self.near else None
            self._take(max(step, SHORTEST), locate=budget > 0)
            if before is not None and self.near and self._stands_still(before):
                break
        self.time = until

    def _fly(self, until: float) -> bool:
        """Cross the time in which nothing can touch, no further than to `until`; whether there was any worth it."""
        if self.flight is None:
            return False
        if self.near:
            self.ask_at = self.time
            return False
        if self.time >= self.clear_until:
            if self.time < self.ask_at:
                return False
            self.clear_until = self.time + self.flight.clear()
        end = min(until, self.clear_until)
        if end < until and end - self.time < FREE_STEP:
            self.clear_until, self.ask_at = self.time, self.time + PATIENCE
            return False
        self.flight.fly(end - self.time)
        self.time = end
        return True

    def _choose_steps(self, interval: float) -> None:
        """Cut the interval by the speeds at its start, with room for what gravity and drives add."""
        model, data = self.model, self.data
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_comVel(model, data)
        linear, angular = read_velocities(self.compiled, data)
        fastest = float((np.linalg.norm(linear, axis=1) + np.linalg.norm(angular, axis=1) * self.extents).max())
        speed = fastest + self.solver.gravity * interval
        if self.compiled.damped:
            # Stiff joints want shorter steps than contact does, and drives can speed a link up within a frame.
            self.step = divide(interval, 2 * speed + 1.0, self.tightest, MAX_STEP).step
            self.free_step = self.step
        else:
            self.step = divide(interval, speed, self.tightest, CONTACT_STEP).step
            self.free_step = divide(interval, speed, self.tightest, FREE_STEP).step
        self.solver.set_step(self.step)

    def _stands_still(self, before: Array) -> bool:
        """Whether a step in contact left the state as it was; nothing but new controls will then ever move it."""
        data = self.data
        return bool(np.abs(data.qvel).max() < STILL and np.abs(data.qpos - before).max() < STILL)

    def _next_touch(self) -> float:
        """Seconds until the first of the fast approaching contacts in sight touches."""
        solver = self.solver
        fast = solver.impacts()
        if fast is None:
            return np.inf
        coming = fast & (solver.distance > TOUCH)
        if not coming.any():
            return np.inf
        return float((solver.distance[coming] / -solver.normal_velocity[coming]).min())

    def _smooth(self, step: float) -> None:
        if self.flight is not None:
            self.flight.fly(step)
            return
        model, data, option = self.model, self.data, self.model.opt
        option.disableflags = self._without_contact
        option.timestep = step
        if len(self._dragged):
            self._drag_links()
        if self.compiled.damped:
            before = data.qvel.copy()
            mujoco.mj_step(model, data)
            # From x + h v' to x + h (v + v') / 2, exact under constant acceleration.
            mujoco.mj_integratePos(model, data.qpos, before - data.qvel, step / 2)
        else:
            mujoco.mj_step(model, data)
        option.disableflags = self._with_contact

    def _drag_links(self) -> None:
        """Drag of jointed bodies as a force on their centres of mass, held over the step."""
        model, data = self.model, self.data
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_comVel(model, data)
        velocity = np.zeros(6)
        for number in self._dragged:
            mujoco.mj_objectVelocity(model, data, int(mujoco.mjtObj.mjOBJ_BODY), int(number), velocity, 0)
            data.xfrc_applied[number, :3] = -self.scene.law.drag * model.body_mass[number] * velocity[3:]

    def _take(self, step: float, locate: bool) -> None:
        """One step, shortened to the touch where something struck, with its contacts resolved."""
        model, data, solver = self.model, self.data, self.solver
        position, velocity = data.qpos.copy(), data.qvel.copy()
        for attempt in range(RETRIES + 1):
            self._smooth(step)
            if not self.near:
                # Cheaper than the whole of mj_fwdPosition where, as mostly, nothing is near.
                mujoco.mj_kinematics(model, data)
                mujoco.mj_collision(model, data)
                if data.ncon == 0:
                    break
            mujoco.mj_fwdPosition(model, data)
            self.near = solver.gather(velocity)
            if not self.near or not locate or attempt == RETRIES:
                break
            fast = solver.impacts()
            if fast is None:
                break
            struck = fast & (solver.distance < -TOUCH)
            if not struck.any():
                break
            late = -solver.distance[struck] / -solver.normal_velocity[struck]
            late = late[late < step]
            if len(late) == 0 or step - float(late.max()) < SHORTEST:
                break
            step -= float(late.max())
            data.qpos[:], data.qvel[:] = position, velocity
        self.time += step
        if not self.near:
            return
        solver.resolve_impacts()
        before = data.qvel.copy()
        solver.resolve_rest()
        mujoco.mj_integratePos(model, data.qpos, data.qvel - before, step / 2)
        self._record()

    def _record(self) -> None:
        solver, contact = self.solver, self.data.contact
        touching = (solver.distance <= TOUCH) | (solver.force > 0)
        if touching.any():
            self.touches.append(
                Touches(
                    self.time,
                    solver.places()[touching],
                    solver.distance[touching],
                    contact.frame[solver.index, :3][touching],
                    contact.pos[solver.index][touching],
                    solver.force[touching],
                )
            )
