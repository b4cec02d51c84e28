"""The rows of the violations study: from a sample of test clips to the videos that each row makes of their contexts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from data import FPS, NUM_CONTEXT
from engines import other_engine
from measure import CLIP_FRAMES
from reader import moving
from torch import Tensor

from worldsim.data import Clip
from worldsim.models.pairing import draw_hint, predict
from worldsim.models.prior_alone import prior_alone
from worldsim.models.steering import Guidance
from worldsim.models.world import World
from worldsim.models.world_model import WorldModel
from worldsim.physics import LawParameters, Trajectory
from worldsim.training import load_run
from worldsim.vision.learned_readout import LearnedReadout

Row = Callable[[Clip, int], Tensor]
Foresight = Callable[[World, Clip], Trajectory]

FLOOR, RASTER, GHOSTS = "ground truth", "rasterised prior alone", "check: bodies ignore one another"
ENGINE = "PyBullet's motion"
PAIRED, PLAIN = "paired", "plain twin"
HINT_OFF, WRONG_LAW, LACKING = "paired, hint off", "paired, wrong law", "paired, hint lacks a body"
CHECKS = (GHOSTS, HINT_OFF, WRONG_LAW, LACKING)  # made to err
ORDER = (FLOOR, ENGINE, RASTER, "rasterised prior, true start", GHOSTS, PAIRED, PLAIN)


def wrong_law(clip: Clip) -> LawParameters:
    """Gravity x 1.5 and restitution - .3."""
    return dataclasses.replace(clip.law, gravity=clip.law.gravity * 1.5, restitution=clip.bodies.restitution - 0.3)


def from_context(model: WorldModel, law: Callable[[Clip], LawParameters] | None = None) -> Foresight:
    """What the prior foresees from the context's pixels."""

    def foresee(world: World, clip: Clip) -> Trajectory:
        told = law(clip) if law else None
        return model.foresee(world, clip.video[:, :, :NUM_CONTEXT], clip.num_frames, law=told)

    return foresee


def from_truth(model: WorldModel) -> Foresight:
    """What it foresees from the simulator's own state at the end of the context: an oracle."""

    def foresee(world: World, clip: Clip) -> Trajectory:
        context = clip.trajectory.frames(0, NUM_CONTEXT)
        start = clip.trajectory.frames(NUM_CONTEXT - 1, NUM_CONTEXT)
        return predict(model.prior, start, context, world.bodies, clip.num_frames - NUM_CONTEXT, world.law)

    return foresee


def without_one(model: WorldModel) -> Foresight:
    """What it foresees where it is not told of one body: the last ball in the box, the hoop where there is one."""

    def foresee(world: World, clip: Clip) -> Trajectory:
        hoop = [k for k, body in enumerate(clip.setups[0].bodies) if body.group == "hoop"]
        gone = hoop or moving(clip.setups[0])[-1:]
        return _absent(from_context(model)(world, clip), gone, model, world, clip)

    return foresee


def each_alone(model: WorldModel) -> Foresight:
    """What it foresees of each ball as if it were alone with the walls: a violating twin, to check the measure."""

    def foresee(world: World, clip: Clip) -> Trajectory:
        setup = clip.setups[0]
        balls = moving(setup)
        objects = {*balls, *(k for k, body in enumerate(setup.bodies) if body.group == "hoop")}
        together = from_context(model)(world, clip)
        position = together.position.clone()
        for k in balls:
            alone = _absent(together, sorted(objects - {k}), model, world, clip)
            position[:, :, k] = alone.position[:, :, k]
        return dataclasses.replace(together, position=position)

    return foresee


def _absent(told: Trajectory, gone: list[int], model: WorldModel, world: World, clip: Clip) -> Trajectory:
    """The future from the same start without some bodies, which are there in the context alone."""
    start = told.frames(NUM_CONTEXT - 1, NUM_CONTEXT)
    presence = start.presence.clone()
    presence[..., gone] = 0
    start = dataclasses.replace(start, presence=presence)
    context = told.frames(0, NUM_CONTEXT)
    return predict(model.prior, start, context, world.bodies, clip.num_frames - NUM_CONTEXT, world.law)


def drawn(foresee: Foresight) -> Row:
    """The foreseen bodies as the rasteriser draws them, behind the given context."""

    @torch.no_grad()
    def run(clip: Clip, seed: int) -> Tensor:
        world = World.of(clip.setups)
        seen = draw_hint(foresee(world, clip), world.bodies, world.view, world.background, clip.setups[0].shading)
        return torch.cat([clip.video[:, :, :NUM_CONTEXT], seen[:, :, NUM_CONTEXT:]], 2)

    return run


def generated(model: WorldModel, steps: int, foresee: Foresight | None = None, **options: object) -> Row:
    """What a model makes of the context; with a foresight of its own in place of the model's."""

    def run(clip: Clip, seed: int) -> Tensor:
        context = clip.video[:, :, :NUM_CONTEXT]
        new = CLIP_FRAMES - NUM_CONTEXT
        with _hinted(model, foresee, clip):
            return model.generate(context, clip.setups, new, seed=seed, steps=steps, **options).video

    return run


@contextmanager
def _hinted(model: WorldModel, foresee: Foresight | None, clip: Clip) -> Iterator[None]:
    """Generate with another foresight: it stands in front of the model's own while one clip is made."""
    if foresee is None:
        yield
        return
    foreseen = foresee(World.of(clip.setups), clip)
    model.foresee = lambda *args, **kwargs: foreseen  # type: ignore[method-assign]
    try:
        yield
    finally:
        del model.foresee  # type: ignore[method-assign]


def table(
    readout: LearnedReadout, paired: Path | None, plain: Path | None, others: dict[str, Path], steps: int
) -> dict[str, Row]:
    """All rows by name, in the order of the page; those whose runs are not given are left out."""
    prior = prior_alone(FPS, NUM_CONTEXT, readout)
    rows: dict[str, Row] = {
        FLOOR: lambda clip, seed: clip.video,
        ENGINE: other_engine,
        RASTER: drawn(from_context(prior)),
        "rasterised prior, true start": drawn(from_truth(prior)),
        GHOSTS: drawn(each_alone(prior)),
    }
    if paired is not None:
        model = load_run(paired)
        rows |= {
            PAIRED: generated(model, steps),
            HINT_OFF: generated(model, steps, hint=False),
            WRONG_LAW: generated(model, steps, from_context(model, wrong_law)),
            LACKING: generated(model, steps, without_one(model)),
            "paired, hint from the true start": generated(model, steps, from_truth(model)),
            "paired, guided by the energy": generated(model, steps, guidance=Guidance("energy")),
            "paired, projected": generated(model, steps, guidance=Guidance("project")),
        }
    rows |= {name: generated(load_run(run), steps) for name, run in others.items()}
    if plain is not None:
        model = load_run(plain)
        rows[PLAIN] = generated(model, steps)
        rows["plain twin, guided by the energy"] = generated(model, steps, guidance=Guidance("energy"))
    return rows
