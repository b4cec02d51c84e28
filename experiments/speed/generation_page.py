"""The page of generation's speed, written from measured figures alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

HEAD = """# Speed

Written by `python experiments/speed/generation.py --out docs/measured`; raw figures in `speed.json`.

## Generation

{frames} frames of {pixels} px with RGB, ids, depth, states and contacts, encoded and on disk; {episodes} episodes a
round (seeds 0 to {last}), {repeats} rounds in turns after one that warms up, one process. {cpu}, {cores} cores, no GPU,
load {load:.2f} at the start; {versions}. Seconds an episode are medians over rounds; a ratio is a loop's seconds over
worldsim's, its median over rounds with the range. Bar: {bar} of the bare loop.

"""
TAIL = """
- *worldsim* is `generate_dataset`: the scene is drawn, held against overlaps, played under the pair law, rendered,
  captioned, encoded, hashed and put into a shard.
- The *direct* loop calls worldsim's engine, renderer and encoder and writes the files: what data set, captions, hashes
  and checks cost.
- The *bare* loop calls MuJoCo, its renderer and PyAV: sub-steps of at most {step:g} ms (twice MuJoCo's own), its own
  contacts, which have no restitution, and a rendering context for each model, as `mujoco.Renderer` makes one. It has
  no pair law, checks, captions, events or hashes. It draws every geom in every frame, where worldsim draws bodies that
  keep their pose once (the ring of a hoop is made of 40 capsules) and lays the others over them, to the same bytes.
- Processor time hangs less on what else the machine does than wall-clock time.
"""


def _versions(machine: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {machine[name]}" for name in ("mujoco", "av", "torch", "numpy", "python"))


def _row(family: str, figures: Mapping[str, Any], bar: float) -> str:
    cells = [family, f"{figures['worldsim s/episode']:.3f} s", f"{3600 / figures['worldsim s/episode']:,.0f}"]
    for loop in ("direct", "bare"):
        low, high = figures[f"range to {loop}"]
        cells += [
            f"{figures[f'{loop} s/episode']:.3f} s",
            f"{figures[f'ratio to {loop}']:.2f} ({low:.2f} to {high:.2f})",
        ]
    cells.append("met" if figures["ratio to bare"] >= bar else "missed")
    return f"| {' | '.join(cells)} |"


def page(document: Mapping[str, Any]) -> str:
    """Markdown of the measured document."""
    machine, settings, results = document["machine"], document["settings"], document["results"]
    lines = [
        HEAD.format(
            **{name: settings[name] for name in ("frames", "pixels", "episodes", "repeats")},
            **{name: machine[name] for name in ("cpu", "cores", "load")},
            last=settings["episodes"] - 1,
            versions=_versions(machine),
            bar=document["bar"],
        )
    ]
    for kind, title in (("cpu", "Processor time"), ("wall", "Wall-clock time")):
        lines += [
            f"{title}:\n",
            "| family | worldsim | episodes an hour | direct loop | ratio | bare loop | ratio | bar |",
            "|---|---|---|---|---|---|---|---|",
            *(_row(result["family"], result[kind], document["bar"]) for result in results),
            "",
        ]
    lines.append(TAIL.format(step=1e3 * document["bare step"]))
    lines.append(_stages(document["profile"], document["profile episodes"]))
    lines.append("## The prior\n\n[Beside its peers](prior_speed.md): `python experiments/speed/prior_peers`.\n")
    return "\n".join(lines)


def _stages(profile: Mapping[str, Mapping[str, float]], episodes: int) -> str:
    families: Sequence[str] = list(profile)
    stages = list(dict.fromkeys(stage for row in profile.values() for stage in row))
    lines = [
        "## Where an episode's time goes\n",
        f"Processor milliseconds an episode, mean of {episodes}; `generation_profile.py` prints the same.\n",
        f"| stage | {' | '.join(families)} |",
        f"|---|{'---|' * len(families)}",
        *(f"| {s} | {' | '.join(f'{1e3 * profile[f].get(s, 0.0):.1f}' for f in families)} |" for s in stages),
        f"| sum | {' | '.join(f'{1e3 * sum(profile[f].values()):.1f}' for f in families)} |\n",
    ]
    return "\n".join(lines)
