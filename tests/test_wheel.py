"""The wheel, built offline, holds all that the package reads at run time: checkpoints, settings, templates, numbers."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="builds the wheel; pip install 'worldsim[test]'")

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as opened:
        yield opened


def test_checkpoints_are_there_byte_for_byte(wheel):
    shipped = [path for path in (ROOT / "worldsim" / "checkpoints").rglob("*") if path.is_file()]
    assert any(path.name == "model.safetensors" for path in shipped)
    for path in shipped:
        assert wheel.read(path.relative_to(ROOT).as_posix()) == path.read_bytes(), path


def test_every_file_of_both_packages_is_there_and_nothing_else(wheel):
    names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    places = {"worldsim": ROOT / "worldsim", "worldsim_envs": ROOT / "envs" / "worldsim_envs"}
    files = {
        f"{name}/{path.relative_to(place).as_posix()}"
        for name, place in places.items()
        for path in place.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names == files
    told = wheel.read(next(name for name in wheel.namelist() if name.endswith("entry_points.txt"))).decode()
    assert "worldsim = worldsim.cli:main" in told
    assert "[worldsim.scenarios]" in told
