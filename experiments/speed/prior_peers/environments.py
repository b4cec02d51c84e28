"""Environments of the peers, one virtual environment each, and the processes that run in them."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
REQUIREMENTS = {
    "brax": ["brax==0.14.2", "mujoco-mjx==3.17.*", "mujoco==3.17.*"],
    "newton": ["newton==1.8.*"],
    "mjx": ["mujoco-mjx==3.17.*", "mujoco==3.17.*"],
}


class Unavailable(RuntimeError):
    """A peer that cannot be run, with the reason."""


class OverBudget(Unavailable):
    """An answer that did not come within its time; the engine's process has been ended."""


def interpreter(peer: str, folder: Path) -> Path:
    """The Python of a peer's environment, made on first use; ours and MuJoCo's is the one that runs this.

    Raises:
        Unavailable: Where the installation fails, with the end of what pip says.
    """
    name = peer.split("-")[0]
    if name not in REQUIREMENTS:
        return Path(sys.executable)
    home = folder / name
    python, stamp = home / "bin" / "python", home / "requirements.json"
    if stamp.exists() and json.loads(stamp.read_text()) == REQUIREMENTS[name]:
        return python
    made = subprocess.run([sys.executable, "-m", "venv", str(home)], capture_output=True, text=True, check=False)
    if made.returncode == 0:
        command = [str(python), "-m", "pip", "install", "--quiet", *REQUIREMENTS[name]]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        raise Unavailable(f"does not install: {' '.join(made.stderr.strip().splitlines()[-2:])}")
    stamp.write_text(json.dumps(REQUIREMENTS[name]))
    return python


class Peer:
    """An engine in its process.

    Args:
        name: Of the engine, see worker.py.
        folder: With the environments.
        cold: Whether compiled code of earlier runs is out of reach, for the time to the first gradient.
    """

    def __init__(self, name: str, folder: Path, cold: bool = False) -> None:
        self.name, self._folder = name, folder
        self._cold = tempfile.mkdtemp() if cold else None
        self._begin()

    def _begin(self) -> None:
        cache = self._cold or str(self._folder / f"compiled-{self.name.split('-')[0]}")
        environment = {**os.environ, "PEER_CACHE": cache, "PYTHONWARNINGS": "ignore"}
        self._process = subprocess.Popen(
            [str(interpreter(self.name, self._folder)), str(HERE / "worker.py"), self.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        self.versions: dict[str, str] = self._answer()

    def ask(self, op: str, seconds: float | None = None, **arguments: Any) -> Any:
        """Have the worker do something and wait for the answer; a process that has ended is started anew.

        Args:
            op: What to do.
            seconds: Most time to wait; None for any.
            arguments: Of the op.

        Raises:
            Unavailable: With the last lines of the error.
            OverBudget: Where the answer does not come in time.
        """
        if seconds is not None and seconds <= 0:
            raise OverBudget("over budget")
        if self._process.poll() is not None:
            self._begin()
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"op": op, **arguments}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise Unavailable("process ended (out of memory?)") from None
        # Answers are lines, one to a question, so that nothing waits in the text buffer when a question is put.
        if seconds is not None and not select.select([self._process.stdout], [], [], seconds)[0]:
            self._process.kill()
            self._process.wait()
            raise OverBudget("over budget")
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise Unavailable(f"process ended with {self._process.wait()} (out of memory?)")
        answer = json.loads(line)
        if "error" in answer:
            raise Unavailable(answer["error"].strip().splitlines()[-1])
        return answer["result"]

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        if self._cold:
            shutil.rmtree(self._cold, ignore_errors=True)
