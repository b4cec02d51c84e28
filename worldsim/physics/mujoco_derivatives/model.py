"""What derivatives need of a MuJoCo model: checked state layout, copies for derivatives, tangent spaces of qpos."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
# Quaternions in single precision are off unit length by about 1e-7; anything above this is refused.
_UNIT = 1e-3


@dataclass(frozen=True)
class Layout:
    """Where things lie in qpos and qvel.

    Attributes:
        nq: Length of qpos.
        nv: Length of qvel and of tangent vectors of qpos.
        na: Length of act.
        nu: Length of ctrl.
        quaternions: (K, 2) first index in qpos and in qvel of each ball's and free joint's rotation.
        plain: (P, 2) index in qpos and in qvel of coordinates that are their own tangent.
        timestep: Seconds.
    """

    nq: int
    nv: int
    na: int
    nu: int
    quaternions: NDArray[np.int64]
    plain: NDArray[np.int64]
    timestep: float

    @staticmethod
    def of(model: Any) -> Layout:
        """The layout of an MjModel."""
        quaternions, plain = [], []
        for kind, q, v in zip(model.jnt_type, model.jnt_qposadr, model.jnt_dofadr, strict=True):
            if kind == mujoco.mjtJoint.mjJNT_FREE:
                plain += [(q + i, v + i) for i in range(3)]
                quaternions.append((q + 3, v + 3))
            elif kind == mujoco.mjtJoint.mjJNT_BALL:
                quaternions.append((q, v))
            else:
                plain.append((q, v))
        return Layout(
            nq=model.nq,
            nv=model.nv,
            na=model.na,
            nu=model.nu,
            quaternions=np.array(quaternions, np.int64).reshape(-1, 2),
            plain=np.array(plain, np.int64).reshape(-1, 2),
            timestep=float(model.opt.timestep),
        )

    @property
    def nstate(self) -> int:
        """Length of a state: qpos, qvel, act."""
        return self.nq + self.nv + self.na

    def normalised(self, qpos: Array, name: str) -> Array:
        """The same (..., nq) with unit quaternions; refuses those that are far from unit length."""
        qpos = qpos.copy()
        for q, _ in self.quaternions:
            norm = np.linalg.norm(qpos[..., q : q + 4], axis=-1, keepdims=True)
            if not (np.abs(norm - 1) < _UNIT).all():
                worst = norm.reshape(-1)[np.abs(norm - 1).argmax()]
                raise ValueError(f"{name}: must hold unit quaternions at {q}:{q + 4}, got one of length {worst:g}")
            qpos[..., q : q + 4] /= norm
        return qpos

    def to_tangent(self, qpos: Array, cotangent: Array) -> Array:
        """Pull (..., nq) cotangents at a result back to its tangent space: (..., nv).

        MuJoCo turns q into q exp(w) with w in body axes, so dq = q (0, w) / 2 (Sola, arXiv 1711.02508, section 4).
        """
        result = np.zeros((*cotangent.shape[:-1], self.nv))
        result[..., self.plain[:, 1]] = cotangent[..., self.plain[:, 0]]
        for q, v in self.quaternions:
            result[..., v : v + 3] = 0.5 * _body_part(qpos[..., q : q + 4], cotangent[..., q : q + 4])
        return result

    def to_ambient(self, qpos: Array, cotangent: Array) -> Array:
        """Pull (..., nv) cotangents at an argument's tangent space back to qpos itself: (..., nq).

        The dynamics see q / |q| only, so nothing points along q: w = 2 vec(conj(q) dq) / |q|^2.
        """
        result = np.zeros((*cotangent.shape[:-1], self.nq))
        result[..., self.plain[:, 0]] = cotangent[..., self.plain[:, 1]]
        for q, v in self.quaternions:
            quaternion = qpos[..., q : q + 4]
            square = (quaternion * quaternion).sum(-1, keepdims=True)
            result[..., q : q + 4] = 2 * _from_body(quaternion, cotangent[..., v : v + 3]) / square
        return result


def _body_part(q: Array, g: Array) -> Array:
    """(..., 3) vector part of conj(q) g: the rows q (0, e_i) dotted with g."""
    w, v = q[..., :1], q[..., 1:]
    result: Array = w * g[..., 1:] - g[..., :1] * v - np.cross(v, g[..., 1:])
    return result


def _from_body(q: Array, g: Array) -> Array:
    """(..., 4) quaternion product q (0, g)."""
    w, v = q[..., :1], q[..., 1:]
    scalar = -(v * g).sum(-1, keepdims=True)
    return np.concatenate([scalar, w * g + np.cross(v, g)], -1)


def load(model: Any) -> Any:
    """An MjModel of one's own, from a model, an XML string or a path, which gives NaN instead of resetting itself.

    Raises:
        ValueError: Where the state holds more than qpos, qvel and act (plugins, delays).
    """
    if isinstance(model, (str, os.PathLike)):
        text = os.fspath(model)
        parse = mujoco.MjModel.from_xml_string if "<mujoco" in text else mujoco.MjModel.from_xml_path
        model = parse(text)
    elif isinstance(model, mujoco.MjModel):
        model = copy.copy(model)
    else:
        raise ValueError(f"model: must be an MjModel, an XML string or a path, got {type(model).__name__}")
    size = mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_FULLPHYSICS)
    plain = 1 + model.nq + model.nv + model.na
    if size != plain:
        raise ValueError(f"model: must have no state but qpos, qvel and act ({plain} with time), got {size}")
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
    return model


def derivative_copy(model: Any, contact_d0: float | None) -> Any:
    """A copy whose constraint solver runs until it gains nothing more, with softer contact onset where asked for.

    Args:
        model: MjModel.
        contact_d0: Replaces d0 of solimp of every geom and pair; 0 lets contact forces begin smoothly at touch.
    """
    model = copy.copy(model)
    model.opt.tolerance = 0.0
    if contact_d0 is not None:
        if not 0 <= contact_d0 < 1:
            raise ValueError(f"contact_d0: must be 0 or above and below 1, got {contact_d0!r}")
        model.geom_solimp[:, 0] = contact_d0
        model.pair_solimp[:, 0] = contact_d0
        model.opt.o_solimp[0] = contact_d0
    return model


class Workers:
    """Threads that share a list of worlds, each with its own MjData. MuJoCo lets go of the interpreter's lock."""

    def __init__(self, model: Any, num_threads: int) -> None:
        if not isinstance(num_threads, int) or num_threads < 1:
            raise ValueError(f"num_threads: must be a whole number of 1 or above, got {num_threads!r}")
        self.model = model
        self.datas = [mujoco.MjData(model) for _ in range(num_threads)]
        self._pool = ThreadPoolExecutor(num_threads) if num_threads > 1 else None

    def run(self, task: Callable[[Any, int], None], count: int) -> None:
        """Call task(data, world) for each world from 0 to count - 1."""
        if self._pool is None:
            for world in range(count):
                task(self.datas[0], world)
            return

        def share(worker: int) -> None:
            for world in range(worker, count, len(self.datas)):
                task(self.datas[worker], world)

        for _ in self._results(share):
            pass

    def _results(self, share: Callable[[int], None]) -> Iterator[None]:
        assert self._pool is not None
        return self._pool.map(share, range(len(self.datas)))
