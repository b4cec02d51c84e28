"""One engine in a process of its own: reads commands as JSON lines, answers with JSON lines; arrays go through files.

Runs under the interpreter of the engine's environment: python worker.py ENGINE. Each engine module offers
build(task, start, dt, steps, tuning), which gives an object with forward() -> (B, N, 3) end positions and gradient() ->
the derivative of mean over worlds and bodies of |x_T|^2 by start positions and velocities, both (B, N, 3); and
final(task, start, dt, steps, tuning) -> end positions, which may share compiled code between time steps.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import sys
import time
import traceback
from typing import Any

import numpy as np
from task import TASKS, draw

MODULES = {
    "worldsim": "engine_worldsim",
    "worldsim-default": "engine_worldsim",
    "mujoco": "engine_mujoco",
    "brax-spring": "engine_brax",
    "brax-positional": "engine_brax",
    "mjx-float32": "engine_mjx",
    "mjx-float64": "engine_mjx",
    "newton": "engine_newton",
}


class Server:
    """Answers commands; built roll-outs are kept by key."""

    def __init__(self, name: str) -> None:
        os.environ["PEER"] = name
        self.engine: Any = importlib.import_module(MODULES[name])
        self.built: dict[str, Any] = {}

    def versions(self) -> dict[str, str]:
        """What plays."""
        return dict(self.engine.versions())

    def _start(self, task: str, worlds: Any) -> Any:
        if isinstance(worlds, int):
            return draw(TASKS[task], worlds)
        return draw(TASKS[task], max(worlds) + 1).take(np.array(worlds))

    def final(self, task: str, worlds: Any, dt: float, steps: int, tuning: Any, out: str) -> None:
        """End positions of some worlds, for the error."""
        np.save(out, self.engine.final(TASKS[task], self._start(task, worlds), dt, steps, tuning))

    def gradient(self, task: str, worlds: Any, dt: float, steps: int, tuning: Any, out: str) -> None:
        """Gradients of some worlds, (K, 2, N, 3), of the loss of each world alone."""
        start = self._start(task, worlds)
        by_x, by_v = self.engine.build(TASKS[task], start, dt, steps, tuning).gradient()
        np.save(out, np.stack([by_x, by_v], 1) * len(start.position))

    def first(self, task: str, worlds: int, dt: float, steps: int, tuning: Any) -> float:
        """Seconds until the first gradient is there: model, compilation, forward and backward; imports left out."""
        start = self._start(task, worlds)
        begin = time.perf_counter()
        self.engine.build(TASKS[task], start, dt, steps, tuning).gradient()
        return time.perf_counter() - begin

    def prepare(self, key: str, task: str, worlds: int, dt: float, steps: int, tuning: Any) -> None:
        """Build, compile and warm up."""
        run = self.engine.build(TASKS[task], self._start(task, worlds), dt, steps, tuning)
        run.forward()
        run.gradient()
        self.built[key] = run

    def run(self, key: str, what: str) -> float:
        """Seconds of one forward() or gradient()."""
        function = getattr(self.built[key], what)
        begin = time.perf_counter()
        function()
        return time.perf_counter() - begin

    def drop(self, key: str) -> None:
        """Forget one roll-out."""
        self.built.pop(key, None)

    def peak(self) -> float:
        """GiB of memory at most so far."""
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries print what they like, on stderr

    def answer(value: dict[str, Any]) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    try:
        server = Server(sys.argv[1])
    except Exception:
        answer({"error": traceback.format_exc(limit=-1)})
        return
    answer({"result": server.versions()})
    for line in sys.stdin:
        command = json.loads(line)
        try:
            with contextlib.redirect_stdout(sys.stderr):
                result = getattr(server, command.pop("op"))(**command)
            answer({"result": result})
        except Exception:
            answer({"error": traceback.format_exc(limit=-2)})


if __name__ == "__main__":
    main()
