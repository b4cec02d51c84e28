"""The differentiable physics prior: from a start state, bodies and a law to a trajectory, batched, in PyTorch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from worldsim.physics.bodies import Bodies
from worldsim.physics.prior.checks import check_finite_result, check_shapes, check_values
from worldsim.physics.prior.law import LawParameters, default_law
from worldsim.physics.prior.matter import Matter, resolve
from worldsim.physics.prior.resting import Solver
from worldsim.physics.prior.rollout import Plan, Stepper, roll_out
from worldsim.physics.prior.shape_step import ShapeStepper
from worldsim.physics.prior.sphere_step import SphereStepper
from worldsim.physics.prior.state import State
from worldsim.physics.trajectory import Trajectory

SPHERE_STEP = 1 / 60
SHAPE_STEP = 1 / 240


@dataclass(frozen=True)
class PriorConfig:
    """How the prior integrates.

    Attributes:
        max_step: Longest step, seconds; a frame is cut into equal steps no longer than this. Left out, 1/60 s for
            worlds of spheres and planes and 1/240 s for others. Flights and impacts of bodies with three equal moments
            (spheres, cubes) and of planar ones are exact at any step; it bears on contacts at rest and on bodies that
            tumble.
        rounds: Most impacts, one after another, in a step.
        rest_time: A rebound whose flight would last less, in seconds, ends in rest.
        checkpoint_frames: Where above 0, so many frames at a time are recomputed in the backward pass, and memory
            does not grow with what lies within them.
        solver: Of contacts at rest, with the smoothing kappa.
    """

    max_step: float | None = None
    rounds: int = 32
    rest_time: float = 4e-3
    checkpoint_frames: int = 0
    solver: Solver = field(default_factory=Solver)

    def __post_init__(self) -> None:
        if self.max_step is not None and not self.max_step > 0:
            raise ValueError(f"prior.max_step: must be above 0, got {self.max_step!r}")
        if self.rounds < 1:
            raise ValueError(f"prior.rounds: must be 1 or above, got {self.rounds!r}")
        if not self.rest_time >= 0:
            raise ValueError(f"prior.rest_time: must be 0 or above, got {self.rest_time!r}")
        if self.checkpoint_frames < 0:
            raise ValueError(f"prior.checkpoint_frames: must be 0 or above, got {self.checkpoint_frames!r}")

    def substeps(self, bodies: Bodies, dt: float) -> int:
        """How many steps a frame interval is cut into."""
        longest = self.max_step or (SPHERE_STEP if only_spheres(bodies) else SHAPE_STEP)
        return max(1, math.ceil(dt / longest - 1e-6))


class PhysicsPrior(nn.Module):
    """Rigid bodies under gravity, drag, contact, friction, restitution and wrenches.

    Impacts take place at their time of impact, a differentiable root, so that gradients of roll-outs are those of the
    motion and not of the time step. Articulated robots are for MuJoCo.

    Args:
        law: A module that gives LawParameters when called without arguments, such as LearnedLaw; used where a call
            gives no law. None means Earth's gravity and the bodies' own coefficients.
        residual: A module from (position, orientation, linear velocity, angular velocity, bodies) to (B, N, 6)
            accelerations, linear and angular, world frame, for what the law leaves out; see Residual.
        config: Steps, rounds, solver.
    """

    def __init__(
        self,
        law: Callable[[], LawParameters] | None = None,
        residual: nn.Module | None = None,
        config: PriorConfig | None = None,
    ) -> None:
        super().__init__()
        self.law = law
        self.residual = residual
        self.config = config or PriorConfig()

    def forward(
        self,
        state: Trajectory,
        bodies: Bodies,
        num_frames: int,
        dt: float,
        actions: Tensor | None = None,
        law: LawParameters | None = None,
        check: bool = True,
    ) -> Trajectory:
        """Roll out from the last frame of `state`.

        Args:
            state: (B, T, N) trajectory whose last frame is the start; usually (B, 1, N).
            bodies: Of B worlds or of one.
            num_frames: New frames, the start not counted.
            dt: Seconds between frames.
            actions: (B, num_frames, N, 6) force (N) and torque (N m) on each body, world frame, held over the frame
                interval that ends at their frame.
            law: Left out, that of the module, else Earth's gravity.
            check: Whether values are checked (shapes always are). Leave it off inside training loops.

        Returns:
            (B, num_frames, N) trajectory: the frames after the start.

        Raises:
            ValueError: For wrong shapes or values, naming them; for a roll-out that diverges, naming world and step.
        """
        check_shapes(state, bodies, num_frames, dt, actions)
        if law is None:
            law = self.law() if self.law is not None else default_law(bodies)
        compiling = torch.compiler.is_compiling()
        if check and not compiling:
            check_values(state, bodies, actions, law)
        presence = state.presence[:, -1]
        everyone = not compiling and bool((presence > 0.5).all())
        start = State.of(state, -1)
        matter = resolve(bodies, law, start.position.shape[0], None if everyone else presence)
        stepper = make_stepper(bodies, matter, start, self.config)
        plan = Plan(num_frames, dt, self.config.substeps(bodies, dt), self.config.checkpoint_frames)
        frames = roll_out(stepper, start, plan, actions, None if self.residual is None else self._residual(bodies))
        result = Trajectory(**frames._asdict(), presence=presence[:, None].expand(-1, num_frames, -1), dt=dt)
        if not compiling:
            check_finite_result(result)
        return result

    def _residual(self, bodies: Bodies) -> Callable[[State], Tensor]:
        """The residual network as a wrench: its accelerations times mass and mean moment of inertia."""
        network = self.residual
        assert network is not None
        scale = torch.stack([bodies.mass, bodies.inertia.mean(-1)], -1).repeat_interleave(3, -1)

        def wrench(state: State) -> Tensor:
            out: Tensor = network(*state, bodies) * scale
            return out

        return wrench


def only_spheres(bodies: Bodies) -> bool:
    """Whether all bodies are spheres and planes."""
    return set(bodies.kinds) <= {"sphere", "plane"}


def make_stepper(bodies: Bodies, matter: Matter, start: State, config: PriorConfig) -> Stepper:
    """What advances these bodies: closed forms where all are spheres and planes, contact manifolds otherwise."""
    if only_spheres(bodies):
        return SphereStepper(bodies, matter, start, config.solver, config.rounds, config.rest_time)
    return ShapeStepper(bodies, matter, config.solver, config.rounds, config.rest_time)
