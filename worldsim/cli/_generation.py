"""What generating verbs share: which checkpoint suits a scene, and pictures drawn as its training pictures were."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from worldsim.data.clip_set import average_down
from worldsim.data.generate import with_pixels
from worldsim.engines import Rollout
from worldsim.models import ModelCard, WorldModel, WorldModelConfig, shipped
from worldsim.models.pairing import check_foreseeable
from worldsim.models.pretrained import read_config
from worldsim.models.prior_alone import prior_alone
from worldsim.scene import Scene, Setup, make_scene

PRIOR, PLAIN = "prior", "-plain"


@dataclass(frozen=True)
class Chosen:
    """A model to generate with.

    Attributes:
        name: Of the checkpoint, or "prior" for the rasterised prior without a transformer.
        model: Itself.
        card: Where it comes from; empty for the prior.
        why: Why the prior stands in, empty where a checkpoint was found or asked for.
    """

    name: str
    model: WorldModel
    card: ModelCard
    why: str = ""


def trained_on(family: str, plain: bool = False) -> str | None:
    """Name of the shipped checkpoint that was trained on a family, paired or plain; None where there is none."""
    for name, folder in shipped().items():
        if name.endswith(PLAIN) == plain and family in read_config(folder)[1].scenes:
            return name
    return None


def suits(setup: Setup) -> tuple[str | None, str]:
    """Name of the shipped paired checkpoint whose training scenes a setup is like; else None, and what does not fit."""
    told = []
    for name, folder in shipped().items():
        if name.endswith(PLAIN):
            continue
        misfits = _misfits(setup, *read_config(folder))
        if not misfits:
            return name, ""
        told.append(f"{name}: {', '.join(misfits)}")
    return None, "; ".join(told) or "none is shipped"


def _misfits(setup: Setup, config: WorldModelConfig, card: ModelCard) -> list[str]:
    """In what a setup differs from that of the card's scenes which is nearest to it."""
    found = _traits(setup)
    options = []
    for family in card.scenes:
        wanted = _traits(draw_scene(family, 0, "id", {}, card).setup()) | {"fps": f"{config.fps:g}"}
        differs = [name for name in wanted if wanted[name] != found[name]]
        options.append([f"{name} must be {wanted[name]}, got {found[name]}" for name in differs])
    return min(options, key=len, default=["its card names no scenes"])


def _traits(setup: Setup) -> dict[str, str]:
    """By name, what a model and its readout take for granted of all its scenes."""
    kinds = {static: sorted({b.shape.kind for b in setup.bodies if b.static == static}) for static in (False, True)}
    return {
        "picture": f"{setup.camera.height} x {setup.camera.width}",
        "fps": f"{setup.fps:g}",
        "planar": str(setup.planar).lower(),
        "camera.kind": setup.camera.kind,
        "shading": setup.shading,
        "shapes that move": " and ".join(kinds[False]) or "none",
        "shapes that stand": " and ".join(kinds[True]) or "none",
        "joints": "some" if setup.joints else "none",
    }


def prior_reads(setup: Setup) -> bool:
    """Whether the prior alone, which reads states by flat colour and moves free bodies, takes scenes of that kind."""
    try:
        check_foreseeable([setup], by_colour=True)
    except ValueError:
        return False
    return True


def choose(name: str | None, fps: float, why: str) -> Chosen:
    """The checkpoint of a name, or the prior alone where there is none."""
    if name is None or name == PRIOR:
        return Chosen(PRIOR, prior_alone(fps), ModelCard(), why if name is None else "")
    return Chosen(name, WorldModel.from_pretrained(name), read_config(name)[1])


def draw_scene(family: str, seed: int, split: str, parameters: dict[str, Any], card: ModelCard) -> Scene:
    """A test scene of a family in the size, and with the parameters, that a checkpoint was trained on."""
    scene = make_scene(family, seed=seed, split=split, role="test", **{**card.scenes.get(family, {}), **parameters})
    return with_pixels(scene, card.size[0]) if card.size else scene


def play(scene: Scene, card: ModelCard) -> Rollout:
    """A simulated scene in pictures drawn as the checkpoint's training pictures were; its floors are theirs."""
    from worldsim._simulate import simulate

    times = card.oversampling
    fine = simulate(with_pixels(scene, scene.camera.height * times), preset=card.preset)
    small = average_down(fine, scene)
    return replace(fine, scene=scene, video=small.video, ids=small.ids, depth=fine.depth[:, ::times, ::times])
