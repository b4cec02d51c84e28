"""Speed of the prior beside other differentiable engines, at equal position error, gradient error printed beside it.

    python experiments/speed/prior_peers                  # everything; about 20 minutes, on a quiet machine
    python experiments/speed/prior_peers --only accuracy  # errors and time steps alone, on any machine
    python experiments/speed/prior_peers --only timing    # with the time steps found before; also first, others
    python experiments/speed/prior_peers --only defects   # roll-out and one-step defects alone; about 2 minutes

Task (task.py): bodies thrown into a tray of five planes, half a second, no friction, restitution 1; loss mean |x_T|^2,
differentiated by start positions and velocities. Each engine takes the largest time step of a ladder whose end
positions in the sampled worlds are off by no more than BOUND on average (truth.py), or the most accurate one
where none is. Then all engines of a cell are compiled and warmed up, and run in turns. Peers are timed over the first
steps of the roll-out only, where it is long: their cost is per step. Each engine has a budget of seconds for a task, a
third of it for errors and a third for each number of worlds, compilation included; what it does not reach in that time
is said to be over budget. See REQUIREMENTS in environments.py for what is installed where.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from environments import OverBudget, Peer, Unavailable
from report import write
from task import DURATION, TASKS, draw

BOUND = 0.02  # metres, mean over sampled bodies: a tenth of a body's diameter
SAMPLE, CANDIDATES = 4, 512
COORDINATES = {"spheres4": 24, "spheres16": 8, "boxes4": 24}  # of which the gradient is sampled
ENGINES = (
    "worldsim",
    "worldsim-default",
    "mujoco",
    "newton",
    "brax-spring",
    "brax-positional",
    "mjx-float64",
    "mjx-float32",
)
PEER_STEPS = (100, 250, 500, 1000, 2500, 5000)
LADDERS: dict[tuple[str, str], tuple[int, ...]] = {
    ("worldsim", "sphere"): (1, 3, 6, 10, 15, 30),
    ("worldsim", "box"): (10, 15, 30, 60, 120),
    ("worldsim-default", "sphere"): (30,),  # 1/60 s
    ("worldsim-default", "box"): (120,),  # 1/240 s
    ("newton", "sphere"): PEER_STEPS[:-1],  # keeps a state and a contact buffer a step
    ("newton", "box"): PEER_STEPS[:-1],
}
TUNINGS = {"worldsim": (0.0,), "worldsim-default": (0.0,), "brax-spring": (0.1, 0.0), "brax-positional": (0.0,)}
DEFECTS = "Roll-out and one-step defects"
OTHERS = {
    DEFECTS: ["prior.py", "--worlds", "64", "--repeats", "7"],
    "Humanoid step from torch": ["mujoco_step.py", "--repeats", "25"],
    "Rasteriser": ["raster.py"],
}
SPRINGS = (8, 4)  # steps that an impact takes, for engines with contact springs
# Steps timed at 64 and at 1024 worlds.
WHOLE = {64: 10**6, 1024: 10**6}
TIMED = {"mujoco": {64: 10, 1024: 2}, "worldsim": WHOLE, "worldsim-default": WHOLE}
TIMED_ELSE = {64: 100, 1024: 20}


class Allowance:
    """Seconds that an engine may still use; the clock stands still while others have their turn."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._used, self._since = seconds, 0.0, time.monotonic()

    def spent(self) -> float:
        """Seconds used in turns that are over."""
        return self._used

    def left(self) -> float:
        """Seconds of this turn that are left; below zero where they are overdrawn."""
        return self._seconds - self._used - (time.monotonic() - self._since)

    def pause(self) -> float:
        """End the turn; the seconds used until now."""
        self._used += time.monotonic() - self._since
        return self._used

    def go(self) -> None:
        """Begin a turn."""
        self._since = time.monotonic()


class Study:
    """Results by engine and task, kept in one JSON file as they come."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.envs, self.file = Path(arguments.envs).expanduser(), Path(arguments.out) / "prior_speed.json"
        self.arguments = arguments
        self.share = arguments.budget / 3
        self.results: dict[str, Any] = {"bound": BOUND, "accuracy": {}, "timing": [], "first": {}, "versions": {}}
        if self.file.exists() and arguments.only:
            self.results |= json.loads(self.file.read_text())  # parts that are not run anew are kept
        if arguments.only not in ("others", "defects"):  # which have none
            self.results["budget"] = arguments.budget
        self.truths: dict[str, Any] = {}

    def save(self) -> None:
        """Write what is known, as JSON and as a page."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(json.dumps(self.results, indent=1) + "\n")
        write(self.results, self.file.with_suffix(".md"))

    def truth(self, task: str) -> Any:
        """End positions and gradients of the sampled worlds; kept beside the environments."""
        if task not in self.truths:
            from truth import sample

            store = self.envs / f"truth-{task}-{SAMPLE}-{COORDINATES[task]}.npz"
            if not store.exists():
                self.envs.mkdir(parents=True, exist_ok=True)
                found = sample(TASKS[task], draw(TASKS[task], CANDIDATES), SAMPLE, COORDINATES[task])
                np.savez(store, **vars(found))
            self.truths[task] = dict(np.load(store))
        return self.truths[task]

    def accuracy(self, name: str) -> None:
        """The ladder of one engine on every task, and the gradient error at the step it gets."""
        entry = self.results["accuracy"].setdefault(name, {})
        for task in self.arguments.tasks:
            self.truth(task)
        try:
            peer = Peer(name, self.envs)
        except Unavailable as reason:
            entry["unavailable"] = str(reason)
            return
        self.results["versions"][name] = peer.versions
        for task in self.arguments.tasks:
            try:
                entry[task] = self._ladder(peer, task)
            except Unavailable as reason:
                entry[task] = {"unavailable": str(reason)}
            print(name, task, json.dumps(entry[task]), flush=True)
            self.save()
        peer.close()

    def _ladder(self, peer: Peer, task: str) -> dict[str, Any]:
        truth = self.truth(task)
        worlds = [int(k) for k in truth["worlds"]]
        rungs: list[dict[str, Any]] = []
        chosen: dict[str, Any] | None = None
        cut = False
        allowance = Allowance(self.share)
        tunings = TUNINGS.get(peer.name, SPRINGS)
        for steps in LADDERS.get((peer.name, TASKS[task].shape), PEER_STEPS):
            for tuning in tunings:
                setting = {"task": task, "worlds": worlds, "dt": DURATION / steps, "steps": steps, "tuning": tuning}
                try:  # the rest of the time is the gradient's
                    end = self._array(peer, "final", allowance.left() - self.share / 3, **setting)
                except OverBudget:
                    cut = True
                    break
                error = float(np.linalg.norm(end - truth["position"], axis=-1).mean())
                rungs.append({"steps": steps, "tuning": tuning, "position_error": error})
            if cut:
                break
            best = min(rungs[-len(tunings) :], key=lambda rung: _finite(rung["position_error"]))
            if best["position_error"] <= BOUND:
                chosen = best
                break
        if not rungs:
            raise Unavailable(f"over budget: no end positions in {self.share * 2 / 3:.0f} s")
        reached = chosen is not None
        chosen = chosen or min(rungs, key=lambda rung: _finite(rung["position_error"]))
        result = {**chosen, "dt": DURATION / chosen["steps"], "reached": reached, "rungs": rungs}
        result |= {"gradient_error": None, "ladder_cut": cut}
        if peer.name == "mujoco" and TASKS[task].count > 4:
            worlds = worlds[:1]  # minutes a world
        setting = {"task": task, "worlds": worlds, "dt": result["dt"], "steps": chosen["steps"]}
        try:
            found = self._array(peer, "gradient", allowance.left(), tuning=chosen["tuning"], **setting)
        except Unavailable as reason:
            return {**result, "gradient_unavailable": str(reason)}
        exact, places = truth["gradient"][: len(worlds)], truth["coordinates"][: len(worlds)]
        picked = np.take_along_axis(found.reshape(len(worlds), -1), places, 1)
        off = np.linalg.norm(picked - exact, axis=1) / np.linalg.norm(exact, axis=1)
        return {**result, "gradient_error": float(np.median(off)), "gradient_errors": off.tolist()}

    def _array(self, peer: Peer, op: str, seconds: float, **arguments: Any) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            out = str(Path(folder) / "array.npy")
            peer.ask(op, seconds, out=out, **arguments)
            return np.load(out)

    def first(self, name: str) -> None:
        """Time to the first gradient of 64 worlds of 4 spheres, 100 steps of 5 ms, nothing compiled before."""
        steps = 30 if name.startswith("worldsim") else 100
        tuning = TUNINGS.get(name, SPRINGS)[0]
        try:
            peer = Peer(name, self.envs, cold=True)
            setting = {"task": "spheres4", "worlds": 64, "dt": DURATION / steps, "steps": steps, "tuning": tuning}
            try:
                self.results["first"][name] = peer.ask("first", self.arguments.budget, **setting)
            finally:
                peer.close()
        except OverBudget:
            self.results["first"][name] = f"above {self.arguments.budget:.0f}"
        except Unavailable as reason:
            self.results["first"][name] = str(reason)
        print("first gradient", name, self.results["first"][name], flush=True)
        self.save()

    def others(self, titles: Iterable[str]) -> None:
        """The other speeds of the prior, by their own scripts, one thread each."""
        told = self.results.setdefault("other", {})
        for title in titles:
            command = OTHERS[title]
            self.results.setdefault("other_machine", {})[title] = machine()
            script = [sys.executable, str(Path(__file__).parents[1] / command[0]), *command[1:]]
            one = {**os.environ, "OMP_NUM_THREADS": "1"}
            made = subprocess.run(script, capture_output=True, text=True, check=False, env=one)
            told[title] = made.stdout if made.returncode == 0 else made.stderr.strip().splitlines()[-1]
            print(title, told[title], sep="\n", flush=True)
            self.save()

    def cell(self, task: str, worlds: int) -> None:
        """Time all engines on one task with one number of worlds, in turns."""
        rows: dict[str, dict[str, Any]] = {}
        peers: dict[str, tuple[Peer, Allowance]] = {}
        for name in self.arguments.engines:
            chosen = self.results["accuracy"].get(name, {}).get(task)
            if chosen is None or "unavailable" in chosen:
                continue
            steps = min(chosen["steps"], TIMED.get(name, TIMED_ELSE)[worlds])
            row: dict[str, Any] = {"engine": name, "task": task, "worlds": worlds, "dt": chosen["dt"]}
            row |= {"steps": chosen["steps"], "timed_steps": steps, "forward": [], "gradient": []}
            rows[name] = row
            allowance = Allowance(self.share)
            try:
                peer = Peer(name, self.envs)
                peers[name] = peer, allowance
                setting = {"task": task, "worlds": worlds, "dt": chosen["dt"], "steps": steps}
                peer.ask("prepare", allowance.left(), key="k", tuning=chosen["tuning"], **setting)
                row["prepared"] = allowance.pause()
            except Unavailable as reason:
                row["missing"] = str(reason)
                if name in peers:
                    peers.pop(name)[0].close()
        for _ in range(self.arguments.repeats):
            for name in list(peers):
                peer, allowance = peers[name]
                if rows[name]["gradient"] and allowance.spent() > self.share / 2:
                    continue
                allowance.go()
                try:
                    for what in ("forward", "gradient"):
                        rows[name][what].append(peer.ask("run", allowance.left(), key="k", what=what))
                except Unavailable as reason:
                    if not rows[name]["gradient"]:
                        rows[name]["missing"] = str(reason)
                    peers.pop(name)[0].close()
                allowance.pause()
        for name, (peer, _) in peers.items():
            rows[name]["peak_gib"] = peer.ask("peak")
            peer.close()
        timing = self.results["timing"]
        kept = [r for r in timing if (r["task"], r["worlds"]) != (task, worlds) or r["engine"] not in rows]
        self.results["timing"] = kept + list(rows.values())
        for row in rows.values():
            print(json.dumps(row), flush=True)
        self.save()


def _finite(value: float) -> float:
    return value if np.isfinite(value) else np.inf


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--envs", default="~/.cache/worldsim/peers", help="folder of the peers' environments")
    parser.add_argument("--out", default=str(Path(__file__).parents[3] / "docs" / "measured"))
    parser.add_argument("--only", choices=("accuracy", "timing", "first", "others", "defects"), help="one part")
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=ENGINES)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--worlds", nargs="+", type=int, default=[64, 1024], choices=(64, 1024))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--budget", type=float, default=90.0, help="seconds for each engine and task, compiling too")
    arguments = parser.parse_args()
    study = Study(arguments)
    parts = [arguments.only] if arguments.only else ["accuracy", "timing", "first", "others"]
    if "accuracy" in parts:
        for name in arguments.engines:
            study.accuracy(name)
    if {"timing", "first"} & set(parts):
        study.results["machine"] = machine()
    if "timing" in parts:
        for worlds in arguments.worlds:
            for task in arguments.tasks:
                study.cell(task, worlds)
    if "first" in parts:
        for name in arguments.engines:
            study.first(name)
    if "others" in parts:
        study.others(OTHERS)
    if "defects" in parts:
        study.others([DEFECTS])
    study.save()


def machine() -> dict[str, Any]:
    """Processor, cores, load and revision."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    revision = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, cwd=Path(__file__).parent
    )
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "system": platform.platform(terse=True),
        "revision": revision.stdout.strip(),
        "date": time.strftime("%Y-%m-%d"),
    }


if __name__ == "__main__":
    main()
