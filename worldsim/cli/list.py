"""worldsim list: the scenario families, what they draw, and a sheet of thumbnails."""

from __future__ import annotations

from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table
from rich.text import Text

from worldsim.cli.settings import check_family
from worldsim.cli.thumbnails import family_tiles
from worldsim.scene import Scenario, scenarios


@dataclass(frozen=True)
class Config:
    """Settings of `worldsim list`.

    Attributes:
        scene: One family to describe in full, with its ranges and parameters.
        sheet: PNG to draw a sheet of thumbnails into, played by MuJoCo.
        split: Of the thumbnails' scenes, id or ood.
        seed: Of the thumbnails' scenes.
    """

    scene: str | None = None
    sheet: str | None = field(default=None, metadata={"path": True})
    split: str = "id"
    seed: int = 0


EXAMPLES = ("worldsim list", "worldsim list hoop", "worldsim list sheet=sheet.png", "worldsim list --sheet sheet.png")
THUMBNAIL = 96  # height of a picture on the sheet, pixels
POSITIONAL = ("scene",)
CHOICES = {"split": ("id", "ood")}


def run(config: Config) -> None:
    """Print the families and draw the sheet where one is asked for."""
    families = scenarios()
    console = Console(markup=False, emoji=False)
    if config.scene is not None:
        check_family(config.scene)
        families = {config.scene: families[config.scene]}
        _describe(console, families[config.scene])
    else:
        table = Table("family", "what happens", "what is drawn (in distribution)", box=None, header_style="bold")
        for name, family in families.items():
            drawn = "; ".join(f"{key} {ranges[0]}" for key, ranges in family.ranges.items())
            table.add_row(Text(name, style="bold"), family.summary, drawn)
        console.print(table)
        console.print(f"{len(families)} families; worldsim list FAMILY tells its ranges out of distribution too.")
    if config.sheet is not None:
        from worldsim.data.sheet import draw_sheet

        tiles = family_tiles(list(families), config.split, config.seed, pixels=THUMBNAIL)
        draw_sheet(
            config.sheet, tiles, columns=2, height=THUMBNAIL, title=f"{len(families)} families, split {config.split}"
        )
        console.print(f"drew {config.sheet}", soft_wrap=True)


def _describe(console: Console, family: Scenario) -> None:
    console.print(Text.assemble((family.name, "bold"), f": {family.summary}"))
    table = Table("what is drawn", "in distribution (id)", "out of distribution (ood)", box=None, header_style="bold")
    for name, (inside, outside) in family.ranges.items():
        table.add_row(name, inside, outside)
    console.print(table)
    if family.parameters:
        values = Table("parameter", "default", box=None, header_style="bold")
        for name, default in family.parameters.items():
            values.add_row(f"scene_args.{name}", str(default))
        console.print(values)
