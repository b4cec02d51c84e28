"""Training speed of VideoDiT beside diffusers' video transformers of equal width, depth and token count.

Forward and backward of a batch that is there before the clock starts, in turns, eager and then compiled; and the share
of the machine's float32 matrix rate, measured at the model's own matrix shapes, that VideoDiT's step reaches, counting
its matrix products only. Two settings: the patches and the batch of the shipped checkpoints, and larger ones of both.
Bars: 1.3 times the fastest peer, .6 of the matrix rate. Run it on a quiet machine:

python experiments/speed/transformer.py [--repeats 7] [--threads 1] [--no-compile] [--out result.json]

Needs diffusers, which the test extra installs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import CogVideoXTransformer3DModel, WanTransformer3DModel
from torch import Tensor, nn

from worldsim.models import Conditioning, VideoDiT, preset
from worldsim.models.config import DiTConfig

FRAMES, SIZE, TOLD, SETUP = 16, 32, 3, 32
WIDTH, DEPTH, HEADS = 160, 6, 4

Call = Callable[[], Tensor]


@dataclass(frozen=True)
class Setting:
    """Rows and columns of a patch, which is two frames long, and clips in a batch."""

    patch: int
    batch: int

    @property
    def tokens(self) -> int:
        """Of a clip, without those that tell of its Setup."""
        return FRAMES // 2 * (SIZE // self.patch) ** 2

    def __str__(self) -> str:
        return f"{self.batch} clips of {self.tokens + TOLD} tokens"


SETTINGS = (Setting(4, 12), Setting(8, 32))


def ours(setting: Setting) -> tuple[nn.Module, Call]:
    """VideoDiT as the experiments train it, and its call on a random batch."""
    config = preset("tiny", width=WIDTH, depth=DEPTH, heads=HEADS, patch=(2, setting.patch, setting.patch), stem=16)
    model, batch = VideoDiT(config), setting.batch
    z, t = torch.randn(batch, 3, FRAMES, SIZE, SIZE), torch.rand(batch, FRAMES // 2)
    told = Conditioning(torch.randn(batch, TOLD, SETUP), hint=torch.randn_like(z), hint_given=torch.ones(batch))
    return model, lambda: model(z, t, told)


def cogvideox(setting: Setting) -> tuple[nn.Module, Call]:
    """CogVideoX's transformer: joint attention with the conditioning tokens, as in ours."""
    model = CogVideoXTransformer3DModel(
        num_attention_heads=HEADS, attention_head_dim=WIDTH // HEADS, in_channels=3, out_channels=3,
        time_embed_dim=WIDTH, text_embed_dim=SETUP, num_layers=DEPTH, sample_width=SIZE, sample_height=SIZE,
        sample_frames=FRAMES, patch_size=setting.patch, patch_size_t=2, temporal_compression_ratio=1,
        max_text_seq_length=TOLD, use_rotary_positional_embeddings=True,
    )  # fmt: skip
    angles = torch.rand(setting.tokens, WIDTH // HEADS)
    turn, batch = (angles.cos(), angles.sin()), setting.batch
    z, told, t = torch.randn(batch, FRAMES, 3, SIZE, SIZE), torch.randn(batch, TOLD, SETUP), torch.full((batch,), 500)
    return model, lambda: model(z, told, t, image_rotary_emb=turn, return_dict=False)[0]


def wan(setting: Setting) -> tuple[nn.Module, Call]:
    """Wan's transformer: self-attention, and attention to the conditioning tokens besides."""
    model = WanTransformer3DModel(
        patch_size=(2, setting.patch, setting.patch), num_attention_heads=HEADS, attention_head_dim=WIDTH // HEADS,
        in_channels=3, out_channels=3, text_dim=SETUP, freq_dim=64, ffn_dim=4 * WIDTH, num_layers=DEPTH,
        rope_max_seq_len=64,
    )  # fmt: skip
    batch = setting.batch
    z, told, t = torch.randn(batch, 3, FRAMES, SIZE, SIZE), torch.randn(batch, TOLD, SETUP), torch.full((batch,), 500)
    return model, lambda: model(z, t, told, return_dict=False)[0]


def step(model: nn.Module, call: Call) -> float:
    """Seconds of one forward and backward."""
    began = time.perf_counter()
    call().square().mean().backward()
    seconds = time.perf_counter() - began
    model.zero_grad(set_to_none=True)
    return seconds


def matrix_seconds(config: DiTConfig, setting: Setting, repeats: int) -> tuple[float, float]:
    """Seconds that a step's matrix products take alone, forward and both backward ones, and their operations."""
    batch, tokens = setting.batch, setting.tokens + TOLD
    rows, width, hidden = batch * tokens, config.width, int(config.width * config.mlp_ratio)
    head = width // config.heads
    cells = config.stem * config.patch[0] * config.patch[1] * config.patch[2] // 4
    shapes = [
        *((config.depth, rows, width, n) for n in (width + head, head, width, hidden)),
        (config.depth, rows, hidden, width),
        (1, batch * (tokens - TOLD), cells, width),
        (1, batch * (tokens - TOLD), width, cells),
    ]
    seconds, operations = 0.0, 0.0
    for times, m, k, n in shapes:
        a, b, g = torch.randn(m, k), torch.randn(k, n), torch.randn(m, n)
        products: tuple[Callable[[], Tensor], ...] = (lambda: a @ b, lambda: g @ b.mT, lambda: a.mT @ g)  # noqa: B023
        for product in products:
            seconds += times * best(product, repeats)
            operations += times * 2.0 * m * k * n
    q, s = torch.randn(batch * config.heads, tokens, head), torch.randn(batch * config.heads, tokens, tokens)
    pairs: tuple[tuple[int, Callable[[], Tensor]], ...] = (
        (2, lambda: q @ q.mT),  # scores, and the gradient of the attention weights
        (4, lambda: s @ q),  # the mixed values, and the gradients of values, queries and keys
    )
    for times, product in pairs:
        seconds += times * config.depth * best(product, repeats)
        operations += times * config.depth * 2.0 * len(q) * tokens * tokens * head
    return seconds, operations


def best(work: Callable[[], object], repeats: int) -> float:
    """Median seconds of a call after one to warm up."""
    work()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def compare(rows: dict[str, tuple[nn.Module, Call]], setting: Setting, repeats: int) -> dict[str, Any]:
    """Steps of all in turns, and VideoDiT's matrix products."""
    times: dict[str, list[float]] = {name: [] for name in rows}
    for repeat in range(repeats + 2):
        for name, (model, call) in rows.items():
            seconds = step(model, call)
            if repeat >= 2:  # the first ones compile and warm up
                times[name].append(seconds)
    config = rows["VideoDiT"][0].config
    matrix, operations = matrix_seconds(config, setting, repeats)  # type: ignore[arg-type]
    peers = [statistics.median(times[name]) for name in rows if name != "VideoDiT"]
    mine = statistics.median(times["VideoDiT"])
    return {
        "seconds": {n: [round(f(v), 3) for f in (statistics.median, min, max)] for n, v in times.items()},
        "times the fastest peer": round(min(peers) / mine, 2),
        "matrix rate, GFLOP/s": round(operations / matrix / 1e9, 1),
        "share of the matrix rate": round(matrix / mine, 2),
    }


def main() -> None:
    """Time all, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    result: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}",
        "threads": arguments.threads,
        "load": os.getloadavg()[0],
    }
    print(json.dumps(result, indent=1))
    for setting in SETTINGS:
        rows = {"VideoDiT": ours(setting), "CogVideoX": cogvideox(setting), "Wan": wan(setting)}
        found = {"parameters": {name: sum(p.numel() for p in model.parameters()) for name, (model, _) in rows.items()}}
        for mode in ("eager",) if arguments.no_compile else ("eager", "compiled"):
            if mode == "compiled":
                for model, _ in rows.values():
                    model.compile()
            found[mode] = compare(rows, setting, arguments.repeats)
            print(setting, mode, json.dumps(found[mode]), flush=True)
        result[str(setting)] = found
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
