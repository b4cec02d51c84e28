"""Brax, spring or positional pipeline, float32; tuning is baumgarte_erp, the share of an overlap undone in a step."""

from __future__ import annotations

import functools
import os
import warnings
from importlib.metadata import version
from typing import Any

import jax_run
from brax import math
from brax.io import mjcf as loader
from brax.positional import pipeline as positional
from brax.spring import pipeline as spring
from jax import numpy as jnp
from task import Array, Start, Task, mjcf

warnings.simplefilter("ignore")

PIPELINE: Any = spring if os.environ["PEER"] == "brax-spring" else positional


def versions() -> dict[str, str]:
    return {name: version(name) for name in ("brax", "jax", "mujoco-mjx")}


@functools.lru_cache
def _parts(task: Task) -> jax_run.Parts:
    system = loader.loads(mjcf(task, 0.005, 1e4))
    action = jnp.zeros(0)

    def at(dt: Any, tuning: Any) -> Any:
        return system.replace(opt=system.opt.replace(timestep=dt), baumgarte_erp=tuning)

    def begin(x: Any, q: Any, v: Any, w: Any, dt: Any, tuning: Any) -> Any:
        # The spin of a free joint is in body axes.
        spin = jnp.stack([math.rotate(w[i], math.quat_inv(q[i])) for i in range(task.count)])
        speeds = jnp.concatenate([v, spin], -1).reshape(-1)
        return PIPELINE.init(at(dt, tuning), jnp.concatenate([x, q], -1).reshape(-1), speeds)

    def step(state: Any, dt: Any, tuning: Any) -> Any:
        return PIPELINE.step(at(dt, tuning), state, action)

    def read(state: Any) -> Any:
        return state.x.pos

    return begin, step, read


def build(task: Task, start: Start, dt: float, steps: int, tuning: Any) -> jax_run.Run:
    """`steps` steps of dt."""
    return jax_run.Run(_parts(task), start, dt, steps, tuning)


def final(task: Task, start: Start, dt: float, steps: int, tuning: Any) -> Array:
    return jax_run.final(_parts(task), start, dt, steps, tuning)
