"""Newton's differentiable solver (SolverSemiImplicit) on warp's CPU backend, float32; tuning is an impact's steps."""

from __future__ import annotations

import os
from importlib.metadata import version
from typing import Any

import newton
import numpy as np
import warp as wp
from task import MASS, PLANES, RADIUS, Array, Start, Task, impact_time

if os.environ.get("PEER_CACHE"):
    wp.config.kernel_cache_dir = os.environ["PEER_CACHE"]
wp.config.quiet = True


def versions() -> dict[str, str]:
    return {"newton": version("newton"), "warp": version("warp-lang")}


@wp.kernel
def _loss(poses: wp.array(dtype=wp.transform), scale: float, loss: wp.array(dtype=float)):
    x = wp.transform_get_translation(poses[wp.tid()])
    wp.atomic_add(loss, 0, scale * wp.dot(x, x))


class Run:
    """Roll-outs of one batch: a state and a contact buffer a step, recorded on a tape."""

    def __init__(self, task: Task, start: Start, dt: float, steps: int, tuning: Any) -> None:
        batch, count = start.position.shape[:2]
        spring = newton.ModelBuilder.ShapeConfig(
            density=0.0, ke=MASS * impact_time(tuning, dt), kd=0.0, kf=0.0, mu=0.0, restitution=1.0
        )
        inertia = (0.4 * MASS * RADIUS**2) if task.shape == "sphere" else MASS * (2 * RADIUS) ** 2 / 6
        world = newton.ModelBuilder()
        for i in range(count):
            body = world.add_body(
                xform=wp.transform((0.0, 0.0, i + 1.0), wp.quat_identity()),
                mass=MASS,
                inertia=wp.mat33(inertia, 0.0, 0.0, 0.0, inertia, 0.0, 0.0, 0.0, inertia),
            )
            if task.shape == "sphere":
                world.add_shape_sphere(body, radius=RADIUS, cfg=spring)
            else:
                world.add_shape_box(body, hx=RADIUS, hy=RADIUS, hz=RADIUS, cfg=spring)
        for normal, offset in PLANES:
            world.add_shape_plane(plane=(*map(float, normal), -offset), width=0.0, length=0.0, cfg=spring)
        scene = newton.ModelBuilder()
        scene.replicate(world, batch)
        with wp.ScopedDevice("cpu"):
            self.model = scene.finalize(requires_grad=True)
            self.model.set_gravity((0.0, 0.0, -9.81))
            self.solver = newton.solvers.SolverSemiImplicit(self.model, angular_damping=0.0)
            self.states = [self.model.state() for _ in range(steps + 1)]
            self.pipeline = newton.CollisionPipeline(
                self.model, broad_phase="explicit", requires_grad=True, rigid_contact_max=batch * _contacts(task)
            )
            self.contacts = [self.pipeline.contacts() for _ in range(steps)]
            self.control = self.model.control()
            self.loss = wp.zeros(1, dtype=float, requires_grad=True)
        self.dt, self.batch, self.count = dt, batch, count
        turn = np.roll(start.orientation, -1, -1)  # to x y z w
        self.poses = np.concatenate([start.position, turn], -1).reshape(-1, 7).astype(np.float32)
        self.speeds = np.concatenate([start.velocity, start.spin], -1).reshape(-1, 6).astype(np.float32)

    def _play(self) -> None:
        self.states[0].body_q.assign(self.poses)
        self.states[0].body_qd.assign(self.speeds)
        for state, after, contacts in zip(self.states, self.states[1:], self.contacts, strict=False):
            state.clear_forces()
            self.pipeline.collide(state, contacts)
            self.solver.step(state, after, self.control, contacts, self.dt)

    def forward(self) -> Array:
        """End positions, (B, N, 3)."""
        self._play()
        poses = self.states[-1].body_q.numpy()
        return np.array(poses.reshape(self.batch, self.count, 7)[..., :3])

    def gradient(self) -> tuple[Array, Array]:
        """Gradients by start positions and velocities, (B, N, 3) each."""
        self.loss.zero_()
        with wp.Tape() as tape:
            self._play()
            wp.launch(
                _loss,
                dim=self.batch * self.count,
                inputs=[self.states[-1].body_q, 1.0 / (self.batch * self.count)],
                outputs=[self.loss],
                device="cpu",
            )
        tape.backward(self.loss)
        by_x = self.states[0].body_q.grad.numpy().reshape(self.batch, self.count, 7)[..., :3].copy()
        by_v = self.states[0].body_qd.grad.numpy().reshape(self.batch, self.count, 6)[..., :3].copy()
        tape.zero()
        return by_x, by_v


def _contacts(task: Task) -> int:
    """Room for contacts of one world: all pairs of spheres; four points a pair of cubes, eight with a plane."""
    pairs = task.count * (task.count - 1) // 2
    per_pair, per_plane = (1, 1) if task.shape == "sphere" else (8, 8)
    return per_pair * pairs + per_plane * task.count * len(PLANES)


def build(task: Task, start: Start, dt: float, steps: int, tuning: Any) -> Run:
    """`tuning` is how many steps a contact lasts."""
    return Run(task, start, dt, steps, tuning)


def final(task: Task, start: Start, dt: float, steps: int, tuning: Any) -> Array:
    return Run(task, start, dt, steps, tuning).forward()
