"""MuJoCo's step and roll-out as torch functions with right derivatives, for any MJCF.

Forward runs on threads in C. Backward solves the adjoint recursion lambda_t = A_t^T lambda_(t+1) + cotangent_t with the
transition matrices A_t, B_t of mjd_transitionFD, made in the backward pass only and never stored: memory does not
grow beyond the states themselves. Cotangents of qpos are carried through the tangent space at both ends.
"""

from __future__ import annotations

import math
from typing import Any

import mujoco
import mujoco.rollout
import numpy as np
import torch
from torch import Tensor

from worldsim.physics.mujoco_derivatives.inverse import InverseResidual, tangent_difference
from worldsim.physics.mujoco_derivatives.model import Array, Layout, Workers, derivative_copy, load
from worldsim.physics.mujoco_derivatives.transition import transition


class MujocoDynamics:
    """The dynamics of one MJCF, batched over worlds and differentiable in state and ctrl.

    A state is (..., nstate): qpos, qvel, act one after another. Ambient derivatives with respect to a quaternion have
    no part along it, since only its direction counts. Float32 and float64 outside, float64 within.

    Args:
        model: MjModel (copied), XML string or path of an MJCF.
        num_threads: Threads over worlds, forward and backward.
        eps: Step of the finite differences inside mjd_transitionFD, in units of the coordinates.
        centred: Central differences, twice the cost and an error of eps^2; forward differences else.
        contact_d0: Where given, derivatives are those of a model with this d0 in solimp (0: contact forces begin
            smoothly, which gives a bias and a far smaller variance); the forward pass is never touched.

    Attributes:
        model: The MjModel that plays.
        layout: Lengths and places of qpos, qvel, act and ctrl.
    """

    def __init__(
        self,
        model: Any,
        num_threads: int = 1,
        *,
        eps: float = 1e-6,
        centred: bool = False,
        contact_d0: float | None = None,
    ) -> None:
        if not 0 < eps < 1e-1:
            raise ValueError(f"eps: must be above 0 and below 0.1, got {eps!r}")
        self.model = load(model)
        self.layout = Layout.of(self.model)
        self.eps = eps
        self.centred = centred
        self._workers = Workers(derivative_copy(self.model, contact_d0), num_threads)
        self._datas = [mujoco.MjData(self.model) for _ in range(num_threads)]
        self._rollout = mujoco.rollout.Rollout(nthread=num_threads if num_threads > 1 else 0)

    def initial_state(self, batch: int, dtype: torch.dtype = torch.float64) -> Tensor:
        """(batch, nstate) states at qpos0 and rest."""
        rest = np.concatenate([self.model.qpos0, np.zeros(self.layout.nv + self.layout.na)])
        return torch.tensor(rest, dtype=dtype).repeat(batch, 1)

    def step(self, state: Tensor, ctrl: Tensor | None = None) -> Tensor:
        """One timestep.

        Args:
            state: (B, nstate) qpos, qvel, act.
            ctrl: (B, nu); zeros where left out.

        Returns:
            (B, nstate) one model timestep later.

        Raises:
            ValueError: Where a shape or a quaternion is wrong, or a value is not finite.
            FloatingPointError: Where a world diverges.
        """
        if ctrl is None:
            ctrl = state.new_zeros(*state.shape[:1], self.layout.nu)
        return self.rollout(state, ctrl[:, None])[:, 0]

    def rollout(self, state: Tensor, ctrl_sequence: Tensor) -> Tensor:
        """Many timesteps.

        Args:
            state: (B, nstate) qpos, qvel, act at the start.
            ctrl_sequence: (B, T, nu), row t applied from step t to t + 1; (B, T, 0) for a model without actuators.

        Returns:
            (B, T, nstate) states after each step.

        Raises:
            ValueError: Where a shape or a quaternion is wrong, or a value is not finite.
            FloatingPointError: Where a world diverges, naming world and step.
        """
        self._check(state, ctrl_sequence)
        result: Tensor = MujocoRollout.apply(state, ctrl_sequence, self)
        return result

    def inverse_residual(self, qpos: Tensor, qvel: Tensor, qacc: Tensor, ctrl: Tensor | None = None) -> Tensor:
        """How far a motion is from what the model's forces make of it: h^2 M^-1 (inverse dynamics - actuation).

        Zero where (qpos, qvel, qacc) obeys the law under ctrl, with qacc the discrete acceleration
        (v(t + h) - v(t)) / h (flag invdiscrete). The scale makes it the displacement that the missing force would
        cause within one step: metres and radians, not newtons, which 1 mm of position noise would drown.

        Args:
            qpos: (..., nq).
            qvel: (..., nv).
            qacc: (..., nv).
            ctrl: (..., nu); zeros where left out.

        Returns:
            (..., nv) metres for sliding and radians for turning coordinates.

        Raises:
            ValueError: Where a shape or a quaternion is wrong, or the model has activations or integrates by RK4.
        """
        lead = qpos.shape[:-1]
        if ctrl is None:
            ctrl = qpos.new_zeros(*lead, self.layout.nu)
        self._check_inverse(qpos, qvel, qacc, ctrl)
        count = math.prod(lead)
        flat = [value.reshape(count, value.shape[-1]) for value in (qpos, qvel, qacc, ctrl)]
        residual: Tensor = InverseResidual.apply(*flat, self._workers, self.layout, self.eps)
        return residual.reshape(*lead, self.layout.nv)

    def sequence_residual(self, qpos: Tensor, ctrl: Tensor | None = None) -> Tensor:
        """inverse_residual of a sequence of poses one timestep apart, with velocities from their differences.

        With v(t) = (q(t) - q(t - h)) / h, as semi-implicit integrators have it, a roll-out of the model itself has
        residual zero.

        Args:
            qpos: (..., T, nq), T of 3 or above.
            ctrl: (..., T, nu), row t applied from t on; zeros where left out.

        Returns:
            (..., T - 2, nv) for the instants 1 to T - 2.
        """
        if qpos.dim() < 2 or qpos.shape[-2] < 3 or qpos.shape[-1] != self.layout.nq:
            raise ValueError(f"qpos: must have shape (..., T >= 3, {self.layout.nq}), got {tuple(qpos.shape)}")
        velocity = tangent_difference(self.layout, qpos[..., :-1, :], qpos[..., 1:, :]) / self.layout.timestep
        acceleration = (velocity[..., 1:, :] - velocity[..., :-1, :]) / self.layout.timestep
        middle = None if ctrl is None else ctrl[..., 1:-1, :]
        return self.inverse_residual(qpos[..., 1:-1, :], velocity[..., :-1, :], acceleration, middle)

    def _check(self, state: Tensor, ctrl: Tensor) -> None:
        layout = self.layout
        if state.dim() != 2 or state.shape[1] != layout.nstate:
            raise ValueError(f"state: must have shape (B, {layout.nstate}), got {tuple(state.shape)}")
        if ctrl.dim() != 3 or ctrl.shape[0] != state.shape[0] or ctrl.shape[2] != layout.nu or ctrl.shape[1] < 1:
            expected = f"({state.shape[0]}, T >= 1, {layout.nu})"
            raise ValueError(f"ctrl_sequence: must have shape {expected}, got {tuple(ctrl.shape)}")
        for name, value in (("state", state), ("ctrl_sequence", ctrl)):
            _check_numbers(name, value)

    def _check_inverse(self, qpos: Tensor, qvel: Tensor, qacc: Tensor, ctrl: Tensor) -> None:
        layout = self.layout
        if layout.na:
            raise ValueError(f"model: must have no activations for the inverse residual, got {layout.na}")
        if self.model.opt.integrator == mujoco.mjtIntegrator.mjINT_RK4:
            raise ValueError("model.opt.integrator: must be one with a discrete inverse (not RK4), got RK4")
        widths = {"qpos": layout.nq, "qvel": layout.nv, "qacc": layout.nv, "ctrl": layout.nu}
        for (name, width), value in zip(widths.items(), (qpos, qvel, qacc, ctrl), strict=True):
            shape = (*qpos.shape[:-1], width)
            if value.shape != shape:
                raise ValueError(f"{name}: must have shape {tuple(shape)}, got {tuple(value.shape)}")
            _check_numbers(name, value)

    def _play(self, state: Array, ctrl: Array) -> Array:
        """(B, T, nstate) states after each step; without gradient."""
        batch, steps = ctrl.shape[:2]
        start = np.concatenate([np.zeros((batch, 1)), state], 1)
        controls = ctrl if self.layout.nu else None
        played, _ = self._rollout.rollout([self.model] * batch, self._datas, start, controls, nstep=steps)
        return np.asarray(played[:, :, 1:])


def _check_numbers(name: str, value: Tensor) -> None:
    if value.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"{name}: must be float32 or float64, got {value.dtype}")
    if not bool(torch.isfinite(value).all()):
        raise ValueError(f"{name}: must be finite, got {int((~torch.isfinite(value)).sum())} entries that are not")


class MujocoRollout(torch.autograd.Function):
    """Roll-out with the adjoint recursion as its backward; use MujocoDynamics.rollout."""

    @staticmethod
    def forward(ctx: Any, state: Tensor, ctrl: Tensor, dynamics: MujocoDynamics) -> Tensor:
        """Play; see MujocoDynamics.rollout."""
        layout = dynamics.layout
        start = state.detach().cpu().double().numpy().copy()
        start[:, : layout.nq] = layout.normalised(start[:, : layout.nq], "state")
        controls = np.ascontiguousarray(ctrl.detach().cpu().double().numpy())
        played = dynamics._play(start, controls)
        bad = ~np.isfinite(played).all(-1)
        if bad.any():
            world, step = np.argwhere(bad)[0]
            raise FloatingPointError(f"rollout: world {world} diverged at step {step + 1} of {played.shape[1]}")
        ctx.dynamics, ctx.given = dynamics, state.detach().cpu().double().numpy()
        ctx.states, ctx.controls = np.concatenate([start[:, None], played], 1), controls
        ctx.state_like, ctx.ctrl_like = (state.dtype, state.device), (ctrl.dtype, ctrl.device)
        return torch.from_numpy(played).to(dtype=state.dtype, device=state.device)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, Tensor, None]:
        """Adjoint recursion over the worlds in parallel."""
        dynamics, layout = ctx.dynamics, ctx.dynamics.layout
        states, controls = ctx.states, ctx.controls
        nq, nv, nu = layout.nq, layout.nv, layout.nu
        size = 2 * nv + layout.na
        given = cotangent.detach().cpu().double().numpy()
        tangent = layout.to_tangent(states[:, 1:, :nq], given[..., :nq])
        incoming = np.concatenate([tangent, given[..., nq:]], -1)
        to_start = np.zeros((len(states), size))
        to_ctrl = np.zeros(controls.shape)
        model = dynamics._workers.model

        def sweep(data: Any, world: int) -> None:
            a, b = np.zeros((size, size)), np.zeros((size, nu))
            adjoint = np.zeros(size)
            for t in range(controls.shape[1] - 1, -1, -1):
                adjoint += incoming[world, t]
                state, ctrl = states[world, t], controls[world, t]
                transition(model, data, layout, state, ctrl, dynamics.eps, dynamics.centred, a, b)
                to_ctrl[world, t] = b.T @ adjoint
                adjoint = a.T @ adjoint
            to_start[world] = adjoint

        dynamics._workers.run(sweep, len(states))
        ambient = layout.to_ambient(ctx.given[:, :nq], to_start[:, :nv])
        gradient = torch.from_numpy(np.concatenate([ambient, to_start[:, nv:]], -1))
        (dtype, device), (ctrl_dtype, ctrl_device) = ctx.state_like, ctx.ctrl_like
        return gradient.to(device, dtype), torch.from_numpy(to_ctrl).to(ctrl_device, ctrl_dtype), None
