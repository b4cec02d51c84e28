"""The transition matrices of one MuJoCo step: mjd_transitionFD, and plain differences where it does not reach."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np

from worldsim.physics.mujoco_derivatives.model import Array, Layout


def place(data: Any, layout: Layout, state: Array, ctrl: Array) -> None:
    """Write one world's state into data; the solver starts cold, so that threads cannot change a result."""
    nq, nv = layout.nq, layout.nv
    data.time = 0.0
    data.qpos[:] = state[:nq]
    data.qvel[:] = state[nq : nq + nv]
    data.act[:] = state[nq + nv :]
    data.ctrl[:] = ctrl
    data.qacc_warmstart[:] = 0.0


def transition(
    model: Any, data: Any, layout: Layout, state: Array, ctrl: Array, eps: float, centred: bool, a: Array, b: Array
) -> None:
    """Fill A = d next / d state and B = d next / d ctrl, both in tangent coordinates (dqpos, qvel, act).

    Args:
        model: MjModel.
        data: MjData, overwritten.
        layout: Of the model.
        state: (nstate,) qpos, qvel, act.
        ctrl: (nu,).
        eps: Step of the differences, in units of the coordinates.
        centred: Central instead of forward differences.
        a: (2 nv + na, 2 nv + na), overwritten.
        b: (2 nv + na, nu), overwritten.
    """
    place(data, layout, state, ctrl)
    if model.opt.integrator != mujoco.mjtIntegrator.mjINT_RK4:
        mujoco.mjd_transitionFD(model, data, eps, centred, a, b if layout.nu else None, None, None)
        return
    # mjd_transitionFD refuses RK4: whole steps are differenced instead.
    nq, nv = layout.nq, layout.nv
    size = 2 * nv + layout.na

    def shifted(column: int, by: float) -> Array:
        place(data, layout, state, ctrl)
        if column < nv:
            turn = np.zeros(nv)
            turn[column] = by
            mujoco.mj_integratePos(model, data.qpos, turn, 1.0)
        elif column < 2 * nv:
            data.qvel[column - nv] += by
        elif column < size:
            data.act[column - 2 * nv] += by
        else:
            data.ctrl[column - size] += by
        mujoco.mj_step(model, data)
        return np.concatenate([data.qpos, data.qvel, data.act])

    middle = shifted(0, 0.0)
    for column in range(size + layout.nu):
        high, low = shifted(column, eps), shifted(column, -eps) if centred else middle
        change = np.zeros(size)
        mujoco.mj_differentiatePos(model, change[:nv], 1.0, low[:nq], high[:nq])
        change[nv:] = high[nq:] - low[nq:]
        change /= 2 * eps if centred else eps
        (a if column < size else b)[:, column if column < size else column - size] = change
