"""Two CPU processes over gloo learn what one learns from batches of twice the size."""

import dataclasses
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import training_processes as processes

from worldsim.training import Trainer, checkpoints, load_checkpoint

pytestmark = pytest.mark.slow

SCRIPT = Path(processes.__file__)


def together(kind, out, steps):
    """Run the script in two processes, as torchrun would."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    command = [sys.executable, str(SCRIPT), kind, str(out), str(steps)]
    started = [
        subprocess.Popen(
            command,
            env={**os.environ, **common, "RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for process in started:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors[-3000:]
    told = [json.loads((out / f"rank{rank}.json").read_text()) for rank in range(2)]
    assert [one["processes"] for one in told] == [2, 2]
    return told


def losses(out):
    return [json.loads(line)["square"] for line in (out / "log.jsonl").read_text().splitlines()]


def test_two_processes_learn_as_one_with_the_doubled_batch(tmp_path):
    told = together("whole", tmp_path / "two", 40)
    model = processes.Line()
    Trainer(model, processes.doubled, processes.config(tmp_path / "one", 40)).train()
    ours, theirs = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert ours[-1] < 0.5 * ours[0]
    torch.testing.assert_close(torch.tensor(theirs), torch.tensor(ours), rtol=1e-4, atol=1e-6)
    for file in ("model", "average"):
        one, two = (load_checkpoint(checkpoints(tmp_path / name)[-1])[0][file] for name in ("one", "two"))
        for name, value in one.items():
            torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-6)
    # Each process draws noise of its own.
    assert not set(told[0]["drawn"]) & set(told[1]["drawn"])


def test_two_processes_resume_as_if_never_stopped(tmp_path):
    together("whole", tmp_path / "whole", 10)
    together("whole", tmp_path / "parts", 10)
    for path in checkpoints(tmp_path / "parts")[1:]:
        for file in path.iterdir():
            file.unlink()
        path.rmdir()
    (tmp_path / "parts" / "log.jsonl").unlink()
    told = together("resume", tmp_path / "parts", 10)
    assert [one["step"] for one in told] == [10, 10]
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")[5:]


def test_all_processes_stop_at_the_same_step_when_one_is_out_of_time(tmp_path):
    told = together("timed", tmp_path / "run", 500)
    assert told[0]["step"] == told[1]["step"] < 500
    assert checkpoints(tmp_path / "run")[-1].name == f"step_{told[0]['step']:08d}"


def test_split_weights_train_as_whole_ones_and_resume(tmp_path):
    """FSDP2 over gloo: losses of one process with the doubled batch, half the weights in each process, resume."""
    together("shard", tmp_path / "two", 10)
    torch.manual_seed(0)
    Trainer(processes.Stack(), processes.doubled, processes.config(tmp_path / "one", 10)).train()
    ours, theirs = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert ours[-1] < 0.9 * ours[0]
    torch.testing.assert_close(torch.tensor(theirs), torch.tensor(ours), rtol=1e-4, atol=1e-6)
    for file in ("model", "average", "optimizer"):
        one, two = (load_checkpoint(checkpoints(tmp_path / name)[-1])[0][file] for name in ("one", "two"))
        assert one.keys() == two.keys()
        for name, value in one.items():
            torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-6)
    for rank in range(2):
        local, held = json.loads((tmp_path / "two" / f"shapes{rank}.json").read_text())
        assert local["blocks.1.layer.weight"] == held["blocks.1.layer.weight"] == [8, 16]
        assert local["frozen.weight"] == [2, 4]
    shutil.copytree(tmp_path / "two", tmp_path / "parts")
    for path in checkpoints(tmp_path / "parts")[1:]:
        shutil.rmtree(path)
    (tmp_path / "parts" / "log.jsonl").unlink()
    told = together("shard-resume", tmp_path / "parts", 10)
    assert [one["step"] for one in told] == [10, 10]
    assert losses(tmp_path / "parts") == losses(tmp_path / "two")[5:]


def test_one_process_has_nothing_to_split(tmp_path):
    config = dataclasses.replace(processes.config(tmp_path, 5), shard=True)
    with pytest.raises(ValueError, match=r"train\.shard: must be false for one process"):
        Trainer(processes.Line(), processes.batch_for, config)
