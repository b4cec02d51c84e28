"""Rows that every leaderboard wants beside a model: truth, another engine's truth, no motion, the prior alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from worldsim.benchmarks.suite.generator import Generator, Question, Reference, UInt8, Unanswered
from worldsim.engines import get_engine
from worldsim.scene import Setup


class Truth:
    """The simulator's own video: the floor, and the top of every table."""

    name = "truth"

    def answer(self, question: Question) -> UInt8:
        """The rest of the rollout."""
        return question.truth.video[question.context :]


class OtherEngine:
    """PyBullet's motion in the pictures of the first engine: as lawful, and not the same pixels."""

    name = "pybullet"

    def answer(self, question: Question) -> UInt8:
        """The other engine's play from the same start.

        Raises:
            Unanswered: Where it does not play such scenes.
        """
        truth = question.truth
        try:
            take = get_engine(self.name).simulate(truth.scene, render=False)
        except ValueError as error:
            raise Unanswered(f"{self.name} does not play this scene: {error}") from error
        drawn = get_engine(truth.engine).render(truth.scene, take.trajectory)
        return drawn.video[question.context :]


class StaticCopy:
    """The last context frame, over and over."""

    name = "static"

    def generate(self, context: UInt8, setup: Setup, num_frames: int, fps: float, seed: int, text: str) -> UInt8:
        """Repeat."""
        return np.repeat(context[-1:], num_frames, 0)


class RasterisedPrior:
    """The physics prior alone: states read from the context by colour, rolled out, drawn. No transformer, no training.

    Reads and draws as the hint of a WorldModel does, so that its row says what the hint gives away.
    """

    name = "prior"

    def generate(self, context: UInt8, setup: Setup, num_frames: int, fps: float, seed: int, text: str) -> UInt8:
        """Read, roll out, draw.

        Raises:
            Unanswered: Where the readout by colour cannot read the scene, or the prior does not know its bodies.
        """
        import torch

        from worldsim.data.clip import to_float, to_uint8
        from worldsim.models.pairing import check_foreseeable, draw_hint
        from worldsim.models.prior_alone import prior_alone
        from worldsim.models.world import World

        try:
            check_foreseeable([setup], by_colour=True)
        except ValueError as error:
            raise Unanswered(f"{self.name}: {error}") from error
        with torch.no_grad():
            world = World.of([setup])
            total = len(context) + num_frames
            future = prior_alone(fps, len(context)).foresee(world, to_float(context)[None], total)
            future = future.frames(len(context), total)
            drawn = draw_hint(future, world.bodies, world.view, world.background, setup.shading)[0]
        return to_uint8(drawn).numpy()


BASELINES: dict[str, Callable[[], Generator | Reference]] = {
    kind.name: kind for kind in (Truth, OtherEngine, StaticCopy, RasterisedPrior)
}
