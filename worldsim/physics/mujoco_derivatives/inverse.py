"""The scaled inverse-dynamics residual h^2 M^-1 f as a torch function, with derivatives from mjd_inverseFD."""

from __future__ import annotations

import copy
from typing import Any

import mujoco
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldsim.physics.mujoco_derivatives.model import Array, Layout, Workers
from worldsim.physics.rotation import conjugate, logarithm, multiply, normalise


def tangent_difference(layout: Layout, start: Tensor, end: Tensor) -> Tensor:
    """(..., nv) tangent vector that carries qpos `start` to `end`, as mj_differentiatePos over one second."""
    plain = torch.as_tensor(layout.plain, device=start.device)
    result = torch.zeros(*start.shape[:-1], layout.nv, dtype=start.dtype, device=start.device)
    result = result.index_copy(-1, plain[:, 1], (end - start)[..., plain[:, 0]])
    for q, v in layout.quaternions:
        first, second = normalise(start[..., q : q + 4]), normalise(end[..., q : q + 4])
        turn = logarithm(multiply(conjugate(first), second))
        result = result.index_copy(-1, torch.arange(v, v + 3, device=start.device), turn)
    return result


def _solve(model: Any, data: Any, qpos: Array, qvel: Array, qacc: Array, ctrl: Array) -> tuple[Array, Array]:
    """Missing force f = inverse dynamics - actuation, and the full mass matrix, at one instant."""
    data.qpos[:], data.qvel[:], data.qacc[:], data.ctrl[:] = qpos, qvel, qacc, ctrl
    mujoco.mj_inverse(model, data)
    force = data.qfrc_inverse.copy()
    mujoco.mj_fwdActuation(model, data)
    rows, columns = _mass_entries(model)
    mass = np.zeros((model.nv, model.nv))
    mass[rows, columns] = mass[columns, rows] = data.M
    return force - data.qfrc_actuator, mass


def _mass_entries(model: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the entries of the mass matrix that MuJoCo keeps: its lower half."""
    return np.repeat(np.arange(model.nv), model.M_rownnz), np.asarray(model.M_colind, np.int64)


class InverseResidual(torch.autograd.Function):
    """Use MujocoDynamics.inverse_residual."""

    @staticmethod
    def forward(
        ctx: Any, qpos: Tensor, qvel: Tensor, qacc: Tensor, ctrl: Tensor, workers: Workers, layout: Layout, eps: float
    ) -> Tensor:
        """h^2 M^-1 f for (K, ...) instants."""
        given = [value.detach().cpu().double().numpy() for value in (qpos, qvel, qacc, ctrl)]
        values = [layout.normalised(given[0], "qpos"), *given[1:]]
        residual = np.zeros((len(values[0]), layout.nv))
        model = _discrete(workers.model)
        scale = layout.timestep**2

        def evaluate(data: Any, k: int) -> None:
            force, mass = _solve(model, data, *(value[k] for value in values))
            residual[k] = scale * np.linalg.solve(mass, force)

        workers.run(evaluate, len(residual))
        ctx.values, ctx.given, ctx.setting = values, given, (workers, layout, eps, model)
        ctx.likes = [(value.dtype, value.device) for value in (qpos, qvel, qacc, ctrl)]
        return torch.from_numpy(residual).to(dtype=qpos.dtype, device=qpos.device)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        """With y = h^2 M^-1 g and z = M^-1 f: dL = y^T df - y^T dM z."""
        workers, layout, eps, model = ctx.setting
        nv, nu = layout.nv, layout.nu
        incoming = cotangent.detach().cpu().double().numpy()
        gradients = [np.zeros((len(incoming), width)) for width in (nv, nv, nv, nu)]
        scale = layout.timestep**2
        rows, columns = _mass_entries(model)
        twice = np.where(rows == columns, 0.5, 1.0)

        def pull(data: Any, k: int) -> None:
            here = [value[k] for value in ctx.values]
            force, mass = _solve(model, data, *here)
            y, z = scale * np.linalg.solve(mass, incoming[k]), np.linalg.solve(mass, force)
            by_q, by_v, by_a = (np.zeros((nv, nv)) for _ in range(3))
            mass_by_q = np.zeros((nv, model.nC))
            mujoco.mjd_inverseFD(model, data, eps, True, by_q, by_v, by_a, None, None, None, mass_by_q)
            # The matrix is kept as its lower half: each entry off the diagonal stands for two.
            pairs = twice * (y[rows] * z[columns] + y[columns] * z[rows])
            gradients[0][k] = by_q @ y - mass_by_q @ pairs
            gradients[1][k], gradients[2][k] = by_v @ y, by_a @ y
            if nu:
                gradients[3][k] = -_actuation(model, data, here, eps) @ y

        workers.run(pull, len(incoming))
        gradients[0] = layout.to_ambient(ctx.given[0], gradients[0])
        tensors = [
            torch.from_numpy(g).to(device, dtype) for g, (dtype, device) in zip(gradients, ctx.likes, strict=True)
        ]
        return (*tensors, None, None, None)


def _discrete(model: Any) -> Any:
    """A copy that reads qacc as the discrete acceleration of its integrator."""
    model = copy.copy(model)
    model.opt.enableflags |= mujoco.mjtEnableBit.mjENBL_INVDISCRETE
    return model


def _actuation(model: Any, data: Any, here: list[Array], eps: float) -> Array:
    """(nu, nv) derivative of the actuator forces by ctrl, by central differences at a fixed pose."""
    data.qpos[:], data.qvel[:], data.qacc[:], data.ctrl[:] = here
    mujoco.mj_inverse(model, data)
    result = np.zeros((model.nu, model.nv))
    for i in range(model.nu):
        for sign in (1.0, -1.0):
            data.ctrl[:] = here[3]
            data.ctrl[i] += sign * eps
            mujoco.mj_fwdActuation(model, data)
            result[i] += sign * data.qfrc_actuator / (2 * eps)
    return result
