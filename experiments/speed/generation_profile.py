"""Where the processor time of one generated episode goes, stage by stage.

Run it as python experiments/speed/generation_profile.py; it is of use on a busy machine too.

Generation runs as `worldsim simulate` runs it; the functions of each stage are wrapped so that each one's own processor
seconds, without those of the stages that it calls, are added up. The time of the process's processor does not hang on
what else the machine does, apart from caches. The wrapping itself costs about a microsecond a call.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from worldsim.data import GenerateConfig, generate_dataset

# Stage and the functions that belong to it, as "module:attribute"; where a module imported a function by name, it is
# that module's name that counts.
STAGES: dict[str, tuple[str, ...]] = {
    "draw the scene": ("worldsim.data.generate:draw_scene",),
    "refuse overlaps": ("worldsim.engines.base:refuse_overlap",),
    "compile the model": ("worldsim.engines.mujoco.play:compile_scene",),
    "play: Python": ("worldsim.engines.mujoco.simulator:Player.__init__", "worldsim.engines.mujoco.simulator:_play"),
    "play: MuJoCo steps": ("mujoco:mj_step",),
    "play: MuJoCo contacts": (
        "mujoco:mj_fwdPosition",
        "mujoco:mj_fwdConstraint",
        "mujoco:mj_kinematics",
        "mujoco:mj_collision",
        "mujoco:mj_mulJacVec",
        "mujoco:mj_comPos",
        "mujoco:mj_comVel",
    ),
    "reduce contacts": ("worldsim.engines.base:reduce_contacts",),
    "render: set up": (
        "worldsim.engines.mujoco.simulator:Painter.__init__",
        "worldsim.engines.mujoco.render:screen_for",
    ),
    "render: OpenGL": ("mujoco:mjr_render", "mujoco:mjr_readPixels"),
    "render: Python": ("worldsim.engines.mujoco.simulator:Painter.paint",),
    "outcome": ("worldsim_envs.hoop:outcome",),
    "events": ("worldsim.captions._describe:extract_events",),
    "captions": ("worldsim._simulate:describe",),
    "encode video": ("worldsim.data.encode:encode_video",),
    "encode ids": ("worldsim.data.encode:encode_ids",),
    "encode depth": ("worldsim.data.encode:encode_depth",),
    "encode arrays": ("worldsim.data.encode:encode_arrays",),
    "encode texts": ("worldsim.data.generate:encode_rollout",),
    "hash and write": (
        "worldsim.data.shards:ShardWriter.add",
        "worldsim.data.shards:ShardWriter.__enter__",
        "worldsim.data.shards:ShardWriter.__exit__",
    ),
    "index, config, folder": (),  # generate_dataset's own
}
REST = "index, config, folder"


class Meter:
    """Own processor seconds of each stage, without those of the stages that it calls."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._open: list[str] = [REST]
        self._since = time.process_time()

    def _turn(self) -> None:
        now = time.process_time()
        self.seconds[self._open[-1]] += now - self._since
        self._since = now

    def wrap(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, its time counted for the stage."""

        @functools.wraps(function)
        def counted(*args: Any, **named: Any) -> Any:
            self._turn()
            self._open.append(stage)
            try:
                return function(*args, **named)
            finally:
                self._turn()
                self._open.pop()

        return counted

    def restart(self) -> None:
        """Forget what was counted."""
        self.seconds.clear()
        self._since = time.process_time()

    def stop(self) -> dict[str, float]:
        """Seconds by stage since the last restart."""
        self._turn()
        return dict(self.seconds)


def install(meter: Meter) -> None:
    """Wrap every stage's functions where they are called from."""
    for stage, places in STAGES.items():
        for place in places:
            module, path = place.split(":")
            owner: Any = importlib.import_module(module)
            *parents, name = path.split(".")
            for parent in parents:
                owner = getattr(owner, parent)
            setattr(owner, name, meter.wrap(stage, getattr(owner, name)))


def profile(meter: Meter, family: str, episodes: int, pixels: int, frames: int) -> dict[str, float]:
    """Processor seconds an episode by stage, after one round that warms up."""
    config = GenerateConfig(scene=family, num_rollouts=episodes, pixels=pixels, num_frames=frames)
    with tempfile.TemporaryDirectory() as folder:
        generate_dataset(config, Path(folder) / "warm")
        meter.restart()
        generate_dataset(config, Path(folder) / "timed")
        return {stage: seconds / episodes for stage, seconds in meter.stop().items()}


def main() -> None:
    """Profile, print a table and, where asked for, write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", nargs="+", default=["hoop", "bouncing_balls", "collision"])
    parser.add_argument("--episodes", type=int, default=20, help="of each family")
    parser.add_argument("--pixels", type=int, default=64)
    parser.add_argument("--frames", type=int, default=49)
    parser.add_argument("--out", type=Path, help="write the figures here, as JSON")
    options = parser.parse_args()
    meter = Meter()
    install(meter)
    rows = {f: profile(meter, f, options.episodes, options.pixels, options.frames) for f in options.families}
    print(f"{'processor milliseconds an episode':34}" + "".join(f"{family:>18}" for family in rows))
    for stage in STAGES:
        print(f"{stage:34}" + "".join(f"{1e3 * row.get(stage, 0.0):18.2f}" for row in rows.values()))
    print(f"{'sum':34}" + "".join(f"{1e3 * sum(row.values()):18.2f}" for row in rows.values()))
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
