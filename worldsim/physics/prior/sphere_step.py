"""One step of a world of spheres and planes: any number of impacts in their order of time, and contacts at rest.

The step may be as long as a frame: flights are closed forms, so its length bears on accuracy only through resting
contacts, whose forces are constant over a step.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from worldsim.physics.bodies import Bodies
from worldsim.physics.prior.contact import Points, jacobian
from worldsim.physics.prior.flight import Basis, basis, travel
from worldsim.physics.prior.matter import Matter, pair_mean
from worldsim.physics.prior.resting import Solver, central_path
from worldsim.physics.prior.rollout import Advanced
from worldsim.physics.prior.sphere_impact import Free, Struck, refine, strike
from worldsim.physics.prior.spheres import (
    Arcs,
    Encounters,
    SphereWorld,
    end_of_step,
    may_meet,
    next_encounters,
    put_arcs,
    sphere_world,
    take_arcs,
    take_worlds,
)
from worldsim.physics.prior.state import State, put_rows
from worldsim.physics.prior.touch import Touch, touch_of

# Share of the worlds above which it does not pay to go on with those alone.
_MANY = 0.6


class SphereStepper:
    """Advances worlds whose bodies are all spheres and planes.

    Args:
        bodies: Of the worlds.
        matter: Theirs under the law.
        start: (B, N, ...) state; the planes' poses are taken from it.
        solver: Of resting contacts.
        rounds: Most impacts of one body in a step.
        rest_time: Seconds; see strike.
    """

    def __init__(
        self, bodies: Bodies, matter: Matter, start: State, solver: Solver, rounds: int, rest_time: float
    ) -> None:
        self.world = sphere_world(bodies, matter, start.position, start.orientation)
        self.matter, self.solver, self.rounds, self.rest_time = matter, solver, rounds, rest_time
        self._planar = bodies.planar
        self.log: list[Touch] | None = None
        self._pushed = False
        order = self.world.spheres
        self._all = order == list(range(bodies.num_bodies))
        self._inverse_mass = self.world.constants[:, : len(order), 3:4]
        self._inverse_inertia = self.world.constants[:, : len(order), 4:5]

    def step(self, state: State, step: float, wrench: Tensor | None) -> Advanced:
        """The state after `step` seconds, its orientation left as it was, and the turn that it makes.

        Args:
            state: Of the spheres only, as `enter` gives it.
            step: Seconds.
            wrench: (B, S, 6) force and torque held over the step, world frame; None for none.

        Returns:
            The next state, and the turn that its orientation still lacks. Where an impact within the step changes the
            axis of a spin, that turn is exact to first order in the change; no contact depends on it.
        """
        world = self.world
        zero = torch.zeros_like(state.position)
        pull, twist = world.gravity, zero
        self._pushed = wrench is not None
        if wrench is not None:
            pull = pull + wrench[..., :3] * self._inverse_mass
            twist = wrench[..., 3:] * self._inverse_inertia
        free = Free(pull, twist)
        arcs = Arcs(state.position, state.linear_velocity, pull, zero, state.angular_velocity, twist)
        if torch.compiler.is_compiling() or self.log is not None:
            arcs, touched = self._events(world, arcs, free, step)
        else:
            rows = may_meet(arcs, world, step).nonzero()[:, 0]
            if len(rows) > _MANY * len(zero):
                arcs, touched = self._events(world, arcs, free, step)
            else:  # in a folded batch of short frames most worlds see nothing but free flight
                touched = torch.zeros_like(zero[..., 0], dtype=torch.bool)
                if len(rows):
                    few = take_arcs(arcs, rows)
                    part, hit = self._events(take_worlds(world, rows), few, free.take(rows), step)
                    arcs, touched = put_arcs(arcs, rows, part), touched.index_copy(0, rows, hit)
        x, v, turn, spin = end_of_step(arcs, world, step)
        return Advanced(State(x, state.orientation, v, spin), turn, touched)

    def _events(self, world: SphereWorld, arcs: Arcs, free: Free, step: float) -> tuple[Arcs, Tensor]:
        """The flights after all contacts and impacts of a step, and who took part in one."""
        compiling = torch.compiler.is_compiling()
        meet = next_encounters(arcs, world, None, step, self.rest_time)
        supported = compiling
        assert meet.pressed is not None
        if compiling or bool(meet.pressed.any()):
            arcs, supported = self._carry(world, arcs, meet.pressed, step), True
            meet = next_encounters(arcs, world, None, step)
        last = torch.zeros_like(meet.time)
        touched = torch.zeros_like(meet.active)
        whole, struck_ones, rows = arcs, touched, None
        for k in range(self.rounds):
            if not compiling:
                active = meet.active.any(1)
                count = int(active.sum())
                if count == 0:
                    break
                if count < _MANY * len(active) and self.log is None:  # go on with those worlds alone
                    few = active.nonzero()[:, 0]
                    whole, struck_ones = put_arcs(whole, rows, arcs), put_rows(struck_ones, rows, touched)
                    rows = few if rows is None else rows[few]
                    world, arcs, free, meet = (
                        take_worlds(world, few),
                        take_arcs(arcs, few),
                        free.take(few),
                        meet.take(few),
                    )
                    last, touched = last[few], touched[few]
            if supported or world.drag is not None or self._pushed:
                meet = refine(arcs, world, meet, step)
            struck = strike(arcs, world, meet, free, step, self.rest_time, supported)
            arcs, supported = struck.arcs, struck.supported
            last = torch.where(meet.active, meet.time, last)
            if self.log is not None:
                self.log.append(self._record(arcs, meet, struck))
            touched = touched | meet.active
            if k + 1 < self.rounds:
                meet = next_encounters(arcs, world, last, step)
        return put_arcs(whole, rows, arcs), put_rows(struck_ones, rows, touched)

    def enter(self, state: State) -> State:
        """The spheres' part of a state of all bodies."""
        return state if self._all else state.map(lambda tensor: tensor[:, self.world.spheres])

    def select(self, wrench: Tensor) -> Tensor:
        """The spheres' part of (B, N, ...)."""
        return wrench if self._all else wrench[:, self.world.spheres]

    def leave(self, moving: Tensor, start: Tensor) -> Tensor:
        """Put (B, T, S, ...) back among all bodies; planes stay where they are."""
        if self._all:
            return moving
        index = torch.tensor(self.world.spheres + self.world.planes, device=moving.device).argsort()
        planes = start[:, None, self.world.planes].expand(-1, moving.shape[1], -1, -1)
        return torch.cat([moving, planes], 2)[:, :, index]

    def _carry(self, world: SphereWorld, arcs: Arcs, pressed: Tensor, step: float) -> Arcs:
        """Support in those worlds alone in which something rests: in a folded batch of frames they are few."""
        if torch.compiler.is_compiling() or self.log is not None:
            return self._support(world, arcs, pressed, step)
        rows = pressed.flatten(1).any(1).nonzero()[:, 0]
        if len(rows) == len(pressed):
            return self._support(world, arcs, pressed, step)
        held = self._support(take_worlds(world, rows), take_arcs(arcs, rows), pressed[rows], step)
        return replace(arcs, a=put_rows(arcs.a, rows, held.a), spin_rate=put_rows(arcs.spin_rate, rows, held.spin_rate))

    def _support(self, world: SphereWorld, arcs: Arcs, pressed: Tensor, step: float) -> Arcs:
        """Add the constant accelerations by which pairs that rest on each other carry and rub each other."""
        points = self._points(world, arcs, pressed)
        num_spheres = len(world.spheres)
        bodies = world.constants
        still = torch.zeros_like(world.normal)
        drag = world.drag
        at = basis(arcs.x.new_tensor(step), drag)
        reach = at.phi[..., None] if drag is not None else at.phi
        # With drag the velocity decays by itself; what contact must hold is the velocity at the end of the step.
        fade = 1.0 if at.chi is None else at.chi[..., None]
        velocity = torch.cat([fade * arcs.v + reach * arcs.a, still], 1)
        spin = torch.cat([arcs.spin + step * arcs.spin_rate, still], 1)
        eye = torch.eye(3, dtype=velocity.dtype, device=velocity.device)
        inverse_inertia = bodies[..., 4, None, None] * eye
        jac = jacobian(points, bodies[..., 3], inverse_inertia, self._planar)
        depth = points.gap
        target = torch.where(depth > 0, -depth / step, (-0.1 * depth / step).clamp_max(1.0))
        reply = central_path(points, jac, velocity, spin, target, points.valid, self.solver)
        if self.log is not None:
            span = torch.full_like(reply.normal_impulse, step)
            centres = torch.cat([arcs.x, still], 1)
            self.log.append(self._named(touch_of(points, centres, torch.zeros_like(span), reply.normal_impulse, span)))
        return Arcs(
            arcs.x,
            arcs.v,
            arcs.a + reply.velocity[:, :num_spheres] / reach,
            arcs.turn,
            arcs.spin,
            arcs.spin_rate + reply.spin[:, :num_spheres] / step,
        )

    @torch.no_grad()
    def _record(self, arcs: Arcs, meet: Encounters, struck: Struck) -> Touch:
        """The impacts of a round; a pair of spheres is told once, by its first sphere."""
        at = basis(meet.time, self.world.drag)
        at = Basis(at.phi[..., None], at.psi[..., None], None if at.chi is None else at.chi[..., None])
        where = arcs.x + travel(arcs.v, arcs.a, at)[0] - self.world.radius[..., None] * struck.normal
        own = torch.arange(arcs.x.shape[1], device=arcs.x.device).expand_as(meet.partner)
        twice = (meet.partner < own) & meet.active.gather(1, meet.partner.clamp_max(arcs.x.shape[1] - 1))
        none = torch.zeros_like(struck.push)
        valid = meet.active & ~twice
        return self._named(Touch(meet.time, own, meet.partner, struck.normal, where, none, struck.push, none, valid))

    def _named(self, touch: Touch) -> Touch:
        """The record with places among all bodies."""
        order = torch.tensor(self.world.spheres + self.world.planes, device=touch.a.device)
        return touch._replace(a=order[touch.a], b=order[touch.b])

    def _points(self, world: SphereWorld, arcs: Arcs, pressed: Tensor) -> Points:
        """Contact points of the pressed pairs; each pair of spheres once."""
        num_spheres, num_planes = len(world.spheres), len(world.planes)
        batch, device = arcs.x.shape[0], arcs.x.device
        first, second = torch.triu_indices(num_spheres, num_spheres, 1, device=device)
        of_plane = torch.arange(num_spheres, device=device).repeat_interleave(num_planes)
        plane = torch.arange(num_planes, device=device).repeat(num_spheres)
        a, b = torch.cat([first, of_plane]), torch.cat([second, num_spheres + plane])
        valid = pressed[:, a, b]
        apart = arcs.x[:, first] - arcs.x[:, second]
        apart = torch.where(valid[:, : len(first), None], apart, 1.0)
        distance = apart.square().sum(-1, keepdim=True).sqrt()
        radius = torch.cat([world.radius, world.radius.new_zeros(batch, num_planes)], 1)
        sphere_gap = distance[..., 0] - radius[:, first] - radius[:, second]
        normal = torch.cat([apart / distance, world.normal[:, plane]], 1)
        heights = (arcs.x @ world.normal.mT - world.offset[:, None] - world.radius[..., None]).flatten(1)
        constants = world.constants
        friction = pair_mean(constants[:, a, 6], constants[:, b, 6])
        count = len(a)
        points = Points(
            a=a.expand(batch, count),
            b=b.expand(batch, count),
            normal=normal,
            arm_a=-radius[:, a, None] * normal,
            arm_b=radius[:, b, None] * normal,
            gap=torch.cat([sphere_gap, heights], 1),
            friction=friction,
            restitution=torch.zeros_like(friction),
            pair=torch.arange(count, device=device).expand(batch, count),
            valid=valid,
        )
        return points.nearest(6 * num_spheres)
