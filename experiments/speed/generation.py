"""How much of a bare loop's speed end-to-end generation keeps.

Generation (scene drawn, played, rendered to RGB, ids and depth, captioned, encoded, hashed, in a shard on disk) runs in
turns with two loops: "direct" calls worldsim's engine, renderer and encoder without data set, captions, hashes and
checks; "bare" calls MuJoCo, its renderer and PyAV, with sub-steps of 4 ms and MuJoCo's own contacts. Bar: 0.9 of bare's
episodes a second. Run it on a quiet machine: python experiments/speed/generation.py --out docs/measured
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import av
import mujoco
import numpy as np
import torch
import zstandard
from av.video.reformatter import VideoReformatter
from generation_page import page
from generation_profile import STAGES, Meter, install, profile

import worldsim
from worldsim.data import GenerateConfig, encode_rollout, generate_dataset
from worldsim.data.generate import draw_scene
from worldsim.engines import get_engine
from worldsim.engines.mujoco.model import to_mjcf
from worldsim.engines.mujoco.render import _aim
from worldsim.scene import Scene

FAMILIES = ["hoop", "bouncing_balls", "collision", "billiards", "incline"]
BAR = 0.9
# Longest sub-step of the bare loop, seconds: the longest that worldsim's engine takes where something may touch, and
# twice MuJoCo's default. Shorter ones, which MuJoCo's springs may want, would make it slower.
BARE_STEP = 4e-3
# Episodes of each family that the table of stages is the mean of.
PROFILED = 8


class BareLoop:
    """MuJoCo, its renderer and PyAV called directly, with one OpenGL context and one file an episode.

    Args:
        size: Edge of the picture, pixels.
    """

    def __init__(self, size: int) -> None:
        from mujoco.egl import GLContext

        self.size = size
        self.context = GLContext(size, size)
        self.rect = mujoco.MjrRect(0, 0, size, size)
        self.reformatter = VideoReformatter()

    def episode(self, xml: str, scene: Scene, steps: int, path: Path) -> None:
        """Play, draw, encode and write one episode."""
        self.context.make_current()
        model = mujoco.MjModel.from_xml_string(xml)
        model.vis.global_.offwidth = model.vis.global_.offheight = self.size
        model.vis.quality.offsamples = model.vis.quality.shadowsize = 0
        data = mujoco.MjData(model)
        view = mujoco.MjvScene(model, maxgeom=model.ngeom + 8)
        option, camera = mujoco.MjvOption(), mujoco.MjvCamera()
        renderer = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_50)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, renderer)
        model.opt.timestep = 1 / scene.fps / steps
        frames, size = scene.num_frames, self.size
        video, segments = np.empty((2, frames, size, size, 3), np.uint8)
        depth = np.empty((frames, size, size), np.float32)
        states, contacts, force = [], [], np.zeros(6)
        for k in range(frames):
            for _ in range(steps if k else 0):
                mujoco.mj_step(model, data)
                for i in range(data.ncon):
                    mujoco.mj_contactForce(model, data, i, force)
                    one = data.contact[i]
                    contacts.append((data.time, *one.geom, one.dist, *one.frame[:3], *one.pos, force[0]))
            states.append(np.concatenate([data.xpos.ravel(), data.xquat.ravel(), data.cvel.ravel()]))
            mujoco.mjv_updateScene(model, data, option, None, camera, mujoco.mjtCatBit.mjCAT_ALL, view)
            _aim(view, scene.camera)  # both see the same
            view.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 0
            view.flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = view.flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = 0
            mujoco.mjr_render(self.rect, view, renderer)
            mujoco.mjr_readPixels(video[k], None, self.rect, renderer)
            view.flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = view.flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = 1
            mujoco.mjr_render(self.rect, view, renderer)
            mujoco.mjr_readPixels(segments[k], depth[k], self.rect, renderer)
        renderer.free()
        ids = segments[:, ::-1, :, 0]
        codes = np.rint(depth[:, ::-1] * 65535).astype(np.uint16)
        compress = zstandard.ZstdCompressor(level=3).compress
        path.with_suffix(".mp4").write_bytes(self._encode(video[:, ::-1], scene.fps))
        path.with_suffix(".ids").write_bytes(compress(np.ascontiguousarray(ids)))
        path.with_suffix(".depth").write_bytes(compress(np.ascontiguousarray(codes)))
        np.savez(path.with_suffix(".npz"), states=np.stack(states), contacts=np.array(contacts))

    def _encode(self, video: np.ndarray, fps: float) -> bytes:
        buffer = io.BytesIO()
        with av.open(buffer, "w", format="mp4") as container:
            options = {"crf": "18", "g": "2", "preset": "veryfast", "bf": "0"}
            stream = container.add_stream("libx264", rate=round(fps), options=options)
            stream.width = stream.height = self.size
            stream.pix_fmt = "yuv444p"
            stream.codec_context.thread_count = 1
            for picture in video:
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
                for packet in stream.encode(self.reformatter.reformat(frame, format="yuv444p", threads=1)):
                    container.mux(packet)
            for packet in stream.encode():
                container.mux(packet)
        return buffer.getvalue()


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Wall-clock and processor seconds of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def compare(family: str, episodes: int, repeats: int, pixels: int, frames: int) -> dict[str, object]:
    """Seconds an episode of both, in turns, and the ratio of their speeds."""
    config = GenerateConfig(scene=family, num_rollouts=episodes, pixels=pixels, num_frames=frames)
    scenes = [draw_scene(config, number) for number in range(episodes)]
    prepared = [(to_mjcf(scene), scene, math.ceil(1 / scene.fps / BARE_STEP - 1e-9)) for scene in scenes]
    bare = BareLoop(pixels)
    engine = get_engine("mujoco")
    rows: dict[str, list[tuple[float, float]]] = {"worldsim": [], "direct": [], "bare": []}

    def ours(root: Path) -> None:
        generate_dataset(config, root / "ours")

    def theirs(root: Path) -> None:
        for number, (xml, scene, steps) in enumerate(prepared):
            bare.episode(xml, scene, steps, root / f"{number:06d}")

    def direct(root: Path) -> None:
        for number in range(episodes):
            rollout = engine.simulate(draw_scene(config, number))
            for name, data in encode_rollout(rollout).items():
                (root / f"{number:06d}.{name}").write_bytes(data)

    for repeat in range(repeats + 1):
        turns = (("worldsim", ours), ("direct", direct), ("bare", theirs))
        for name, work in turns[:: 1 if repeat % 2 else -1]:
            root = Path(tempfile.mkdtemp())
            seconds = timed(lambda work=work, root=root: work(root))
            shutil.rmtree(root)
            if repeat:  # the first round warms caches and contexts
                rows[name].append((seconds[0] / episodes, seconds[1] / episodes))
    out: dict[str, object] = {"family": family, "sub-steps a frame": prepared[0][2]}
    for kind, name in enumerate(("wall", "cpu")):
        figures: dict[str, object] = {
            f"{loop} s/episode": statistics.median(row[kind] for row in rows[loop]) for loop in rows
        }
        for loop in ("direct", "bare"):
            ratios = [b[kind] / w[kind] for w, b in zip(rows["worldsim"], rows[loop], strict=True)]
            figures[f"ratio to {loop}"] = statistics.median(ratios)
            figures[f"range to {loop}"] = [min(ratios), max(ratios)]
        out[name] = figures
    return out


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
    versions = {"worldsim": worldsim.__version__, "mujoco": mujoco.__version__, "av": av.__version__}
    versions |= {"torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()}
    return {"cpu": model, "cores": os.cpu_count(), "load": os.getloadavg()[0], **versions}


def main() -> None:
    """Measure, print and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", nargs="+", default=FAMILIES)
    parser.add_argument("--episodes", type=int, default=12, help="a round")
    parser.add_argument("--repeats", type=int, default=7, help="rounds of each, in turns, after one that warms up")
    parser.add_argument("--pixels", type=int, default=64)
    parser.add_argument("--frames", type=int, default=49)
    parser.add_argument("--out", type=Path, help="folder to write speed.json and the page speed.md to")
    options = parser.parse_args()
    place = machine()
    print(", ".join(f"{name} {value}" for name, value in place.items()))
    results = []
    for family in options.families:
        row = compare(family, options.episodes, options.repeats, options.pixels, options.frames)
        results.append(row)
        for kind in ("wall", "cpu"):
            figures = row[kind]
            assert isinstance(figures, dict)
            print(f"{family:15} {kind:4}  worldsim {figures['worldsim s/episode']:.3f} s an episode")
            for loop in ("direct", "bare"):
                ratio, (low, high) = figures[f"ratio to {loop}"], figures[f"range to {loop}"]
                print(
                    f"{'':21} {loop:6} {figures[f'{loop} s/episode']:.3f} s: ratio {ratio:.2f} ({low:.2f} to "
                    f"{high:.2f}), bar {BAR}: {'met' if ratio >= BAR else 'missed'}"
                )
    if options.out is None:
        return
    meter = Meter()
    install(meter)
    stages = {f: profile(meter, f, PROFILED, options.pixels, options.frames) for f in options.families}
    document = {
        "machine": place,
        "settings": {name: value for name, value in vars(options).items() if name != "out"},
        "bar": BAR,
        "bare step": BARE_STEP,
        "results": results,
        "profile": {f: {stage: row.get(stage, 0.0) for stage in STAGES} for f, row in stages.items()},
        "profile episodes": PROFILED,
    }
    (options.out / "speed.json").write_text(json.dumps(document, indent=1) + "\n")
    (options.out / "speed.md").write_text(page(document))
    print(f"wrote speed.json and speed.md to {options.out}")


if __name__ == "__main__":
    main()
