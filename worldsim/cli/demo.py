"""worldsim demo: a handful of families simulated, as videos and as one sheet to look at."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from worldsim.cli.progress import human_size, progress_bar
from worldsim.cli.settings import check_family
from worldsim.data import write_video
from worldsim.data.generate import with_pixels
from worldsim.data.sheet import Tile, UInt8, colour_depth, colour_ids, draw_sheet, spread
from worldsim.engines import Rollout
from worldsim.scene import make_scene

FAMILIES = ("hoop", "bouncing_balls", "crossing_quadrupeds", "tower", "robot_push")


@dataclass(frozen=True)
class Config:
    """Settings of `worldsim demo`.

    Attributes:
        out: Folder for the videos and the sheet.
        scenes: Families to simulate, as scenes=[hoop,tower].
        seed: Of the scenes.
        pixels: Height of the pictures.
        preset: Of the pictures: fast, standard or quality.
    """

    out: str = field(default="outputs/demo", metadata={"path": True})
    scenes: tuple[str, ...] = FAMILIES
    seed: int = 0
    pixels: int = 256
    preset: str = "standard"


EXAMPLES = ("worldsim demo", "worldsim demo out=outputs/demo seed=3", "worldsim demo scenes=[hoop,dominoes] pixels=128")
POSITIONAL: tuple[str, ...] = ()
CHOICES = {"preset": ("fast", "standard", "quality")}


def run(config: Config) -> None:
    """Simulate, write, and print what was made."""
    from worldsim._simulate import simulate

    folder = Path(config.out)
    folder.mkdir(parents=True, exist_ok=True)
    for name in config.scenes:
        check_family(name)
    scenes = [with_pixels(make_scene(name, config.seed), config.pixels) for name in config.scenes]
    tiles, lines = [], []
    with progress_bar("simulating") as advance:
        for done, scene in enumerate(scenes):
            advance(done, len(scenes))
            rollout = simulate(scene, preset=config.preset)
            path = folder / f"{scene.family}.mp4"
            write_video(path, rollout.video, scene.fps)
            tiles.append(Tile(f"{scene.family}: {_told(rollout)}", _pictures(rollout)))
            lines.append((path, _told(rollout)))
        advance(len(scenes), len(scenes))
    sheet = folder / "sheet.png"
    draw_sheet(sheet, tiles, columns=1, height=160, title="worldsim demo: frames, then instance ids and depth")
    console = Console(soft_wrap=True)
    for path, told in lines:
        console.print(f"{path}  {human_size(path.stat().st_size)}  {told}", markup=False, highlight=False)
    console.print(
        f"{sheet}  {human_size(sheet.stat().st_size)}  all of them at a glance", markup=False, highlight=False
    )


def _told(rollout: Rollout) -> str:
    """The caption of the events where there is one, else the counts."""
    for level in ("events", "scene", "prompt"):
        if rollout.caption.get(level):
            return rollout.caption[level]
    return f"{len(rollout.scene.bodies)} bodies, {len(rollout.video)} frames, {len(rollout.contacts)} contacts"


def _pictures(rollout: Rollout) -> list[UInt8]:
    middle = len(rollout.video) // 2
    depth = colour_depth(rollout.depth[middle], rollout.scene.camera.far)
    return [*spread(rollout.video, 6), colour_ids(rollout.ids[middle]), depth]
