"""MuJoCo MJX, float32 or float64, one Newton iteration (more cannot be differentiated); tuning is an impact's steps."""

from __future__ import annotations

import functools
from importlib.metadata import version
from typing import Any

import jax_run
import mujoco
from jax import numpy as jnp
from mujoco import mjx
from mujoco.mjx._src import math
from task import Array, Start, Task, mjcf


def versions() -> dict[str, str]:
    return {name: version(name) for name in ("mujoco-mjx", "jax")}


@functools.lru_cache
def _parts(task: Task) -> jax_run.Parts:
    model = mjx.put_model(mujoco.MjModel.from_xml_string(mjcf(task, 0.005, 1e4)))
    empty = mjx.make_data(model)

    def at(dt: Any, tuning: Any) -> Any:
        stiffness = (jnp.pi / (tuning * dt)) ** 2
        spring = jnp.stack([-stiffness, jnp.zeros_like(stiffness)])
        changed = model.opt.replace(timestep=jnp.asarray(dt, model.opt.timestep.dtype))
        return model.replace(opt=changed, geom_solref=jnp.broadcast_to(spring, model.geom_solref.shape))

    def begin(x: Any, q: Any, v: Any, w: Any, dt: Any, tuning: Any) -> Any:
        spin = jnp.stack([math.rotate(w[i], math.quat_inv(q[i])) for i in range(task.count)])
        poses, speeds = jnp.concatenate([x, q], -1), jnp.concatenate([v, spin], -1)
        return empty.replace(qpos=poses.reshape(-1), qvel=speeds.reshape(-1))

    def step(state: Any, dt: Any, tuning: Any) -> Any:
        return mjx.step(at(dt, tuning), state)

    def read(state: Any) -> Any:
        return state.qpos.reshape(-1, 7)[:, :3]

    return begin, step, read


def build(task: Task, start: Start, dt: float, steps: int, tuning: Any) -> jax_run.Run:
    """`tuning` is how many steps a contact lasts."""
    return jax_run.Run(_parts(task), start, dt, steps, float(tuning))


def final(task: Task, start: Start, dt: float, steps: int, tuning: Any) -> Array:
    return jax_run.final(_parts(task), start, dt, steps, tuning)
