"""The direction of imports: a room uses rooms named before it, never one named after."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = [
    "scene", "physics", "vision", "engines", "captions", "data",
    "diffusion", "models", "training", "benchmarks", "cli",
]  # fmt: skip


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_rooms_before_it(room):
    files = list((ROOT / "worldsim" / room).rglob("*.py"))
    assert files
    allowed = set(ROOMS[: ROOMS.index(room) + 1])
    for path in files:
        for name in imported(path):
            parts = name.split(".")
            if parts[0] == "worldsim" and len(parts) > 1 and parts[1] in ROOMS:
                assert parts[1] in allowed, f"{path.relative_to(ROOT)} imports {name}, a room named after its own"


def test_the_library_never_imports_the_scenarios():
    for path in (ROOT / "worldsim").rglob("*.py"):
        assert not any(name.split(".")[0] == "worldsim_envs" for name in imported(path)), path


def test_only_the_command_line_knows_hydra():
    for path in (ROOT / "worldsim").rglob("*.py"):
        if "cli" not in path.parts:
            assert not any(name.split(".")[0] in ("hydra", "omegaconf") for name in imported(path)), path


READS_IN_A_PROCESS_OF_ITS_OWN = """
import sys, worldsim as ws
truth = ws.get_engine("mujoco").simulate(ws.make_scene("incline", seed=0))
ws.score(truth.video, scene=truth)
ws.score(truth.video, masks=truth.ids, depth=truth.depth, scene=truth)
import worldsim.benchmarks.protocols, worldsim.benchmarks.report
print([m for m in sys.modules if m.startswith(("worldsim.vision", "worldsim.models"))])
"""


def test_what_reads_and_scores_video_shares_no_code_with_what_it_judges():
    """The benchmark's tracker and laws, and what draws hints and reads states for losses and guidance."""
    room = ROOT / "worldsim" / "benchmarks"
    asks_models = [*(room / "suite").rglob("*.py"), room / "protocols" / "denoisers.py"]
    for path in set(room.rglob("*.py")) - set(asks_models):
        for name in imported(path):
            assert not name.startswith(("worldsim.vision", "worldsim.models")), f"{path.relative_to(ROOT)}: {name}"
    command = [sys.executable, "-c", READS_IN_A_PROCESS_OF_ITS_OWN]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_import_is_light():
    code = (
        "import sys, worldsim; print([m for m in ('mujoco', 'pybullet', 'av', 'torch', 'hydra') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
