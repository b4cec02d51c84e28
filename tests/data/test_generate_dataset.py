import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from data_cases import SMALL, tree_bytes

from worldsim.data import DataError, GenerateConfig, GenerationError, generate_dataset, generate_shard, survey
from worldsim.data.generate import shard_name
from worldsim.scene.files import TEMPORARY_PREFIX

# Prints the rollouts done, so that a test can kill it in the middle of one.
CHILD = """
import dataclasses, sys
from worldsim.data import GenerateConfig, generate_dataset
if __name__ == "__main__":
    config = GenerateConfig(**{values})
    generate_dataset(config, sys.argv[1], workers={workers}, on_progress=lambda done, total: print(done, flush=True))
"""


def start(tmp_path, config, out, workers):
    script = tmp_path / "child.py"
    script.write_text(CHILD.format(values=dataclasses.asdict(config), workers=workers))
    return subprocess.Popen([sys.executable, str(script), str(out)], stdout=subprocess.PIPE, text=True)


def kill_and_compare(tmp_path, pristine, kills, workers, seed=0):
    """Kill generation that often, each time some rollouts and up to 50 ms further on; then let it end."""
    rng = random.Random(seed)
    out = tmp_path / "data"
    for _ in range(kills):
        process = start(tmp_path, SMALL, out, workers)
        for _ in range(rng.randint(1, 4)):
            process.stdout.readline()
        time.sleep(rng.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert start(tmp_path, SMALL, out, workers).wait() == 0
    assert tree_bytes(out) == tree_bytes(pristine)


def test_three_kills_leave_the_same_bytes(tmp_path, pristine):
    kill_and_compare(tmp_path, pristine, kills=3, workers=1)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_ten_kills_leave_the_same_bytes(tmp_path, pristine, workers):
    kill_and_compare(tmp_path, pristine, kills=10, workers=workers, seed=workers)


def test_two_workers_make_the_same_bytes_as_one(tmp_path, pristine):
    done = []
    generate_dataset(SMALL, tmp_path / "data", workers=2, on_progress=lambda *counts: done.append(counts))
    assert tree_bytes(tmp_path / "data") == tree_bytes(pristine)
    assert done == [(i, 8) for i in range(9)]


def test_a_shard_is_a_function_of_config_and_number(tmp_path, pristine):
    # Out of order and one alone, as a cluster's launcher would.
    path = generate_shard(SMALL, tmp_path, 2)
    assert path.read_bytes() == (pristine / shard_name(2)).read_bytes()


@pytest.mark.parametrize("families", [("hoop", "collision", "billiards")])
def test_what_was_played_before_leaves_no_trace(tmp_path, families):
    configs = [GenerateConfig(scene=name, num_rollouts=1, pixels=32, num_frames=3) for name in families]
    orders = []
    for order in (configs, configs[::-1]):
        made = {}
        for config in order:
            out = tmp_path / f"{len(orders)}-{config.scene}"
            made[config.scene] = tree_bytes(generate_dataset(config, out))
        orders.append(made)
    assert orders[0] == orders[1]


def test_a_damaged_or_missing_shard_is_made_again(folder, pristine):
    (folder / shard_name(0)).write_bytes(b"short")
    (folder / shard_name(1)).unlink()
    (folder / "shard-00002.json").write_text("{")
    (folder / f"{TEMPORARY_PREFIX}123-shard-00001.tar").write_bytes(b"left by a killed run")
    assert len(survey(folder).problems) == 2
    generate_dataset(SMALL, folder)
    assert tree_bytes(folder) == tree_bytes(pristine)


@pytest.mark.parametrize(
    ("field", "value"), [("scene", "parabola"), ("num_rollouts", 9), ("seed", 1), ("rgb", "exact"), ("pixels", None)]
)
def test_another_config_is_refused_by_field(folder, field, value):
    before = tree_bytes(folder)
    with pytest.raises(DataError, match=rf"dataset\.json: config\.{field} must be .*choose another out="):
        generate_dataset(dataclasses.replace(SMALL, **{field: value}), folder)
    assert tree_bytes(folder) == before


def test_another_engine_version_is_refused(folder):
    document = json.loads((folder / "dataset.json").read_text())
    document["engine_version"] = "0.1"
    (folder / "dataset.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match=r"engine_version must be '0\.1'"):
        generate_dataset(SMALL, folder)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_rollout_that_fails_is_one_line(tmp_path, capfd, workers):
    config = dataclasses.replace(SMALL, scene_args={"speed": -5})
    with pytest.raises(GenerationError) as error:
        generate_dataset(config, tmp_path / "data", workers=workers)
    assert str(error.value).startswith("uniform_motion, seed ")
    assert "\n" not in str(error.value)
    assert "Traceback" not in capfd.readouterr().err
    assert not list((tmp_path / "data").glob(f"{TEMPORARY_PREFIX}*"))


def test_a_worker_that_is_killed_is_named_and_nothing_hangs(tmp_path, capfd):
    import psutil

    def murder(done, total):
        if done == 1:
            victims = [p for p in psutil.Process().children() if "spawn_main" in " ".join(p.cmdline())]
            os.kill(victims[0].pid, signal.SIGKILL)
            os.kill(victims[1].pid, signal.SIGKILL)

    config = dataclasses.replace(SMALL, num_rollouts=40, shard_size=20)
    with pytest.raises(GenerationError, match=r"killed by SIGKILL.*memory.*fewer workers.*run the same command again"):
        generate_dataset(config, tmp_path / "data", workers=2, on_progress=murder)
    assert "Traceback" not in capfd.readouterr().err
    assert not list((tmp_path / "data").glob("*.tar"))
    assert not list((tmp_path / "data").glob(f"{TEMPORARY_PREFIX}*"))


def test_a_second_writer_is_refused(tmp_path):
    config = dataclasses.replace(SMALL, num_rollouts=1)
    seen = []

    def second(done, total):
        if done == 0:
            with pytest.raises(DataError, match="another worldsim simulate is at work"):
                generate_dataset(config, tmp_path / "data")
            seen.append(done)

    generate_dataset(config, tmp_path / "data", on_progress=second)
    assert seen == [0]


def test_workers_end_with_their_parent(tmp_path):
    import psutil

    process = start(tmp_path, dataclasses.replace(SMALL, num_rollouts=400, shard_size=200), tmp_path / "data", 2)
    process.stdout.readline()
    process.stdout.readline()
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 2
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"num_rollouts": 0}, "num_rollouts: must be a whole number of 1 or more"),
        ({"shard_size": 2.5}, "shard_size: must be a whole number"),
        ({"split": "odd"}, "split: must be id or ood"),
        ({"preset": "best"}, "preset: must be one of fast"),
        ({"pixels": 4}, "pixels: must be a whole number of 8"),
    ],
)
def test_bad_settings_name_field_rule_and_value(values, rule):
    with pytest.raises(ValueError, match=rule):
        GenerateConfig(**values)


def test_unknown_families_and_workers_are_refused_at_once(tmp_path):
    with pytest.raises(ValueError, match="workers: must be"):
        generate_dataset(SMALL, tmp_path / "data", workers=0)
    with pytest.raises(ValueError, match="must be one of"):
        generate_dataset(dataclasses.replace(SMALL, scene="nothing"), tmp_path / "data")


@pytest.mark.slow
def test_memory_stays_flat_over_ten_thousand_episodes(tmp_path):
    """The bar: from the 1000th to the 10000th episode the resident set grows by less than 5 %, or 20 MB."""
    script = tmp_path / "long.py"
    script.write_text(
        textwrap.dedent("""
        import sys, psutil
        from worldsim.data import GenerateConfig, generate_dataset
        config = GenerateConfig(scene="uniform_motion", num_rollouts=10_000, shard_size=500, pixels=16, num_frames=3)
        at = {}
        def note(done, total):
            if done in (1000, 10_000):
                at[done] = psutil.Process().memory_info().rss
        generate_dataset(config, sys.argv[1], on_progress=note)
        print(at[1000], at[10_000])
    """)
    )
    done = subprocess.run([sys.executable, str(script), str(tmp_path / "data")], capture_output=True, text=True)
    early, late = map(int, done.stdout.split())
    assert late - early < max(0.05 * early, 20e6), f"{early / 1e6:.0f} MB after 1000, {late / 1e6:.0f} MB after 10000"
