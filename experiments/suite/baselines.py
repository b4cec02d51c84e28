"""The suite's rows that need no model, as docs/measured/suite.md has them.

python experiments/suite/baselines.py [--num 4] [--models truth pybullet static prior] [--out outputs/suite]

Clips that are done are kept in --out, so that a stopped run goes on; more models may be named: a checkpoint,
package.module:function. The page is written where the first three rows are there.
"""

from __future__ import annotations

import argparse
import os
import platform
from pathlib import Path

from rich.progress import Progress

from worldsim.benchmarks.suite import SuiteConfig, load_generator, row_of, run_suite, settings_of, write_leaderboard
from worldsim.benchmarks.suite.leaderboard import LeaderboardRow, markdown, sorted_rows

ROOT = Path(__file__).parents[2]
PRIOR = """\
- *prior* is the rasterised physics prior without a transformer. It reads the context by colour, which works for flat
  pictures by an orthographic camera: looming, hoop and shaded balls (bouncing_balls) are left unanswered and count 0.
  Its edges are smooth where the suite's pictures have hard ones, which the tracker reads
  as a small change of shape at the end of the context.
"""


def page(rows: list[LeaderboardRow], config: SuiteConfig) -> str:
    """The measured page: what was asked, the tables, and how to read them."""
    by_name = {row.model: row.headline for row in rows}
    truth, other, still = (by_name[name] for name in ("truth", "pybullet", "static"))
    apart = "apart" if still.high < other.low else "not apart"
    command = f"python experiments/suite/baselines.py --num {config.num}"
    return f"""# The suite's baselines

`{command}` wrote this page: {rows[0].headline.clips} clips a row, seeds 0 to {config.num - 1} of each family
and split, on {os.cpu_count()} shared cores without a GPU, Python {platform.python_version()}.

What the rows must show: another engine's motion is as lawful as the ground truth ({other} beside {truth}), and
the last context frame held still is not ({still}); the intervals of the last two are {apart}.

- *truth* is the floor itself and scores 1 by definition.
- *pybullet* is PyBullet's motion in MuJoCo's pictures.
- *static* repeats the last context frame. It breaks no law of contact and none of shape; stillness, which multiplies
  the mean over the groups of laws, takes what it did not earn.
{PRIOR if "prior" in by_name else ""}
{markdown(rows, settings_of(config))}"""


def main() -> None:
    """Ask, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, default=4)
    parser.add_argument("--models", nargs="+", default=["truth", "pybullet", "static", "prior"])
    parser.add_argument("--out", type=Path, default=ROOT / "outputs" / "suite")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs" / "measured" / "suite.md")
    arguments = parser.parse_args()
    config = SuiteConfig(num=arguments.num)
    rows = []
    with Progress() as bar:
        for word in arguments.models:
            model = load_generator(word)
            task = bar.add_task(model.name, total=None)
            clips = run_suite(
                config,
                model,
                arguments.out,
                lambda done, total, task=task: bar.update(task, completed=done, total=total),
            )
            rows.append(row_of(model.name, clips))
    rows = sorted_rows(rows)
    write_leaderboard(arguments.out, rows, settings_of(config))
    if {"truth", "pybullet", "static"} <= {row.model for row in rows}:
        arguments.docs.parent.mkdir(parents=True, exist_ok=True)
        arguments.docs.write_text(page(rows, config), encoding="utf-8")
        print(arguments.docs)


if __name__ == "__main__":
    main()
