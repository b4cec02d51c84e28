"""Roll-outs of a JAX engine: compiled for a batch and number of steps; end positions alone, for all steps."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np
from jax import numpy as jnp
from task import Array, Start

if os.environ.get("PEER", "").endswith("float64"):
    jax.config.update("jax_enable_x64", True)
if os.environ.get("PEER_CACHE"):
    jax.config.update("jax_compilation_cache_dir", os.environ["PEER_CACHE"])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)

# Of one world: (position, orientation, velocity, spin, dt, tuning) -> state; (state, dt, tuning) -> state;
# state -> (N, 3).
Parts = tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]


class Run:
    """Roll-outs of one batch at one time step."""

    def __init__(self, parts: Parts, start: Start, dt: float, steps: int, tuning: float) -> None:
        begin, step, read = parts
        real = jnp.zeros(0).dtype
        self.arrays = [
            jnp.asarray(part, real) for part in (start.position, start.velocity, start.orientation, start.spin)
        ]

        def end(x: Any, v: Any, q: Any, w: Any) -> Any:
            state = begin(x, q, v, w, dt, tuning)
            state, _ = jax.lax.scan(lambda s, _: (step(s, dt, tuning), None), state, None, length=steps)
            return read(state)

        def loss(x: Any, v: Any, q: Any, w: Any) -> Any:
            return jnp.square(jax.vmap(end)(x, v, q, w)).sum(-1).mean()

        self._forward = jax.jit(jax.vmap(end))
        self._gradient = jax.jit(jax.grad(loss, (0, 1)))

    def forward(self) -> Array:
        """End positions, (B, N, 3)."""
        return np.asarray(self._forward(*self.arrays))

    def gradient(self) -> tuple[Array, Array]:
        """Gradients by start positions and velocities, (B, N, 3) each."""
        by_x, by_v = self._gradient(*self.arrays)
        return np.asarray(by_x), np.asarray(by_v)


@functools.lru_cache
def _flexible(parts: Parts) -> Any:
    begin, step, read = parts

    def end(x: Any, v: Any, q: Any, w: Any, dt: Any, tuning: Any, steps: Any) -> Any:
        state = begin(x, q, v, w, dt, tuning)
        return read(jax.lax.fori_loop(0, steps, lambda _, s: step(s, dt, tuning), state))

    return jax.jit(jax.vmap(end, (0, 0, 0, 0, None, None, None)))


def final(parts: Parts, start: Start, dt: float, steps: int, tuning: float) -> Array:
    """End positions, with dt, tuning and the number of steps as arguments of the compiled function."""
    real = jnp.zeros(0).dtype
    arrays = [jnp.asarray(part, real) for part in (start.position, start.velocity, start.orientation, start.spin)]
    return np.asarray(_flexible(parts)(*arrays, jnp.asarray(dt, real), jnp.asarray(tuning, real), steps))
