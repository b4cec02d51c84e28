"""Rotations in torch: unit quaternions w x y z that turn body axes into world axes, and the rigid fit of point sets.

Every function takes any leading axes, differentiates without NaN at the identity, and checks nothing: callers at the
border do. Formulas: Sola, "Quaternion kinematics for the error-state Kalman filter" (arXiv 1711.02508).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

# Below this squared angle the series are exact to double precision, and no square root is taken.
_SMALL = 1e-6


def multiply(a: Tensor, b: Tensor) -> Tensor:
    """Hamilton product: the rotation b first, then a.

    Args:
        a: (..., 4) quaternion.
        b: (..., 4) quaternion.

    Returns:
        (..., 4) quaternion.
    """
    aw, ax, ay, az = a.unbind(-1)
    bw, bx, by, bz = b.unbind(-1)
    return torch.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        -1,
    )


def conjugate(q: Tensor) -> Tensor:
    """The inverse of a (..., 4) unit quaternion."""
    return torch.cat([q[..., :1], -q[..., 1:]], -1)


def normalise(q: Tensor) -> Tensor:
    """The (..., 4) quaternion scaled to unit length; zero stays zero."""
    return q / q.square().sum(-1, keepdim=True).clamp_min(torch.finfo(q.dtype).tiny).sqrt()


def to_matrix(q: Tensor) -> Tensor:
    """(..., 3, 3) rotation matrix of a (..., 4) unit quaternion; its columns are the body axes in the world frame."""
    w, x, y, z = q.unbind(-1)
    rows = [
        torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], -1),
        torch.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], -1),
        torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], -1),
    ]
    return torch.stack(rows, -2)


def from_matrix(matrix: Tensor) -> Tensor:
    """(..., 4) unit quaternion of a (..., 3, 3) rotation matrix.

    Takes the largest of four equivalent forms, so that no small number is divided by (Shepperd 1978).
    """
    m = matrix
    trace = m[..., 0, 0] + m[..., 1, 1] + m[..., 2, 2]
    squares = torch.stack(
        [
            1 + trace,
            1 + 2 * m[..., 0, 0] - trace,
            1 + 2 * m[..., 1, 1] - trace,
            1 + 2 * m[..., 2, 2] - trace,
        ],
        -1,
    )
    wx, wy, wz = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    xy, xz, yz = m[..., 0, 1] + m[..., 1, 0], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1]
    w2, x2, y2, z2 = squares.unbind(-1)
    forms = torch.stack(
        [
            torch.stack([w2, wx, wy, wz], -1),
            torch.stack([wx, x2, xy, xz], -1),
            torch.stack([wy, xy, y2, yz], -1),
            torch.stack([wz, xz, yz, z2], -1),
        ],
        -2,
    )
    best = squares.detach().argmax(-1)[..., None, None].expand(*squares.shape[:-1], 1, 4)
    return normalise(torch.gather(forms, -2, best).squeeze(-2))


def rotate(q: Tensor, v: Tensor) -> Tensor:
    """Turn a (..., 3) vector from the body frame into the world frame."""
    u = q[..., 1:]
    t: Tensor = 2 * torch.linalg.cross(*torch.broadcast_tensors(u, v))
    turned: Tensor = v + q[..., :1] * t + torch.linalg.cross(*torch.broadcast_tensors(u, t))
    return turned


def rotate_inverse(q: Tensor, v: Tensor) -> Tensor:
    """Turn a (..., 3) vector from the world frame into the body frame."""
    return rotate(conjugate(q), v)


def exponential(rotation_vector: Tensor) -> Tensor:
    """(..., 4) unit quaternion of the turn by |rotation_vector| radians about its (..., 3) direction."""
    square = rotation_vector.square().sum(-1, keepdim=True)
    small = square < _SMALL
    angle = torch.where(small, 1.0, square).sqrt()
    cosine = torch.where(small, 1 - square / 8 + square.square() / 384, torch.cos(angle / 2))
    sine = torch.where(small, 0.5 - square / 48 + square.square() / 3840, torch.sin(angle / 2) / angle)
    return torch.cat([cosine, sine * rotation_vector], -1)


def logarithm(q: Tensor) -> Tensor:
    """(..., 3) rotation vector in radians, at most pi long, of a (..., 4) unit quaternion; inverse of exponential."""
    q = torch.where(q[..., :1] < 0, -q, q)
    w, v = q[..., :1], q[..., 1:]
    square = v.square().sum(-1, keepdim=True)
    small = square < _SMALL
    sine = torch.where(small, 1.0, square).sqrt()
    near = torch.where(small, w, 1.0)
    ratio = square / near.square()
    series = 2 / near * (1 - ratio / 3 + ratio.square() / 5)
    return torch.where(small, series, 2 * torch.atan2(sine, w) / sine) * v


def integrate(q: Tensor, angular_velocity: Tensor, dt: float | Tensor) -> Tensor:
    """Orientation after a constant angular velocity, by the exponential map.

    Args:
        q: (..., 4) unit quaternion.
        angular_velocity: (..., 3) radians a second, world frame.
        dt: Seconds; a tensor must broadcast against (..., 1).

    Returns:
        (..., 4) unit quaternion.
    """
    return normalise(multiply(exponential(angular_velocity * dt), q))


def difference(start: Tensor, end: Tensor) -> Tensor:
    """(..., 3) rotation vector in radians, world frame, that turns orientation `start` into `end` the short way."""
    return logarithm(multiply(end, conjugate(start)))


class RigidFit(NamedTuple):
    """The rigid motion that carries a point set best onto another.

    Attributes:
        rotation: (..., 3, 3) proper rotation.
        translation: (..., 3) metres; target = rotation source + translation.
        residual: (...) root of the weighted mean squared distance left over, metres.
    """

    rotation: Tensor
    translation: Tensor
    residual: Tensor


def kabsch(source: Tensor, target: Tensor, weights: Tensor | None = None) -> RigidFit:
    """Least-squares rigid fit of point sets, with gradients that stay finite where singular values coincide.

    The rotation comes from a singular value decomposition without gradient (Kabsch 1976). One Newton step on it,
    which changes nothing at the optimum, then carries the exact derivative: with S = R sum(w a b^T) it solves
    (tr S - S) delta = axial(S). The system is singular only where the fit itself is undefined (points on a line);
    a relative 1e-9 (1e-5 in single precision) on its diagonal keeps the derivative finite there.

    Args:
        source: (..., K, 3) metres.
        target: (..., K, 3) metres.
        weights: (..., K) of 0 or above, not all 0; equal where left out.

    Returns:
        The fit; broadcast over the leading axes.
    """
    if weights is None:
        weights = torch.ones_like(source[..., 0])
    weights = (weights / weights.sum(-1, keepdim=True).clamp_min(torch.finfo(source.dtype).tiny))[..., None]
    source_mean, target_mean = (weights * source).sum(-2), (weights * target).sum(-2)
    a, b = source - source_mean[..., None, :], target - target_mean[..., None, :]
    covariance = (weights * a).mT @ b
    with torch.no_grad():
        u, _, vt = torch.linalg.svd(covariance)
        handed = torch.det(vt.mT @ u.mT)
        flip = torch.ones_like(covariance[..., 0])
        flip[..., 2] = torch.where(handed < 0, -1.0, 1.0)
        rotation = (vt.mT * flip[..., None, :]) @ u.mT
    s = rotation @ covariance
    axial = torch.stack([s[..., 1, 2] - s[..., 2, 1], s[..., 2, 0] - s[..., 0, 2], s[..., 0, 1] - s[..., 1, 0]], -1)
    identity = torch.eye(3, dtype=s.dtype, device=s.device)
    trace = s.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
    damping = 1e-9 if s.dtype == torch.float64 else 1e-5
    hessian = (trace * identity - (s + s.mT) / 2).detach()
    hessian = hessian + (damping * trace.detach().abs() + torch.finfo(s.dtype).tiny) * identity
    step = torch.linalg.solve(hessian, axial[..., None]).squeeze(-1)
    rotation = to_matrix(exponential(step - step.detach())) @ rotation
    translation = target_mean - (rotation @ source_mean[..., None]).squeeze(-1)
    gap = b - a @ rotation.mT
    mean_square = (weights * gap.square()).sum((-1, -2))
    exact = mean_square <= torch.finfo(s.dtype).tiny
    residual = torch.where(exact, 0.0, torch.where(exact, 1.0, mean_square).sqrt())
    return RigidFit(rotation, translation, residual)
