"""worldsim generate: the future of a scene, or of a clip and its setup, as a video with a JSON of facts beside it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from worldsim.cli._generation import PRIOR, Chosen, choose, draw_scene, play, suits, trained_on
from worldsim.cli.settings import UsageError, check_family
from worldsim.data import DataError, read_video, write_video
from worldsim.data.gif import write_gif
from worldsim.diffusion.samplers import SOLVERS
from worldsim.models import Generation
from worldsim.models.pretrained import read_config
from worldsim.models.steering import KINDS, Guidance
from worldsim.models.text import unknown_words
from worldsim.physics import Trajectory
from worldsim.scene import Scene, Setup, dumps, loads_scene, loads_setup
from worldsim.scene.files import write_bytes


@dataclass(frozen=True)
class Config:
    """Settings of `worldsim generate`.

    Attributes:
        scene: Scenario family; one of its scenes is simulated for the context frames.
        split: Of the scene, id or ood.
        scene_args: Parameters of the family, as scene_args.NAME=VALUE; see worldsim list FAMILY.
        context: In place of scene, a video whose last frames are gone on from; with setup.
        setup: Scene or setup of the context as JSON.
        text: What the model is told in words, where it was built with text.
        model: Shipped checkpoint, folder, or "prior" for the rasterised prior alone; none takes the shipped one that
            was trained on such scenes, and the prior where there is none.
        num_frames: New frames; none makes a clip of 16 with the context, or fills a pass of the model that is longer.
            What exceeds a pass is made chunk by chunk.
        seed: Of the scene and of the starting noise.
        steps: Of the sampler.
        solver: euler, heun or ab2.
        hint: Whether the prior's hint is given; off, the same weights run without it.
        guidance: Correction of each estimate by physics: none, energy or project.
        out: Video to write, .mp4 or .gif; a .json of the same name goes beside it. none makes a name in outputs.
    """

    scene: str | None = None
    split: str = "id"
    scene_args: dict[str, Any] = field(default_factory=dict)
    context: str | None = field(default=None, metadata={"path": True})
    setup: str | None = field(default=None, metadata={"path": True})
    text: str | None = None
    model: str | None = field(default=None, metadata={"path": True})
    num_frames: int | None = None
    seed: int = 0
    steps: int = 10
    solver: str = "euler"
    hint: bool = True
    guidance: str | None = None
    out: str | None = field(default=None, metadata={"path": True})

    def __post_init__(self) -> None:
        if self.guidance is not None and self.guidance not in KINDS:
            raise ValueError(f"guidance: must be none or one of {', '.join(KINDS)}, got {self.guidance!r}")
        if self.out is not None and Path(self.out).suffix.lower() not in (".mp4", ".gif"):
            raise ValueError(f"out: must end in .mp4 or .gif, got {self.out!r}")


EXAMPLES = (
    "worldsim generate scene=collision",
    "worldsim generate scene=bouncing_balls seed=3 num_frames=60 out=outputs/balls.gif",
    'worldsim generate context=clip.mp4 setup=scene.json model=outputs/mine text="a red ball falls"',
)
POSITIONAL: tuple[str, ...] = ()
CLIP_FRAMES = 16
CHOICES = {"split": ("id", "ood"), "solver": SOLVERS, "guidance": KINDS}


def run(config: Config) -> None:
    """Generate, write, and say what was made."""
    if (config.scene is None) == (config.context is None):
        raise UsageError("scene, context: must be given, one of them, as scene=FAMILY or context=VIDEO setup=JSON")
    context, setup, chosen, name = _from_scene(config) if config.scene is not None else _from_video(config)
    model = chosen.model
    frames = config.num_frames
    if frames is None:
        frames = max(model.config.clip_frames, CLIP_FRAMES) - max(model.config.context_lengths)
    if config.text is not None and model.config.dit.text_width and (unknown := unknown_words(config.text)):
        raise ValueError(f"text: must use the words of worldsim's captions, got {', '.join(map(repr, unknown))}")
    guidance = None if config.guidance is None else Guidance(config.guidance)
    future = model.generate(
        context,
        setup,
        frames,
        text=config.text,
        seed=config.seed,
        steps=1 if chosen.name == PRIOR else config.steps,
        solver=config.solver,
        hint=config.hint,
        guidance=guidance,
    )
    out = Path(config.out or f"outputs/generate/{name}-{config.seed}.mp4")
    out.parent.mkdir(parents=True, exist_ok=True)
    write = write_gif if out.suffix.lower() == ".gif" else write_video
    write(out, future.video, setup.fps)
    text = json.dumps(facts(future, setup, chosen, config), indent=1, allow_nan=False) + "\n"
    write_bytes(out.with_suffix(".json"), text.encode("utf-8"))
    console = Console(soft_wrap=True)
    if chosen.why:
        console.print(f"{chosen.why}: the rasterised prior stands in", markup=False, highlight=False)
    told = f"{len(future.video)} frames, {future.num_context} of them given, by {chosen.name}"
    console.print(f"{out}  {told}", markup=False, highlight=False)
    console.print(f"{out.with_suffix('.json')}  setup, prior and read trajectories", markup=False, highlight=False)


def _from_scene(config: Config) -> tuple[NDArray[np.uint8], Setup, Chosen, str]:
    assert config.scene is not None
    if config.setup is not None:
        raise UsageError("setup: must be left out with scene, which brings its own")
    check_family(config.scene)
    name = config.model or trained_on(config.scene)
    card = choose(PRIOR, 1.0, "").card if name in (None, PRIOR) else read_config(str(name))[1]
    scene = draw_scene(config.scene, config.seed, config.split, config.scene_args, card)
    chosen = choose(name, scene.fps, f"no shipped checkpoint was trained on {config.scene}")
    if chosen.name == PRIOR and scene.camera.kind != "orthographic":
        raise ValueError(
            f"model: must be a checkpoint for {config.scene}, none is shipped; the prior alone reads orthographic "
            "pictures only, such as those of collision, bouncing or bouncing_balls"
        )
    video = play(scene, card).video
    return video[: max(chosen.model.config.context_lengths)], scene.setup(), chosen, config.scene


def _from_video(config: Config) -> tuple[NDArray[np.uint8], Setup, Chosen, str]:
    assert config.context is not None
    if config.setup is None:
        raise UsageError("setup: must be given with context, as setup=scene.json")
    setup, family = read_setup(Path(config.setup))
    video, fps = read_video(config.context)
    if abs(fps - setup.fps) > 1e-3:
        raise DataError(f"{config.context}: must have {setup.fps:g} frames a second as its setup says, got {fps:g}")
    name = config.model or (trained_on(family) if family else suits(setup))
    size = f"{setup.camera.width} x {setup.camera.height} pixels and {setup.fps:g} frames a second"
    chosen = choose(name, setup.fps, f"no shipped checkpoint suits {family or size}")
    return video, setup, chosen, Path(config.context).stem


def read_setup(path: Path) -> tuple[Setup, str]:
    """The Setup of a JSON file that holds a scene or a setup, and the scene's family, empty where not known."""
    text = path.read_text(encoding="utf-8")
    try:
        schema = json.loads(text).get("schema")
    except (ValueError, AttributeError):
        schema = None
    if schema == "worldsim.setup":
        return loads_setup(text, where=str(path)), ""
    scene: Scene = loads_scene(text, where=str(path))
    return scene.setup(), scene.family


def facts(future: Generation, setup: Setup, chosen: Chosen, config: Config) -> dict[str, Any]:
    """What goes beside the video: what made it, what the prior foresaw, and what was read from it."""
    names = [body.name for body in setup.bodies]
    return {
        "model": chosen.name,
        "seed": config.seed,
        "text": config.text,
        "steps": config.steps,
        "solver": config.solver,
        "hint": config.hint,
        "guidance": config.guidance,
        "num_context": future.num_context,
        "frames": len(future.video),
        "fps": setup.fps,
        "setup": json.loads(dumps(setup)),
        "bodies": names,
        "prior": None if future.prior is None else _listed(future.prior),
        "read": {} if future.trajectory is None else _summary(future.trajectory, future.prior, setup),
    }


def _listed(trajectory: Trajectory) -> dict[str, Any]:
    """(T, N, k) lists of metres, quaternions w x y z, metres a second and radians a second."""
    parts = ("position", "orientation", "linear_velocity", "angular_velocity", "presence")
    return {part: np.round(getattr(trajectory, part).double().cpu().numpy(), 5).tolist() for part in parts}


def _summary(read: Trajectory, prior: Trajectory | None, setup: Setup) -> dict[str, Any]:
    """Of each moving body: first and last place, way, mean share of itself that is shown, distance to the prior."""
    rows = {}
    for k, body in enumerate(setup.bodies):
        if body.static:
            continue
        place = read.position[:, k].double()
        row: dict[str, Any] = {
            "first_m": [round(x, 4) for x in place[0].tolist()],
            "last_m": [round(x, 4) for x in place[-1].tolist()],
            "way_m": round(float(place.diff(dim=0).norm(dim=-1).sum()), 4),
            "mean_presence": round(float(read.presence[:, k].mean()), 4),
        }
        if prior is not None:
            row["mean_distance_to_prior_m"] = round(float((place - prior.position[:, k]).norm(dim=-1).mean()), 4)
        rows[body.name] = row
    return rows
