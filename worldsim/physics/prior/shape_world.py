"""Worlds of any shapes as tensors, which of their pairs are near, and distances measured for those pairs alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from worldsim.physics import rotation
from worldsim.physics.bodies import Bodies
from worldsim.physics.geometry import PairDistance, collision_pairs, pair_distance, pairs_by_kinds
from worldsim.physics.prior.dynamics import advance
from worldsim.physics.prior.matter import Matter, pair_mean
from worldsim.physics.prior.state import State

# Distance in metres that pairs are given which are too far apart to be measured.
_FAR = 1.0


@dataclass(frozen=True)
class ShapeWorld:
    """N bodies and their P pairs that may collide, in each of B worlds.

    Attributes:
        kinds: N kinds.
        planar: Whether bodies keep to the xz-plane.
        tumbles: Whether some body has unequal moments and turns about any axis.
        first: (P,) place of each pair's first body.
        second: (P,) of its second.
        groups: Kinds of two bodies, and the places of their pairs among all pairs.
        planes: (3, Q) of each pair with a plane: its place, the plane, the other body.
        matter: (B, N, ...).
        friction: (B, P) of pairs.
        restitution: (B, P) of pairs.
        touchable: (B, P) whether both bodies are there.
        bound: (B, N) radius of the ball around each body's centre that holds it, metres; zero for planes.
        moves: (B, N) whether a body can move at all.
    """

    kinds: tuple[str, ...]
    planar: bool
    tumbles: bool
    first: Tensor
    second: Tensor
    groups: tuple[tuple[tuple[str, str], Tensor], ...]
    planes: Tensor
    matter: Matter
    friction: Tensor
    restitution: Tensor
    touchable: Tensor
    bound: Tensor
    moves: Tensor

    def take(self, rows: Tensor) -> ShapeWorld:
        """Some of the worlds."""
        return replace(
            self,
            matter=self.matter.map(lambda tensor: tensor[rows]),
            friction=self.friction[rows],
            restitution=self.restitution[rows],
            touchable=self.touchable[rows],
            bound=self.bound[rows],
            moves=self.moves[rows],
        )

    def advance(self, state: State, acceleration: Tensor, spin_rate: Tensor, time: Tensor) -> State:
        """Bodies after a (B, 1) or (B, N) time under constant forces; see worldsim.physics.prior.dynamics."""
        inverse_inertia = self.matter.inverse_inertia if self.tumbles else None
        return advance(state, acceleration, spin_rate, time, self.matter.drag, inverse_inertia)

    def clearance(self, state: State) -> Tensor:
        """(B, P) metres that the pairs are apart at least: between the balls around the bodies. Not differentiated."""
        i, j = self.first, self.second
        x = state.position.detach()
        apart = (x[:, i] - x[:, j]).square().sum(-1).sqrt() - self.bound[:, i] - self.bound[:, j]
        place, plane, other = self.planes
        if len(place):
            up = torch.zeros_like(x[:, plane])
            up[..., 2] = 1
            normal = rotation.rotate(state.orientation[:, plane].detach(), up)
            height = ((x[:, other] - x[:, plane]) * normal).sum(-1) - self.bound[:, other]
            apart = apart.index_copy(1, place, height)
        return apart


def shape_world(bodies: Bodies, matter: Matter) -> ShapeWorld:
    """Sort the pairs of these bodies."""
    device = matter.size.device
    pairs = collision_pairs(bodies)
    first = torch.tensor([i for i, _ in pairs], dtype=torch.long, device=device)
    second = torch.tensor([j for _, j in pairs], dtype=torch.long, device=device)
    grouped = pairs_by_kinds(bodies.kinds, pairs)
    planes = [
        (place, *((i, j) if bodies.kinds[i] == "plane" else (j, i)))
        for place, (i, j) in enumerate(pairs)
        if "plane" in (bodies.kinds[i], bodies.kinds[j])
    ]
    friction = pair_mean(matter.friction[:, first], matter.friction[:, second])
    here = None if matter.presence is None else matter.presence > 0.5
    everyone = torch.ones_like(friction, dtype=torch.bool)
    return ShapeWorld(
        kinds=bodies.kinds,
        planar=bodies.planar,
        tumbles=_tumbles(bodies, matter),
        first=first,
        second=second,
        groups=tuple((kinds, torch.tensor(places, device=device)) for kinds, places in grouped),
        planes=torch.tensor(planes, dtype=torch.long, device=device).reshape(-1, 3).T,
        matter=matter,
        friction=friction,
        restitution=pair_mean(matter.restitution[:, first], matter.restitution[:, second]),
        touchable=everyone if here is None else here[:, first] & here[:, second],
        bound=_bounds(bodies.kinds, matter.size.detach(), matter.vertices.detach()),
        moves=matter.inverse_mass.detach() > 0,
    )


def _tumbles(bodies: Bodies, matter: Matter) -> bool:
    if bodies.planar or all(kind in ("sphere", "plane") for kind in bodies.kinds):
        return False
    inverse = matter.inverse_inertia
    if torch.compiler.is_compiling() or inverse.requires_grad:
        return True  # known by kinds alone at trace time; and a derivative by a moment needs the whole equation
    return bool((inverse.amax(-1) - inverse.amin(-1) > 1e-6 * inverse.amax(-1)).any())


def _bounds(kinds: tuple[str, ...], size: Tensor, vertices: Tensor) -> Tensor:
    """(B, N) metres from each body's centre to its farthest point; zero for planes, which have no such ball."""
    farthest = {
        "sphere": lambda i: size[:, i, 0],
        "box": lambda i: size[:, i].norm(dim=-1),
        "capsule": lambda i: size[:, i, 0] + size[:, i, 1],
        "ring": lambda i: size[:, i, 0] + size[:, i, 1],
        "polygon": lambda i: vertices[:, i].norm(dim=-1).amax(-1),
        "plane": lambda i: torch.zeros_like(size[:, i, 0]),
    }
    return torch.stack([farthest[kind](i) for i, kind in enumerate(kinds)], 1)


@dataclass(frozen=True)
class Rows:
    """R pairs out of those of all worlds, ordered by kinds.

    Attributes:
        world: (R,) which world.
        pair: (R,) which of its pairs.
        ends: (R, 2) places of the two bodies.
        parts: Kinds of two bodies and how many rows, one after another, are of these kinds.
        size: (R, 2, 3) metres.
        vertices: (R, 2, 12, 2) metres.
        planar: Whether bodies keep to the xz-plane.
    """

    world: Tensor
    pair: Tensor
    ends: Tensor
    parts: tuple[tuple[tuple[str, str], int], ...]
    size: Tensor
    vertices: Tensor
    planar: bool

    @staticmethod
    def of(scene: ShapeWorld, chosen: Tensor) -> Rows:
        """The (B, P) chosen pairs; all of them where the choice cannot be looked at, under torch.compile."""
        worlds, pairs, parts = [], [], []
        for kinds, places in scene.groups:
            if torch.compiler.is_compiling():
                batch = chosen.shape[0]
                world = torch.arange(batch, device=chosen.device).repeat_interleave(len(places))
                pair = places.repeat(batch)
            else:
                world, index = chosen[:, places].nonzero(as_tuple=True)
                pair = places[index]
            worlds.append(world)
            pairs.append(pair)
            parts.append((kinds, len(world)))
        world, pair = torch.cat(worlds), torch.cat(pairs)
        ends = torch.stack([scene.first[pair], scene.second[pair]], 1)
        size, vertices = (tensor[world[:, None], ends] for tensor in (scene.matter.size, scene.matter.vertices))
        return Rows(world, pair, ends, tuple(parts), size, vertices, scene.planar)

    def take(self, keep: Tensor) -> Rows:
        """The rows for which a (R,) mask holds."""
        parts, start = [], 0
        for kinds, count in self.parts:
            parts.append((kinds, int(keep[start : start + count].sum())))
            start += count
        tensors = (self.world, self.pair, self.ends)
        world, pair, ends = (tensor[keep] for tensor in tensors)
        return Rows(world, pair, ends, tuple(parts), self.size[keep], self.vertices[keep], self.planar)

    def gather(self, values: Tensor) -> Tensor:
        """(R, 2, ...) values of the two bodies out of (B, N, ...)."""
        return values[self.world[:, None], self.ends]

    def measure(self, position: Tensor, orientation: Tensor) -> PairDistance:
        """Distances at (..., R, 2, 3) positions and (..., R, 2, 4) orientations."""
        found, start = [], 0
        for (kind_a, kind_b), count in self.parts:
            if not count:
                continue
            rows = slice(start, start + count)
            start += count
            poses = [(position[..., rows, end, :], orientation[..., rows, end, :]) for end in (0, 1)]
            shapes = [(self.size[rows, end], self.vertices[rows, end]) for end in (0, 1)]
            found.append(pair_distance(kind_a, *shapes[0], *poses[0], kind_b, *shapes[1], *poses[1], self.planar))
        if len(found) == 1:
            return found[0]
        distance = torch.cat([part.distance for part in found], -1)
        return PairDistance(distance, *(torch.cat(parts, -2) for parts in list(zip(*found, strict=True))[1:]))

    def spread(self, found: PairDistance, scene: ShapeWorld) -> PairDistance:
        """Distances (R,) of these rows among those of all pairs, (B, P); the others count as far apart."""
        place = (self.world, self.pair)
        like = scene.friction.detach()
        distance = torch.full_like(like, _FAR).index_put(place, found.distance)
        empty = torch.zeros(*like.shape, 3, dtype=like.dtype, device=like.device)
        return PairDistance(distance, *(empty.index_put(place, value) for value in found[1:]))


def measured(scene: ShapeWorld, state: State, chosen: Tensor) -> PairDistance:
    """(B, P, ...) distances of the chosen pairs, the others taken as far apart; normals from first to second body."""
    rows = Rows.of(scene, chosen)
    if not len(rows.world):
        empty = torch.zeros_like(state.position[:, :1]).expand(-1, len(scene.first), -1)
        return PairDistance(empty[..., 0] + _FAR, empty, empty, empty)
    return rows.spread(rows.measure(rows.gather(state.position), rows.gather(state.orientation)), scene)


def approach(scene: ShapeWorld, state: State, apart: PairDistance) -> Tensor:
    """(B, P) rate of each pair's distance at its witness points, metres a second."""
    ends = torch.stack([scene.first, scene.second], 1)
    x, v, w = (tensor[:, ends] for tensor in (state.position, state.linear_velocity, state.angular_velocity))
    return closing(x, v, w, apart)


def closing(x: Tensor, v: Tensor, w: Tensor, apart: PairDistance) -> Tensor:
    """(...) rate of a distance, from positions, velocities and spins (..., 2, 3) of its two bodies."""
    arms = torch.stack([apart.witness_a, apart.witness_b], -2) - x
    moving = v + torch.linalg.cross(w, arms)
    rate: Tensor = ((moving[..., 1, :] - moving[..., 0, :]) * apart.normal).sum(-1)
    return rate
