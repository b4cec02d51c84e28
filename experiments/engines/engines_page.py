"""The page of the engines' physics, written from measured figures alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

BARS = {"free flight, m": 1e-4, "impacts, share": 1e-2} | {
    f"rest of a {kind}, m": 1e-3 for kind in ("sphere", "box", "capsule", "ring")
}
NAMES = {
    "free flight, m": "free flight over 2 s, off the closed form, m",
    "impacts, share": "outgoing velocities of two-sphere impacts, .05 to 6 m/s, mass ratios to 9, restitution .3 to 1, "
    "head-on and oblique, planar and 3-D, share of the relative speed",
}
PAGE = """# Physics of the engines

Written by `python experiments/engines/measure.py --out docs/measured` (raw figures: `engines.json`): mujoco {mujoco},
pybullet {pybullet}, Python {python}. Largest errors over the cases; errors do not hang on the machine's load.

| what | bar | MuJoCo | PyBullet |
|---|---|---|---|
{rows}

Misses: {misses}. Tests hold head-on and oblique impacts of both engines to the bar.

Between the two engines, one scene each of {families} with seeds 0 to {last}:

| what | measured |
|---|---|
{agreement}

More is held by tests: `pytest tests/engines` (bars of 1e-4 m and 5e-3 rad until the first contact at spins up to 4.5
rad/s, first contacts within a frame, equal ids on 99 % of pixels, a driven arm within 5 mm over 2 s, a pendulum within
1e-4 rad of scipy's integrator).

How MuJoCo is played: its own contacts are damped springs without a coefficient of restitution; held to 1 % over a
factor of 120 in speed they would need hundreds of sub-steps an impact (a spring of stiffness w^2 is within 1 % only
for sub-steps under 0.02 / w). Here MuJoCo finds the contacts and solves for the impulses, and the velocities that
contacts aim at come from the law: Newton's restitution at the located time of impact, exact Coulomb friction, rest
without sinking. Free flight is one step in closed form for as long as nothing can touch.

Known limits: a PyBullet impact with a link of an articulated body can be off by .8 % in restitution; PyBullet solves
touching chains at once, so Newton's cradle shares momentum there where MuJoCo passes it on; joint limits in PyBullet
overshoot by one sub-step of travel.
"""


def page(document: Mapping[str, Any]) -> str:
    """Markdown of the measured document."""
    engines = document["engines"]
    rows, misses = [], []
    for key, bar in BARS.items():
        values = [engines[name][key] for name in ("mujoco", "pybullet")]
        rows.append(f"| {NAMES.get(key, key)} | {bar:g} | {' | '.join(f'{value:.1e}' for value in values)} |")
        misses += [f"{name}, {key}" for name, v in zip(("mujoco", "pybullet"), values, strict=True) if v > bar]
    return PAGE.format(
        mujoco=engines["mujoco"]["version"],
        pybullet=engines["pybullet"]["version"],
        python=document["python"],
        rows="\n".join(rows),
        misses="; ".join(misses) or "none",
        families=", ".join(document["agreement of"]["families"]),
        last=document["agreement of"]["seeds"] - 1,
        agreement="\n".join(f"| {key} | {value:.6g} |" for key, value in document["agreement"].items()),
    )
