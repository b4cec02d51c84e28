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

        from worldsim.models.pairing import draw_hint, fit_start, predict
        from worldsim.models.world import World
        from worldsim.physics import PhysicsPrior
        from worldsim.vision.readout import ColourReadout

        if setup.joints or setup.robot is not None:
            raise Unanswered("the prior rolls out free bodies, this scene has joints or a robot")
        if setup.camera.kind != "orthographic":
            raise Unanswered("the readout by colour reads orthographic pictures alone")
        with torch.no_grad():
            world = World.of([setup])
            frames = torch.from_numpy(context).movedim(-1, 0)[None].float() / 127.5 - 1
            reading = ColourReadout(1 / fps)(frames, world.bodies, world.view, world.background, world.fixed)
            half_pixel = 0.5 / world.view.focal[:, None]
            start = fit_start(reading.trajectory, world.bodies, world.law.gravity, half_pixel)
            future = predict(PhysicsPrior(), start, reading.trajectory, world.bodies, num_frames, world.law)
            future = future.frames(len(context), len(context) + num_frames)
            drawn = draw_hint(future, world.bodies, world.view, world.background, setup.shading)[0]
        return ((drawn.clamp(-1, 1) + 1) * 127.5).round().byte().movedim(0, -1).numpy()


BASELINES: dict[str, Callable[[], Generator | Reference]] = {
    kind.name: kind for kind in (Truth, OtherEngine, StaticCopy, RasterisedPrior)
}
