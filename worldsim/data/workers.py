"""Processes that make shards. A worker's failure or death becomes one GenerationError, never a hang."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from worldsim.data.errors import GenerationError
from worldsim.data.generate import GenerateConfig, generate_shard
from worldsim.scene.errors import DataError
from worldsim.scene.files import remove_stale


def _die_with_parent() -> None:
    """End this process when its parent is gone, even if the parent was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _work(config: GenerateConfig, out: Path, channel: Connection) -> None:
    """Make the shards that the parent names until it names none. Graphics contexts begin and end in here."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_die_with_parent, daemon=True).start()
    try:
        while (shard := channel.recv()) is not None:
            generate_shard(config, out, shard, lambda number: channel.send(("rollout", number)))
            channel.send(("shard", shard))
    except (GenerationError, DataError) as error:
        channel.send(("error", type(error) is DataError, str(error)))
    except (EOFError, ConnectionError):
        return  # the parent is gone; what is unfinished is made again by the next run


@dataclass
class _Worker:
    process: SpawnProcess
    channel: Connection
    shard: int | None = None

    def give(self, shard: int | None) -> None:
        self.shard = shard
        try:
            self.channel.send(shard)
        except (BrokenPipeError, ConnectionResetError):
            return  # it has died; its sentinel tells why


def _obituary(config: GenerateConfig, worker: _Worker) -> GenerationError:
    # A closed pipe is seen before the process can be waited for: its exit code takes a moment.
    worker.process.join(timeout=5)
    code = worker.process.exitcode
    if code is not None and code < 0:
        cause = f"was killed by {signal.Signals(-code).name}"
        if -code == signal.SIGKILL:
            cause += ", most likely for want of memory: use fewer workers or fewer pixels"
    else:
        cause = f"ended with exit code {code}"
        if code == 1:
            cause += " (scripts that ask for workers need `if __name__ == '__main__':` around the call)"
    seeds = config.rollouts_of(worker.shard or 0)
    first, last = config.seed + seeds[0], config.seed + seeds[-1]
    return GenerationError(
        f"{config.scene}, seeds {first} to {last}: the worker process {cause}; "
        "finished shards are kept, run the same command again to go on"
    )


def run_shards(
    config: GenerateConfig, out: Path, shards: list[int], workers: int, on_rollout: Callable[[int], None]
) -> None:
    """Make the named shards with spawned worker processes.

    Args:
        config: Of the data set.
        out: Folder.
        shards: Numbers, dealt out in order to whoever is free.
        workers: Processes.
        on_rollout: Called with the number of each rollout that a worker has encoded.

    Raises:
        GenerationError: Where a rollout fails or a worker dies.
        DataError: Where the disk is full.
    """
    context = multiprocessing.get_context("spawn")
    queue = list(shards)
    crew: list[_Worker] = []
    try:
        for _ in range(workers):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(config, out, theirs), daemon=True)
            process.start()
            theirs.close()
            crew.append(_Worker(process, ours))
        for worker in crew:
            worker.give(queue.pop(0))
        while busy := [worker for worker in crew if worker.shard is not None]:
            ready = wait([w.channel for w in busy] + [w.process.sentinel for w in busy])
            for worker in busy:
                if worker.channel in ready:
                    _listen(config, worker, queue, on_rollout)
                elif worker.process.sentinel in ready and not worker.channel.poll():
                    raise _obituary(config, worker)
        for worker in crew:
            worker.give(None)
        for worker in crew:
            worker.process.join()
    finally:
        for worker in crew:
            if worker.process.is_alive():
                worker.process.kill()
            worker.process.join()
            worker.channel.close()
        remove_stale(out)


def _listen(config: GenerateConfig, worker: _Worker, queue: list[int], on_rollout: Callable[[int], None]) -> None:
    try:
        message = worker.channel.recv()
    except (EOFError, ConnectionResetError):
        worker.process.join()
        raise _obituary(config, worker) from None
    if message[0] == "rollout":
        on_rollout(message[1])
    elif message[0] == "shard":
        worker.shard = None
        if queue:
            worker.give(queue.pop(0))
    else:
        raise DataError(message[2]) if message[1] else GenerationError(message[2])
