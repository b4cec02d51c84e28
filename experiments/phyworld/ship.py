"""Make a checkpoint to ship of a run and its results.

python experiments/phyworld/ship.py RUN RESULTS OUT [--plain] [--before FIRST ...]

--before names the runs that RUN went on from by --start, in order.
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path

from data import FAMILIES, PIXELS
from page import CELLS

from worldsim.models import ModelCard
from worldsim.training import export, load_run, stage_commands, stage_minutes


def main() -> None:
    """Export the averaged weights with a card that says what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--before", type=Path, nargs="*", default=[])
    arguments = parser.parse_args()
    document = json.loads(arguments.results.read_text())
    rows = document["readers"]["difference"]
    shown = ["the reader on ground truth", "the rasterised prior alone", "plain twin" if arguments.plain else "paired"]
    figures = {
        f"velocity error, {name}": {where: round(rows[name][where]["frame_velocity"]["mean"], 4) for where in CELLS}
        for name in shown
    }
    earlier = stage_minutes(arguments.before)
    card = ModelCard(
        scenes={family: {} for family in FAMILIES},
        size=(PIXELS, PIXELS),
        num_frames=load_run(arguments.run).config.clip_frames,
        oversampling=4,  # the painter's edges are exactly covered; an engine's are where they are averaged down
        data="event-exact clips of PhyWorld's worlds by experiments/phyworld/data.py, 1500 id/train seeds a family",
        command=stage_commands(
            [*arguments.before, arguments.run], "experiments/phyworld/train.py", lambda run: "--plain" * arguments.plain
        ),
        hardware=f"{platform.machine()}, one thread of two shared cores, no GPU",
        metrics=figures,
        notes=f"{earlier}Velocity errors in units a second, mean over new frames and axes; experiments/phyworld has "
        "the rest. 32 x 32 pixels of flat discs, for study and demonstration alone. The test scenes were drawn after "
        "its design was settled on others.",
    )
    print(export(arguments.run, arguments.out, card))


if __name__ == "__main__":
    main()
