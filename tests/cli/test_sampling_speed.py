"""experiments/speed/sampling.py draws scenes as the card of its checkpoint says, and writes a page of what it found."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "experiments" / "speed" / "sampling.py"


def test_shaded_balls_are_timed_and_told(tmp_path):
    words = ("--model", "violations-small", "--scene", "bouncing_balls", "--threads", "1", "--repeats", "1")
    out = tmp_path / "page.md"
    command = [sys.executable, str(SCRIPT), *words, "--steps", "1", "--long", "13", "--out", str(out)]
    subprocess.run(command, check=True, capture_output=True)
    text = out.read_text()
    assert "python experiments/speed/sampling.py --model violations-small --scene bouncing_balls" in text
    assert "load" in text
    assert "torch" in text
    assert "| peak memory after 13 |" in text
    done = subprocess.run([sys.executable, str(SCRIPT), "--repeats", "0"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "--repeats: must be 1 or above, got 0" in done.stderr
