"""A picture to look at: what each row makes of the same test clips, frame by frame.

python experiments/violations/sheet.py DATA PICTURE --readout READOUT --paired RUN --plain RUN [--families NAME ...]
    [--clips 0] [--split id] [--steps 3]

The clips are named by number, of each set the same, so that nobody picks them by what they show.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib
import numpy as np
import torch
from data import FPS, families
from measure import CLIP_FRAMES, sample
from rows import FLOOR, PAIRED, PLAIN, table

from worldsim.data import ClipSet
from worldsim.data.clip import to_uint8
from worldsim.vision.learned_readout import LearnedReadout

matplotlib.use("Agg")
from matplotlib import pyplot as plt

ROWS = {FLOOR: "truth", PLAIN: "plain", PAIRED: "paired"}
SHOWN = range(3, CLIP_FRAMES, 2)  # the last frame that is given, and every second new one


def main() -> None:
    """Draw it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--readout", type=Path, required=True)
    parser.add_argument("--paired", type=Path, required=True)
    parser.add_argument("--plain", type=Path, required=True)
    parser.add_argument("--families", nargs="+", default=[])
    parser.add_argument("--clips", nargs="+", type=int, default=[0])
    parser.add_argument("--split", default="id")
    parser.add_argument("--steps", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    readout = LearnedReadout.load(arguments.readout)
    rows = table(readout, arguments.paired, arguments.plain, {}, arguments.steps)
    bands: list[np.ndarray] = []
    for family in arguments.families or families(not readout.config.in_plane):
        given = sample(ClipSet(arguments.data, family, arguments.split, "test"), arguments.clips)
        made = [to_uint8(rows[row](given.clip, 0)).numpy()[:, list(SHOWN)] for row in ROWS]
        bands += [video[b] for b in range(len(arguments.clips)) for video in made]
    groups = len(bands) // len(ROWS)
    figure, axes = plt.subplots(len(bands), len(SHOWN), figsize=(len(SHOWN) * 1.2, len(bands) * 1.2 + 0.2 * groups))
    for k, (line, band) in enumerate(zip(axes, bands, strict=True)):
        for axis, frame, picture in zip(line, SHOWN, band, strict=True):
            axis.imshow(picture, interpolation="nearest")
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(False)
            if k == 0:
                axis.set_title("given" if frame == SHOWN[0] else f"+{(frame - SHOWN[0]) / FPS:.2f} s", fontsize=8)
        line[0].set_ylabel(list(ROWS.values())[k % len(ROWS)], fontsize=9)
    figure.subplots_adjust(left=0.04, right=1, top=0.95, bottom=0, wspace=0.03, hspace=0.03)
    arguments.picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(arguments.picture, dpi=100)
    print(arguments.picture)


if __name__ == "__main__":
    main()
