"""worldsim generate: the future of a scene, or of a clip and its setup, as a video with a JSON of facts beside it.

A model that opens videos needs no context: a setup, and a text where it was built with text. What is read from files is
_inputs' part, what is told of the video _facts'.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor

from worldsim.cli._facts import facts, judge
from worldsim.cli._generation import PRIOR, Chosen, choose, draw_scene, play, prior_reads, suits, trained_on
from worldsim.cli._inputs import fit_actions, read_actions, read_setup
from worldsim.cli.settings import UsageError, check_family
from worldsim.data import DataError, read_video, write_video
from worldsim.data.gif import write_gif
from worldsim.data.video import CODECS
from worldsim.diffusion.samplers import SOLVERS
from worldsim.engines import Rollout
from worldsim.models.inputs import FPS_TOLERANCE
from worldsim.models.pretrained import read_config
from worldsim.models.steering import KINDS, Guidance
from worldsim.models.text import unknown_words
from worldsim.scene import Setup
from worldsim.scene.files import write_bytes


@dataclass(frozen=True)
class Config:
    """Settings of `worldsim generate`.

    Attributes:
        scene: Scenario family; one of its scenes is simulated for the context frames.
        split: Of the scene, id or ood.
        scene_args: Parameters of the family, as scene_args.NAME=VALUE; see worldsim list FAMILY.
        context: In place of scene, a video whose last frames are gone on from; with setup.
        setup: Scene or setup of the context as JSON, or the JSON beside a generated video. Without context, a model
            that has 0 among its context_lengths opens the video.
        text: What the model is told in words, where it was built with text.
        actions: Of a model that was built with actions, .npy or .safetensors (tensor "actions"): numbers of shape
            (T, A), a row for each frame given and new, or one less, for the intervals between them; none takes those of
            the scene's robot.
        model: Shipped checkpoint, folder, or "prior" for the rasterised prior alone; none takes the shipped one that
            was trained on such scenes, and the prior where there is none.
        num_frames: New frames; none makes a clip of 16 with the context, or fills a pass of the model that is longer.
            What exceeds a pass is made chunk by chunk.
        seed: Of the scene and of the starting noise.
        steps: Of the sampler.
        solver: euler, heun or ab2.
        hint: Whether the prior's hint is given; off, the same weights run without it.
        guidance: Correction of each estimate by physics: none, energy or project.
        score: Whether the JSON tells how far the video breaks physical laws; a second for a short clip.
        codec: Of an .mp4: h264, h264-444 or exact, which is without loss: right for what is to be a context again.
        out: Video to write, .mp4 or .gif; a .json of the same name goes beside it. none makes a name in outputs.
    """

    scene: str | None = None
    split: str = "id"
    scene_args: dict[str, Any] = field(default_factory=dict)
    context: str | None = field(default=None, metadata={"path": True})
    setup: str | None = field(default=None, metadata={"path": True})
    text: str | None = None
    actions: str | None = field(default=None, metadata={"path": True})
    model: str | None = field(default=None, metadata={"path": True})
    num_frames: int | None = None
    seed: int = 0
    steps: int = 10
    solver: str = "euler"
    hint: bool = True
    guidance: str | None = None
    score: bool = True
    codec: str = "h264"
    out: str | None = field(default=None, metadata={"path": True})

    def __post_init__(self) -> None:
        if self.guidance is not None and self.guidance not in KINDS:
            raise ValueError(f"guidance: must be none or one of {', '.join(KINDS)}, got {self.guidance!r}")
        if self.out is not None and Path(self.out).suffix.lower() not in (".mp4", ".gif"):
            raise ValueError(f"out: must end in .mp4 or .gif, got {self.out!r}")
        if self.codec not in CODECS:
            raise ValueError(f"codec: must be one of {', '.join(CODECS)}, got {self.codec!r}")
        if self.num_frames is not None and self.num_frames < 1:
            raise ValueError(f"num_frames: must be 1 or more, got {self.num_frames}")


EXAMPLES = (
    "worldsim generate scene=collision",
    "worldsim generate scene=bouncing_balls seed=3 num_frames=60 out=outputs/balls.gif",
    'worldsim generate context=clip.mp4 setup=scene.json model=outputs/mine text="a red ball falls"',
    'worldsim generate setup=scene.json model=outputs/text text="a red ball hits a blue ball"',
    "worldsim generate context=clip.mp4 setup=scene.json model=outputs/driven actions=actions.npy",
)
POSITIONAL: tuple[str, ...] = ()
CLIP_FRAMES = 16
CHOICES = {"split": ("id", "ood"), "solver": SOLVERS, "guidance": KINDS, "codec": tuple(CODECS)}


@dataclass(frozen=True)
class Begin:
    """What is gone on from.

    Attributes:
        context: (K, H, W, 3) pictures; K is 0 where the video is opened.
        setup: Of the scene.
        chosen: The model.
        name: Of the video, where none is given.
        truth: The whole simulated scene; None where it is not known.
    """

    context: NDArray[np.uint8]
    setup: Setup
    chosen: Chosen
    name: str
    truth: Rollout | None = None


def run(config: Config) -> None:
    """Generate, write, and say what was made."""
    both = config.scene is not None and config.context is not None
    if both or (config.scene, config.context, config.setup) == (None, None, None):
        raise UsageError(
            "scene, context: must be given, one of them, as scene=FAMILY or context=VIDEO setup=JSON; "
            "setup=JSON alone opens a video"
        )
    begin = _from_scene(config) if config.scene is not None else _from_setup(config)
    setup, chosen, model = begin.setup, begin.chosen, begin.chosen.model
    lengths = model.config.context_lengths
    if not len(begin.context) and 0 not in lengths:
        raise ValueError(
            f"context: must be given for {chosen.name}, which goes on from one of {lengths} frames; "
            "to open a video it would need 0 among its context_lengths"
        )
    known = max((length for length in lengths if length <= len(begin.context)), default=0)
    if len(begin.context) and not known and 0 in lengths:
        raise ValueError(
            f"context: must have one of {tuple(n for n in lengths if n)} frames or more, "
            f"or be left out to open a video, got {len(begin.context)}"
        )
    frames = config.num_frames
    if frames is None:
        frames = max(model.config.clip_frames, CLIP_FRAMES) - known
    if config.text is not None and model.config.dit.text_width and (unknown := unknown_words(config.text)):
        raise ValueError(f"text: must use the words of worldsim's captions, got {', '.join(map(repr, unknown))}")
    actions, told = _actions(config, begin, known, frames)
    guidance = None if config.guidance is None else Guidance(config.guidance)
    future = model.generate(
        begin.context,
        setup,
        frames,
        text=config.text,
        actions=actions,
        seed=config.seed,
        steps=1 if chosen.name == PRIOR else config.steps,
        solver=config.solver,
        hint=config.hint,
        guidance=guidance,
    )
    out = Path(config.out or f"outputs/generate/{begin.name}-{config.seed}.mp4")
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix.lower() == ".gif":
        write_gif(out, future.video, setup.fps)
    else:
        write_video(out, future.video, setup.fps, config.codec)
    violations = judge(future, setup, begin.truth) if config.score else None
    made_by = {
        "model": chosen.name,
        **{name: getattr(config, name) for name in ("seed", "text", "steps", "solver", "hint", "guidance")},
        "actions": told,
    }
    document = facts(future, setup, made_by, violations)
    write_bytes(out.with_suffix(".json"), (json.dumps(document, indent=1, allow_nan=False) + "\n").encode("utf-8"))
    _tell(out, chosen, document)


def _tell(out: Path, chosen: Chosen, document: dict[str, Any]) -> None:
    """What was made, on the console."""
    console = Console(soft_wrap=True, markup=False, highlight=False, emoji=False)
    if chosen.why:
        console.print(f"{chosen.why}: the rasterised prior stands in")
    console.print(f"{out}  {document['frames']} frames, {document['num_context']} of them given, by {chosen.name}")
    console.print(f"{out.with_suffix('.json')}  setup, prior and read trajectories")
    violations = document["violations"]
    if violations is not None and violations["judged_by"] is None:
        console.print(f"violations: not known, {violations['reason']}")
    elif violations is not None:
        console.print(f"violations: headline {violations['headline']:.3f}, judged by the {violations['judged_by']}")


def _from_scene(config: Config) -> Begin:
    assert config.scene is not None
    if config.setup is not None:
        raise UsageError("setup: must be left out with scene, which brings its own")
    check_family(config.scene)
    name = config.model or trained_on(config.scene)
    card = choose(PRIOR, 1.0, "").card if name in (None, PRIOR) else read_config(str(name))[1]
    scene = draw_scene(config.scene, config.seed, config.split, config.scene_args, card)
    chosen = choose(name, scene.fps, f"no shipped checkpoint was trained on {config.scene}")
    if chosen.name == PRIOR and not prior_reads(scene.setup()):
        raise ValueError(
            f"model: must be a checkpoint for {config.scene}{', none is shipped' * (name is None)}; the prior alone "
            "takes flat pictures of free bodies in a plane, by orthographic cameras, as those of collision or bouncing"
        )
    truth = play(scene, card)
    return Begin(truth.video[: max(chosen.model.config.context_lengths)], scene.setup(), chosen, config.scene, truth)


def _from_setup(config: Config) -> Begin:
    if config.setup is None:
        raise UsageError("setup: must be given with context, as setup=scene.json")
    setup = read_setup(Path(config.setup))
    context = np.zeros((0, setup.camera.height, setup.camera.width, 3), np.uint8)
    if config.context is not None:
        context, fps = read_video(config.context)
        if abs(fps - setup.fps) > FPS_TOLERANCE:
            raise DataError(f"{config.context}: must have {setup.fps:g} frames a second as its setup says, got {fps:g}")
    name, why = config.model, ""
    if name is None:
        name, why = suits(setup)
        if name is None and not prior_reads(setup):
            raise ValueError(f"setup: must suit a shipped checkpoint, or one be named as model=...; misfits of {why}")
    chosen = choose(name, setup.fps, f"no shipped checkpoint suits the setup ({why})")
    return Begin(context, setup, chosen, Path(config.context or config.setup).stem)


def _actions(config: Config, begin: Begin, known: int, frames: int) -> tuple[Tensor | None, str | None]:
    """(1, known + frames, A) of a model that takes actions, and where they are from."""
    model = begin.chosen.model.config
    width = model.dit.action_width // model.packing.time
    if not width:
        if config.actions is not None:
            raise ValueError(f"actions: must be left out for {begin.chosen.name}, which was built without")
        return None, None
    if config.actions is not None:
        rows, told = read_actions(Path(config.actions)), config.actions
    elif begin.truth is not None and begin.truth.actions.shape[1] == width:
        # The scene's own robot drove the context, so that it drives on.
        if len(begin.truth.video) < known + frames:
            raise ValueError(
                f"actions: must be given for more frames than the {len(begin.truth.video)} of {begin.name}, "
                f"got num_frames {frames}"
            )
        rows, told = begin.truth.actions[: known + frames - 1], "of the scene's robot"
    else:
        raise ValueError(
            f"actions: must be given for {begin.chosen.name}, which takes {width} numbers a frame, as actions=FILE"
        )
    return torch.from_numpy(fit_actions(rows, width, known, frames))[None], told
