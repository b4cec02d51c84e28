"""What a fit varies: the start states of dynamic bodies and figures of the law, packed in one vector a world."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from worldsim.physics import rotation
from worldsim.physics.bodies import Bodies
from worldsim.physics.prior import LawParameters
from worldsim.physics.trajectory import Trajectory

LEARNABLE = ("gravity", "restitution", "friction", "drag", "mass")


@dataclass(frozen=True)
class Packing:
    """Places of parameters in a vector of P numbers.

    Start positions and velocities come first, then turns (tangent space of the reference orientation) and spins where
    `turning`, then the law: gravity as it is, restitution by its logit, friction, drag and masses by their logarithms.
    Restitution and friction are one figure a world; masses are those of all dynamic bodies but the first.

    Attributes:
        dynamic: Indices of the bodies that move.
        planar: Whether only x, z and the turn about y vary.
        turning: Whether orientations and spins vary.
        learn: Names of law figures, in order.
    """

    dynamic: tuple[int, ...]
    planar: bool
    turning: bool
    learn: tuple[str, ...]

    @staticmethod
    def of(bodies: Bodies, turning: bool, learn: tuple[str, ...]) -> Packing:
        """The packing for bodies.

        Raises:
            ValueError: Where a name is not learnable, or mass is asked of a single body.
        """
        for name in learn:
            if name not in LEARNABLE:
                raise ValueError(f"learn: must be among {', '.join(LEARNABLE)}, got {name!r}")
        dynamic = tuple(i for i, static in enumerate(bodies.static) if not static)
        if not dynamic:
            raise ValueError("bodies: must hold one that moves, all are static")
        if "mass" in learn and len(dynamic) < 2:
            raise ValueError("learn: must not hold mass with a single moving body, only mass ratios show")
        return Packing(dynamic, bodies.planar, turning, learn)

    @property
    def axes(self) -> list[int]:
        """World axes along which bodies move."""
        return [0, 2] if self.planar else [0, 1, 2]

    @property
    def turns(self) -> list[int]:
        """World axes about which bodies turn; none where turns do not vary."""
        return ([1] if self.planar else [0, 1, 2]) if self.turning else []

    @property
    def num_start(self) -> int:
        """How many of the parameters are start states."""
        return 2 * len(self.dynamic) * (len(self.axes) + len(self.turns))

    def law_slices(self) -> dict[str, slice]:
        """Name to the places of each learned figure."""
        widths = {"gravity": len(self.axes), "mass": len(self.dynamic) - 1}
        places, at = {}, self.num_start
        for name in self.learn:
            places[name] = slice(at, at + widths.get(name, 1))
            at = places[name].stop
        return places

    def pack(self, start: Trajectory, bodies: Bodies, law: LawParameters) -> Tensor:
        """(B, P) from a (B, 1, N) start and a law; turns are zero at the start's orientation."""
        dynamic = list(self.dynamic)
        batch = start.position.shape[0]
        parts = [start.position[:, 0, dynamic][..., self.axes].flatten(1)]
        parts.append(start.linear_velocity[:, 0, dynamic][..., self.axes].flatten(1))
        if self.turns:
            spin = start.angular_velocity[:, 0, dynamic][..., self.turns].flatten(1)
            parts += [torch.zeros_like(spin), spin]
        for name in self.learn:
            parts.append(self._raw(name, bodies, law, batch))
        return torch.cat(parts, 1)

    def _raw(self, name: str, bodies: Bodies, law: LawParameters, batch: int) -> Tensor:
        if name == "gravity":
            gravity = law.gravity if law.gravity.dim() < 3 else law.gravity[:, self.dynamic[0]]
            return gravity.expand(batch, 3)[:, self.axes]
        given = getattr(law, name)
        if name == "mass":
            mass = bodies.mass if given is None else given
            return mass.expand(batch, bodies.num_bodies)[:, list(self.dynamic[1:])].log()
        value = given if given is not None else getattr(bodies, name, None)
        if value is None:
            value = bodies.mass.new_full((1,), 1e-2)
        value = value[:, self.dynamic[0]] if value.dim() == 2 else value
        value = value.expand(batch)[:, None]
        return torch.logit(value, eps=1e-4) if name == "restitution" else value.clamp_min(1e-4).log()

    def unpack(
        self, theta: Tensor, start: Trajectory, bodies: Bodies, law: LawParameters
    ) -> tuple[Trajectory, LawParameters]:
        """The start and the law that (B, P) parameters stand for; `start` and `law` give all that does not vary."""
        batch, count = theta.shape[0], bodies.num_bodies
        parts = self._start_parts(theta)
        to_axes = torch.eye(3, dtype=theta.dtype, device=theta.device)
        onto = theta.new_zeros(len(self.dynamic), count)
        onto[range(len(self.dynamic)), list(self.dynamic)] = 1
        fixed = (1 - onto.sum(0))[:, None]

        def place(values: Tensor, axes: list[int], base: Tensor) -> Tensor:
            """Values (B, D, k) for the dynamic bodies, `base` for all others and for axes that do not vary."""
            kept = torch.ones(3, dtype=theta.dtype, device=theta.device)
            kept[axes] = 0
            full = torch.einsum("bdk,kx,dn->bnx", values, to_axes[axes], onto)
            return full + base * (fixed + (1 - fixed) * kept)

        position = place(parts["position"], self.axes, start.position[:, 0].expand(batch, -1, -1))
        velocity = place(parts["velocity"], self.axes, start.linear_velocity[:, 0].expand(batch, -1, -1))
        orientation = start.orientation[:, 0].expand(batch, -1, -1)
        spin = start.angular_velocity[:, 0].expand(batch, -1, -1)
        if self.turns:
            turn = place(parts["turn"], self.turns, torch.zeros_like(position))
            orientation = rotation.multiply(rotation.exponential(turn), orientation)
            spin = place(parts["spin"], self.turns, spin)
        presence = start.presence.expand(batch, -1, -1)
        begin = Trajectory(
            position[:, None], orientation[:, None], velocity[:, None], spin[:, None], presence, start.dt
        )
        return begin, self._law(theta, bodies, law)

    def _start_parts(self, theta: Tensor) -> dict[str, Tensor]:
        bodies, at, parts = len(self.dynamic), 0, {}
        names = [("position", self.axes), ("velocity", self.axes)]
        if self.turns:
            names += [("turn", self.turns), ("spin", self.turns)]
        for name, axes in names:
            width = bodies * len(axes)
            parts[name] = theta[:, at : at + width].unflatten(1, (bodies, len(axes)))
            at += width
        return parts

    def _law(self, theta: Tensor, bodies: Bodies, law: LawParameters) -> LawParameters:
        batch, places = theta.shape[0], self.law_slices()
        values = {name: getattr(law, name) for name in ("gravity", "drag", "friction", "restitution", "mass")}
        if "gravity" in places:
            vector = theta[:, places["gravity"]]
            values["gravity"] = vector @ torch.eye(3, dtype=theta.dtype, device=theta.device)[self.axes]
        if "restitution" in places:
            values["restitution"] = torch.sigmoid(theta[:, places["restitution"]][:, 0])
        for name in ("friction", "drag"):
            if name in places:
                values[name] = theta[:, places[name]][:, 0].exp()
        if "mass" in places:
            mass = bodies.mass if law.mass is None else law.mass
            mass = mass.expand(batch, bodies.num_bodies)
            rows = torch.eye(bodies.num_bodies, dtype=theta.dtype, device=theta.device)[list(self.dynamic[1:])]
            values["mass"] = mass * (1 - rows.sum(0)) + theta[:, places["mass"]].exp() @ rows
        return LawParameters(**values, friction_scale=law.friction_scale)
