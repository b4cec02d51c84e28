"""One step of a world of spheres and planes: any number of impacts in their order of time, and contacts at rest.

The step may be as long as a frame: flights are closed forms, so its length bears on accuracy only through resting
contacts, whose forces are constant over a step. Work goes where something happens: worlds in which no two bodies come
near each other fly to the end at once, of the others only pairs that are near are looked at, and of their bodies only
those that are struck are bent. Under torch.compile, where no shape may depend on data, everything is.
"""

from __future__ import annotations

import torch
from torch import Tensor

from worldsim.physics.bodies import Bodies
from worldsim.physics.prior.encounters import Encounters, Pairs, near, next_encounters, worlds_of
from worldsim.physics.prior.flight import Basis, basis, travel
from worldsim.physics.prior.matter import Matter
from worldsim.physics.prior.resting import Solver
from worldsim.physics.prior.rollout import Advanced
from worldsim.physics.prior.sphere_impact import Struck, refine, strike
from worldsim.physics.prior.sphere_support import support
from worldsim.physics.prior.spheres import SphereWorld, end_of_flight, flights_of, run, sphere_world, vectors
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
        self.solver, self.rounds, self.rest_time = solver, rounds, rest_time
        self._planar = bodies.planar
        self.log: list[Touch] | None = None
        self._pushed = False
        self._order = self.world.spheres + self.world.planes
        self._sorted = self._order == list(range(bodies.num_bodies))
        self._spheres = run(self.world.spheres)
        self._gravity = matter.gravity[:, self._spheres]

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
        world, count = self.world, len(self.world.spheres)
        x, v, spin = state.position, state.linear_velocity, state.angular_velocity
        a, spin_rate = self._gravity, torch.zeros_like(x)
        self._pushed = wrench is not None
        if wrench is not None:
            a = a + wrench[..., :3] * world.constants[:, :count, 3:4]
            spin_rate = wrench[..., 3:] * world.constants[:, :count, 4:5]
        flying = (x, v, a, spin, spin_rate)
        touched = torch.zeros_like(x[..., 0], dtype=torch.bool)
        worlds, close = None, None
        if not self._dense:
            close = near(x, v, a, world, None, step)
            worlds = worlds_of(close.one, len(x), len(self._order))
            if len(worlds) > _MANY * len(x):
                worlds = None
        if worlds is None:
            after, touched = self._play(world, flying, close, step)
        else:
            # In a folded batch of short frames many worlds see nothing but free flight.
            after = (*end_of_flight(x, v, a, self._drag(world), step), *_spun(spin, spin_rate, None, step))
            if len(worlds):
                assert close is not None
                few = tuple(part.index_select(0, worlds) for part in flying)
                close = close.within(worlds, len(x), len(self._order))
                part, hit = self._play(world.take(worlds), few, close, step)
                after = tuple(put_rows(whole, worlds, new) for whole, new in zip(after, part, strict=True))
                touched = touched.index_copy(0, worlds, hit)
        x, v, spin, turn = after
        return Advanced(State(x, state.orientation, v, spin), turn, touched)

    @property
    def _dense(self) -> bool:
        """Whether no shape may depend on data: under torch.compile, and for records of all bodies."""
        return torch.compiler.is_compiling() or self.log is not None

    def _drag(self, world: SphereWorld) -> Tensor | None:
        return None if world.drag is None else world.drag[:, : len(world.spheres)]

    def _play(
        self, world: SphereWorld, flying: tuple[Tensor, ...], close: Pairs | None, step: float
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """Position, velocity, spin and turn (B, S, 3) of the spheres at the end, and who took part in an impact."""
        x, v, a, spin, spin_rate = flying
        flights, touched = self._events(world, flights_of(x, v, a, spin, spin_rate, world), close, step)
        count = len(world.spheres)
        x, v, a, spin, spin_rate, turn = vectors(flights[:, :count])
        after = (*end_of_flight(x, v, a, self._drag(world), step), *_spun(spin, spin_rate, turn, step))
        return after, touched[:, :count]

    def _events(self, world: SphereWorld, flights: Tensor, close: Pairs | None, step: float) -> tuple[Tensor, Tensor]:
        """The (B, S + P, 18) flights after all contacts and impacts of a step, and who took part in one."""
        dense = self._dense
        free = flights
        meet = next_encounters(flights, world, None, step, close, self.rest_time, dense)
        supported = meet.pressed is not None
        if meet.pressed is not None:
            flights = self._carry(world, flights, meet.pressed, step)
            meet = next_encounters(flights, world, None, step, self._near(flights, world, None, step), dense=dense)
        last = torch.zeros_like(flights[..., 0])
        touched = torch.zeros_like(last, dtype=torch.bool)
        whole, struck_ones, rows = flights, touched, None
        for k in range(self.rounds):
            if not dense:
                if not len(meet.rows):
                    break
                batch, count = last.shape
                few = worlds_of(meet.rows, batch, count)
                if len(few) < _MANY * batch:  # go on with those worlds alone
                    whole, struck_ones = put_rows(whole, rows, flights), put_rows(struck_ones, rows, touched)
                    rows = few if rows is None else rows[few]
                    world, meet = world.take(few), meet.within(few, batch, count)
                    flights, free = flights.index_select(0, few), free.index_select(0, few)
                    last, touched = last[few], touched[few]
            if supported or world.drags or self._pushed:
                meet = refine(flights, world, meet, step)
            struck = strike(flights, world, meet, free, step, self.rest_time, supported)
            flights, supported = struck.flights, struck.supported
            last, touched = _noted(meet, last, touched)
            if self.log is not None:
                self.log.append(self._record(world, flights, meet, struck))
            if k + 1 < self.rounds:
                close = self._near(flights, world, last, step)
                meet = next_encounters(flights, world, last, step, close, dense=dense)
        return put_rows(whole, rows, flights), put_rows(struck_ones, rows, touched)

    def _near(self, flights: Tensor, world: SphereWorld, last: Tensor | None, step: float) -> Pairs | None:
        """The pairs to look at; None for all."""
        if self._dense:
            return None
        x, v, a = (flights[:, : len(world.spheres), 3 * k : 3 * k + 3] for k in range(3))
        return near(x, v, a, world, last, step)

    def enter(self, state: State) -> State:
        """The spheres' part of a state of all bodies."""
        return state.map(lambda tensor: tensor[:, self._spheres])

    def select(self, wrench: Tensor) -> Tensor:
        """The spheres' part of (B, N, ...)."""
        return wrench[:, self._spheres]

    def leave(self, moving: Tensor, start: Tensor) -> Tensor:
        """Put (B, T, S, ...) back among all bodies; planes stay where they are."""
        if not self.world.planes and self._sorted:
            return moving
        planes = start[:, None, run(self.world.planes)].expand(-1, moving.shape[1], -1, -1)
        everyone = torch.cat([moving, planes], 2)
        if self._sorted:
            return everyone
        return everyone[:, :, torch.tensor(self._order, device=moving.device).argsort()]

    def _carry(self, world: SphereWorld, flights: Tensor, pressed: tuple[Pairs, Tensor], step: float) -> Tensor:
        """Support in those worlds alone in which something rests: in a folded batch of frames they are few."""
        (batch, count), num_spheres = flights.shape[:2], len(world.spheres)
        pairs, chosen = pressed
        if self._dense:
            mask = pairs.mask(chosen, batch, num_spheres, count)
            held = support(flights, world, mask, step, self.solver, self._planar, dense=True)
            if self.log is not None:
                span = torch.full_like(held.reply.normal_impulse, step)
                start = torch.zeros_like(span)
                told = touch_of(held.points, flights[..., :3], start, held.reply.normal_impulse, span)
                self.log.append(self._named(told))
            return held.flights
        worlds = worlds_of(pairs.one[chosen], batch, count)
        pairs = Pairs(pairs.one[chosen], pairs.two[chosen], 0).within(worlds, batch, count)
        mask = pairs.mask(torch.ones_like(pairs.one, dtype=torch.bool), len(worlds), num_spheres, count)
        few = flights.index_select(0, worlds)
        held = support(few, world.take(worlds), mask, step, self.solver, self._planar, dense=False)
        return flights.index_copy(0, worlds, held.flights)

    @torch.no_grad()
    def _record(self, world: SphereWorld, flights: Tensor, meet: Encounters, struck: Struck) -> Touch:
        """The impacts of a round, whose rows are all spheres; a pair of spheres is told once, by its first sphere."""
        assert meet.active is not None
        batch, count, num_spheres = flights.shape[0], flights.shape[1], len(world.spheres)
        time, active, push = (part.view(batch, num_spheres) for part in (meet.time, meet.active[:, 0], struck.push))
        partner, normal = (meet.partner % count).view(batch, num_spheres), struck.normal.view(batch, num_spheres, 3)
        drag = self._drag(world)
        at = basis(time, drag)
        at = Basis(at.phi[..., None], at.psi[..., None], None if at.chi is None else at.chi[..., None])
        x, v, a, *_ = vectors(flights[:, :num_spheres])
        where = x + travel(v, a, at)[0] - world.radius[:, :num_spheres, None] * normal
        own = torch.arange(num_spheres, device=x.device).expand_as(partner)
        twice = (partner < own) & active.gather(1, partner.clamp_max(num_spheres - 1))
        none = torch.zeros_like(push)
        return self._named(Touch(time, own, partner, normal, where, none, push, none, active & ~twice))

    def _named(self, touch: Touch) -> Touch:
        """The record with places among all bodies."""
        order = torch.tensor(self._order, device=touch.a.device)
        return touch._replace(a=order[touch.a], b=order[touch.b])


def _spun(spin: Tensor, spin_rate: Tensor, turn: Tensor | None, step: float) -> tuple[Tensor, Tensor]:
    """Spin and turn (..., 3) at the end of the step."""
    made = step * spin + (0.5 * step * step) * spin_rate
    return spin + step * spin_rate, made if turn is None else turn + made


def _noted(meet: Encounters, last: Tensor, touched: Tensor) -> tuple[Tensor, Tensor]:
    """Times of the latest impacts, and who had one, (B, S + P) each, after these impacts."""
    rows, time = meet.rows, meet.time
    hit = torch.ones_like(time, dtype=torch.bool) if meet.active is None else meet.active[:, 0]
    if meet.active is not None:
        time = torch.where(hit, time, last.flatten()[rows])
        hit = hit | touched.flatten()[rows]
    return (
        last.flatten().index_copy(0, rows, time.detach()).view_as(last),
        touched.flatten().index_copy(0, rows, hit).view_as(touched),
    )
