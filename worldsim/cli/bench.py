"""worldsim bench: score videos, ask a model a suite of scenes, run a named protocol, or test the benchmark itself."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import Any

from worldsim.cli.settings import UsageError


@dataclass(frozen=True)
class Config:
    """Settings of `worldsim bench`.

    Attributes:
        videos: Score a folder of videos, GIFs and folders of frames. Beside clip.mp4, clip.json is its scene and
            clip.npz (or a folder clip_masks of PNG) its masks, where they are there.
        suite: Ask a model all scenes of a suite, such as core.
        model: That answers the suite: truth, pybullet, static, prior, package.module:function, diffusers:NAME, a folder
            with a checkpoint or with videos named by scene, or a shipped checkpoint's name.
        model_args: Further arguments of the model, as model_args.steps=20.
        protocol: Judge the videos, or a model's denoiser, by a named protocol of the field, such as physics_iq.
        reference: What a protocol compares the videos with: a folder of scenes, NAME.json for NAME.mp4, or a data set;
            none takes the folder of the videos.
        protocol_args: Further arguments of the protocol, as protocol_args.shrink=2.
        self_test: Test the benchmark itself on fresh scenes.
        out: Folder for report, scores and leaderboard; a suite that was stopped goes on there, and models share one.
        scene: Scene as JSON, of all videos without one of their own.
        planar: Whether videos without a scene are orthographic pictures of planar worlds.
        fps: Frames a second of videos; none takes the scene's or the file's.
        families: Of the scenes; none takes all of the suite, or the self-test's own.
        num: Scenes a family, and in a suite a split; none takes 8 in a suite and 2 in the self-test.
        seed: Of the first scene of the self-test, and of the model's noise in a suite.
        pixels: Height of the pictures; none takes 64 in a suite and 128 in the self-test.
        context: Frames that a suite gives the model.
        num_frames: New frames that a suite asks for.
        players: Clips of a suite, the worst ones, that the report shows with all frames.
        masks: Whether the self-test reads ground-truth masks; the built-in tracker otherwise.
    """

    videos: str | None = field(default=None, metadata={"path": True})
    suite: str | None = None
    model: str | None = field(default=None, metadata={"path": True})
    model_args: dict[str, Any] = field(default_factory=dict)
    protocol: str | None = None
    reference: str | None = field(default=None, metadata={"path": True})
    protocol_args: dict[str, Any] = field(default_factory=dict)
    self_test: bool = False
    out: str = field(default="bench", metadata={"path": True})
    scene: str | None = field(default=None, metadata={"path": True})
    planar: bool = False
    fps: float | None = None
    families: tuple[str, ...] = ()
    num: int | None = None
    seed: int = 0
    pixels: int | None = None
    context: int = 4
    num_frames: int = 20
    players: int = 12
    masks: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "families", tuple(self.families))
        for name in ("num", "pixels"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}: must be a whole number of 1 or more, got {value}")
        if self.fps is not None and not self.fps > 0:
            raise ValueError(f"fps: must be above 0, got {self.fps}")


EXAMPLES = (
    "worldsim bench videos=clips out=scores",
    "worldsim bench videos=clips scene=scene.json out=scores",
    "worldsim bench suite=core model=static out=leaderboard num=2",
    "worldsim bench suite=core model=my_package.model:generate out=leaderboard",
    "worldsim bench protocol=phyworld videos=clips reference=scenes out=scores",
    "worldsim bench protocol=likephys model=my_package.model:loss num=8 out=scores",
    "worldsim bench self_test=true families=[collision,hoop] num=1",
)
POSITIONAL = ("videos",)
CHOICES: dict[str, tuple[str, ...]] = {
    "model": ("truth", "pybullet", "static", "prior"),
    "suite": ("core",),
    "protocol": (
        *("phyworld", "phyworld_legacy", "physics_iq", "physics_iq_verified"),
        *("pisa", "rigidbench", "pis", "rigidity_pdi", "likephys", "ldr"),
    ),
}
# Setting that chooses what is done -> the module whose `run` does it.
MODES = {
    "videos": "worldsim.cli.bench_videos",
    "suite": "worldsim.cli.bench_suite",
    "protocol": "worldsim.cli.bench_protocol",
    "self_test": "worldsim.cli.bench_self_test",
}


def run(config: Config) -> None:
    """Do the one thing that is asked for."""
    # A protocol takes the videos as what it judges.
    asked = [name for name in MODES if getattr(config, name) and not (name == "videos" and config.protocol)]
    if len(asked) != 1:
        raise UsageError(
            "videos, suite, protocol, self_test: one must be given, as videos=DIR, suite=core model=NAME, "
            f"protocol=NAME videos=DIR or self_test=true, got {', '.join(asked) or 'none'}; see worldsim bench --help"
        )
    importlib.import_module(MODES[asked[0]]).run(config)
