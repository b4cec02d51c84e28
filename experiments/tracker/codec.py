"""How compression moves what the built-in tracker reads: masks, centres and false alarms, by H.264 quality.

Run: OMP_NUM_THREADS=1 python experiments/tracker/codec.py [--families parabola hoop] [--clips 1]. Ground-truth
roll-outs at 128 px are encoded at each quality and tracked with the scene's colours and backdrop. Ground-truth masks
are the yardstick, over all objects of at least 30 pixels that touch neither the picture's edge nor another moving
body. Alarms are laws whose figure lies above the self-test's threshold when the file is scored with its scene, of those
that apply.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import av
import numpy as np

import worldsim as ws
from worldsim.benchmarks._self_test import thresholds
from worldsim.benchmarks.ground_truth import backdrop_of
from worldsim.benchmarks.segment import tracker_for
from worldsim.benchmarks.track import UInt8, measure_tracks
from worldsim.benchmarks.trials import excess, fresh
from worldsim.benchmarks.world import world_of
from worldsim.data import read_video
from worldsim.engines import Rollout

FAMILIES = ("parabola", "collision", "bouncing_balls", "hoop")
QUALITIES = (("yuv444p", 18), ("yuv444p", 28), ("yuv420p", 18), ("yuv420p", 23), ("yuv420p", 28))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", nargs="+", default=FAMILIES)
    parser.add_argument("--clips", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0, help="of the first scene, role test")
    parser.add_argument("--pixels", type=int, default=128)
    arguments = parser.parse_args()
    seeds = range(arguments.seed, arguments.seed + arguments.clips)
    print(f"test scenes {seeds[0]} to {seeds[-1]}, {arguments.pixels} px; shares of the area, pixels")
    print(f"{'':40}{'area':>12}{'area':>14}{'centre':>14}")
    print(f"{'family':16}{'file':16}{'objects':>8}{'mean':>12}{'worst 5 %':>14}{'worst 5 %':>14}  alarms")
    for family in arguments.families:
        rollouts = [fresh(family, seed, arguments.pixels, "test") for seed in seeds]
        for name, pixels, crf in [("exact", "", 0), *((f"{p} crf {c}", p, c) for p, c in QUALITIES)]:
            errors, alarms, judged = [], [], 0
            for rollout in rollouts:
                with tempfile.TemporaryDirectory() as folder:
                    path = Path(folder) / "clip.mp4"
                    if pixels:
                        encode(path, rollout.video, rollout.scene.fps, pixels, crf)
                    video = read_video(path)[0] if pixels else rollout.video
                errors.append(compare(rollout, video))
                found = ws.score(video, scene=rollout)
                applying = [law for law, figure in found.figures.items() if figure.applies]
                alarms += [law for law in applying if excess(found, law) > thresholds()[law]]
                judged += len(applying)
            area, centre = np.concatenate([e[0] for e in errors]), np.concatenate([e[1] for e in errors])
            if not len(area):
                print(f"{family:16}{name:16}{0:8}  no object stands alone")
                continue
            print(
                f"{family:16}{name:16}{len(area):8}{np.mean(area):12.3f}{np.quantile(np.abs(area), 0.95):14.3f}"
                f"{np.quantile(centre, 0.95):14.3f}  {len(alarms)} of {judged} {' '.join(alarms)}",
                flush=True,
            )


def compare(rollout: Rollout, video: UInt8) -> tuple[np.ndarray, np.ndarray]:
    """Signed errors of areas, as shares, and distances of centres in pixels, over objects and frames."""
    _, height, width = rollout.ids.shape
    setup = rollout.scene.setup()
    world = world_of(setup, height, width)
    read = measure_tracks(tracker_for(world, backdrop_of(setup, height, width))(video), len(world.bodies))
    true = measure_tracks(rollout.ids, len(world.bodies))
    moving = list(world.objects)
    alone = np.zeros(true.area.shape, bool)
    touching = true.neighbour[:, moving][:, :, [k + 1 for k in moving]].sum(-1) > 0
    alone[:, moving] = (true.area[:, moving] >= 30) & ~true.border[:, moving] & ~touching
    area = read.area[alone] / true.area[alone] - 1
    away = np.linalg.norm(read.centroid[alone] - true.centroid[alone], axis=-1)
    return area, np.where(np.isfinite(away), away, float(width))


def encode(path: Path, video: UInt8, fps: float, pixels: str, crf: int) -> None:
    """Write H.264 as most tools do, tagged as BT.709."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=round(fps), options={"crf": str(crf), "preset": "medium"})
        stream.height, stream.width = video.shape[1:3]
        stream.pix_fmt, stream.codec_context.colorspace, stream.codec_context.color_range = pixels, 1, 1
        for picture in video:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            for packet in stream.encode(frame.reformat(format=pixels, dst_colorspace=1, dst_color_range=1, threads=1)):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


if __name__ == "__main__":
    main()
